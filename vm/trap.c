/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: guest faults become values, ticks take the processor away. The only file that calls
 * sigaction and timer_*.
 *
 * Async-signal-safe, and called from handlers: on_fault, on_tick, redirect_*, vm_run_set_fault,
 * what engine.h says of an engine. They look at the interrupted program counter, write to this
 * thread's own structures and redirect; they take no lock and allocate nothing. Both signals mask
 * each other.
 *
 * A SIGSEGV is the guest's only if it comes from the code range of the run that is active on this
 * thread and its address lies in that run's window or guards. Any other is a bug of the host and
 * goes to whoever handled it before: the process must not go on.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "vm/run.h"

#define PAGE_FAULT_WRITE 0x2 /* bit of the x86 page-fault error code */
#define NS_PER_S         1000000000ull
#define NS_PER_MS        1000000ull

/* A stamp that comes soon after the one before makes half as many resumptions set one, down to one
 * in so many; one that comes late makes it twice as many again. That costs less than to read the
 * clock each time, and tells well enough how long one has lasted. */
enum {
    STAMP_SOON_NS = 100000,
    STAMP_LATE_NS = 200000,
    STAMP_EVERY_MAX = 64, /* a power of two */
};

_Thread_local struct vm_thread *vm_trap_self;
static struct sigaction previous_segv;
static struct sigaction previous_bus;
static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;
static bool installed;

void vm_preempt_landing(void); /* fiber.S */
void vm_preempted(void);

/* ---- faults ---- */

/* Continues in vm_run_leave_faulted, on the stack that was interrupted. */
static void redirect_to_fault(struct vm_run *run, ucontext_t *context)
{
    greg_t *reg = context->uc_mcontext.gregs;

    reg[REG_RSP] = (reg[REG_RSP] & ~(greg_t)15) - 8; /* as after a call */
    reg[REG_RDI] = (greg_t)run;
    reg[REG_RIP] = (greg_t)vm_run_leave_faulted;
}

static enum vm_fault_kind kind_of(const struct vm_run *run, uint32_t address, bool write)
{
    uint32_t stack_start = run->arena.regions[VM_REGION_STACK].start;

    if (address >= VM_STACK_BOTTOM - VM_GUARD_BYTES && address < stack_start) {
        return VM_FAULT_STACK;
    }
    return write ? VM_FAULT_WRITE : VM_FAULT_READ;
}

static bool is_in(const struct vm_text *text, uintptr_t pc)
{
    return pc >= text->start && pc < text->end;
}

static bool is_guest_fault(const struct vm_thread *t, uintptr_t pc, uintptr_t address)
{
    uintptr_t base;

    if (t == NULL || t->running == NULL || !is_in(&t->running->image->guest, pc)) {
        return false;
    }
    base = (uintptr_t)t->running->arena.base;
    return address >= base - VM_GUARD_BYTES && address < base + VM_WINDOW_BYTES + VM_GUARD_BYTES;
}

static void pass_on(int signo, siginfo_t *info, void *context)
{
    const struct sigaction *previous = signo == SIGBUS ? &previous_bus : &previous_segv;

    if (previous->sa_flags & SA_SIGINFO) {
        previous->sa_sigaction(signo, info, context);
    } else if (previous->sa_handler != SIG_DFL && previous->sa_handler != SIG_IGN) {
        previous->sa_handler(signo);
    } else {
        signal(signo, SIG_DFL); /* the access happens again and ends the process */
    }
}

/* An atomic access counts as a write, also where an engine makes it of a load and a compare. */
static bool is_atomic(const struct vm_run *run, uint32_t insn)
{
    const struct vm_program *program = run->image->program;

    return insn < program->insn_count && vm_isa[program->ops[insn].ix].group == VM_GROUP_ATOMIC;
}

/* Of loads that are made in one piece: the one that faults, and where. */
static void find_access(const struct vm_run *run, const ucontext_t *at, uint32_t *insn,
                        uint32_t *address)
{
    const struct vm_image *image = run->image;
    struct vm_access access;
    uint32_t start = *insn;

    if (image->engine->access == NULL) {
        return;
    }
    for (unsigned n = 0; image->engine->access(image->code, &at->uc_mcontext, start, n, &access);
         n++) {
        int64_t unmapped;

        if (vm_arena_unmapped(&run->arena, access.address, access.bytes, &unmapped)) {
            *insn = access.insn;
            *address = (uint32_t)unmapped;
            return;
        }
    }
}

