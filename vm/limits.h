/* SPDX-License-Identifier: Apache-2.0 */
/* Every limit of the engine, with unit and reason, and the map of guest memory.
 *
 *   guest address   what                                   access
 *   0x0000_0000     never mapped: NULL and small offsets   fault
 *   0x0001_0000     program image: constants, then data    r--, then rw- on the next page boundary
 *   0x0201_0000     stack, grows down from VM_STACK_TOP     rw-, at least 64 KiB unmapped on both
 * sides 0x0400_0000     heap: call data and request-lifetime    rw-, grows up to its limit
 *   0x4000_0000     map values                              rw-
 *   0xC000_0000     function addresses; never memory        fault
 *   0xFFFF_0000     never mapped                            fault
 *
 * On the host the window is 4 GiB aligned, with VM_GUARD_BYTES unmapped on both sides. An access
 * reaches `base + zero_extend(register) + offset` where offset is 16 bits signed, so it can pass
 * the window's ends by 32 KiB plus its own width; the guards are wider. The run's struct vm_context
 * lies below the lower guard, its native stack below that.
 */
#ifndef VM_LIMITS_H
#define VM_LIMITS_H

#define VM_WINDOW_BYTES (1ull << 32)
#define VM_GUARD_BYTES  (1u << 16)
#define VM_ACCESS_REACH_BYTES                                                                      \
    ((1u << 15) + 8) /* 16-bit signed displacement, then the widest access */
#define VM_PAGE_BYTES 4096u

/* Constants and data together: a script's tables, not a database. */
#define VM_IMAGE_BASE      0x00010000u
#define VM_IMAGE_BYTES_MAX (16u << 20)

/* Per run: 32 frames of 2 KiB, or a few of what -bpf-stack-size allows. */
#define VM_STACK_BYTES  (64u << 10)
#define VM_STACK_TOP    0x02020000u
#define VM_STACK_BOTTOM (VM_STACK_TOP - VM_STACK_BYTES)

#define VM_HEAP_BASE          0x04000000u
#define VM_HEAP_BYTES_MAX     (512u << 20) /* hard ceiling; the default is the next */
#define VM_HEAP_BYTES_DEFAULT (256u << 10)

#define VM_MAP_BASE  0x40000000u
#define VM_CODE_BASE 0xC0000000u /* the function at instruction n is at VM_CODE_BASE + 8 n */

#define VM_INSN_COUNT_MAX     (1u << 20)
#define VM_FUNCTION_COUNT_MAX (1u << 16)
#define VM_FILE_COUNT_MAX     256u /* source files that line information names */
#define VM_HELPER_COUNT_MAX   1024u
#define VM_CALL_DEPTH_MAX     32u /* local calls below the entry, recursion included */

/* Frames, bytes. A function that passes r10 on gets what every compiler keeps to, at least;
 * constants beyond what -bpf-stack-size is set to are added to a copy of r10 by chance; accesses
 * through r10 itself reach as far as a 16-bit offset. */
#define VM_FRAME_ALIGN         16u
#define VM_FRAME_ESCAPED_BYTES 512u
#define VM_FRAME_LOCALS_BYTES  (8u << 10)
#define VM_FRAME_BYTES_MAX     (32u << 10)

#define VM_FIBER_BYTES        (64u << 10) /* native stack of a run; helpers run on it */
#define VM_SIGNAL_STACK_BYTES (64u << 10) /* AT_MINSIGSTKSZ is about 12 KiB with AVX-512 state */
#define VM_TICK_MS_DEFAULT    2u          /* a run is switched out after one to two ticks */
#define VM_FINE_TICKS_MS      1000u       /* that ticks are fine after a run was switched out */
#define VM_BUDGET_MS_DEFAULT  100u        /* processor time of one run */
#define VM_RUN_COUNT_DEFAULT  64u         /* live runs a thread before vm_run_start says no */

_Static_assert(VM_GUARD_BYTES > VM_ACCESS_REACH_BYTES, "an access must not jump over a guard");
_Static_assert(VM_IMAGE_BASE >= VM_ACCESS_REACH_BYTES, "NULL plus any offset must fault");
_Static_assert(VM_IMAGE_BASE + VM_IMAGE_BYTES_MAX + VM_ACCESS_REACH_BYTES < VM_STACK_BOTTOM,
               "an offset from a stack pointer must not reach the image");
_Static_assert(VM_STACK_TOP + VM_ACCESS_REACH_BYTES < VM_HEAP_BASE, "nor the heap");
_Static_assert(VM_HEAP_BASE + VM_HEAP_BYTES_MAX <= VM_MAP_BASE, "the heap ends before the maps");
_Static_assert(VM_IMAGE_BASE + VM_IMAGE_BYTES_MAX + (VM_CALL_DEPTH_MAX + 2) * VM_FRAME_BYTES_MAX <
                   VM_STACK_TOP,
               "frames below the stack fault, they do not reach the image");
_Static_assert(VM_CODE_BASE + 8ull * VM_INSN_COUNT_MAX < 0xFFFF0000ull,
               "function addresses fit their range");

#endif
