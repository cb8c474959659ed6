/* SPDX-License-Identifier: Apache-2.0 */
/* What scripts cost apart from their own instructions: entering and leaving, compiling, ticks,
 * faults. Short things are timed in batches. */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "jit-x86_64/jit.h"
#include "vm/run.h"

#define NS_PER_US 1e3
#define BATCH     200

#define INSN(c, d, s, o, i)                                                                        \
    ((struct vm_insn){                                                                             \
        .code = (c), .dst = (d), .src = (s), .off = (int16_t)(o), .imm = (int32_t)(i)})
#define EXIT INSN(0x95, 0, 0, 0, 0)

void bench_cost_add(struct bench_costs *out, const char *name, double value, const char *unit,
                    double bar)
{
    if (out->count < BENCH_COST_COUNT_MAX) {
        out->at[out->count++] = (struct bench_cost){name, value, unit, bar};
    }
}

static struct vm_program *program_of(const struct vm_insn *insns, uint32_t count,
                                     uint32_t data_bytes)
{
    static uint8_t data[1u << 16];
    struct vm_program_desc desc = {.name = "cost",
                                   .insns = insns,
                                   .insn_count = count,
                                   .data = data,
                                   .data_bytes = data_bytes,
                                   .data_bytes_total = data_bytes};
    struct vm_diag diag = {.text = ""};
    struct vm_program *program;

    memset(data, 0x5a, sizeof data);
    program = vm_program_create(&desc, &diag);
    if (program == NULL) {
        bench_die("%s", diag.text);
    }
    return program;
}

/* ---- entering and leaving ---- */

struct trip {
    struct vm_program *program;
    struct vm_image *image;
    enum vm_state want;
    double ns; /* take, enter, leave, give back */
};

static void trip_open(struct trip *t, const struct vm_engine *engine, const struct vm_insn *insns,
                      uint32_t count, uint32_t data_bytes, enum vm_state want)
{
    *t = (struct trip){.program = program_of(insns, count, data_bytes), .want = want};
    t->image = bench_image(engine, t->program);
}

static void trip_close(struct trip *t, struct vm_thread *thread)
{
    vm_thread_forget(thread, t->image);
    vm_image_free(t->image);
    vm_program_free(t->program);
}

static void trip_sample(struct trip *t, struct vm_thread *thread)
{
    double before = bench_now_ns();

    for (int i = 0; i < BATCH; i++) {
        struct vm_run *run = vm_run_start(thread, t->image, NULL, NULL);

        if (run == NULL || vm_run_resume(run) != t->want) {
            bench_die("a run did not end as expected");
        }
        vm_run_free(run);
    }
    bench_keep_min(&t->ns, (bench_now_ns() - before) / BATCH);
}

static void trips(struct bench_costs *out, struct vm_thread *thread, unsigned rounds)
{
    static const struct vm_insn empty[] = {EXIT};
    static const struct vm_insn stray[] = {INSN(0x79, 0, 1, 0, 0), EXIT}; /* reads address 0 */
    struct trip plain, data, interpreted, fault, interpreted_fault;

    trip_open(&plain, &jit_x86_64, empty, 1, 0, VM_STATE_DONE);
    trip_open(&data, &jit_x86_64, empty, 1, 4096, VM_STATE_DONE);
    trip_open(&interpreted, &vm_interp, empty, 1, 0, VM_STATE_DONE);
    trip_open(&fault, &jit_x86_64, stray, 2, 0, VM_STATE_FAULT);
    trip_open(&interpreted_fault, &vm_interp, stray, 2, 0, VM_STATE_FAULT);
    struct trip *all[] = {&plain, &data, &interpreted, &fault, &interpreted_fault};
    for (unsigned round = 0; round < rounds * 10; round++) {
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
            trip_sample(all[i], thread);
        }
    }
    bench_cost_add(out, "take, enter, leave, give back: empty program", plain.ns, "ns", 40);
    bench_cost_add(out, "the same with 4 KiB of .data to restore", data.ns, "ns", 60);
    bench_cost_add(out, "the same empty program, interpreted", interpreted.ns, "ns", 0);
    bench_cost_add(out, "guest fault to the next script", fault.ns / NS_PER_US, "us", 3);
    bench_cost_add(out, "the same, interpreted", interpreted_fault.ns / NS_PER_US, "us", 0);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        trip_close(all[i], thread);
    }
}

