/* SPDX-License-Identifier: Apache-2.0 */
/* vm_run_at_once: a run that is over has left nothing, whatever it wrote; one that is not is live,
 * and goes on, ends or is dropped like any other. */
#include <criterion/criterion.h>

#include "tests/support/subject.h"
#include "vm/limits.h"

enum { LONG_TICK_MS = 10000 }; /* no run has one, however slow the machine */

static struct vm_outcome go(struct subject s)
{
    return vm_run_at_once(t_thread(), s.image, NULL, NULL);
}

static void a_run_that_is_over_leaves_nothing(const struct vm_engine *engine)
{
    t_thread_with(&(struct vm_thread_config){.tick_ms = LONG_TICK_MS, .run_count_max = 1});
    struct subject s = subject_make(engine, "ldxdw r0, [r10-8]\n or r0, r1\n stdw [r10-8], 77\n"
                                            "add r0, 5\n exit\n");
    for (int i = 0; i < 3; i++) {
        struct vm_outcome over = go(s);
        cr_assert_eq(over.state, VM_STATE_DONE);
        cr_expect_eq(over.result, 5, "run %d sees what another left: %lu", i, over.result);
    }
    subject_drop(s);
}
BOTH_ENGINES(at_once, a_run_that_is_over_leaves_nothing)

static void a_run_that_waits_is_live(const struct vm_engine *engine)
{
    t_thread_with(&(struct vm_thread_config){.tick_ms = LONG_TICK_MS, .run_count_max = 1});
    struct subject s = subject_make(engine, "call wait_once\n mov r0, 9\n exit\n");
    struct vm_outcome one = go(s);
    cr_assert_eq(one.state, VM_STATE_WAITING);
    cr_assert(one.run);
    struct vm_outcome other = go(s);
    cr_expect_eq(other.state, VM_STATE_FAULT);
    cr_expect_null(other.run, "one is all there may be");
    cr_expect_eq(vm_run_resume(one.run), VM_STATE_DONE);
    cr_expect_eq(vm_run_result(one.run), 9);
    vm_run_free(one.run);
    one = go(s);
    cr_assert_eq(one.state, VM_STATE_WAITING);
    vm_run_free(one.run);
    subject_drop(s);
}
BOTH_ENGINES(at_once, a_run_that_waits_is_live)

/* The run of the program that called is in the pool, and yet nobody's. */
static uint64_t run_others(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct vm_image *image = vm_context_host(context);
    struct vm_run *self = vm_context_run(context);
    struct vm_run *first = vm_run_start(t_thread(), image, NULL, NULL);
    struct vm_run *second = vm_run_start(t_thread(), image, NULL, NULL);

    cr_expect(first != NULL && first != self);
    cr_expect_null(second, "two of two are live");
    vm_run_free(first);
    vm_thread_forget(t_thread(), image);
    if (arg[0].value != 0) {
        vm_helper_wait(context);
    }
    return 4;
}

static void a_run_under_way_is_not_taken(const struct vm_engine *engine)
{
    static const struct vm_helper helper = {"run_others", run_others, {VM_ARG_SCALAR}, 1};
    static const struct vm_helper *const helpers[] = {&helper};
    const char *texts[] = {"mov r1, 0\n call run_others\n stdw [r10-8], 1\n exit\n",
                           "mov r1, 1\n call run_others\n stdw [r10-8], 1\n exit\n"};
    t_thread_with(&(struct vm_thread_config){.tick_ms = LONG_TICK_MS, .run_count_max = 2});
    for (int waits = 0; waits < 2; waits++) {
        struct subject s = subject_with(engine, texts[waits], helpers, 1);
        for (int i = 0; i < 3; i++) {
            struct vm_outcome one = vm_run_at_once(t_thread(), s.image, NULL, s.image);
            uint64_t result = one.result;
            cr_assert_eq(one.state, waits ? VM_STATE_WAITING : VM_STATE_DONE);
            if (waits) {
                cr_expect_eq(vm_run_resume(one.run), VM_STATE_DONE);
                result = vm_run_result(one.run);
                vm_run_free(one.run);
            }
            cr_expect_eq(result, 4);
        }
        subject_drop(s);
    }
}
BOTH_ENGINES(at_once, a_run_under_way_is_not_taken)

static void a_fault_is_told_by_its_run(const struct vm_engine *engine)
{
    t_thread_with(&(struct vm_thread_config){.tick_ms = LONG_TICK_MS});
    struct subject s =
        subject_make(engine, "stdw [r10-8], 1\n mov r1, 8\n ldxb r0, [r1+0]\n exit\n");
    struct vm_outcome one = go(s);
    cr_assert_eq(one.state, VM_STATE_FAULT);
    cr_assert(one.run);
    cr_expect_eq(vm_run_fault(one.run)->kind, VM_FAULT_READ);
    cr_expect_eq(vm_run_fault(one.run)->address, 8);
    vm_run_free(one.run);
    subject_drop(s);
}
BOTH_ENGINES(at_once, a_fault_is_told_by_its_run)

static void a_long_run_is_switched_out(const struct vm_engine *engine)
{
    t_thread_with(&(struct vm_thread_config){.tick_ms = 1, .budget_ms = 20});
    struct subject s = subject_make(engine, "mov r0, 0\nloop:\n add r0, 1\n ja loop\n");
    struct vm_outcome one = go(s);
    cr_assert_eq(one.state, VM_STATE_PREEMPTED);
    cr_assert(one.run);
    for (int i = 0; i < 10000 && one.state == VM_STATE_PREEMPTED; i++)
        one.state = vm_run_resume(one.run);
    cr_assert_eq(one.state, VM_STATE_FAULT);
    cr_expect_eq(vm_run_fault(one.run)->kind, VM_FAULT_BUDGET);
    vm_run_free(one.run);
    subject_drop(s);
}
BOTH_ENGINES(at_once, a_long_run_is_switched_out)
