/* SPDX-License-Identifier: Apache-2.0 */
/* Source lines of instructions: from objects with and without -g, from damaged line information
 * (which is dropped, never refused, never followed out of bounds), and in faults. */
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

#define WITH_LINES "-mcpu=v3 -g -fdebug-compilation-dir=."

static struct vm_program *load(const struct object *o)
{
    struct vm_diag diag = {.text = ""};
    struct vm_program *p = ld_load("object", o->bytes, o->length, NULL, &diag);
    cr_assert_not_null(p, "%s", diag.text);
    return p;
}

static uint32_t lines_of(const struct object *o)
{
    struct vm_program *p = load(o);
    uint32_t count = vm_program_line_count(p);
    vm_program_free(p);
    return count;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* Lines of tests/data/objects/lines.c. */
enum { LINE_DEEP = 10, LINE_FIRST = 15, LINE_SECOND = 20 };

static void expect_some_line(const struct vm_program *p, const char *function, uint32_t line)
{
    for (uint32_t i = 0; i < vm_program_function_count(p); i++) {
        const struct vm_function *f = vm_program_function(p, i);
        if (strcmp(f->name, function) != 0) {
            continue;
        }
        for (uint32_t n = f->start; n < f->start + f->count; n++) {
            const struct vm_line *l = vm_program_line_at(p, n);
            cr_assert_not_null(l, "%s: instruction %u", function, n);
            cr_expect_str_eq(l->file, "tests/data/objects/lines.c");
            if (l->line == line) {
                return;
            }
        }
    }
    cr_assert_fail("%s: no instruction of line %u", function, line);
}

Test(lines, of_every_section)
{
    struct object o = object_compile("lines", WITH_LINES);
    struct vm_program *p = load(&o);
    uint32_t count;

    (void)vm_program_insns(p, &count);
    cr_expect_gt(vm_program_line_count(p), 4);
    expect_some_line(p, "deep", LINE_DEEP);
    expect_some_line(p, "first", LINE_FIRST);
    expect_some_line(p, "second", LINE_SECOND);
    cr_expect_null(vm_program_line_at(p, count));
    cr_expect_null(vm_program_line_at(p, VM_NO_INSN));
    vm_program_free(p);
    free(o.bytes);
}

Test(lines, none_without_debug_information)
{
    struct object o = object_compile("lines", "-mcpu=v3");
    struct vm_program *p = load(&o);
    cr_expect_eq(vm_program_line_count(p), 0);
    cr_expect_null(vm_program_line_at(p, 0));
    vm_program_free(p);
    free(o.bytes);
}

static struct vm_program *describe(const struct vm_line *lines, uint32_t count,
                                   struct vm_diag *diag)
{
    static const struct vm_insn insns[] = {{0xb7, 0, 0, 0, 1}, {0x95}, {0xb7, 0, 0, 0, 2}, {0x95},
                                           {0xb7, 0, 0, 0, 3}, {0x95}};
    static const struct vm_function functions[] = {{"a", 0}, {"b", 2}, {"c", 4}};
    return vm_program_create(&(struct vm_program_desc){.name = "lines",
                                                       .insns = insns,
                                                       .insn_count = 6,
                                                       .functions = functions,
                                                       .function_count = 3,
                                                       .lines = lines,
                                                       .line_count = count},
                             diag);
}

/* A function without lines does not inherit those of the one before. */
Test(lines, end_with_their_function)
{
    char file[] = "x.c";
    const struct vm_line lines[] = {{1, 7, file}, {4, 9, file}};
    struct vm_diag diag;
    struct vm_program *p = describe(lines, 2, &diag);

    cr_assert_not_null(p, "%s", diag.text);
    file[0] = 'y'; /* copied */
    cr_expect_null(vm_program_line_at(p, 0));
    cr_expect_eq(vm_program_line_at(p, 1)->line, 7);
    cr_expect_str_eq(vm_program_line_at(p, 1)->file, "x.c");
    cr_expect_null(vm_program_line_at(p, 2));
    cr_expect_null(vm_program_line_at(p, 3));
    cr_expect_eq(vm_program_line_at(p, 5)->line, 9);
    vm_program_free(p);
}

Test(lines, out_of_order_are_refused)
{
    static const struct vm_line cases[][2] = {
        {{1, 1, "a"}, {1, 2, "a"}}, {{2, 1, "a"}, {1, 2, "a"}},  {{0, 1, "a"}, {6, 2, "a"}},
        {{0, 0, "a"}, {1, 2, "a"}}, {{0, 1, "a"}, {1, 2, NULL}},
    };
    struct vm_diag diag;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_null(describe(cases[i], 2, &diag), "case %zu", i);
        cr_expect_eq(diag.error, VM_ERROR_USAGE);
    }
}

