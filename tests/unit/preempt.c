/* SPDX-License-Identifier: Apache-2.0 */
/* Preemption: endless programs come back within a few ticks and end when their budget is spent,
 * others run meanwhile, and a computation that was switched out many times has the result of one
 * that never was. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "tests/support/subject.h"
#include "vm/run.h"

enum { SLICE_MS_MAX = 1000 }; /* far above two ticks: test machines are busy */

static uint64_t now_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t now_ms(clockid_t clock)
{
    return now_us(clock) / 1000;
}

/* ---- endless programs */

/* Every shape of loop that a tick must be able to end. */
static const char *const endless[] = {
    "loop:\n ja loop\n",
    "loop:\n gotol loop\n",
    "loop:\n jeq r0, r0, loop\n exit\n",
    "mov r6, 1\n loop:\n add r0, 1\n jne32 r6, 0, loop\n exit\n",
    "loop:\n call minus_one\n ja loop\n",
    "loop:\n mov r1, 1\n call sum5\n add r6, r0\n jne r0, 0, loop\n exit\n",
    "loop:\n call f\n ja loop\n f:\n add r6, 1\n exit\n",
    "lddw r6, &f\n loop:\n callx r6\n ja loop\n f:\n stdw [r10-8], 1\n exit\n",
    "call f\n exit\n f:\n stxdw [r10-16], r10\n ja f\n",
    "loop:\n mov r1, r10\n atomic_fetch_add [r10-8], r1\n ja loop\n",
};

static void endless_is_preempted_then_killed(const struct vm_engine *engine)
{
    enum { BUDGET_MS = 20 };
    t_thread_with(&(struct vm_thread_config){.tick_ms = 1, .budget_ms = BUDGET_MS});
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        struct subject s = subject_make(engine, endless[i]);
        struct vm_run *run = vm_run_start(t_thread(), s.image, NULL, NULL);
        uint64_t cpu = now_ms(CLOCK_THREAD_CPUTIME_ID);
        unsigned slices = 0;
        for (enum vm_state state = VM_STATE_PREEMPTED; state == VM_STATE_PREEMPTED; slices++) {
            uint64_t start = now_ms(CLOCK_MONOTONIC);
            state = vm_run_resume(run);
            cr_expect_lt(now_ms(CLOCK_MONOTONIC) - start, SLICE_MS_MAX, "program %zu", i);
            cr_assert(state == VM_STATE_PREEMPTED || state == VM_STATE_FAULT);
        }
        cpu = now_ms(CLOCK_THREAD_CPUTIME_ID) - cpu;
        cr_expect_geq(slices, 3, "program %zu: %u slices", i, slices);
        cr_expect_eq(vm_run_fault(run)->kind, VM_FAULT_BUDGET);
        cr_expect_leq(cpu, 5 * BUDGET_MS, "program %zu ran %llu ms", i, (unsigned long long)cpu);
        vm_run_free(run);
        subject_drop(s);
    }
    t_thread_end();
}
BOTH_ENGINES(preempt, endless_is_preempted_then_killed)

static void others_proceed(const struct vm_engine *engine)
{
    t_thread_with(&(struct vm_thread_config){.tick_ms = 1, .budget_ms = 10000});
    struct subject loop = subject_make(engine, "loop:\n add r6, 1\n ja loop\n");
    struct subject count = subject_make(engine, "mov r1, 1000\n loop:\n add r0, r1\n sub r1, 1\n"
                                                "jne r1, 0, loop\n exit\n");
    struct vm_run *endless_run[2];
    for (int i = 0; i < 2; i++)
        endless_run[i] = vm_run_start(t_thread(), loop.image, NULL, NULL);
    for (int turn = 0; turn < 20; turn++) {
        for (int i = 0; i < 2; i++)
            cr_assert_eq(vm_run_resume(endless_run[i]), VM_STATE_PREEMPTED);
        struct vm_run *run = vm_run_start(t_thread(), count.image, NULL, NULL);
        enum vm_state state;
        while ((state = vm_run_resume(run)) == VM_STATE_PREEMPTED)
            continue;
        cr_assert_eq(state, VM_STATE_DONE);
        cr_expect_eq(vm_run_result(run), 500500);
        vm_run_free(run);
    }
    for (int i = 0; i < 2; i++)
        vm_run_free(endless_run[i]); /* dropped where they are */
    subject_drop(loop);
    subject_drop(count);
    t_thread_end();
}
BOTH_ENGINES(preempt, others_proceed)

