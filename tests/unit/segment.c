/* SPDX-License-Identifier: Apache-2.0 */
/* The gs segment: compiled loops read and write through it, each run its own memory, and the thread
 * has its own segment back however a run is left. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/subject.h"
#include "vm/engine.h"
#include "vm/segment.h"

#define OURS ((uintptr_t)0x123456789000)

/* Adds up r2 bytes at r1, waiting at each. */
static const char sum[] = "mov r6, r1\n mov r7, r2\n mov r8, 0\n mov r9, 0\n"
                          "loop:\n"
                          "call wait_once\n"
                          "mov r2, r6\n add r2, r8\n ldxb r3, [r2+0]\n add r9, r3\n"
                          "add r8, 1\n jlt r8, r7, loop\n"
                          "mov r0, r9\n exit\n";

/* Reads beyond the heap sooner or later. */
static const char strays[] = "mov r3, 0\n"
                             "loop:\n"
                             "mov r2, r1\n add r2, r3\n ldxb r4, [r2+0]\n add r3, 1\n ja loop\n";

static const char endless[] = "mov r3, 0\n"
                              "loop:\n"
                              "mov r2, r10\n add r2, r3\n stxb [r2-8], r3\n ja loop\n";

Test(segment, is_used_in_loops)
{
    struct subject s = subject_make(&jit_x86_64, sum),
                   once = subject_make(&jit_x86_64, "mov r2, r10\n add r2, r1\n"
                                                    "ldxb r0, [r2-8]\n exit\n");
    cr_expect_eq(s.image->uses_gs, vm_segment_can_be_set());
    cr_expect(!once.image->uses_gs, "entering would cost more than it saves");
    subject_drop(s);
    subject_drop(once);
    t_thread_end();
}

Test(segment, comes_back_after_every_run)
{
    static const char *const programs[] = {sum, strays, endless};
    static const enum vm_state ends[] = {VM_STATE_DONE, VM_STATE_FAULT, VM_STATE_FAULT};
    static const uint8_t memory[5] = {1, 2, 3, 4, 5};
    static struct t_outcome out;
    if (!vm_segment_can_be_set())
        return;
    t_thread_with(&(struct vm_thread_config){.tick_ms = 1, .budget_ms = 10});
    vm_segment_set(OURS);
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        struct subject s = subject_make(&jit_x86_64, programs[i]);
        cr_expect(s.image->uses_gs);
        t_run(s.image, &(struct t_input){.memory = memory, .memory_bytes = sizeof memory}, &out);
        cr_expect_eq(out.state, ends[i]);
        cr_expect_eq(vm_segment_get(), OURS, "program %zu", i);
        subject_drop(s);
    }
    vm_segment_set(0);
    t_thread_end();
}

/* Runs that wait at each byte take turns. */
Test(segment, is_each_runs_own)
{
    enum { RUNS = 3, BYTES = 10 };
    struct subject s = subject_make(&jit_x86_64, sum);
    struct vm_run *runs[RUNS];
    bool ended[RUNS] = {false};
    unsigned done = 0;
    for (unsigned i = 0; i < RUNS; i++) {
        uint8_t *memory;
        uint64_t args[5] = {0, BYTES};
        runs[i] = vm_run_start(t_thread(), s.image, NULL, NULL);
        cr_assert(runs[i]);
        args[0] = vm_run_heap_alloc(runs[i], BYTES, &memory);
        memset(memory, (int)i + 1, BYTES);
        vm_run_set_args(runs[i], args);
    }
    for (unsigned turn = 0; done < RUNS; turn++) {
        unsigned i = turn % RUNS;
        enum vm_state state = ended[i] ? VM_STATE_DONE : vm_run_resume(runs[i]);
        cr_assert_neq(state, VM_STATE_FAULT);
        if (state == VM_STATE_DONE && !ended[i]) {
            cr_expect_eq(vm_run_result(runs[i]), (i + 1) * BYTES);
            ended[i] = true;
            done++;
        }
    }
    for (unsigned i = 0; i < RUNS; i++)
        vm_run_free(runs[i]);
    subject_drop(s);
    t_thread_end();
}

/* Sums that leave the lower 32 bits: only these count, and the offset on top. */
Test(segment, addresses_have_32_bits)
{
    static const char *const bodies[] = {
        "lddw r3, 0xffffffff00000000\n mov r2, r10\n add r2, r3\n ldxb r0, [r2-8]\n",
        ("lddw r3, -0x3000000\n mov r2, r10\n add r2, r3\n lddw r4, 0x3000000\n add r2, r4\n"
         "ldxb r0, [r2-8]\n"),
        "mov32 r3, 0x80000000\n mov r2, r3\n add r2, r3\n add r2, r10\n ldxb r0, [r2-8]\n",
        "mov r3, r10\n rsh r3, 2\n mov r2, r3\n lsh r2, 2\n add r2, 0\n ldxb r0, [r2-8]\n",
        "mov r2, r5\n add r2, r1\n add r2, -1\n stxb [r2+2], r1\n",
        "lddw r3, 0xfffffff0\n mov r2, r3\n add r2, r1\n ldxh r0, [r2+32767]\n",
    };
    static struct t_outcome want, got;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char text[400];
        struct vm_diag diag;
        snprintf(text, sizeof text,
                 "stdw [r10-8], 77\n mov r6, 3\nloop:\n%s sub r6, 1\n"
                 "jne r6, 0, loop\n exit\n",
                 bodies[i]);
        struct subject s = subject_make(&vm_interp, text);
        bool ok = t_run_program(&vm_interp, s.program, &(struct t_input){0}, &want, &diag) &&
                  t_run_program(&jit_x86_64, s.program, &(struct t_input){0}, &got, &diag);
        cr_assert(ok, "%s", diag.text);
        cr_expect_null(t_difference(&want, &got), "program %zu: %s", i, t_difference(&want, &got));
        subject_drop(s);
    }
    t_thread_end();
}
