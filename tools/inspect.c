/* SPDX-License-Identifier: Apache-2.0 */
/* `zs-vm check`, `inspect`, `dis` and `jit`: what is in a program, without running it. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "jit-x86_64/jit.h"
#include "server/script.h"
#include "tools/native.h"
#include "tools/source.h"
#include "tools/tool.h"
#include "vm/limits.h"

enum { TEXT_BYTES = 160 };

static const char *strong = "";
static const char *faint = "";
static const char *plain = "";

static void set_colours(void)
{
    if (isatty(STDOUT_FILENO)) {
        strong = "\033[1m";
        faint = "\033[2m";
        plain = "\033[0m";
    }
}

/* Loads, lets `show` print, frees. */
static int with_program(const struct tool_options *options,
                        int (*show)(const struct tool_options *, const struct vm_program *))
{
    struct vm_program *program = tool_load(options->file);
    if (!program) {
        return TOOL_REFUSED;
    }
    set_colours();
    int status = show(options, program);
    vm_program_free(program);
    return status;
}

static const char *name_or(const char *name, const char *otherwise)
{
    return name[0] ? name : otherwise;
}

static const char *plural(uint32_t count)
{
    return count == 1 ? "" : "s";
}

/* ---- check ----------------------------------------------------------------------------------- */

static int check(const struct tool_options *options, const struct vm_program *program)
{
    static const struct vm_engine *const engines[] = {&vm_interp, &jit_x86_64};
    struct vm_diag diag;
    uint32_t insns;

    for (size_t i = 0; i < sizeof engines / sizeof engines[0]; i++) {
        struct vm_image *image = vm_image_create(engines[i], program, &diag);
        if (!image) {
            return tool_refuse("%s: %s: %s", options->file, vm_engine_name(engines[i]), diag.text);
        }
        vm_image_free(image);
    }
    (void)vm_program_insns(program, &insns);
    uint32_t functions = vm_program_function_count(program);
    printf("%s: ok, %u instruction%s, %u function%s\n", options->file, insns, plural(insns),
           functions, plural(functions));
    return TOOL_OK;
}

int tool_check(const struct tool_options *options)
{
    return with_program(options, check);
}

/* ---- inspect --------------------------------------------------------------------------------- */

static void print_entries(const struct vm_program *program)
{
    printf("%sentries%s\n", strong, plain);
    for (uint32_t i = 0; i < vm_program_entry_count(program); i++) {
        const struct vm_entry *e = vm_program_entry(program, i);
        printf("  %-32s %-32s instruction %u\n", name_or(e->section, "(raw)"),
               name_or(e->name, "(unnamed)"), e->insn);
    }
}

static void print_functions(const struct vm_program *program)
{
    printf("%sfunctions%s\n", strong, plain);
    for (uint32_t i = 0; i < vm_program_function_count(program); i++) {
        const struct vm_function *f = vm_program_function(program, i);
        printf("  %-32s at %u, %u instruction%s, frame %u bytes\n", name_or(f->name, "(unnamed)"),
               f->start, f->count, plural(f->count), f->frame_bytes);
    }
}

static const char *argument_kind(uint8_t kind)
{
    switch ((enum vm_arg_kind)kind) {
    case VM_ARG_NONE: return NULL;
    case VM_ARG_SCALAR: return "number";
    case VM_ARG_READ: return "read";
    case VM_ARG_WRITE: return "write";
    case VM_ARG_UPDATE: return "update";
    case VM_ARG_LENGTH: return "length";
    case VM_ARG_CSTR: return "string";
    case VM_ARG_READ8: return "read 8 bytes";
    case VM_ARG_WRITE8: return "write 8 bytes";
    }
    return NULL;
}

static void print_helpers(const struct vm_program *program)
{
    printf("%shelpers%s\n", strong, plain);
    for (uint32_t i = 0; i < vm_program_helper_count(program); i++) {
        const struct vm_helper *h = vm_program_helper(program, i);
        printf("  %s(", h->name);
        for (unsigned a = 0; a < 5 && argument_kind(h->kind[a]); a++) {
            printf("%s%s", a ? ", " : "", argument_kind(h->kind[a]));
        }
        const char *text = script_helper_text(h->name);
        printf(")%s%s\n", text ? ": " : "", text ? text : "");
    }
}