/* ---- how long */

static void let_pass(uint64_t us)
{
    for (uint64_t end = now_us(CLOCK_MONOTONIC) + us; now_us(CLOCK_MONOTONIC) < end;)
        continue;
}

/* Resumes runs that are short, for so long. */
static void be_busy(const struct subject *s, uint64_t us, unsigned *preempted)
{
    for (uint64_t end = now_us(CLOCK_MONOTONIC) + us; now_us(CLOCK_MONOTONIC) < end;) {
        struct vm_run *run = vm_run_start(t_thread(), s->image, NULL, NULL);
        while (vm_run_resume(run) == VM_STATE_PREEMPTED)
            ++*preempted;
        vm_run_free(run);
    }
}

/* The first slice of a run, by the clock of ticks and by the processor time of this thread. */
static void time_slice(const struct subject *s, unsigned *clock_us, unsigned *cpu_us)
{
    struct vm_run *run = vm_run_start(t_thread(), s->image, NULL, NULL);
    uint64_t clock = now_us(CLOCK_MONOTONIC), cpu = now_us(CLOCK_THREAD_CPUTIME_ID);
    cr_assert_eq(vm_run_resume(run), VM_STATE_PREEMPTED);
    *clock_us = (unsigned)(now_us(CLOCK_MONOTONIC) - clock);
    *cpu_us = (unsigned)(now_us(CLOCK_THREAD_CPUTIME_ID) - cpu);
    vm_run_free(run);
}

static int ascending(const void *a, const void *b)
{
    return *(const unsigned *)a < *(const unsigned *)b ? -1 : 1;
}

/* What so many first slices are like. */
struct slices {
    unsigned low_clock_us; /* a quarter is shorter */
    unsigned high_cpu_us;  /* a quarter is longer */
    unsigned preempted;    /* short runs that were switched out before them */
};

enum { SLICE_TICK_US = 4000, SLICES = 40 };

static struct slices time_slices(const struct subject *long_one, const struct subject *brief,
                                 bool busy)
{
    unsigned clock_us[SLICES], cpu_us[SLICES];
    struct slices slices = {.preempted = 0};
    for (unsigned i = 0; i < SLICES; i++) {
        t_thread()->fine_until_ns = 0; /* as if the slice before had been long ago */
        be_busy(brief, busy ? 2 * SLICE_TICK_US + i * 211 : 0, &slices.preempted);
        time_slice(long_one, &clock_us[i], &cpu_us[i]);
    }
    qsort(clock_us, SLICES, sizeof *clock_us, ascending);
    qsort(cpu_us, SLICES, sizeof *cpu_us, ascending);
    slices.low_clock_us = clock_us[SLICES / 4];
    slices.high_cpu_us = cpu_us[SLICES * 3 / 4];
    return slices;
}

static bool are_one_to_two_ticks(const struct slices *slices)
{
    return slices->low_clock_us >= SLICE_TICK_US * 7 / 8 &&
           slices->high_cpu_us <= SLICE_TICK_US * 17 / 8 && slices->preempted <= SLICES / 4;
}

/* A first slice is one to two ticks long, wherever between two looks of the timer it begins,
 * whether others were resumed before it or nothing was. Most are: a busy machine takes the
 * processor away before one begins, which then counts as part of it; so there are some tries. */
