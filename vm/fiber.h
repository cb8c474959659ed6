/* SPDX-License-Identifier: Apache-2.0 */
/* Functions with a native stack of their own, one for each run, and going to and fro. One thread at
 * a time. */
#ifndef VM_FIBER_H
#define VM_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm/limits.h"

/* gcc tells by macros of its own, clang by features. */
#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN
#elif defined(__SANITIZE_THREAD__)
#define FIBER_TSAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN
#elif __has_feature(thread_sanitizer)
#define FIBER_TSAN
#endif
#endif

#ifdef FIBER_ASAN
/* instrumented frames are several times larger */
#define VM_FIBER_STACK_BYTES (8u * VM_FIBER_BYTES)
#else
#define VM_FIBER_STACK_BYTES VM_FIBER_BYTES
#endif

/* What a fiber does first. It need not keep the registers that the ABI has a callee keep. */
typedef uint64_t vm_fiber_main(void *argument, uintptr_t at);

struct vm_fiber {
    void **caller_sp; /* where the caller left; the stack begins below it */
    void *sp;         /* where the fiber left; NULL when it has not begun */
    vm_fiber_main *main;
    void *argument;
    uintptr_t at;
#if defined(FIBER_ASAN) || defined(FIBER_TSAN)
    void *sanitizer[4]; /* what they want to know */
#endif
};

/* On the VM_FIBER_STACK_BYTES below `stack_top`, a multiple of 16: the caller's, below which
 * nothing is mapped. fiber->main and fiber->at are the caller's to set: main(argument, at) is what
 * each first vm_fiber_enter calls. */
void vm_fiber_create(struct vm_fiber *fiber, void *stack_top, void *argument);
void vm_fiber_destroy(struct vm_fiber *fiber);
/* Makes the next vm_fiber_enter such a first one. Drops whatever the fiber was doing. */
static inline void vm_fiber_reset(struct vm_fiber *fiber)
{
    fiber->sp = NULL;
}

/* From the thread into the fiber; returns at its next vm_fiber_leave, anything, or when `main`
 * returns, what that did: then it must not be entered again before vm_fiber_reset. */
uint64_t vm_fiber_enter(struct vm_fiber *fiber);
/* A first vm_fiber_enter, in fewer steps. */
static inline uint64_t vm_fiber_begin(struct vm_fiber *fiber);
/* From the fiber back to vm_fiber_enter's caller; returns at the next vm_fiber_enter. With `last`
 * it does not return. */
void vm_fiber_leave(struct vm_fiber *fiber, bool last);

/* ---- of vm_fiber_begin ---- */

/* In fiber.S. */
uint64_t vm_fiber_start(void *argument, uintptr_t at, vm_fiber_main *main, void **caller_sp);

static inline uint64_t vm_fiber_begin(struct vm_fiber *fiber)
{
#if defined(FIBER_ASAN) || defined(FIBER_TSAN)
    return vm_fiber_enter(fiber);
#else
    return vm_fiber_start(fiber->argument, fiber->at, fiber->main, fiber->caller_sp);
#endif
}

#endif
