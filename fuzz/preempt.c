/* SPDX-License-Identifier: Apache-2.0 */
/* Preemption: a generated program that is interrupted must end as it does when left alone. The
 * input chooses the engine's variant (tests/support/variants.h) and one of three ways:
 *
 *   stepped   the trap flag stops the processor before each instruction, of the program and of the
 *             host code below vm_run_resume, and at some of them, sometimes at most, a tick comes
 *             that takes the processor away
 *   injected  the same, and now and then the heap is taken away while the program's own code runs,
 *             so that an access faults together with a tick; it must then be a fault of the heap,
 *             and the next run must be as if nothing had happened
 *   timed     a real timer sends ticks while the program runs at its full speed, each time at
 *             another instant of it, time and again
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "tests/support/generate.h"
#include "tests/support/reuse.h"
#include "tests/support/variants.h"
#include "vm/run.h"

enum {
    TRAP_FLAG = 1 << 8,
    TRAPS_MAX = 1500, /* of one run; then it goes on unwatched */
    GUEST_TRAP = 3,   /* as many of the host's count as one of the program */
    HOST_RARITY = 8,  /* so many times fewer ticks while host code runs */
    TICK_MS = 1,
    BUDGET_MS = 20,     /* of the run left alone */
    TIMED_ROUNDS = 4,   /* runs of one program */
    TIMED_CALLS = 1000, /* of what was generated, in one run: a timer takes its time */
};

enum way { STEPPED, INJECTED, TIMED, WAYS };
static const char *const way_names[WAYS] = {"stepped", "injected", "timed"};

/* What is counted, for each way. */
enum { COUNT_RUNS, COUNT_PREEMPTIONS, COUNTS_OF_WAY };
static uint64_t counts[WAYS * COUNTS_OF_WAY];
static void print_counts(const uint64_t *values);
struct fuzz_counters fuzz_counters = {WAYS * COUNTS_OF_WAY, counts, print_counts};

/* What the handler knows; it runs on this thread only. */
static struct {
    enum way way;
    bool injects;
    volatile bool on;
    bool skip;       /* the trap after a return to where the code was interrupted */
    bool taken;      /* the heap is out of reach */
    unsigned rarity; /* a tick at one of so many instructions */
    unsigned traps;
    uint64_t random;
} step;

static unsigned roll(unsigned sides)
{
    step.random = step.random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(step.random >> 33) % sides;
}

/* ---- the trap flag */

static void protect_heap(const struct vm_run *run, bool taken)
{
    const struct vm_region *heap = &run->arena.regions[VM_REGION_HEAP];
    if (step.taken == taken || heap->start == heap->end)
        return;
    mprotect(run->arena.base + heap->start, heap->end - heap->start,
             taken ? PROT_NONE : PROT_READ | PROT_WRITE);
    step.taken = taken;
}

static void on_trap(int signo, siginfo_t *info, void *context)
{
    greg_t *reg = ((ucontext_t *)context)->uc_mcontext.gregs;
    uintptr_t pc = (uintptr_t)reg[REG_RIP];
    struct vm_run *run = t_thread()->running;
    (void)signo, (void)info;
    bool in_guest = run && pc >= run->image->guest.start && pc < run->image->guest.end;
    step.traps += in_guest ? GUEST_TRAP : 1;
    if (!step.on || step.traps > TRAPS_MAX || !run) {
        if (step.taken && run)
            protect_heap(run, false);
        reg[REG_EFL] &= ~(greg_t)TRAP_FLAG;
        if (step.on && step.traps <= TRAPS_MAX)
            reg[REG_EFL] |= TRAP_FLAG;
        return;
    }
    reg[REG_EFL] |= TRAP_FLAG;
    if (step.injects)
        protect_heap(run, in_guest && (step.taken || roll(16) == 0));
    if (step.skip)
        step.skip = false;
    else if ((in_guest || roll(HOST_RARITY) == 0) && roll(step.rarity) == 0) {
        step.skip = true;
        pthread_kill(pthread_self(), VM_TICK_SIGNAL); /* delivered when this returns */
    }
}

