/* SPDX-License-Identifier: Apache-2.0 */
/* The engines against each other: the input's bytes become a valid program
 * (tests/support/generate.h), which runs on the interpreter and on one variant of the compiler
 * (tests/support/variants.h) that the input chooses. All that can be observed must be the same: r0,
 * the registers, all memory of the program, kind, address, instruction and registers of a fault.
 * Host memory around the program's must keep its canaries.
 *
 * So that very many programs can be compared, most use memory that stays mapped (twins.h,
 * code_zone.h). Each THOROUGH_RARITYth is run as programs of users are, with memory of its own, by
 * all variants and by the interpreter with a trace, and each variant's code must pass its proof. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "jit-x86_64/verify.h"
#include "tests/support/code_zone.h"
#include "tests/support/generate.h"
#include "tests/support/twins.h"
#include "tests/support/variants.h"

enum {
    TICK_MS = 4,
    BUDGET_MS = 20,
    PROOF_RARITY = 8,
    THOROUGH_RARITY = 256,
};

static void fail(const struct t_code *code, unsigned variant, const char *what)
{
    t_dump(code->insns, code->count);
    fprintf(stderr, "engines: %s: %s\n", t_variant_name(variant), what);
    abort();
}

static void fail_differing(const struct t_code *code, unsigned variant, const char *difference,
                           const struct t_outcome *want, const struct t_outcome *got,
                           const char *detail)
{
    char text[2][100], line[400];
    t_outcome_text(want, text[0], sizeof text[0]);
    t_outcome_text(got, text[1], sizeof text[1]);
    snprintf(line, sizeof line, "%s differs: %s, want %s%s%s", difference, text[1], text[0],
             *detail ? ": " : "", detail);
    fail(code, variant, line);
}

static bool spent(const struct t_outcome *o)
{
    return o->state == VM_STATE_FAULT && o->fault.kind == VM_FAULT_BUDGET;
}

static struct vm_image *prepare(const struct t_code *code, const struct vm_program *program,
                                unsigned variant, bool prove)
{
    struct vm_diag diag;
    struct vm_image *image = t_variant_image(variant, program, &diag);
    if (!image || (prove && variant != T_VARIANT_INTERP && !jit_verify_image(image, &diag)))
        fail(code, variant, diag.text);
    return image;
}

/* ---- the fast way */

static void compare_twins(const struct t_code *code, const struct t_input *input, unsigned variant,
                          bool prove)
{
    static struct t_outcome outcomes[T_TWINS];
    struct vm_diag diag;
    char detail[100];
    struct vm_program *program = t_generated_bare(code, &diag);
    if (!program)
        fail(code, T_VARIANT_INTERP, diag.text); /* the generator makes valid programs only */
    t_code_zone(true);
    struct vm_image *images[T_TWINS] = {prepare(code, program, T_VARIANT_INTERP, false),
                                        prepare(code, program, variant, prove)};
    t_twins_run(code, (const struct vm_image *const *)images, input, outcomes);
    t_code_zone(false);
    const char *harm = t_twins_harm();
    if (harm)
        fail(code, variant, harm);
    if (!spent(&outcomes[0]) && !spent(&outcomes[1])) {
        const char *difference = t_twins_difference(outcomes, detail, sizeof detail);
        if (difference)
            fail_differing(code, variant, difference, &outcomes[0], &outcomes[1], detail);
    }
    vm_image_free(images[0]);
    vm_image_free(images[1]);
    vm_program_free(program);
}

/* ---- the thorough way */

static void compare_all(const struct t_code *code, const struct t_input *input)
{
    static struct t_outcome want, got;
    struct vm_diag diag;
    struct vm_program *program = t_generated_program(code, &diag);
    if (!program)
        fail(code, T_VARIANT_INTERP, diag.text);
    for (unsigned v = T_VARIANT_INTERP; v < t_variant_count(); v++) {
        struct vm_image *image = prepare(code, program, v, true);
        t_run(image, input, v == T_VARIANT_INTERP ? &want : &got);
        vm_thread_forget(t_thread(), image);
        vm_image_free(image);
        const char *difference = v == T_VARIANT_INTERP ? NULL : t_difference(&want, &got);
        if (difference && !spent(&want) && !spent(&got))
            fail_differing(code, v, difference, &want, &got, "");
    }
    vm_program_free(program);
}

/* ---- one input */

static uint32_t hash(const uint8_t *data, size_t size)
{
    uint32_t h = (uint32_t)size;
    for (size_t i = 0; i < size; i++)
        h = (h ^ data[i]) * 0x01000193u;
    return h ^ h >> 15;
}

/* Numbers of all sizes; a third of the words have no upper half. */
static void fill_memory(uint8_t memory[T_GENERATED_MEMORY], const uint8_t *data, size_t size)
{
    for (unsigned i = 0, at = 0; i < T_GENERATED_MEMORY; i++) {
        memory[i] = (uint8_t)((i / 8 % 3 == 0 && i % 8 > 3 ? 0 : i * 73) ^ (size ? data[at] : 0));
        at = at + 1 < size ? at + 1 : 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct t_code code;
    static bool started;
    uint8_t memory[T_GENERATED_MEMORY];
    if (!started) {
        t_thread_with(&(struct vm_thread_config){.tick_ms = TICK_MS, .budget_ms = BUDGET_MS});
        started = true;
    }
    t_generate(&code, data, size);
    fill_memory(memory, data, size);
    struct t_input input = {.memory = memory, .memory_bytes = sizeof memory};
    uint32_t choice = hash(data, size);
    unsigned variant = T_VARIANT_JIT + choice % (t_variant_count() - T_VARIANT_JIT);
    choice /= t_variant_count();
    compare_twins(&code, &input, variant, choice % PROOF_RARITY == 0);
    if (choice / PROOF_RARITY % THOROUGH_RARITY == 0)
        compare_all(&code, &input);
    return 0;
}
