/* SPDX-License-Identifier: Apache-2.0 */
/* The loader on objects that clang makes of tests/data/objects, for every -mcpu, run on both
 * engines; and on objects that were damaged on purpose. */
#include <criterion/criterion.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jit-x86_64/jit.h"
#include "loader/loader.h"
#include "tests/support/object.h"
#include "vm/limits.h"

/* ---- helpers for objects --------------------------------------------------------------------- */

static uint64_t host_sum(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    return arg[0].value + arg[1].value;
}

static uint64_t host_length(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    return arg[0].length;
}

static uint64_t host_numbered(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    return arg[0].value * 1000;
}

static const struct vm_helper table[] = {
    {.name = "test_unused", .fn = host_sum},
    {.name = "test_numbered", .fn = host_numbered, .kind = {VM_ARG_SCALAR}, .number = 42},
    {.name = "test_length", .fn = host_length, .kind = {VM_ARG_CSTR}},
    {.name = "test_sum", .fn = host_sum, .kind = {VM_ARG_SCALAR, VM_ARG_SCALAR}},
};
static const struct ld_helpers helpers = {table, sizeof table / sizeof table[0]};

static struct vm_program *load(const struct object *o)
{
    struct vm_diag diag = {.text = ""};
    struct vm_program *p = ld_load("object", o->bytes, o->length, &helpers, &diag);
    cr_assert_not_null(p, "%s", diag.text);
    return p;
}

/* The object must be refused with one plain line, which holds `part`. */
static void refused(const struct object *o, enum vm_error error, const char *part)
{
    struct vm_diag diag = {.text = ""};
    struct vm_program *p = ld_load("object", o->bytes, o->length, &helpers, &diag);
    cr_assert_null(p, "want: %s", part);
    cr_expect_eq(diag.error, error, "%d: %s", (int)diag.error, diag.text);
    cr_expect(strstr(diag.text, part) != NULL, "%s: want %s", diag.text, part);
    cr_expect_null(strchr(diag.text, '\n'));
}

static uint64_t run_on(const struct vm_engine *engine, const struct vm_program *program,
                       const char *entry, uint64_t r1)
{
    struct vm_diag diag;
    const struct vm_entry *at = vm_program_find_entry(program, entry);
    cr_assert_not_null(at, "no entry %s", entry);
    struct vm_image *image = vm_image_create(engine, program, &diag);
    cr_assert_not_null(image, "%s", diag.text);
    struct vm_thread *thread = vm_thread_create(&(struct vm_thread_config){0}, &diag);
    cr_assert_not_null(thread, "%s", diag.text);
    struct vm_run *run = vm_run_start(thread, image, at, NULL);
    cr_assert_not_null(run);
    vm_run_set_args(run, (const uint64_t[5]){r1});
    enum vm_state state = vm_run_resume(run);
    while (state == VM_STATE_PREEMPTED) {
        state = vm_run_resume(run);
    }
    if (state == VM_STATE_FAULT) {
        vm_fault_format(vm_run_fault(run), diag.text, sizeof diag.text);
    }
    cr_assert_eq(state, VM_STATE_DONE, "%s", diag.text);
    uint64_t r0 = vm_run_result(run);
    vm_run_free(run);
    vm_thread_forget(thread, image);
    vm_thread_free(thread);
    vm_image_free(image);
    return r0;
}

static void expect(const struct vm_program *program, const char *entry, uint64_t r1, uint64_t want)
{
    uint64_t interpreted = run_on(&vm_interp, program, entry, r1);
    uint64_t compiled = run_on(&jit_x86_64, program, entry, r1);
    cr_expect_eq(interpreted, want, "%s(%lu) interpreted: %lu, want %lu", entry, r1, interpreted,
                 want);
    cr_expect_eq(compiled, want, "%s(%lu) compiled: %lu, want %lu", entry, r1, compiled, want);
}

/* ---- good objects ---------------------------------------------------------------------------- */

