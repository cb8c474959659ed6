/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and runs from the inside: what run.c, trap.c and helper.c share. */
#ifndef VM_RUN_H
#define VM_RUN_H

#include <signal.h>
#include <time.h>

#include "vm/arena.h"
#include "vm/fiber.h"

#define VM_POOL_LISTS 64u

/* Lies beside the context. What each run needs comes first, two lines of the cache. */
struct vm_run {
    const struct vm_image *image;
    const struct vm_entry *entry; /* where it may begin anew as it is, once it is over; NULL: it is
                                     to be prepared, see vm_run_begin */
    uint64_t result;
    uint32_t entry_insn;
    enum vm_state state;
    bool uses_gs; /* as the image */
    bool resumed; /* was switched out by a tick at least once */
    struct vm_fiber fiber;
    struct vm_arena arena;
    struct vm_thread *thread;
    struct vm_run *next; /* in the pool */
    uint64_t budget_left_ns;
    uint64_t
        slice_start_ns; /* processor time of the thread when this slice began; 0: not measured */
    struct vm_fault fault;
};

/* What the signal handlers read is volatile: they interrupt this same thread. */
struct vm_thread {
    struct vm_run *volatile running;
    uint32_t resume_count;
    volatile uint32_t stamp_mask; /* resumptions whose count has one of these bits set no stamp */
    volatile uint64_t stamp_ns;   /* when what is under way was resumed, or some few before it */
    volatile sig_atomic_t armed;  /* the timer runs, and will look at whatever is under way */
    uint32_t live_count;
    uint32_t run_count_max;
    volatile uint64_t slice_ns;      /* a run that has had so much is switched out by a tick */
    volatile uint64_t due_ns;        /* when the timer goes off, if armed */
    volatile uint64_t fine_until_ns; /* of the monotonic clock, as stamps are; 0: never */
    timer_t timer;
    bool has_timer;
    uint8_t *signal_stack;
    stack_t signal_stack_before;
    uint64_t tick_ns;
    uint64_t fine_tick_ns;
    uint64_t budget_ns;
    uint32_t heap_bytes_max;
    struct vm_run *pool[VM_POOL_LISTS]; /* runs that ended, see vm_pool_of */
};

/* The list that pooled runs of this image are in. Images lie further apart than 64 bytes. */
static inline struct vm_run **vm_pool_of(struct vm_thread *thread, const struct vm_image *image)
{
    return &thread->pool[(uintptr_t)image / 64 % VM_POOL_LISTS];
}

/* ---- trap.c ---- */

extern _Thread_local struct vm_thread *vm_trap_self __attribute__((tls_model("initial-exec")));
/* The thread that runs this code, or NULL before vm_trap_attach. */
static inline struct vm_thread *vm_thread_self(void)
{
    return vm_trap_self;
}

/* Installs the process-wide handlers if need be, gives this thread its signal stack and timer. */
enum vm_error vm_trap_attach(struct vm_thread *thread, struct vm_diag *diag) VM_MUST_USE;
void vm_trap_detach(struct vm_thread *thread);
/* A run is being resumed: how long it is under way is told from now on. Puts ticks off. */
void vm_trap_stamp(struct vm_thread *thread);
/* Sets the timer for a run that is being resumed, anew if it runs already: one that is long has one
 * tick, no more. */
void vm_trap_arm(struct vm_thread *thread);
/* A run was switched out: ticks are fine from now on, for some time. */
void vm_trap_refine(struct vm_thread *thread);

/* ---- run.c ---- */

/* Makes it a run of `image`, which its memory has to fit. */
void vm_run_set_image(struct vm_run *run, const struct vm_image *image);
/* Makes a run whose memory is pristine ready to start, or to start again when it has ended. */
void vm_run_begin(struct vm_run *run, const struct vm_entry *entry, void *host);
/* Leaves the run for good, with run->fault filled by the caller. On the run's stack. */
void vm_run_leave_faulted(struct vm_run *run) __attribute__((noreturn));
/* Fills run->fault. Async-signal-safe. */
void vm_run_set_fault(struct vm_run *run, enum vm_fault_kind kind, uint32_t address, uint32_t insn);
/* Compiled code has left its registers in context->kept, for instruction context->insn. */
void vm_run_trust_kept(struct vm_run *run);
/* Suspends the run in state `state` until it is resumed. On the run's stack. */
void vm_run_suspend(struct vm_run *run, enum vm_state state);

#endif
