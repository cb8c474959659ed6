/* SPDX-License-Identifier: Apache-2.0 */
/* Where the segment register gs begins, by the instructions that do without a system call
 * (FSGSBASE). Compiled code may reach guest memory through gs: it then begins at the arena while
 * the run has the thread, its helpers included, and where the thread had it before and after. The
 * kernel keeps it with the thread; the C library does not use it. */
#ifndef VM_SEGMENT_H
#define VM_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/auxv.h>

#define VM_SEGMENT_HWCAP2 2 /* HWCAP2_FSGSBASE: the processor has them, the kernel allows them */

static inline bool vm_segment_can_be_set(void)
{
    return (getauxval(AT_HWCAP2) & VM_SEGMENT_HWCAP2) != 0;
}

static inline uintptr_t vm_segment_get(void)
{
    uintptr_t base;
    __asm__ volatile("rdgsbase %0" : "=r"(base));
    return base;
}

static inline void vm_segment_set(uintptr_t base)
{
    __asm__ volatile("wrgsbase %0" : : "r"(base) : "memory");
}

#endif
