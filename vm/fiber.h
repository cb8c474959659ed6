/* SPDX-License-Identifier: Apache-2.0 */
/* A native stack of its own for each run, and going to and fro. One thread at a time. */
#ifndef VM_FIBER_H
#define VM_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void vm_fiber_main(void);

struct vm_fiber {
    uint8_t *mapping; /* guard page, then the stack */
    void *sp;         /* of the side that is not running */
    void *caller_sp;
    vm_fiber_main *main;
    void *
        sanitizer[4]; /* what AddressSanitizer and ThreadSanitizer want to know; unused otherwise */
};

bool vm_fiber_create(struct vm_fiber *fiber);
void vm_fiber_destroy(struct vm_fiber *fiber);
/* Makes the next vm_fiber_enter call `main`, which must not return. Drops whatever the fiber was
 * doing. */
void vm_fiber_reset(struct vm_fiber *fiber, vm_fiber_main *main);
/* From the thread into the fiber; returns at its next vm_fiber_leave. */
void vm_fiber_enter(struct vm_fiber *fiber);
/* From the fiber back to vm_fiber_enter's caller; returns at the next vm_fiber_enter. With `last`
 * it does not return. */
void vm_fiber_leave(struct vm_fiber *fiber, bool last);

#endif
