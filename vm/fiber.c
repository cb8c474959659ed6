/* SPDX-License-Identifier: Apache-2.0 */
/* Native stacks. The switches are in fiber.S; here are the mapping, the first function, and what
 * the sanitizers must be told. */
#include <string.h>
#include <sys/mman.h>

#include "vm/fiber.h"
#include "vm/limits.h"

#ifdef FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
/* instrumented frames are several times larger */
#define STACK_BYTES (8 * (size_t)VM_FIBER_BYTES)
#else
#define STACK_BYTES ((size_t)VM_FIBER_BYTES)
#endif
#ifdef FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#define GUARD_BYTES ((size_t)VM_PAGE_BYTES)

uint64_t vm_fiber_switch(void **save_sp, void *to_sp);
uint64_t vm_fiber_start(void *argument, uintptr_t at, vm_fiber_main *main, void **caller_sp);
uint64_t vm_fiber_call(void *argument, uintptr_t at, vm_fiber_main *main);

/* The highest multiple of 16 in the mapping; the stack begins below. */
static inline void **caller_sp_of(const struct vm_fiber *fiber)
{
    return (void **)(void *)(fiber->mapping + GUARD_BYTES + STACK_BYTES - 16);
}

enum { FAKE_STACK_THREAD, FAKE_STACK_FIBER, TSAN_THREAD, TSAN_FIBER };

/* ---- what the sanitizers must be told ---- */

/* ThreadSanitizer counts calls and returns of each fiber, so what switches between them must not be
 * a call that it sees. */
#define NO_CALL __attribute__((always_inline, no_sanitize("thread"))) static inline

NO_CALL void before_enter(struct vm_fiber *fiber)
{
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(&fiber->sanitizer[FAKE_STACK_THREAD],
                                   fiber->mapping + GUARD_BYTES, STACK_BYTES);
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
    __asan_unpoison_memory_region(fiber->mapping + GUARD_BYTES, STACK_BYTES);
#else
    (void)fiber;
#endif
}

/* ---- fibers ---- */

bool vm_fiber_create(struct vm_fiber *fiber, void *argument)
{
    *fiber = (struct vm_fiber){.argument = argument};
    fiber->mapping = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fiber->mapping == MAP_FAILED) {
        fiber->mapping = NULL;
        return false;
    }
    if (mprotect(fiber->mapping, GUARD_BYTES, PROT_NONE) != 0) {
        vm_fiber_destroy(fiber);
        return false;
    }
#ifdef FIBER_TSAN
    fiber->sanitizer[TSAN_FIBER] = __tsan_create_fiber(0);
#endif
    return true;
}

void vm_fiber_destroy(struct vm_fiber *fiber)
{
    if (fiber->mapping == NULL) {
        return;
    }
#ifdef FIBER_TSAN
    if (fiber->sanitizer[TSAN_FIBER] != NULL) {
        __tsan_destroy_fiber(fiber->sanitizer[TSAN_FIBER]);
    }
#endif
    munmap(fiber->mapping, GUARD_BYTES + STACK_BYTES);
    fiber->mapping = NULL;
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
    return vm_fiber_start(fiber, fiber->at, told_main, caller_sp_of(fiber));
}
#else
NO_CALL uint64_t start(struct vm_fiber *fiber)
{
    return vm_fiber_start(fiber->argument, fiber->at, fiber->main, caller_sp_of(fiber));
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
        result = vm_fiber_switch(caller_sp_of(fiber), fiber->sp);
    }
    after_enter(fiber);
    return result;
}

void vm_fiber_leave(struct vm_fiber *fiber, bool last)
{
    before_leave(fiber, last);
    vm_fiber_switch(&fiber->sp, *caller_sp_of(fiber));
    after_switch(fiber, true);
}
