/* SPDX-License-Identifier: Apache-2.0 */
/* The engines against each other: the input's bytes become a valid program
 * (tests/support/generate.h), which runs on the interpreter, on the compiler, and on the compiler
 * without BMI2, without one of its optimisations or without all (tests/support/variants.h; the
 * input chooses which, and which of the two must pass its proof). All that can be observed must be
 * the same: r0, the registers, all memory the program can write, kind, address, instruction and
 * registers of a fault. Host memory around the program's must keep its canaries. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "jit-x86_64/verify.h"
#include "tests/support/generate.h"
#include "tests/support/reuse.h"
#include "tests/support/variants.h"

enum {
    TICK_MS = 1,
    BUDGET_MS = 20,
    OTHERS = 2 /* variants beside the first two, for each input */
};

static void fail(const struct t_code *code, unsigned variant, const char *what)
{
    t_dump(code->insns, code->count);
    fprintf(stderr, "engines: %s: %s\n", t_variant_name(variant), what);
    abort();
}

static void check_same(const struct t_code *code, unsigned variant, const struct t_outcome *want,
                       const struct t_outcome *got)
{
    const char *difference = t_difference(want, got);
    if (!difference)
        return;
    char text[2][100], line[256];
    t_outcome_text(want, text[0], sizeof text[0]);
    t_outcome_text(got, text[1], sizeof text[1]);
    for (uint32_t i = 0; i < want->memory_bytes; i += 8) {
        uint64_t word[2];
        memcpy(&word[0], want->memory + i, 8);
        memcpy(&word[1], got->memory + i, 8);
        if (word[0] != word[1])
            fprintf(stderr, "heap+%u: %016llx, %016llx\n", i, (unsigned long long)word[0],
                    (unsigned long long)word[1]);
    }
    snprintf(line, sizeof line, "%s differs: %s, want %s", difference, text[1], text[0]);
    fail(code, variant, line);
}

static bool spent(const struct t_outcome *o)
{
    return o->state == VM_STATE_FAULT && o->fault.kind == VM_FAULT_BUDGET;
}

static void run(const struct t_code *code, const struct vm_program *program, unsigned variant,
                bool prove, const struct t_input *input, struct t_outcome *out)
{
    struct vm_diag diag;
    struct vm_image *image = t_variant_image(variant, program, &diag);
    if (!image || (prove && !jit_verify_image(image, &diag)))
        fail(code, variant, diag.text);
    const char *harm = t_run_reusing(image, input, out);
    if (harm)
        fail(code, variant, harm);
    vm_image_free(image);
}

static unsigned sum(const uint8_t *data, size_t size)
{
    unsigned total = (unsigned)size;
    for (size_t i = 0; i < size; i++)
        total = total * 31 + data[i];
    return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct t_code code;
    static struct t_outcome want, got;
    static bool started;
    uint8_t memory[T_GENERATED_MEMORY];
    struct vm_diag diag;
    if (!started) {
        t_thread_with(&(struct vm_thread_config){.tick_ms = TICK_MS, .budget_ms = BUDGET_MS});
        started = true;
    }
    t_generate(&code, data, size);
    for (unsigned i = 0; i < sizeof memory; i++)
        memory[i] =
            (uint8_t)((i / 8 % 3 == 0 && i % 8 > 3 ? 0 : i * 73) ^ (size ? data[i % size] : 0));
    struct vm_program *program = t_generated_program(&code, &diag);
    if (!program)
        fail(&code, T_VARIANT_INTERP, diag.text); /* the generator makes valid programs only */
    struct t_input input = {.memory = memory, .memory_bytes = sizeof memory};
    unsigned hash = sum(data, size);
    unsigned other = T_VARIANT_PLAIN + hash / 2 % (t_variant_count() - T_VARIANT_PLAIN);
    unsigned compiled[2] = {T_VARIANT_JIT, other};
    run(&code, program, T_VARIANT_INTERP, false, &input, &want);
    for (unsigned i = 0; i < 2; i++) {
        run(&code, program, compiled[i], hash % 2 == i, &input, &got);
        if (!spent(&want) && !spent(&got))
            check_same(&code, compiled[i], &want, &got);
    }
    vm_program_free(program);
    return 0;
}