/* ---- helper calls ---- */

#define CALL_COUNT 1000

static uint64_t scalar_helper(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                              struct vm_context *context)
{
    (void)context;
    return a + b + c + d + e;
}

static uint64_t gated_helper(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    return arg[0].value + arg[1].length;
}

/* Calls `helper` with r1 = r10 - 16 and r2 = 16 in a loop. */
static struct vm_program *calling(const struct vm_helper *helper)
{
    static const struct vm_insn insns[] = {INSN(0xb7, 6, 0, 0, CALL_COUNT), /* mov r6, count */
                                           INSN(0xbf, 1, 10, 0, 0),         /* mov r1, r10 */
                                           INSN(0x07, 1, 0, 0, -16),        /* add r1, -16 */
                                           INSN(0xb7, 2, 0, 0, 16),         /* mov r2, 16 */
                                           INSN(0x85, 0, 0, 0, 0),          /* call 0 */
                                           INSN(0x07, 6, 0, 0, -1),         /* add r6, -1 */
                                           INSN(0x55, 6, 0, -6, 0),         /* jne r6, 0, -6 */
                                           EXIT};
    struct vm_program_desc desc = {
        .name = "calls", .insns = insns, .insn_count = 8, .helpers = &helper, .helper_count = 1};
    struct vm_diag diag = {.text = ""};
    struct vm_program *program = vm_program_create(&desc, &diag);

    if (program == NULL) {
        bench_die("%s", diag.text);
    }
    return program;
}

static void helper_calls(struct bench_costs *out, struct vm_thread *thread, unsigned rounds)
{
    static const struct vm_helper helpers[] = {
        {.name = "scalar",
         .fn = gated_helper,
         .kind = {VM_ARG_SCALAR, VM_ARG_SCALAR},
         .scalar = scalar_helper},
        {.name = "numbers", .fn = gated_helper, .kind = {VM_ARG_SCALAR, VM_ARG_SCALAR}},
        {.name = "span", .fn = gated_helper, .kind = {VM_ARG_READ, VM_ARG_LENGTH}},
    };
    static const char *const names[] = {"a helper call, called directly",
                                        "a helper call through the gate, numbers",
                                        "a helper call through the gate, a span"};

    for (size_t i = 0; i < sizeof helpers / sizeof helpers[0]; i++) {
        struct vm_program *program = calling(&helpers[i]);
        struct vm_image *image = bench_image(&jit_x86_64, program);
        double best = 0;
        double ns;

        for (unsigned round = 0; round < rounds * 10; round++) {
            (void)bench_run(thread, image, 0, &ns);
            bench_keep_min(&best, ns);
        }
        bench_cost_add(out, names[i], best / CALL_COUNT, "ns", 0);
        vm_thread_forget(thread, image);
        vm_image_free(image);
        vm_program_free(program);
    }
}

/* ---- ticks ---- */

#define SPIN_COUNT     10000000 /* some 3 ms */
#define TICK_PERIOD_US 100
#define NEVER_US       10000000
#define US_PER_S       1000000

static volatile sig_atomic_t idle_signals;

static void count_signal(int signo)
{
    (void)signo;
    idle_signals++;
}

static void set_period(timer_t timer, long us)
{
    struct timespec period = {.tv_sec = us / US_PER_S, .tv_nsec = us % US_PER_S * 1000};
    struct itimerspec spec = {.it_interval = period, .it_value = period};

    timer_settime(timer, 0, &spec, NULL);
}

/* Lets the next tick switch out what it meets, however short it was there. */
static void expect_tick(struct vm_thread *thread)
{
    thread->armed = 1;
    thread->slice_ns = 0;
}

/* Runs `image` to its end and returns how long that took; counts how often it was switched out. */
static double spin(struct vm_thread *thread, const struct vm_image *image, unsigned *preempted)
{
    struct vm_run *run = vm_run_start(thread, image, NULL, NULL);
    double before = bench_now_ns();

    *preempted = 0;
    expect_tick(thread);
    while (run != NULL && vm_run_resume(run) == VM_STATE_PREEMPTED) {
        expect_tick(thread);
        ++*preempted;
    }
    before = bench_now_ns() - before;
    vm_run_free(run);
    return before;
}