Test(lines, short_names)
{
    cr_expect_str_eq(vm_file_short("/home/me/auth.c"), "auth.c");
    cr_expect_str_eq(vm_file_short("lib/auth.h"), "lib/auth.h");
    cr_expect_str_eq(vm_file_short("/"), "/");
    cr_expect_str_eq(vm_file_short(""), "");
}

/* ---- faults ---------------------------------------------------------------------------------- */

static void fault_text(const struct vm_engine *engine, const struct vm_program *program,
                       const char *entry, char *out, size_t out_bytes)
{
    struct vm_diag diag;
    struct vm_image *image = vm_image_create(engine, program, &diag);
    cr_assert_not_null(image, "%s", diag.text);
    struct vm_thread *thread = vm_thread_create(&(struct vm_thread_config){0}, &diag);
    cr_assert_not_null(thread, "%s", diag.text);
    struct vm_run *run = vm_run_start(thread, image, vm_program_find_entry(program, entry), NULL);
    cr_assert_not_null(run);
    enum vm_state state = vm_run_resume(run);
    while (state == VM_STATE_PREEMPTED) {
        state = vm_run_resume(run);
    }
    cr_assert_eq(state, VM_STATE_FAULT);
    vm_fault_format(vm_run_fault(run), out, out_bytes);
    vm_run_free(run);
    vm_thread_forget(thread, image);
    vm_thread_free(thread);
    vm_image_free(image);
}

Test(lines, faults_name_theirs)
{
    static const struct vm_engine *const engines[] = {&vm_interp, &jit_x86_64};
    struct object o = object_compile("lines", WITH_LINES);
    struct object bare = object_compile("lines", "-mcpu=v3");
    struct vm_program *p = load(&o);
    struct vm_program *q = load(&bare);
    char text[256];
    char want[128];

    snprintf(want, sizeof want, "read of 0x8 in deep (tests/data/objects/lines.c:%d), instruction ",
             LINE_DEEP);
    for (size_t i = 0; i < sizeof engines / sizeof engines[0]; i++) {
        fault_text(engines[i], p, "first", text, sizeof text);
        cr_expect_eq(strncmp(text, want, strlen(want)), 0, "%s", text);
        fault_text(engines[i], q, "first", text, sizeof text);
        cr_expect_eq(strncmp(text, "read of 0x8 in deep, instruction ", 33), 0, "%s", text);
    }
    vm_program_free(p);
    vm_program_free(q);
    free(o.bytes);
    free(bare.bytes);
}

/* ---- malformed ------------------------------------------------------------------------------- */

/* Sets a word of a section for the time of one load: no lines must be left. */
static void dropped(const struct object *o, const char *name, uint32_t at, uint32_t value)
{
    uint8_t *word = o->bytes + object_section(o, name)->sh_offset + at;
    uint32_t good;

    memcpy(&good, word, sizeof good);
    memcpy(word, &value, sizeof value);
    cr_expect_eq(lines_of(o), 0, "%s+%u = 0x%x", name, at, value);
    memcpy(word, &good, sizeof good);
}

static uint32_t word_at(const struct object *o, const char *name, uint32_t at)
{
    uint32_t value;
    memcpy(&value, o->bytes + object_section(o, name)->sh_offset + at, sizeof value);
    return value;
}