static const char *const every_way[] = {"-mcpu=v1", "-mcpu=v2", "-mcpu=v3", "-mcpu=v3 -g",
                                        "-mcpu=v3 -fcommon -fdata-sections -ffunction-sections"};

#define EACH_WAY(o, p, name)                                                                       \
    struct object o;                                                                               \
    struct vm_program *p;                                                                          \
    for (size_t way = 0; way < sizeof every_way / sizeof every_way[0] &&                           \
                         (o = object_compile(name, every_way[way]), true) && (p = load(&o), true); \
         way++, vm_program_free(p), free(o.bytes))

Test(loader, calls_cross_sections)
{
    EACH_WAY(o, p, "sections")
    {
        cr_expect_eq(vm_program_entry_count(p), 3);
        expect(p, "test.first", 3, 27 + 9);
        expect(p, "first_entry", 2, 8 + 4);
        expect(p, "second_entry", 2, (8 + 1) * 2 + 9);
    }
}

Test(loader, functions_keep_their_names)
{
    struct object o = object_compile("sections", "-mcpu=v3");
    struct vm_program *p = load(&o);
    const struct vm_entry *first = vm_program_find_entry(p, "test.first");
    cr_assert_not_null(first);
    cr_expect_str_eq(first->section, "test.first");
    cr_expect_str_eq(first->name, "first_entry");
    cr_expect_str_eq(vm_program_function_at(p, first->insn)->name, "first_entry");
    bool has_static = false;
    for (uint32_t i = 0; i < vm_program_function_count(p); i++) {
        has_static = has_static || strcmp(vm_program_function(p, i)->name, "square") == 0;
    }
    cr_expect(has_static);
    cr_expect_str_eq(vm_program_name(p), "object");
    vm_program_free(p);
    free(o.bytes);
}

Test(loader, data_of_every_kind)
{
    EACH_WAY(o, p, "data")
    {
        expect(p, "strings", 1, ('o' * 31 + 'n') * 31 + 'e');
        expect(p, "tables", 1, 'b' * 1000 + 70 + 2);
        expect(p, "tables", 2, 'g' * 1000 + 70 + 3);
        expect(p, "zeros", 5, 531);
        expect(p, "others", 1, 11 + 23 + 200);
        expect(p, "pointer_inside", 5, 9);
    }
}

Test(loader, function_pointers)
{
    EACH_WAY(o, p, "functions")
    {
        expect(p, "by_table", 3, 5);
        expect(p, "by_table", 4, 2);
        expect(p, "by_table", 5, 10);
        expect(p, "by_name", 4, 7);
        expect(p, "by_name", 5, 15);
        expect(p, "by_switch", 1, 8);
        expect(p, "by_switch", 3, 21);
        expect(p, "by_switch", 99, 100);
    }
}

Test(loader, helpers_by_name_and_number)
{
    EACH_WAY(o, p, "helpers")
    {
        cr_expect_eq(vm_program_helper_count(p), 3, "each helper once");
        expect(p, "entry", 5, 5 + 1 + 4 + 5000);
    }
}

Test(loader, entries_of_text_alone)
{
    struct object o = object_compile("text", "-mcpu=v3");
    struct vm_program *p = load(&o);
    cr_expect_eq(vm_program_entry_count(p), 2);
    cr_expect_str_eq(vm_program_entry(p, 0)->name, "one");
    expect(p, "one", 4, 5);
    expect(p, "two", 4, 10);
    vm_program_free(p);
    free(o.bytes);
}

Test(loader, unused_maps_and_licences_are_no_data)
{
    struct object o = object_compile("licence", "-mcpu=v3 -g");
    struct vm_program *p = load(&o);
    cr_expect_eq(vm_program_data_bytes(p), 0);
    expect(p, "test.xdp", 0, 2);
    vm_program_free(p);
    free(o.bytes);
}