/* The same in C, under a timer whose handler does nothing: what the machine itself takes. */
static double spin_natively(unsigned *ticks)
{
    double before = bench_now_ns();

    idle_signals = 0;
    for (volatile unsigned i = 0; i < SPIN_COUNT; i++) {
    }
    before = bench_now_ns() - before;
    *ticks = (unsigned)idle_signals;
    return before;
}

struct ticks {
    double undisturbed;
    double disturbed; /* with its count, of the best round */
    unsigned count;
};

static void ticks_sample(struct ticks *t, double disturbed, unsigned count)
{
    if (count != 0 && (t->count == 0 || disturbed < t->disturbed)) {
        t->disturbed = disturbed;
        t->count = count;
    }
}

static double tick_cost_us(const struct ticks *t)
{
    return t->count != 0 ? (t->disturbed - t->undisturbed) / t->count / NS_PER_US : 0;
}

/* Ticks by a real timer: what it costs here to have one, and to be switched out by one. */
static void timer_ticks(struct bench_costs *out, struct vm_thread *thread, unsigned rounds)
{
    static const struct vm_insn loop[] = {INSN(0xb7, 1, 0, 0, SPIN_COUNT), INSN(0x17, 1, 0, 0, 1),
                                          INSN(0x55, 1, 0, -2, 0), EXIT};
    struct vm_program *program = program_of(loop, 4, 0);
    struct vm_image *image = bench_image(&jit_x86_64, program);
    struct ticks guest = {.count = 0};
    struct ticks native = {.count = 0};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_t timer;

    if (signal(SIGUSR1, count_signal) == SIG_ERR ||
        timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) {
        bench_die("cannot make a timer");
    }
    for (unsigned round = 0; round < rounds; round++) {
        unsigned count;

        set_period(thread->timer, NEVER_US);
        bench_keep_min(&guest.undisturbed, spin(thread, image, &count));
        bench_keep_min(&native.undisturbed, spin_natively(&count));
        set_period(timer, TICK_PERIOD_US);
        double disturbed = spin_natively(&count);
        set_period(timer, 0);
        ticks_sample(&native, disturbed, count);
        set_period(thread->timer, TICK_PERIOD_US);
        disturbed = spin(thread, image, &count);
        ticks_sample(&guest, disturbed, count);
    }
    set_period(thread->timer, NEVER_US);
    timer_delete(timer);
    bench_cost_add(out, "a timer signal, empty handler", tick_cost_us(&native), "us", 0);
    bench_cost_add(out, "a tick by a timer, switching out, resuming", tick_cost_us(&guest), "us",
                   0);
    vm_thread_forget(thread, image);
    vm_image_free(image);
    vm_program_free(program);
}

static uint64_t send_tick(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    (void)arg;
    syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), VM_TICK_SIGNAL);
    return 0;
}

/* The tick without a timer's interrupt: the run sends it to its own thread. */
static void sent_tick(struct bench_costs *out, struct vm_thread *thread, unsigned rounds)
{
    static const struct vm_helper sender = {.name = "send_tick", .fn = send_tick};
    static const struct vm_helper *const helpers[] = {&sender};
    static const struct vm_insn insns[] = {INSN(0x85, 0, 0, 0, 0), EXIT};
    struct vm_program_desc desc = {
        .name = "tick", .insns = insns, .insn_count = 2, .helpers = helpers, .helper_count = 1};
    struct vm_diag diag = {.text = ""};
    struct vm_program *program = vm_program_create(&desc, &diag);
    struct vm_image *image;
    unsigned preempted;
    double ns = 0;

    if (program == NULL) {
        bench_die("%s", diag.text);
    }
    image = bench_image(&jit_x86_64, program);
    for (unsigned i = 0; i < rounds * BATCH; i++) {
        double taken = spin(thread, image, &preempted) - bench_clock_cost_ns();

        if (preempted != 1) {
            bench_die("a tick did not switch out");
        }
        bench_keep_min(&ns, taken);
    }
    bench_cost_add(out, "a tick sent, switching out, resuming", ns / NS_PER_US, "us", 6);
    vm_thread_forget(thread, image);
    vm_image_free(image);
    vm_program_free(program);
}

/* ---- compiling ---- */