static void a_slice_is_one_to_two_ticks(const struct vm_engine *engine)
{
    enum { TRIES = 8 };
    t_thread_with(&(struct vm_thread_config){.tick_ms = SLICE_TICK_US / 1000, .budget_ms = 10000});
    struct subject endless_one = subject_make(engine, "loop:\n ja loop\n");
    struct subject brief = subject_make(engine, "mov r0, 1\n exit\n");
    for (int busy = 0; busy < 2; busy++) {
        struct slices slices = {.preempted = 0};
        for (int i = 0; i < TRIES && !are_one_to_two_ticks(&slices); i++)
            slices = time_slices(&endless_one, &brief, busy);
        cr_expect(
            are_one_to_two_ticks(&slices),
            "a quarter is shorter than %u us, one longer than %u; %u short ones were switched out",
            slices.low_clock_us, slices.high_cpu_us, slices.preempted);
    }
    subject_drop(endless_one);
    subject_drop(brief);
    t_thread_end();
}
BOTH_ENGINES(preempt, a_slice_is_one_to_two_ticks)

static struct sigaction engine_tick;
static volatile unsigned ticks;

static void count_tick(int signo, siginfo_t *info, void *context)
{
    ticks++;
    engine_tick.sa_sigaction(signo, info, context);
}

/* Stamps put the timer off; when they end it goes off once more. A busy machine may stop the thread
 * for longer than that. */
static void short_runs_have_no_tick(const struct vm_engine *engine)
{
    enum { TICK_US = 20000, ROUNDS = 15, TICKS_BUSY = 10 };
    t_thread_with(&(struct vm_thread_config){.tick_ms = TICK_US / 1000});
    struct subject brief = subject_make(engine, "mov r0, 1\n exit\n");
    struct sigaction counting;
    unsigned busy_ticks = UINT32_MAX, idle_ticks = UINT32_MAX, preempted = 0;
    sigaction(VM_TICK_SIGNAL, NULL, &engine_tick);
    counting = engine_tick;
    counting.sa_sigaction = count_tick;
    sigaction(VM_TICK_SIGNAL, &counting, NULL);
    for (int i = 0; i < ROUNDS && (busy_ticks > 0 || idle_ticks != 1); i++) {
        ticks = 0;
        be_busy(&brief, TICKS_BUSY * TICK_US, &preempted);
        busy_ticks = ticks;
        let_pass(5 * TICK_US);
        idle_ticks = ticks - busy_ticks;
    }
    sigaction(VM_TICK_SIGNAL, &engine_tick, NULL);
    cr_expect_eq(busy_ticks, 0, "%u ticks in the time of %d", busy_ticks, TICKS_BUSY);
    cr_expect_eq(idle_ticks, 1, "%u ticks, and nothing ran", idle_ticks);
    subject_drop(brief);
    t_thread_end();
}
BOTH_ENGINES(preempt, short_runs_have_no_tick)

/* Also where short runs come in bursts, most set no stamp; some do, or all would look old. */
static void pauses_take_few_stamps(const struct vm_engine *engine)
{
    enum { BURSTS = 200, RUNS = 24, PAUSE_US = 250 };
    t_thread_with(&(struct vm_thread_config){.tick_ms = 10});
    struct subject brief = subject_make(engine, "mov r0, 1\n exit\n");
    unsigned stamps = 0;
    for (int i = 0; i < BURSTS; i++) {
        for (int k = 0; k < RUNS; k++) {
            uint64_t before = t_thread()->stamp_ns;
            cr_assert_eq(vm_run_at_once(t_thread(), brief.image, NULL, NULL).state, VM_STATE_DONE);
            stamps += t_thread()->stamp_ns != before;
        }
        let_pass(PAUSE_US);
    }
    cr_expect_leq(stamps, BURSTS * RUNS / 4, "%u of %u", stamps, BURSTS * RUNS);
    cr_expect_geq(stamps, BURSTS / 4, "%u of %u", stamps, BURSTS * RUNS);
    subject_drop(brief);
    t_thread_end();
}
BOTH_ENGINES(preempt, pauses_take_few_stamps)

/* ---- fine ticks */

static struct vm_fault run_out(struct vm_run *run, unsigned *slices)
{
    for (*slices = 1; vm_run_resume(run) == VM_STATE_PREEMPTED; ++*slices)
        continue;
    return *vm_run_fault(run);
}

