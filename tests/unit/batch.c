/* SPDX-License-Identifier: Apache-2.0 */
/* vm_run_batch: each call is as a run of its own, whatever the one before it did; a fault ends the
 * batch and is told; what does not fit is not run. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/subject.h"
#include "vm/limits.h"

enum { CALLS = 50 };

static uint32_t batch(struct subject s, struct vm_call *calls, uint32_t count, struct vm_fault *f)
{
    return vm_run_batch(t_thread(), s.image, NULL, calls, count, f);
}

static void calls_have_their_own_arguments(const struct vm_engine *engine)
{
    struct subject s = subject_make(engine, "mov r0, r1\n add r0, r5\n exit\n");
    struct vm_call calls[CALLS];
    for (unsigned i = 0; i < CALLS; i++)
        calls[i] = (struct vm_call){.args = {i, [4] = 1000}};
    cr_assert_eq(batch(s, calls, CALLS, NULL), CALLS);
    for (unsigned i = 0; i < CALLS; i++) {
        cr_expect_eq(calls[i].state, VM_STATE_DONE);
        cr_expect_eq(calls[i].result, i + 1000);
    }
    cr_expect_eq(batch(s, calls, 0, NULL), 0);
    subject_drop(s);
}
BOTH_ENGINES(batch, calls_have_their_own_arguments)

/* Each leaves its mark on stack, heap and, past its memory, on the rest of the page. */
static void calls_start_pristine(const struct vm_engine *engine)
{
    struct subject s = subject_make(
        engine, "ldxdw r0, [r10-8]\n ldxdw r3, [r10-4000]\n or r0, r3\n ldxdw r3, [r1+2048]\n"
                "or r0, r3\n stdw [r10-8], -1\n stdw [r10-4000], -1\n stdw [r1+2048], -1\n"
                "ldxb r3, [r1+0]\n add r3, 1\n stxb [r1+0], r3\n or r0, r6\n exit\n");
    struct vm_call calls[CALLS];
    uint8_t before[CALLS][32] = {0}, after[CALLS][32] = {0};
    for (uint8_t i = 0; i < CALLS; i++) {
        before[i][0] = i;
        calls[i] = (struct vm_call){.memory = before[i],
                                    .memory_bytes = 1 + i % 32,
                                    .memory_after = i == 7 ? NULL : after[i]};
    }
    cr_assert_eq(batch(s, calls, CALLS, NULL), CALLS);
    for (unsigned i = 0; i < CALLS; i++) {
        cr_expect_eq(calls[i].result, 0, "call %u", i);
        cr_expect_eq(calls[i].args[0], VM_HEAP_BASE);
        cr_expect_eq(after[i][0], i == 7 ? 0 : i + 1);
        cr_expect_eq(before[i][0], i);
    }
    subject_drop(s);
}
BOTH_ENGINES(batch, calls_start_pristine)

static void a_fault_ends_the_batch(const struct vm_engine *engine)
{
    struct subject s =
        subject_make(engine, "jne r1, 3, good\n ldxdw r0, [r1+5]\n good:\n mov r0, 9\n"
                             "exit\n");
    struct vm_call calls[6];
    struct vm_fault fault = {0};
    for (unsigned i = 0; i < 6; i++)
        calls[i] = (struct vm_call){.args = {i}, .result = 77};
    cr_assert_eq(batch(s, calls, 6, &fault), 4);
    cr_expect_eq(calls[2].state, VM_STATE_DONE);
    cr_expect_eq(calls[3].state, VM_STATE_FAULT);
    cr_expect_eq(calls[3].result, 0);
    cr_expect_eq(calls[4].result, 77, "not made");
    cr_expect_eq(fault.kind, VM_FAULT_READ);
    cr_expect_eq(fault.address, 8);
    cr_expect_eq(batch(s, calls + 4, 2, &fault), 2, "the rest is another batch");
    cr_expect_eq(calls[5].result, 9);
    subject_drop(s);
}
BOTH_ENGINES(batch, a_fault_ends_the_batch)

static void budgets_are_of_one_call(const struct vm_engine *engine)
{
    struct subject s = subject_make(engine, "jeq r1, 1, out\n loop:\n ja loop\n out:\n exit\n");
    struct vm_call calls[2] = {{.args = {1}}, {.args = {2}}};
    struct vm_fault fault = {0};
    t_thread_with(&(struct vm_thread_config){.tick_ms = 1, .budget_ms = 5});
    cr_assert_eq(batch(s, calls, 2, &fault), 2);
    cr_expect_eq(calls[1].state, VM_STATE_FAULT);
    cr_expect_eq(fault.kind, VM_FAULT_BUDGET);
    subject_drop(s);
}
BOTH_ENGINES(batch, budgets_are_of_one_call)

static void helpers_cannot_wait(const struct vm_engine *engine)
{
    struct subject s = subject_make(engine, "call wait_once\n exit\n");
    struct vm_call calls[2] = {{.args = {1}}, {.args = {2}}};
    struct vm_fault fault = {0};
    char text[200];
    cr_assert_eq(batch(s, calls, 2, &fault), 1);
    cr_expect_eq(fault.kind, VM_FAULT_HELPER);
    vm_fault_format(&fault, text, sizeof text);
    cr_expect(strstr(text, "wait_once") && strstr(text, "cannot wait in a batch"), "%s", text);
    subject_drop(s);
}
BOTH_ENGINES(batch, helpers_cannot_wait)

static void what_does_not_fit_is_not_made(const struct vm_engine *engine)
{
    static const uint8_t memory[8192];
    struct subject s = subject_make(engine, "mov r0, 1\n exit\n");
    struct vm_call calls[2] = {{.memory = memory, .memory_bytes = 4096},
                               {.memory = memory, .memory_bytes = 4097}};
    t_thread_with(&(struct vm_thread_config){.heap_bytes_max = 4096, .run_count_max = 1});
    cr_expect_eq(batch(s, calls, 2, NULL), 1);
    cr_expect_eq(calls[0].state, VM_STATE_DONE);
    struct vm_run *only = vm_run_start(t_thread(), s.image, NULL, NULL);
    cr_assert(only);
    cr_expect_eq(batch(s, calls, 1, NULL), 0, "no run is left");
    vm_run_free(only);
    subject_drop(s);
}
BOTH_ENGINES(batch, what_does_not_fit_is_not_made)
