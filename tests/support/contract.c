/* SPDX-License-Identifier: Apache-2.0 */
/* Needs the unit test library: what is not as it should be fails the test that runs. */
#include "tests/support/contract.h"

#include <criterion/criterion.h>
#include <inttypes.h>

struct vm_program *contract_assemble(const char *text, struct vm_diag *diag)
{
    struct t_asm code;
    cr_assert(t_assemble(&code, text, t_helpers, t_helper_count), "%s", code.error);
    struct vm_program *program = t_program(code.insns, code.count, diag);
    t_asm_free(&code);
    return program;
}

void contract_on_all(struct vm_program *program, const struct t_input *input,
                     void (*check)(const struct t_outcome *o, const char *variant, uint64_t want),
                     uint64_t want)
{
    static struct t_outcome outcome;
    struct vm_diag diag;
    for (unsigned v = 0; v < t_variant_count(); v++) {
        struct vm_image *image = t_variant_image(v, program, &diag);
        cr_assert(image, "%s: %s", t_variant_name(v), diag.text);
        t_run(image, input, &outcome);
        check(&outcome, t_variant_name(v), want);
        vm_thread_forget(t_thread(), image);
        vm_image_free(image);
    }
    vm_program_free(program);
}

void contract_result(const struct t_outcome *o, const char *variant, uint64_t want)
{
    char text[100];
    t_outcome_text(o, text, sizeof text);
    cr_expect(o->state == VM_STATE_DONE && o->r0 == want, "%s: %s, want 0x%" PRIx64, variant, text,
              want);
}

void contract_fault(const struct t_outcome *o, const char *variant, uint64_t want)
{
    char text[100];
    t_outcome_text(o, text, sizeof text);
    cr_expect(o->state == VM_STATE_FAULT && o->fault.kind == want, "%s: %s, want %s", variant, text,
              t_fault_names[want]);
}

struct vm_program *contract_accepted(const char *text)
{
    struct vm_diag diag;
    struct vm_program *program = contract_assemble(text, &diag);
    cr_assert(program, "%s", diag.text);
    return program;
}

void contract_returns(uint64_t want, const char *text)
{
    contract_on_all(contract_accepted(text), &(struct t_input){0}, contract_result, want);
}

void contract_returns_with_heap(uint64_t want, const char *text)
{
    static const uint8_t memory[256];
    contract_on_all(contract_accepted(text),
                    &(struct t_input){.memory = memory, .memory_bytes = sizeof memory},
                    contract_result, want);
}

void contract_faults(enum vm_fault_kind want, const char *text)
{
    contract_on_all(contract_accepted(text), &(struct t_input){0}, contract_fault, want);
}

void contract_refused(enum vm_error want, const char *text)
{
    struct vm_diag diag = {0};
    struct vm_program *program = contract_assemble(text, &diag);
    cr_expect_null(program, "accepted: %s", text);
    if (!program)
        cr_expect_eq(diag.error, want, "%s: %s", diag.text, text);
    vm_program_free(program);
}

struct vm_program *contract_built(const struct t_code *code)
{
    struct vm_diag diag;
    struct vm_program *program = t_program(code->insns, code->count, &diag);
    cr_assert(program, "%s", diag.text);
    return program;
}