static void resuming(bool begin)
{
    step.on = begin;
    if (begin)
        __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | TRAP_FLAG);
}

/* ---- a timer */

static struct {
    timer_t timer;
    int64_t delay_ns; /* from setting it, at the next resume */
    int64_t set_up_ns;
    int64_t span_ns; /* of a run left alone, or when it began */
} timing;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void set_timer(bool begin)
{
    int64_t at = now_ns() + timing.delay_ns;
    struct itimerspec spec = {.it_value = {.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000}};
    if (begin) {
        timer_settime(timing.timer, TIMER_ABSTIME, &spec, NULL);
        timing.delay_ns += timing.delay_ns / 64; /* on a slow machine it was too short to get far */
    }
}

static void measure(bool begin)
{
    timing.span_ns = begin ? now_ns() : now_ns() - timing.span_ns;
}

/* What setting the timer takes, so that it does not go off before the program begins. */
static int64_t set_up_ns(void)
{
    int64_t least = INT64_MAX;
    timing.delay_ns = 1000000000;
    for (int i = 0; i < 20; i++) {
        int64_t begun = now_ns();
        set_timer(true);
        int64_t took = now_ns() - begun;
        least = took < least ? took : least;
    }
    return least;
}

static void make_timer(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = VM_TICK_SIGNAL};
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    check(timer_create(CLOCK_MONOTONIC, &event, &timing.timer) == 0);
    timing.set_up_ns = set_up_ns();
}

/* ---- one input */

static void fail(const struct t_code *code, unsigned variant, const char *what)
{
    t_dump(code->insns, code->count);
    fprintf(stderr, "preempt: %s, %s: %s\n", t_variant_name(variant), way_names[step.way], what);
    abort();
}

static void start(void)
{
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, VM_TICK_SIGNAL);
    sigaction(SIGTRAP, &action, NULL);
    t_thread_with(&(struct vm_thread_config){.tick_ms = TICK_MS, .budget_ms = BUDGET_MS});
    t_hasty_ticks();
    make_timer();
}

static void print_counts(const uint64_t *values)
{
    for (unsigned way = 0; way < WAYS; way++)
        printf("  %s: %llu runs, %llu preemptions\n", way_names[way],
               (unsigned long long)values[way * COUNTS_OF_WAY + COUNT_RUNS],
               (unsigned long long)values[way * COUNTS_OF_WAY + COUNT_PREEMPTIONS]);
}

static void choose(const uint8_t *data, size_t size)
{
    step.random = size;
    for (size_t i = 0; i < size; i++)
        step.random = (step.random ^ data[i]) * 0x100000001b3u;
    step.way = (enum way)roll(WAYS);
    step.injects = step.way == INJECTED;
    step.rarity = 1u << roll(6);
    step.traps = 0;
    step.skip = false;
}

/* A fault that only the lack of the heap explains. */
static bool is_injected(const struct t_outcome *o)
{
    return step.injects && o->state == VM_STATE_FAULT &&
           (o->fault.kind == VM_FAULT_READ || o->fault.kind == VM_FAULT_WRITE) &&
           o->fault.address >= VM_HEAP_BASE && o->fault.address < VM_HEAP_BASE + VM_PAGE_BYTES &&
           o->fault.insn != VM_NO_INSN;
}

static void compare(const struct t_code *code, unsigned variant, const struct t_outcome *want,
                    const struct t_outcome *got)
{
    char text[2][100], line[256];
    const char *difference = t_difference(want, got);
    if (!difference || is_injected(got))
        return;
    t_outcome_text(want, text[0], sizeof text[0]);
    t_outcome_text(got, text[1], sizeof text[1]);
    snprintf(line, sizeof line, "%s differs: %s after %u preemptions, want %s", difference, text[1],
             got->preemptions, text[0]);
    fail(code, variant, line);
}