static struct object read_file(const char *path)
{
    struct object o = {malloc(1 << 16), 0};
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    o.length = fread(o.bytes, 1, 1 << 16, file);
    fclose(file);
    return o;
}

/* bpf-gcc 12 and GNU as 2.40 made these of data.c and sections.c. */
Test(loader, objects_of_gnu_tools)
{
    struct object o = read_file("fuzz/corpus/loader/gnu-data.elf");
    struct vm_program *p = load(&o);
    expect(p, "strings", 1, ('o' * 31 + 'n') * 31 + 'e');
    expect(p, "tables", 1, 'b' * 1000 + 70 + 2);
    expect(p, "zeros", 5, 531);
    expect(p, "others", 1, 11 + 23 + 200);
    vm_program_free(p);
    free(o.bytes);
    o = read_file("fuzz/corpus/loader/gnu-sections.elf");
    p = load(&o);
    expect(p, "first_entry", 2, 8 + 4);
    expect(p, "second_entry", 2, (8 + 1) * 2 + 9);
    vm_program_free(p);
    free(o.bytes);
}

/* ---- raw instructions ------------------------------------------------------------------------ */

static struct vm_program *load_raw(const struct vm_insn *insns, size_t bytes, struct vm_diag *diag)
{
    return ld_load_raw("raw", (const uint8_t *)insns, bytes, &helpers, diag);
}

Test(loader, raw_instructions)
{
    const struct vm_insn insns[] = {{0xb7, 1, 0, 0, 6}, {0x85, 0, 0, 0, 42}, {0x95, 0, 0, 0, 0}};
    struct vm_diag diag;
    struct vm_program *p = load_raw(insns, sizeof insns, &diag);
    cr_assert_not_null(p, "%s", diag.text);
    expect(p, "", 0, 6000);
    vm_program_free(p);
    cr_expect_null(load_raw(insns, sizeof insns - 1, &diag));
    cr_expect(strstr(diag.text, "8-byte") != NULL, "%s", diag.text);
    cr_expect_null(load_raw(insns, 0, &diag));
    cr_expect_eq(diag.error, VM_ERROR_EMPTY);
    cr_expect_null(load_raw(insns, 8, &diag));
    cr_expect_eq(diag.error, VM_ERROR_FALLS_OFF);
}

Test(loader, raw_callx_of_both_encodings)
{
    struct vm_insn insns[] = {{0x18, 3, 4, 0, 3}, {0, 0, 0, 0, 0},    {0x8d, 0, 0, 0, 3},
                              {0x95, 0, 0, 0, 0}, {0xb7, 0, 0, 0, 9}, {0x95, 0, 0, 0, 0}};
    struct vm_diag diag;
    for (int i = 0; i < 2; i++) {
        struct vm_program *p = load_raw(insns, sizeof insns, &diag);
        cr_assert_not_null(p, "%s", diag.text);
        expect(p, "", 0, 9);
        vm_program_free(p);
        insns[2] = (struct vm_insn){0x8d, 3, 0, 0, 0};
    }
    insns[2] = (struct vm_insn){0x8d, 0, 0, 0, 11};
    cr_expect_null(load_raw(insns, sizeof insns, &diag));
}

/* ---- refusals -------------------------------------------------------------------------------- */