/* After the first slice they are short; the budget is the same. */
static void busy_runs_have_fine_ticks(const struct vm_engine *engine)
{
    enum { BUDGET_MS = 20 };
    struct vm_thread_config config = {.tick_ms = 10, .fine_tick_us = 100, .budget_ms = BUDGET_MS};
    t_thread_with(&config);
    struct subject s = subject_make(engine, "loop:\n ja loop\n");
    for (int i = 0; i < 3; i++) {
        struct vm_run *run = vm_run_start(t_thread(), s.image, NULL, NULL);
        uint64_t cpu = now_ms(CLOCK_THREAD_CPUTIME_ID);
        unsigned slices;
        cr_expect_eq(run_out(run, &slices).kind, VM_FAULT_BUDGET);
        cpu = now_ms(CLOCK_THREAD_CPUTIME_ID) - cpu;
        cr_expect_gt(slices, BUDGET_MS, "%u slices", slices);
        cr_expect_leq(cpu, 5 * BUDGET_MS, "%llu ms", (unsigned long long)cpu);
        vm_run_free(run);
    }
    subject_drop(s);
    t_thread_end();
}
BOTH_ENGINES(preempt, busy_runs_have_fine_ticks)

/* ---- same results */

/* Keeps state in all registers, on two frames and in memory; divides, multiplies, shifts, calls. r1
 * is guest memory, r3 the number of rounds. */
static const char computation[] = "    mov r6, r1\n"
                                  "    mov r9, r3\n"
                                  "    lddw r7, 0x9e3779b97f4a7c15\n"
                                  "    mov r8, 1\n"
                                  "    mov r0, 0\n"
                                  "round:\n"
                                  "    mov r1, r7\n"
                                  "    lsh r1, 13\n"
                                  "    xor r7, r1\n"
                                  "    mov r1, r7\n"
                                  "    rsh r1, 7\n"
                                  "    xor r7, r1\n"
                                  "    mov r2, r7\n"
                                  "    and r2, 56\n"
                                  "    add r2, r6\n"
                                  "    ldxdw r3, [r2+0]\n"
                                  "    add r3, r7\n"
                                  "    stxdw [r2+0], r3\n"
                                  "    atomic_fetch_add [r2+0], r8\n"
                                  "    mov r4, r9\n"
                                  "    or r4, 1\n"
                                  "    mov r5, r3\n"
                                  "    div r5, r4\n"
                                  "    smod32 r3, 1021\n"
                                  "    arsh r4, r9\n"
                                  "    stxdw [r10-8], r5\n"
                                  "    mov r1, r3\n"
                                  "    mov r2, r9\n"
                                  "    call mix\n"
                                  "    ldxdw r1, [r10-8]\n"
                                  "    add r8, r0\n"
                                  "    xor r8, r1\n"
                                  "    jsgt r8, 0, positive\n"
                                  "    neg r8\n"
                                  "positive:\n"
                                  "    mov r1, r9\n"
                                  "    and r1, 255\n"
                                  "    jne r1, 0, no_helper\n"
                                  "    mov r1, r8\n"
                                  "    mov r2, r7\n"
                                  "    call sum5\n"
                                  "    add r8, r0\n"
                                  "no_helper:\n"
                                  "    sub r9, 1\n"
                                  "    jne r9, 0, round\n"
                                  "    mov r0, r8\n"
                                  "    exit\n"
                                  "mix:\n"
                                  "    stxdw [r10-8], r1\n"
                                  "    mov r6, r2\n"
                                  "    mul r6, r1\n"
                                  "    ldxw r0, [r10-8]\n"
                                  "    bswap64 r6\n"
                                  "    add r0, r6\n"
                                  "    exit\n";

static struct t_outcome compute(const struct subject *s, uint64_t rounds, uint32_t tick_ms)
{
    static struct t_outcome outcome;
    uint8_t memory[64] = {1, 2, 3};
    struct t_input input = {.memory = memory, .memory_bytes = sizeof memory, .arg = {[2] = rounds}};
    t_thread_with(&(struct vm_thread_config){.tick_ms = tick_ms, .budget_ms = 60000});
    t_run(s->image, &input, &outcome);
    t_thread_end();
    return outcome;
}