/* Twenty instructions as compilers write them: a loop over bytes, a frame, a call. */
/* clang-format off */
static const struct vm_insn typical[] = {
    INSN(0xbf, 6, 10, 0, 0),  /* mov r6, r10 */
    INSN(0x07, 6, 0, 0, -64), /* add r6, -64 */
    INSN(0x7b, 10, 1, -8, 0), /* stxdw [r10-8], r1 */
    INSN(0xb7, 2, 0, 0, 0),   /* mov r2, 0 */
    INSN(0x71, 3, 6, 4, 0),   /* ldxb r3, [r6+4] */
    INSN(0x25, 3, 0, 3, 57),  /* jgt r3, 57, +3 */
    INSN(0x27, 2, 0, 0, 10),  /* mul r2, 10 */
    INSN(0x0f, 2, 3, 0, 0),   /* add r2, r3 */
    INSN(0x05, 0, 0, 2, 0),   /* ja +2 */
    INSN(0x67, 2, 0, 0, 5),   /* lsh r2, 5 */
    INSN(0xaf, 2, 3, 0, 0),   /* xor r2, r3 */
    INSN(0x73, 6, 2, 5, 0),   /* stxb [r6+5], r2 */
    INSN(0x04, 7, 0, 0, 1),   /* add32 r7, 1 */
    INSN(0x57, 7, 0, 0, 255), /* and r7, 255 */
    INSN(0x1d, 7, 2, 2, 0),   /* jeq r7, r2, +2 */
    INSN(0x79, 1, 10, -8, 0), /* ldxdw r1, [r10-8] */
    INSN(0x77, 1, 0, 0, 32),  /* rsh r1, 32 */
    INSN(0xbc, 4, 1, 0, 0),   /* mov32 r4, r1 */
    INSN(0x3f, 4, 2, 0, 0),   /* div r4, r2 */
    INSN(0x0f, 0, 4, 0, 0),   /* add r0, r4 */
};
/* clang-format on */

#define TYPICAL_COUNT (sizeof typical / sizeof typical[0])

struct compile {
    struct vm_program *program;
    unsigned repeats; /* a round */
    double ns;
};

static struct compile compile_of(uint32_t insn_count, unsigned repeats)
{
    struct vm_insn *insns = malloc(insn_count * sizeof *insns);
    struct compile c = {.repeats = repeats};

    if (insns == NULL) {
        bench_die("out of memory");
    }
    for (uint32_t i = 0; i < insn_count; i++) {
        insns[i] = typical[i % TYPICAL_COUNT];
    }
    insns[insn_count - 1] = EXIT;
    c.program = program_of(insns, insn_count, 0);
    free(insns);
    return c;
}

static void compile_sample(struct compile *c)
{
    for (unsigned i = 0; i < c->repeats; i++) {
        double before = bench_now_ns();
        struct vm_image *image = bench_image(&jit_x86_64, c->program);

        bench_keep_min(&c->ns, bench_now_ns() - before);
        vm_image_free(image);
    }
}

static void compiles(struct bench_costs *out, unsigned rounds)
{
    struct compile c[] = {compile_of(500, 10), compile_of(10000, 2), compile_of(100000, 1),
                          compile_of(1000000, 1)};

    for (unsigned round = 0; round < rounds; round++) {
        for (size_t i = 0; i < 4; i++) {
            if (i < 3 || round % 8 == 0) {
                compile_sample(&c[i]);
            }
        }
    }
    bench_cost_add(out, "compiling 500 instructions", c[0].ns / NS_PER_US, "us", 150);
    bench_cost_add(out, "an instruction of 10^4 compiled", c[1].ns / 1e4, "ns", 0);
    bench_cost_add(out, "an instruction of 10^5 compiled", c[2].ns / 1e5, "ns", 0);
    bench_cost_add(out, "an instruction of 10^6 compiled", c[3].ns / 1e6, "ns", 0);
    for (size_t i = 0; i < 4; i++) {
        vm_program_free(c[i].program);
    }
}

void bench_costs(struct bench_costs *out, struct vm_thread *thread, unsigned rounds)
{
    trips(out, thread, rounds);
    helper_calls(out, thread, rounds);
    sent_tick(out, thread, rounds);
    timer_ticks(out, thread, rounds);
    compiles(out, rounds);
}