Test(loader, refuses_what_cannot_be_linked)
{
    static const struct {
        const char *name;
        enum vm_error error;
        const char *part;
    } cases[] = {
        {"unknown", VM_ERROR_UNKNOWN_SYMBOL,
         "section test.entry+0x0: call to undefined symbol no_such_helper"},
        {"undefined", VM_ERROR_UNKNOWN_SYMBOL, "undefined symbol no_such_variable"},
        {"number", VM_ERROR_UNKNOWN_HELPER, "section test.entry+0x0: call to unknown helper 4711"},
        {"maps", VM_ERROR_BAD_RELOCATION, "maps are not supported: counts"},
        {"private", VM_ERROR_NO_ENTRY, "no entry point"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct object o = object_compile(cases[i].name, "-mcpu=v3");
        refused(&o, cases[i].error, cases[i].part);
        free(o.bytes);
    }
}

Test(loader, refuses_other_files)
{
    struct object o = object_compile("text", "-mcpu=v3");
    Elf64_Ehdr *h = (Elf64_Ehdr *)o.bytes;
    const Elf64_Ehdr good = *h;

    h->e_machine = EM_X86_64;
    refused(&o, VM_ERROR_BAD_OBJECT, "not an eBPF object (machine 62)");
    *h = good;
    h->e_ident[EI_CLASS] = ELFCLASS32;
    refused(&o, VM_ERROR_BAD_OBJECT, "64-bit");
    *h = good;
    h->e_ident[EI_DATA] = ELFDATA2MSB;
    refused(&o, VM_ERROR_BAD_OBJECT, "little-endian");
    *h = good;
    h->e_type = ET_EXEC;
    refused(&o, VM_ERROR_BAD_OBJECT, "relocatable");
    *h = good;
    h->e_shnum = 0;
    refused(&o, VM_ERROR_BAD_OBJECT, "section table");
    h->e_shnum = 60000;
    refused(&o, VM_ERROR_BAD_OBJECT, "outside the file");
    *h = good;
    h->e_shstrndx = h->e_shnum;
    refused(&o, VM_ERROR_BAD_OBJECT, "section table");
    free(o.bytes);
    struct object text = {(uint8_t *)"!<arch>\n", 8};
    refused(&text, VM_ERROR_BAD_OBJECT, "not an ELF object");
    text.length = 0;
    refused(&text, VM_ERROR_BAD_OBJECT, "not an ELF object");
}

Test(loader, refuses_bad_sections)
{
    struct object o = object_compile("sections", "-mcpu=v3");
    Elf64_Shdr *first = object_section(&o, "test.first");
    const Elf64_Shdr good = *first;

    first->sh_size -= 4;
    refused(&o, VM_ERROR_BAD_OBJECT, "section test.first: size");
    *first = good;
    first->sh_offset = o.length;
    refused(&o, VM_ERROR_BAD_OBJECT, "outside the file");
    *first = good;
    first->sh_offset = UINT64_MAX - 8;
    refused(&o, VM_ERROR_BAD_OBJECT, "outside the file");
    *first = good;
    first->sh_addralign = 24;
    refused(&o, VM_ERROR_BAD_OBJECT, "power of two");
    *first = good;
    first->sh_name = UINT32_MAX;
    refused(&o, VM_ERROR_BAD_OBJECT, "name of section");
    *first = good;
    Elf64_Shdr *strings = object_section(&o, ".strtab");
    strings->sh_size--;
    refused(&o, VM_ERROR_BAD_OBJECT, "string table");
    strings->sh_size = 0;
    refused(&o, VM_ERROR_BAD_OBJECT, "string table");
    free(o.bytes);
}

Test(loader, refuses_too_much_data)
{
    struct object o = object_compile("data", "-mcpu=v3");
    Elf64_Shdr *bss = object_section(&o, ".bss");
    bss->sh_size = VM_IMAGE_BYTES_MAX + 1;
    refused(&o, VM_ERROR_TOO_LARGE, "16 MiB");
    bss->sh_size = UINT64_MAX;
    refused(&o, VM_ERROR_TOO_LARGE, "too large");
    bss->sh_size = UINT32_MAX;
    refused(&o, VM_ERROR_TOO_LARGE, "16 MiB");
    free(o.bytes);
}

Test(loader, refuses_bad_relocations)
{
    struct object o = object_compile("sections", "-mcpu=v3");
    Elf64_Shdr *table_header = object_section(&o, ".reltest.first");
    Elf64_Rel *rel = (Elf64_Rel *)(o.bytes + table_header->sh_offset);
    const Elf64_Rel good = *rel;

    rel->r_offset = 1 << 20;
    refused(&o, VM_ERROR_BAD_RELOCATION, "section test.first+0x100000: no instruction here");
    rel->r_offset = good.r_offset + 4;
    refused(&o, VM_ERROR_BAD_RELOCATION, "no instruction here");
    rel->r_offset = 0;
    refused(&o, VM_ERROR_BAD_RELOCATION, "no call to relocate");
    *rel = good;
    rel->r_info = ELF64_R_INFO(100000, 10);
    refused(&o, VM_ERROR_BAD_RELOCATION, "no symbol");
    rel->r_info = ELF64_R_INFO(ELF64_R_SYM(good.r_info), 99);
    refused(&o, VM_ERROR_BAD_RELOCATION, "unsupported relocation");
    rel->r_info = ELF64_R_INFO(ELF64_R_SYM(good.r_info), 1);
    refused(&o, VM_ERROR_BAD_RELOCATION, "no lddw");
    *rel = good;
    rel[1].r_offset = rel[0].r_offset;
    refused(&o, VM_ERROR_BAD_RELOCATION, "relocated twice");
    table_header->sh_type = SHT_RELA;
    refused(&o, VM_ERROR_BAD_RELOCATION, "not a table of plain relocations");
    free(o.bytes);
}

/* The validator's refusal names the section, too. */
Test(loader, says_where_an_instruction_is)
{
    struct object o = object_compile("sections", "-mcpu=v3");
    struct vm_insn *insns =
        (struct vm_insn *)(o.bytes + object_section(&o, "test.first")->sh_offset);
    insns[0] = (struct vm_insn){.code = 0xff};
    refused(&o, VM_ERROR_BAD_OPCODE, "section test.first+0x0: instruction ");
    free(o.bytes);
}

Test(loader, refuses_every_truncation)
{
    struct object o = object_compile("data", "-mcpu=v3 -g");
    size_t whole = o.length;
    for (o.length = 0; o.length < whole; o.length++) {
        /* A copy of its own size, so that a sanitizer sees the first byte read too many. */
        struct object cut = {malloc(o.length + (o.length == 0)), o.length};
        memcpy(cut.bytes, o.bytes, o.length);
        refused(&cut, VM_ERROR_BAD_OBJECT, "");
        free(cut.bytes);
    }
    free(o.bytes);
}

static uint32_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Damages up to four places, favouring the tables that are at the end of the file. */
static void damage(struct object *o, uint64_t *state)
{
    static const uint8_t telling[] = {0, 1, 8, 0x7f, 0x80, 0xff};
    for (uint32_t n = 1 + random_next(state) % 4; n; n--) {
        size_t at = random_next(state) % o->length;
        if (random_next(state) % 2) {
            at = o->length / 2 + at / 2;
        }
        o->bytes[at] = random_next(state) % 2 ? telling[random_next(state) % sizeof telling]
                                              : (uint8_t)random_next(state);
    }
}

Test(loader, survives_damage, .timeout = 60)
{
    static const char *const names[] = {"sections", "data", "functions", "helpers"};
    uint64_t state = 1;
    uint32_t loaded = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct object good = object_compile(names[i], "-mcpu=v3");
        struct object bad = {malloc(good.length), good.length};
        for (uint32_t round = 0; round < 5000; round++) {
            struct vm_diag diag = {.text = ""};
            memcpy(bad.bytes, good.bytes, good.length);
            damage(&bad, &state);
            struct vm_program *p = ld_load("damaged", bad.bytes, bad.length, &helpers, &diag);
            cr_assert((p != NULL) != (diag.text[0] != '\0'), "a reason if and only if refused");
            loaded += p != NULL;
            vm_program_free(p);
        }
        free(good.bytes);
        free(bad.bytes);
    }
    cr_expect(loaded > 100 && loaded < 19900, "%u of 20000 loaded", loaded);
}