static void print_memory(const struct vm_program *program)
{
    uint32_t rodata = vm_program_rodata_bytes(program);
    uint32_t data = vm_program_data_bytes(program);
    uint32_t count;

    (void)vm_program_insns(program, &count);
    printf("%smemory%s\n", strong, plain);
    printf("  code       %u instruction%s\n", count, plural(count));
    printf("  constants  %u bytes at 0x%x\n", rodata, VM_IMAGE_BASE);
    printf("  data       %u bytes at 0x%x\n", data, vm_data_address(rodata));
    printf("  stack      %u bytes\n", vm_program_stack_bytes(program));
    printf("  maps       none\n");
    if (vm_program_line_count(program)) {
        printf("  lines      %u\n", vm_program_line_count(program));
    } else {
        printf("  lines      none (compile with -g)\n");
    }
}

static int inspect(const struct tool_options *options, const struct vm_program *program)
{
    (void)options;
    print_entries(program);
    print_functions(program);
    print_helpers(program);
    print_memory(program);
    return TOOL_OK;
}

int tool_inspect(const struct tool_options *options)
{
    return with_program(options, inspect);
}

/* ---- listings -------------------------------------------------------------------------------- */

static void print_hex(const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < count; i++) {
        printf("%s%02x", i ? " " : "", at[i]);
    }
}

/* A blank line, the function's name and the entry it is, where one starts. */
static void print_function_line(const struct vm_program *program, uint32_t insn)
{
    const struct vm_function *f = vm_program_function_at(program, insn);
    if (!f || f->start != insn) {
        return;
    }
    printf("%s%s%s%s", insn ? "\n" : "", strong, name_or(f->name, "(unnamed)"), plain);
    for (uint32_t i = 0; i < vm_program_entry_count(program); i++) {
        const struct vm_entry *e = vm_program_entry(program, i);
        if (e->insn == insn && e->section[0]) {
            printf("  entry of %s", e->section);
            break;
        }
    }
    printf(":\n");
}

/* What a listing knows of source lines. */
struct place {
    struct tool_sources sources;
    bool with_text;
    const struct vm_line *last; /* of the instruction before, or NULL */
};

/* A comment where the source line is another one than that of the instruction before. */
static void print_source_line(struct place *place, const struct vm_program *program, uint32_t insn)
{
    const struct vm_line *l = vm_program_line_at(program, insn);

    if (l && (!place->last || place->last->line != l->line || place->last->file != l->file)) {
        fputs(faint, stdout);
        tool_source_comment(place->with_text ? &place->sources : NULL, l->file, l->line, stdout);
        fputs(plain, stdout);
    }
    place->last = l;
}

static int dis(const struct tool_options *options, const struct vm_program *program)
{
    uint32_t count;
    const struct vm_insn *insns = vm_program_insns(program, &count);
    struct place place = {.sources = {.object = options->file}, .with_text = options->source};
    char text[TEXT_BYTES];

    for (uint32_t i = 0, slots; i < count; i += slots) {
        print_function_line(program, i);
        print_source_line(&place, program, i);
        slots = vm_disasm(program, insns, count, i, text, sizeof text);
        printf("%6u  %s", i, faint);
        print_hex(&insns[i], sizeof *insns);
        printf("%s  %s\n", plain, text);
        if (slots == 2) {
            printf("        %s", faint);
            print_hex(&insns[i + 1], sizeof *insns);
            printf("%s\n", plain);
        }
    }
    tool_sources_free(&place.sources);
    return TOOL_OK;
}

int tool_dis(const struct tool_options *options)
{
    return with_program(options, dis);
}

static void list_native(struct place *place, const struct vm_program *program, const uint8_t *code,
                        size_t bytes, const uint32_t *offsets)
{
    uint32_t count;
    const struct vm_insn *insns = vm_program_insns(program, &count);
    char text[TEXT_BYTES];

    for (uint32_t i = 0, slots; i < count; i += slots) {
        print_function_line(program, i);
        print_source_line(place, program, i);
        slots = vm_disasm(program, insns, count, i, text, sizeof text);
        printf("%6u  %s\n", i, text);
        tool_print_native(code, offsets[i], offsets[i + slots], faint, plain);
    }
    printf("\n%sout of line%s:\n", strong, plain);
    tool_print_native(code, offsets[count], bytes, faint, plain);
}

static int jit(const struct tool_options *options, const struct vm_program *program)
{
    struct place place = {.sources = {.object = options->file}, .with_text = options->source};
    struct vm_diag diag;
    const uint32_t *offsets;
    size_t bytes;
    struct vm_image *image = vm_image_create(&jit_x86_64, program, &diag);

    if (!image) {
        return tool_refuse("%s: %s", options->file, diag.text);
    }
    const uint8_t *code = jit_code(image, &bytes, &offsets);
    list_native(&place, program, code, bytes, offsets);
    tool_sources_free(&place.sources);
    vm_image_free(image);
    return TOOL_OK;
}

int tool_jit(const struct tool_options *options)
{
    return with_program(options, jit);
}
