/* SPDX-License-Identifier: Apache-2.0 */
/* Native stacks. The switches are in fiber.S; here are the first function, and what the sanitizers
 * must be told. */
#include "vm/fiber.h"

#ifdef FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* The highest multiple of 16 in the stack. */
#define CALLER_SP_BELOW_TOP 16

uint64_t vm_fiber_switch(void **save_sp, void *to_sp);
uint64_t vm_fiber_call(void *argument, uintptr_t at, vm_fiber_main *main);

enum { FAKE_STACK_THREAD, FAKE_STACK_FIBER, TSAN_THREAD, TSAN_FIBER };

/* ---- what the sanitizers must be told ---- */

/* ThreadSanitizer counts calls and returns of each fiber, so what switches between them must not be
 * a call that it sees. */
#define NO_CALL __attribute__((always_inline, no_sanitize("thread"))) static inline

#ifdef FIBER_ASAN
NO_CALL uint8_t *stack_of(const struct vm_fiber *fiber)
{
    return (uint8_t *)(void *)fiber->caller_sp + CALLER_SP_BELOW_TOP - VM_FIBER_STACK_BYTES;
}
#endif

NO_CALL void before_enter(struct vm_fiber *fiber)
{
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(&fiber->sanitizer[FAKE_STACK_THREAD], stack_of(fiber),
                                   VM_FIBER_STACK_BYTES);
#elif defined(FIBER_TSAN)
    fiber->sanitizer[TSAN_THREAD] = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber->sanitizer[TSAN_FIBER], 0);
#else
    (void)fiber;
#endif
}

NO_CALL void after_enter(struct vm_fiber *fiber)
{
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(fiber->sanitizer[FAKE_STACK_THREAD], NULL, NULL);
#else
    (void)fiber;
#endif
}

#ifdef FIBER_ASAN
static _Thread_local const void *thread_stack;
static _Thread_local size_t thread_stack_bytes;
#endif

NO_CALL void before_leave(struct vm_fiber *fiber, bool last)
{
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(last ? NULL : &fiber->sanitizer[FAKE_STACK_FIBER], thread_stack,
                                   thread_stack_bytes);
#elif defined(FIBER_TSAN)
    (void)last;
    __tsan_switch_to_fiber(fiber->sanitizer[TSAN_THREAD], 0);
#else
    (void)fiber;
    (void)last;
#endif
}

/* On the fiber. `again`: it has been there before. */
NO_CALL void after_switch(struct vm_fiber *fiber, bool again)
{
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(again ? fiber->sanitizer[FAKE_STACK_FIBER] : NULL,
                                    &thread_stack, &thread_stack_bytes);
#else
    (void)fiber;
    (void)again;
#endif
}

/* What it did before was dropped, and did not return. */
NO_CALL void forget_frames(const struct vm_fiber *fiber)
{
#ifdef FIBER_ASAN
    __asan_unpoison_memory_region(stack_of(fiber), VM_FIBER_STACK_BYTES);
#else
    (void)fiber;
#endif
}

/* ---- fibers ---- */

void vm_fiber_create(struct vm_fiber *fiber, void *stack_top, void *argument)
{
    *fiber = (struct vm_fiber){.argument = argument};
    fiber->caller_sp = (void **)(void *)((uint8_t *)stack_top - CALLER_SP_BELOW_TOP);
#ifdef FIBER_TSAN
    fiber->sanitizer[TSAN_FIBER] = __tsan_create_fiber(0);
#endif
}

void vm_fiber_destroy(struct vm_fiber *fiber)
{
#ifdef FIBER_TSAN
    if (fiber->sanitizer[TSAN_FIBER] != NULL) {
        __tsan_destroy_fiber(fiber->sanitizer[TSAN_FIBER]);
    }
#else
    (void)fiber;
#endif
}

#if defined(FIBER_ASAN) || defined(FIBER_TSAN)
/* First function on a fresh fiber. It begins on the fiber and returns, for ThreadSanitizer, on the
 * thread: it must not be seen. */
__attribute__((no_sanitize("thread"))) static uint64_t told_main(void *fiber_, uintptr_t at)
{
    struct vm_fiber *fiber = fiber_;
    uint64_t result;

    after_switch(fiber, false);
    result = vm_fiber_call(fiber->argument, at, fiber->main);
    before_leave(fiber, true);
    return result;
}

NO_CALL uint64_t start(struct vm_fiber *fiber)
{
    return vm_fiber_start(fiber, fiber->at, told_main, fiber->caller_sp);
}
#else
NO_CALL uint64_t start(struct vm_fiber *fiber)
{
    return vm_fiber_begin(fiber);
}
#endif

uint64_t vm_fiber_enter(struct vm_fiber *fiber)
{
    uint64_t result;

    before_enter(fiber);
    if (fiber->sp == NULL) {
        forget_frames(fiber);
        result = start(fiber);
    } else {
        result = vm_fiber_switch(fiber->caller_sp, fiber->sp);
    }
    after_enter(fiber);
    return result;
}

void vm_fiber_leave(struct vm_fiber *fiber, bool last)
{
    before_leave(fiber, last);
    vm_fiber_switch(&fiber->sp, *fiber->caller_sp);
    after_switch(fiber, true);
}
