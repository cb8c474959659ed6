/* SPDX-License-Identifier: Apache-2.0 */
/* Interpreter against compiler: the input's bytes become a valid program
 * (tests/support/generate.h), both engines run it, and all that can be observed must be the same:
 * r0, the registers, all memory the program can write, kind, address and instruction of a fault. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tests/support/generate.h"
#include "tests/support/verify.h"

static void fail(const struct t_code *code, const char *what)
{
    t_dump(code->insns, code->count);
    fprintf(stderr, "engines: %s\n", what);
    abort();
}

static void check_same(const struct t_code *code, const struct t_outcome outcome[2])
{
    const char *difference = t_difference(&outcome[0], &outcome[1]);
    if (!difference)
        return;
    char text[2][100], line[256];
    t_outcome_text(&outcome[0], text[0], sizeof text[0]);
    t_outcome_text(&outcome[1], text[1], sizeof text[1]);
    for (uint32_t i = 0; i < outcome[0].memory_bytes; i += 8) {
        uint64_t word[2];
        memcpy(&word[0], outcome[0].memory + i, 8);
        memcpy(&word[1], outcome[1].memory + i, 8);
        if (word[0] != word[1])
            fprintf(stderr, "heap+%u: %016llx, %016llx\n", i, (unsigned long long)word[0],
                    (unsigned long long)word[1]);
    }
    snprintf(line, sizeof line, "%s differs: %s: %s, %s: %s", difference,
             vm_engine_name(t_engines[0]), text[0], vm_engine_name(t_engines[1]), text[1]);
    fail(code, line);
}

static bool spent(const struct t_outcome *o)
{
    return o->state == VM_STATE_FAULT && o->fault.kind == VM_FAULT_BUDGET;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct t_code code;
    static struct t_outcome outcome[2];
    static bool started;
    uint8_t memory[T_GENERATED_MEMORY];
    struct vm_diag diag;
    if (!started) {
        t_thread_with(&(struct vm_thread_config){.tick_ms = 1, .budget_ms = 20});
        started = true;
    }
    t_generate(&code, data, size);
    for (unsigned i = 0; i < sizeof memory; i++)
        memory[i] =
            (uint8_t)((i / 8 % 3 == 0 && i % 8 > 3 ? 0 : i * 73) ^ (size ? data[i % size] : 0));
    struct vm_program *program = t_generated_program(&code, &diag);
    if (!program)
        fail(&code, diag.text); /* the generator makes valid programs only */
    if (!t_verify(program, &diag))
        fail(&code, diag.text);
    struct t_input input = {.memory = memory, .memory_bytes = sizeof memory};
    for (int i = 0; i < T_ENGINE_COUNT; i++)
        if (!t_run_program(t_engines[i], program, &input, &outcome[i], &diag))
            fail(&code, diag.text);
    if (!spent(&outcome[0]) && !spent(&outcome[1]))
        check_same(&code, outcome);
    vm_program_free(program);
    return 0;
}