/* Notes the guest's registers for a fault that may come of this. */
static void keep_registers(const struct vm_run *run, uint32_t insn, const ucontext_t *at)
{
    const struct vm_image *image = run->image;
    struct vm_context *guest = vm_arena_context(&run->arena);

    if (image->engine->registers != NULL) {
        guest->regs_known =
            insn == VM_NO_INSN
                ? 0
                : image->engine->registers(image->code, &at->uc_mcontext, insn, guest->kept);
    }
}

/* Leaves an access that was made in advance for the one it stands for. */
static bool go_back(const struct vm_run *run, ucontext_t *context)
{
    const struct vm_image *image = run->image;
    greg_t *pc = &context->uc_mcontext.gregs[REG_RIP];
    uintptr_t to =
        image->engine->retry == NULL ? 0 : image->engine->retry(image->code, (uintptr_t)*pc);

    if (to != 0) {
        *pc = (greg_t)to;
    }
    return to != 0;
}

static void on_fault(int signo, siginfo_t *info, void *context_)
{
    ucontext_t *context = context_;
    struct vm_thread *t = vm_trap_self;
    uintptr_t pc = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
    struct vm_run *run;
    uint32_t address;
    uint32_t insn;
    bool write;

    if (!is_guest_fault(t, pc, (uintptr_t)info->si_addr)) {
        pass_on(signo, info, context_);
        return;
    }
    run = t->running;
    if (go_back(run, context)) {
        return;
    }
    address = (uint32_t)((uintptr_t)info->si_addr - (uintptr_t)run->arena.base);
    insn = run->image->engine->insn_at(run->image->code, pc);
    if (insn == VM_NO_INSN) {
        insn = vm_arena_context(&run->arena)->insn;
    } else {
        find_access(run, context, &insn, &address);
    }
    keep_registers(run, insn, context);
    write = context->uc_mcontext.gregs[REG_ERR] & PAGE_FAULT_WRITE || is_atomic(run, insn);
    vm_run_set_fault(run, kind_of(run, address, write), address, insn);
    redirect_to_fault(run, context);
}

/* ---- ticks ---- */

/* Makes the interrupted code look as if it had called vm_preempt_landing. */
static void redirect_to_preemption(ucontext_t *context)
{
    greg_t *reg = context->uc_mcontext.gregs;

    reg[REG_RSP] -= 8;
    *(greg_t *)reg[REG_RSP] = reg[REG_RIP];
    reg[REG_RIP] = (greg_t)vm_preempt_landing;
}

static uint64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void set_timer(struct vm_thread *t, uint64_t at_ns)
{
    struct itimerspec spec = {
        .it_value = {.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)}};

    t->due_ns = at_ns;
    timer_settime(t->timer, TIMER_ABSTIME, &spec, NULL);
}

/* It goes off when so many slices have passed. */
static void set_slices(struct vm_thread *t, uint64_t now, unsigned slices)
{
    t->slice_ns = now < t->fine_until_ns ? t->fine_tick_ns : t->tick_ns;
    set_timer(t, now + slices * t->slice_ns);
}

/* As long as runs are short, their stamps put the timer off time and again, by as much as leaves
 * one that is long its slice and no more than two: so it never goes off, which takes longer than
 * many runs. */
void vm_trap_stamp(struct vm_thread *t)
{
    uint64_t now = monotonic_ns();
    uint64_t since = now - t->stamp_ns;

    if (since >= STAMP_LATE_NS) {
        t->stamp_mask /= 2;
    } else if (since < STAMP_SOON_NS && t->stamp_mask < STAMP_EVERY_MAX - 1) {
        t->stamp_mask = 2 * t->stamp_mask + 1;
    }
    t->stamp_ns = now;
    if (t->armed && t->due_ns < now + t->slice_ns) {
        set_slices(t, now, 2);
    }
}

void vm_trap_arm(struct vm_thread *t)
{
    uint64_t now = monotonic_ns();

    t->stamp_ns = now;
    t->armed = 1;
    set_slices(t, now, 1);
}

void vm_trap_refine(struct vm_thread *t)
{
    t->fine_until_ns = monotonic_ns() + VM_FINE_TICKS_MS * NS_PER_MS;
}

static void let_next_arm(struct vm_thread *t)
{
    t->armed = 0;
    t->stamp_mask = 0;
}

/* Switches out what is under way. False: that has to wait until the host's code that it called
 * returns; or it is entering or leaving. */