/* Rounds that keep this engine busy for about 100 ms of its own time, however busy the machine is,
 * and so many ticks. */
static uint64_t enough_rounds(const struct subject *s)
{
    for (uint64_t rounds = 1 << 12;; rounds *= 2) {
        uint64_t start = now_ms(CLOCK_THREAD_CPUTIME_ID);
        compute(s, rounds, 10000);
        uint64_t took = now_ms(CLOCK_THREAD_CPUTIME_ID) - start;
        if (took >= 100)
            return rounds;
    }
}

static void preempted_result_is_the_same(const struct vm_engine *engine)
{
    struct subject s = subject_make(engine, computation);
    uint64_t rounds = enough_rounds(&s);
    struct t_outcome calm = compute(&s, rounds, 10000);
    cr_assert_eq(calm.state, VM_STATE_DONE);
    cr_assert_eq(calm.preemptions, 0);
    for (int i = 0; i < 5; i++) {
        struct t_outcome busy = compute(&s, rounds, 1);
        cr_expect_geq(busy.preemptions, 10, "only %u preemptions", busy.preemptions);
        cr_expect_null(t_difference(&calm, &busy), "differs in %s", t_difference(&calm, &busy));
    }
    t_thread();
    subject_drop(s);
    t_thread_end();
}
BOTH_ENGINES(preempt, preempted_result_is_the_same)

/* Two preempted runs of one image take turns and do not mix. */
static void interleaved_runs_do_not_mix(const struct vm_engine *engine)
{
    struct subject s = subject_make(engine, computation);
    uint64_t rounds = enough_rounds(&s) / 2;
    struct t_outcome calm = compute(&s, rounds, 10000);
    struct vm_thread *thread =
        t_thread_with(&(struct vm_thread_config){.tick_ms = 1, .budget_ms = 60000});
    struct vm_run *run[3];
    enum vm_state state[3];
    for (int i = 0; i < 3; i++) {
        uint8_t *memory;
        run[i] = vm_run_start(thread, s.image, NULL, NULL);
        uint64_t args[5] = {vm_run_heap_alloc(run[i], 64, &memory), 64, rounds};
        memory[0] = 1, memory[1] = 2, memory[2] = 3;
        vm_run_set_args(run[i], args);
        state[i] = VM_STATE_PREEMPTED;
    }
    for (bool busy = true; busy;) {
        busy = false;
        for (int i = 0; i < 3; i++) {
            if (state[i] == VM_STATE_PREEMPTED)
                state[i] = vm_run_resume(run[i]);
            busy |= state[i] == VM_STATE_PREEMPTED;
        }
    }
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(state[i], VM_STATE_DONE);
        cr_expect_eq(vm_run_result(run[i]), calm.r0, "run %d", i);
        vm_run_free(run[i]);
    }
    subject_drop(s);
    t_thread_end();
}
BOTH_ENGINES(preempt, interleaved_runs_do_not_mix)

/* ---- budgets shared between runs */

/* What one run leaves is what the next may use: together they end where one alone would. */
static void budget_passes_from_run_to_run(const struct vm_engine *engine)
{
    enum { BUDGET_MS = 30 };
    t_thread_with(&(struct vm_thread_config){.tick_ms = 1, .budget_ms = BUDGET_MS});
    struct subject s = subject_make(engine, "loop:\n ja loop\n");
    uint64_t left = BUDGET_MS * 1000000ull;
    bool spent = false;
    for (unsigned runs = 0; !spent; runs++) {
        cr_assert_lt(runs, 1000 * BUDGET_MS, "every tick charges something");
        struct vm_run *run = vm_run_start(t_thread(), s.image, NULL, NULL);
        vm_run_set_budget(run, left);
        spent = vm_run_resume(run) == VM_STATE_FAULT;
        cr_assert_lt(vm_run_budget_left(run), left);
        left = vm_run_budget_left(run);
        vm_run_free(run);
    }
    cr_expect_eq(left, 0);
    subject_drop(s);
    t_thread_end();
}
BOTH_ENGINES(preempt, budget_passes_from_run_to_run)