static void run_once(const struct t_code *code, unsigned variant, const struct vm_image *image,
                     const struct t_input *input, const struct t_outcome *want)
{
    static struct t_outcome got;
    const char *harm = t_run_reusing(image, input, &got);
    if (harm)
        fail(code, variant, harm);
    fuzz_counters.values[step.way * COUNTS_OF_WAY + COUNT_RUNS]++;
    fuzz_counters.values[step.way * COUNTS_OF_WAY + COUNT_PREEMPTIONS] += got.preemptions;
    compare(code, variant, want, &got);
}

/* The same program, called over and over by a function of no frame. */
static void repeat(struct t_code *code)
{
    static struct t_code once;
    once = *code;
    code->count = 0;
    t_emit(code, VM_IX_MOV64_REG, 6, 1, 0, 0);
    t_emit(code, VM_IX_MOV64_IMM, 7, 0, 0, TIMED_CALLS);
    t_emit(code, VM_IX_MOV64_REG, 1, 6, 0, 0);
    t_emit(code, VM_IX_CALL_LOCAL, 0, 0, 0, 3);
    t_emit(code, VM_IX_ADD64_IMM, 7, 0, 0, -1);
    t_emit(code, VM_IX_JNE64_IMM, 7, 0, -4, 0);
    t_emit(code, VM_IX_EXIT, 0, 0, 0, 0);
    check(code->count + once.count <= T_CODE_INSNS_MAX);
    memcpy(code->insns + code->count, once.insns, once.count * sizeof *once.insns);
    code->count += once.count;
}

static void run_timed(const struct t_code *code, unsigned variant, const struct vm_image *image,
                      struct t_input *input, const struct t_outcome *want)
{
    input->resuming = measure;
    run_once(code, variant, image, input, want);
    unsigned span = (unsigned)timing.span_ns + 1;
    input->resuming = set_timer;
    for (unsigned i = 0; i < TIMED_ROUNDS; i++) {
        timing.delay_ns = timing.set_up_ns + roll(span);
        run_once(code, variant, image, input, want);
    }
}

static void interrupt(const struct t_code *code, const struct vm_program *program,
                      const struct t_input *left_alone, const struct t_outcome *want)
{
    struct vm_diag diag;
    unsigned variant = roll(t_variant_count());
    struct vm_image *image = t_variant_image(variant, program, &diag);
    struct t_input input = *left_alone;
    if (!image)
        fail(code, variant, diag.text);
    input.budget_ns = UINT64_MAX;
    if (step.way == TIMED) {
        run_timed(code, variant, image, &input, want);
    } else {
        input.resuming = resuming;
        run_once(code, variant, image, &input, want);
    }
    if (step.injects) {
        step.injects = false; /* nothing of it is left */
        run_once(code, variant, image, left_alone, want);
    }
    vm_image_free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct t_code code;
    static struct t_outcome want;
    static bool started;
    uint8_t memory[T_GENERATED_MEMORY];
    struct vm_diag diag;
    if (!started) {
        start();
        started = true;
    }
    t_generate(&code, data, size);
    for (unsigned i = 0; i < sizeof memory; i++)
        memory[i] = (uint8_t)(i * 73 ^ (size ? data[i % size] : 0));
    choose(data, size);
    if (step.way == TIMED)
        repeat(&code);
    struct vm_program *program = t_generated_program(&code, &diag);
    if (!program)
        fail(&code, T_VARIANT_INTERP, diag.text);
    struct t_input input = {.memory = memory, .memory_bytes = sizeof memory};
    struct vm_image *image = t_variant_image(T_VARIANT_INTERP, program, &diag);
    if (!image)
        fail(&code, T_VARIANT_INTERP, diag.text);
    t_run_reusing(image, &input, &want);
    if (want.state != VM_STATE_FAULT || want.fault.kind != VM_FAULT_BUDGET)
        interrupt(&code, program, &input, &want);
    vm_image_free(image);
    vm_program_free(program);
    return 0;
}