static bool switch_out(struct vm_run *run, ucontext_t *context)
{
    const struct vm_image *image = run->image;
    struct vm_context *guest = vm_arena_context(&run->arena);
    uintptr_t pc = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];

    if (!is_in(&image->preemptible, pc)) {
        atomic_store_explicit(&guest->pending, 1, memory_order_relaxed);
        return false;
    }
    uint32_t insn = image->engine->insn_at(image->code, pc);
    if (insn != VM_NO_INSN) {
        guest->insn = insn;
    }
    bool is_start = image->engine->insn_at(image->code, pc - 1) != insn;
    keep_registers(run, is_start ? insn : VM_NO_INSN, context);
    redirect_to_preemption(context);
    return true;
}

/* A run is switched out when it was there for a whole tick, so short ones hardly ever are. */
static void on_tick(int signo, siginfo_t *info, void *context)
{
    struct vm_thread *t = vm_trap_self;
    int saved_errno = errno;
    uint64_t now;

    (void)signo;
    (void)info;
    if (t == NULL) {
        return;
    }
    now = monotonic_ns();
    if (t->running == NULL) {
        let_next_arm(t);
    } else if (now - t->stamp_ns < t->slice_ns) {
        set_timer(t, t->stamp_ns + t->slice_ns);
    } else if (switch_out(t->running, context)) {
        let_next_arm(t);
    } else {
        set_timer(t, now + t->fine_tick_ns);
    }
    errno = saved_errno;
}

void vm_preempted(void)
{
    vm_run_suspend(vm_trap_self->running, VM_STATE_PREEMPTED);
}

/* ---- set-up ---- */

static enum vm_error install(struct vm_diag *diag)
{
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction tick = {.sa_sigaction = on_tick,
                             .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    enum vm_error error = VM_ERROR_OK;

    sigemptyset(&fault.sa_mask);
    sigaddset(&fault.sa_mask, VM_TICK_SIGNAL);
    sigemptyset(&tick.sa_mask);
    pthread_mutex_lock(&install_lock);
    if (!installed) {
        if (sigaction(SIGSEGV, &fault, &previous_segv) != 0 ||
            sigaction(SIGBUS, &fault, &previous_bus) != 0 ||
            sigaction(VM_TICK_SIGNAL, &tick, NULL) != 0) {
            error = vm_diag_set(diag, VM_ERROR_HOST, VM_NO_INSN, "cannot handle signals: %m");
        }
        installed = error == VM_ERROR_OK;
    }
    pthread_mutex_unlock(&install_lock);
    return error;
}

enum vm_error vm_trap_attach(struct vm_thread *t, struct vm_diag *diag)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = VM_TICK_SIGNAL};
    stack_t stack = {.ss_size = VM_SIGNAL_STACK_BYTES};
    sigset_t tick;

    if (vm_trap_self != NULL) {
        return vm_diag_set(diag, VM_ERROR_USAGE, VM_NO_INSN, "this thread has a vm_thread already");
    }
    if (install(diag) != VM_ERROR_OK) {
        return diag != NULL ? diag->error : VM_ERROR_HOST;
    }
    t->signal_stack = mmap(NULL, VM_SIGNAL_STACK_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t->signal_stack == MAP_FAILED) {
        t->signal_stack = NULL;
        return vm_diag_set(diag, VM_ERROR_NO_MEMORY, VM_NO_INSN, "out of memory");
    }
    stack.ss_sp = t->signal_stack;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    sigemptyset(&tick);
    sigaddset(&tick, VM_TICK_SIGNAL);
    if (sigaltstack(&stack, &t->signal_stack_before) != 0 ||
        timer_create(CLOCK_MONOTONIC, &event, &t->timer) != 0) {
        return vm_diag_set(diag, VM_ERROR_HOST, VM_NO_INSN, "cannot make a timer: %m");
    }
    t->has_timer = true;
    pthread_sigmask(SIG_UNBLOCK, &tick, NULL);
    vm_trap_self = t;
    return VM_ERROR_OK;
}

void vm_trap_detach(struct vm_thread *t)
{
    if (t->has_timer) {
        timer_delete(t->timer);
    }
    if (vm_trap_self == t) {
        vm_trap_self = NULL;
        sigaltstack(&t->signal_stack_before, NULL);
    }
    if (t->signal_stack != NULL) {
        munmap(t->signal_stack, VM_SIGNAL_STACK_BYTES);
    }
}
