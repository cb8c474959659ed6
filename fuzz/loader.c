/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an object file, and as raw instructions: they are refused with one line, or make a
 * program that can be listed and compiled. */
#include <assert.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "jit-x86_64/jit.h"
#include "loader/loader.h"

static uint64_t nothing(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    (void)arg;
    return 0;
}

static const struct vm_helper table[] = {
    {.name = "test_sum", .fn = nothing, .kind = {VM_ARG_SCALAR, VM_ARG_SCALAR}},
    {.name = "test_length", .fn = nothing, .kind = {VM_ARG_CSTR}},
    {.name = "test_numbered", .fn = nothing, .kind = {VM_ARG_SCALAR}, .number = 42},
};
static const struct ld_helpers helpers = {table, sizeof table / sizeof table[0]};

static void list(const struct vm_program *program)
{
    uint32_t count;
    const struct vm_insn *insns = vm_program_insns(program, &count);
    char text[160];

    for (uint32_t i = 0; i < count;) {
        const struct vm_line *line = vm_program_line_at(program, i);
        assert(!line ||
               (line->insn <= i && line->line > 0 && vm_file_short(line->file)[0] != '\0'));
        i += vm_disasm(program, insns, count, i, text, sizeof text);
        assert(strncmp(text, ".8byte", 6) != 0); /* the validator and the listing agree */
    }
}

static void use(struct vm_program *program, const struct vm_diag *diag)
{
    if (!program) {
        assert(diag->error != VM_ERROR_OK);
        assert(diag->text[0] != '\0');
        assert(!strchr(diag->text, '\n'));
        return;
    }
    assert(vm_program_entry_count(program) > 0);
    list(program);
    struct vm_diag why;
    vm_image_free(vm_image_create(&jit_x86_64, program, &why));
    vm_program_free(program);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vm_diag diag = {.text = ""};

    use(ld_load("fuzz", data, size, &helpers, &diag), &diag);
    diag = (struct vm_diag){.text = ""};
    use(ld_load_raw("fuzz", data, size, &helpers, &diag), &diag);
    return 0;
}