Test(lines, malformed_are_dropped)
{
    static const uint32_t absurd[] = {0, 1, 23, 0x7fffffff, 0xfffffff8, 0xffffffff};
    struct object o = object_compile("lines", WITH_LINES);
    /* Line information: record size, then per section name, count, records. */
    uint32_t info = 24 + 8 + word_at(&o, ".BTF.ext", 16);

    cr_assert_gt(lines_of(&o), 4);
    for (size_t i = 0; i < sizeof absurd / sizeof absurd[0]; i++) {
        dropped(&o, ".BTF", 0, absurd[i]);
        dropped(&o, ".BTF", 4, absurd[i]);
        dropped(&o, ".BTF.ext", 0, absurd[i]);
        dropped(&o, ".BTF.ext", 4, absurd[i]);
        dropped(&o, ".BTF.ext", info, absurd[i]);     /* record size */
        dropped(&o, ".BTF.ext", info + 8, absurd[i]); /* count */
    }
    dropped(&o, ".BTF", 16, 0xffffffff);
    dropped(&o, ".BTF", 20, 0xffffffff);
    dropped(&o, ".BTF.ext", 16, 0xfffffff0);
    dropped(&o, ".BTF.ext", 20, 0xffffffff);
    dropped(&o, ".BTF.ext", 20, 0);
    dropped(&o, ".BTF.ext", info + 4, 0xffffffff);  /* name of a section */
    dropped(&o, ".BTF.ext", info + 12, 4);          /* no whole instruction */
    dropped(&o, ".BTF.ext", info + 12, 1 << 20);    /* beyond the section */
    dropped(&o, ".BTF.ext", info + 16, 0xffffffff); /* name of a file */
    dropped(&o, ".BTF.ext", info + 16, 0);          /* an empty one */
    uint32_t name = word_at(&o, ".BTF.ext", info + 16);
    uint32_t strings = 24 + word_at(&o, ".BTF", 16);
    dropped(&o, ".BTF", strings + name, 0x0a6e6f74); /* one with a line break */
    cr_expect_gt(lines_of(&o), 4, "everything was put back");
    free(o.bytes);
}

static uint32_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Up to four bytes of .BTF or .BTF.ext become others. */
static void damage(const struct object *o, uint64_t *state)
{
    static const uint8_t telling[] = {0, 1, 8, 16, 0x7f, 0x80, 0xff};
    for (uint32_t n = 1 + random_next(state) % 4; n; n--) {
        const Elf64_Shdr *h = object_section(o, random_next(state) % 4 ? ".BTF.ext" : ".BTF");
        uint8_t *at = o->bytes + h->sh_offset + random_next(state) % h->sh_size;
        *at = random_next(state) % 2 ? telling[random_next(state) % sizeof telling]
                                     : (uint8_t)random_next(state);
    }
}

/* Whatever line information says, the program loads, and its lines can be looked at. */
Test(lines, survive_damage, .timeout = 60)
{
    struct object good = object_compile("lines", WITH_LINES);
    struct object bad = {malloc(good.length), good.length};
    uint64_t state = 1;
    uint32_t with_lines = 0;

    for (uint32_t round = 0; round < 20000; round++) {
        memcpy(bad.bytes, good.bytes, good.length);
        damage(&bad, &state);
        struct vm_program *p = load(&bad);
        uint32_t count;
        (void)vm_program_insns(p, &count);
        for (uint32_t i = 0; i < count; i++) {
            const struct vm_line *l = vm_program_line_at(p, i);
            cr_assert(!l || (l->line > 0 && strlen(l->file) < 1024 && l->insn <= i));
        }
        with_lines += vm_program_line_count(p) > 0;
        vm_program_free(p);
    }
    cr_expect(with_lines > 1000 && with_lines < 19000, "%u of 20000", with_lines);
    free(good.bytes);
    free(bad.bytes);
}

/* Every length of the sections but the whole one. */
Test(lines, cut_short)
{
    struct object o = object_compile("lines", WITH_LINES);
    Elf64_Shdr *ext = object_section(&o, ".BTF.ext");
    Elf64_Shdr *btf = object_section(&o, ".BTF");
    uint64_t whole = ext->sh_size;

    for (ext->sh_size = 0; ext->sh_size < whole; ext->sh_size++) {
        cr_expect_eq(lines_of(&o), 0);
    }
    cr_expect_gt(lines_of(&o), 4);
    whole = btf->sh_size;
    for (btf->sh_size = 0; btf->sh_size < whole; btf->sh_size++) {
        cr_expect_eq(lines_of(&o), 0);
    }
    free(o.bytes);
}
