/* SPDX-License-Identifier: Apache-2.0 */
/* Native stacks. The switch itself is in fiber.S; here are the mapping, the first frame, and what
 * the sanitizers must be told. */
#include <string.h>
#include <sys/mman.h>

#include "vm/fiber.h"
#include "vm/limits.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define STACK_BYTES (8 * (size_t)VM_FIBER_BYTES) /* instrumented frames are several times larger   \
                                                  */
#else
#define STACK_BYTES ((size_t)VM_FIBER_BYTES)
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#define GUARD_BYTES ((size_t)VM_PAGE_BYTES)

void vm_fiber_switch(void **save_sp, void *to_sp);

enum { FAKE_STACK_THREAD, FAKE_STACK_FIBER, TSAN_THREAD, TSAN_FIBER };

/* ---- what the sanitizers must be told ---- */

static void before_enter(struct vm_fiber *fiber)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&fiber->sanitizer[FAKE_STACK_THREAD],
                                   fiber->mapping + GUARD_BYTES, STACK_BYTES);
#elif defined(__SANITIZE_THREAD__)
    fiber->sanitizer[TSAN_THREAD] = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber->sanitizer[TSAN_FIBER], 0);
#else
    (void)fiber;
#endif
}

static void after_enter(struct vm_fiber *fiber)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fiber->sanitizer[FAKE_STACK_THREAD], NULL, NULL);
#else
    (void)fiber;
#endif
}

#ifdef __SANITIZE_ADDRESS__
static _Thread_local const void *thread_stack;
static _Thread_local size_t thread_stack_bytes;
#endif

static void before_leave(struct vm_fiber *fiber, bool last)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(last ? NULL : &fiber->sanitizer[FAKE_STACK_FIBER], thread_stack,
                                   thread_stack_bytes);
#elif defined(__SANITIZE_THREAD__)
    (void)last;
    __tsan_switch_to_fiber(fiber->sanitizer[TSAN_THREAD], 0);
#else
    (void)fiber;
    (void)last;
#endif
}

static void on_fiber(void *fake_stack)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack, &thread_stack, &thread_stack_bytes);
#else
    (void)fake_stack;
#endif
}

/* ---- fibers ---- */

bool vm_fiber_create(struct vm_fiber *fiber)
{
    *fiber = (struct vm_fiber){0};
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
#ifdef __SANITIZE_THREAD__
    fiber->sanitizer[TSAN_FIBER] = __tsan_create_fiber(0);
#endif
    return true;
}

void vm_fiber_destroy(struct vm_fiber *fiber)
{
    if (fiber->mapping == NULL) {
        return;
    }
#ifdef __SANITIZE_THREAD__
    if (fiber->sanitizer[TSAN_FIBER] != NULL) {
        __tsan_destroy_fiber(fiber->sanitizer[TSAN_FIBER]);
    }
#endif
    munmap(fiber->mapping, GUARD_BYTES + STACK_BYTES);
    fiber->mapping = NULL;
}

static _Thread_local struct vm_fiber *entered;

/* First function on a fresh fiber. */
static void first_frame(void)
{
    on_fiber(NULL);
    entered->main();
    __builtin_trap(); /* main must not return */
}

void vm_fiber_reset(struct vm_fiber *fiber, vm_fiber_main *main)
{
    uint8_t *top = fiber->mapping + GUARD_BYTES + STACK_BYTES;
    void **frame = (void **)(void *)top;

#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(fiber->mapping + GUARD_BYTES, STACK_BYTES);
#endif
    /* What vm_fiber_switch pops: six registers and a return address, with rsp = 8 modulo 16 in
     * first_frame as after a call. */
    *--frame = NULL;
    *--frame = (void *)first_frame;
    for (int i = 0; i < 6; i++) {
        *--frame = NULL;
    }
    fiber->sp = frame;
    fiber->main = main;
}

void vm_fiber_enter(struct vm_fiber *fiber)
{
    entered = fiber;
    before_enter(fiber);
    vm_fiber_switch(&fiber->caller_sp, fiber->sp);
    after_enter(fiber);
}

void vm_fiber_leave(struct vm_fiber *fiber, bool last)
{
    before_leave(fiber, last);
    vm_fiber_switch(&fiber->sp, fiber->caller_sp);
    on_fiber(fiber->sanitizer[FAKE_STACK_FIBER]);
}
