/* SPDX-License-Identifier: Apache-2.0 */
/* Images, threads and runs: taking a run from the pool, entering and leaving it, what it may use of
 * the processor. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vm/alloc.h"
#include "vm/run.h"
#include "vm/segment.h"

#define NS_PER_MS 1000000ull
#define NS_PER_US 1000ull

_Static_assert(sizeof(struct vm_run) <= VM_ARENA_BESIDE_BYTES, "a run fits beside its context");

/* ---- images ---- */

const char *vm_engine_name(const struct vm_engine *engine)
{
    return engine->name;
}

struct vm_image *vm_image_create(const struct vm_engine *engine, const struct vm_program *program,
                                 struct vm_diag *diag)
{
    struct vm_image *image = vm_allocate_zero(1, sizeof *image);

    if (image == NULL) {
        (void)vm_diag_set(diag, VM_ERROR_NO_MEMORY, VM_NO_INSN, "out of memory");
        return NULL;
    }
    image->engine = engine;
    image->program = program;
    image->code = engine->prepare(program, diag);
    if (image->code == NULL) {
        vm_release(image);
        return NULL;
    }
    engine->preemptible(image->code, &image->preemptible.start, &image->preemptible.end);
    image->guest = image->preemptible;
    if (engine->guest_text != NULL) {
        engine->guest_text(&image->guest.start, &image->guest.end);
    }
    image->uses_gs = engine->uses_gs != NULL && engine->uses_gs(image->code);
    return image;
}

void vm_image_free(struct vm_image *image)
{
    if (image != NULL) {
        image->engine->release(image->code);
        vm_release(image);
    }
}

const struct vm_program *vm_image_program(const struct vm_image *image)
{
    return image->program;
}

/* ---- threads ---- */

struct vm_thread *vm_thread_create(const struct vm_thread_config *config, struct vm_diag *diag)
{
    struct vm_thread *t = vm_allocate_zero(1, sizeof *t);

    if (t == NULL) {
        (void)vm_diag_set(diag, VM_ERROR_NO_MEMORY, VM_NO_INSN, "out of memory");
        return NULL;
    }
    t->tick_ns = NS_PER_MS * (config->tick_ms != 0 ? config->tick_ms : VM_TICK_MS_DEFAULT);
    t->fine_tick_ns = config->fine_tick_us != 0 ? NS_PER_US * config->fine_tick_us : t->tick_ns;
    t->budget_ns = NS_PER_MS * (config->budget_ms != 0 ? config->budget_ms : VM_BUDGET_MS_DEFAULT);
    t->run_count_max = config->run_count_max != 0 ? config->run_count_max : VM_RUN_COUNT_DEFAULT;
    t->heap_bytes_max =
        config->heap_bytes_max != 0 ? config->heap_bytes_max : VM_HEAP_BYTES_DEFAULT;
    if (t->heap_bytes_max > VM_HEAP_BYTES_MAX) {
        t->heap_bytes_max = VM_HEAP_BYTES_MAX;
    }
    if (vm_trap_attach(t, diag) != VM_ERROR_OK) {
        vm_trap_detach(t);
        vm_release(t);
        return NULL;
    }
    return t;
}

static void destroy_run(struct vm_run *run)
{
    struct vm_arena arena = run->arena; /* the run lies in it */

    vm_fiber_destroy(&run->fiber);
    vm_arena_destroy(&arena);
}

void vm_thread_free(struct vm_thread *t)
{
    if (t == NULL) {
        return;
    }
    assert(t->live_count == 0 && t->running == NULL);
    for (unsigned i = 0; i < VM_POOL_LISTS; i++) {
        while (t->pool[i] != NULL) {
            struct vm_run *run = t->pool[i];

            t->pool[i] = run->next;
            destroy_run(run);
        }
    }
    vm_trap_detach(t);
    vm_release(t);
}

void vm_thread_forget(struct vm_thread *t, const struct vm_image *image)
{
    struct vm_run **link = vm_pool_of(t, image);

    while (*link != NULL) {
        struct vm_run *run = *link;

        if (run->image == image && run != t->running) {
            *link = run->next;
            destroy_run(run);
        } else {
            link = &run->next;
        }
    }
}

/* ---- the pool ---- */

/* The link to a pooled run of this image but `under_way`, which may be one; or to NULL. */
static inline struct vm_run **find_pooled(struct vm_thread *t, const struct vm_image *image,
                                          const struct vm_run *under_way)
{
    struct vm_run **link = vm_pool_of(t, image);

    while (*link != NULL && ((*link)->image != image || *link == under_way)) {
        link = &(*link)->next;
    }
    return link;
}

static struct vm_run *take_pooled(struct vm_thread *t, const struct vm_image *image)
{
    struct vm_run **link = find_pooled(t, image, t->running);
    struct vm_run *run = *link;

    if (run != NULL) {
        *link = run->next;
    }
    return run;
}

static void leave_pool(struct vm_thread *t, const struct vm_run *run)
{
    struct vm_run **link = vm_pool_of(t, run->image);

    while (*link != run) {
        link = &(*link)->next;
    }
    *link = run->next;
}

static void put_pooled(struct vm_thread *t, struct vm_run *run)
{
    struct vm_run **pool = vm_pool_of(t, run->image);

    run->next = *pool;
    *pool = run;
}

static const struct vm_fault no_fault = {.function = "", .insn = VM_NO_INSN};

void vm_run_set_image(struct vm_run *run, const struct vm_image *image)
{
    struct vm_context *context = vm_arena_context(&run->arena);

    run->image = image;
    vm_arena_set_program(&run->arena, image->program);
    run->uses_gs = image->uses_gs;
    run->fiber.main = image->engine->enter;
    run->entry = NULL;
    memset(context->notes, 0, sizeof context->notes);
    context->gates = image->program->gates;
}

/* Not inlined, or starting would save its registers. */
static __attribute__((noinline)) struct vm_run *make_run(struct vm_thread *t,
                                                         const struct vm_image *image)
{
    struct vm_arena arena;
    struct vm_run *run;

    if (!vm_arena_create(&arena, image->program, t->heap_bytes_max, NULL)) {
        return NULL;
    }
    run = vm_arena_beside(&arena);
    run->arena = arena;
    run->thread = t;
    vm_fiber_create(&run->fiber, vm_arena_context(&arena), vm_arena_context(&arena));
    vm_arena_context(&run->arena)->run = run;
    vm_run_set_image(run, image);
    return run;
}

/* ---- on the run's own stack ---- */

void vm_run_set_fault(struct vm_run *run, enum vm_fault_kind kind, uint32_t address, uint32_t insn)
{
    const struct vm_function *function = vm_program_function_at(run->image->program, insn);
    const struct vm_line *line = vm_program_line_at(run->image->program, insn);
    const struct vm_context *context = vm_arena_context(&run->arena);

    run->fault = (struct vm_fault){.kind = kind,
                                   .address = address,
                                   .insn = insn,
                                   .function = function != NULL ? function->name : "",
                                   .file = line != NULL ? line->file : NULL,
                                   .line = line != NULL ? line->line : 0,
                                   .regs_known = context->regs_known};
    memcpy(run->fault.regs, context->regs, sizeof run->fault.regs);
}

void vm_run_trust_kept(struct vm_run *run)
{
    const struct vm_engine *engine = run->image->engine;
    struct vm_context *context = vm_arena_context(&run->arena);

    if (engine->live != NULL) {
        context->regs_known = engine->live(run->image->code, context->insn);
    }
}

void vm_run_leave_faulted(struct vm_run *run)
{
    run->state = VM_STATE_FAULT;
    run->entry = NULL;
    vm_fiber_leave(&run->fiber, true);
    __builtin_unreachable();
}

void vm_run_suspend(struct vm_run *run, enum vm_state state)
{
    run->state = state;
    run->entry = NULL;
    vm_fiber_leave(&run->fiber, false);
}

void vm_fault_raise(struct vm_context *context, enum vm_fault_kind kind, uint32_t address)
{
    vm_run_trust_kept(context->run);
    vm_run_set_fault(context->run, kind, address, context->insn);
    vm_run_leave_faulted(context->run);
}

void vm_yield(struct vm_context *context)
{
    if (atomic_exchange_explicit(&context->pending, 0, memory_order_relaxed) != 0) {
        if (context->regs == context->kept) {
            context->regs_known = 0; /* the helper is over, what follows has not begun */
        }
        vm_run_suspend(context->run, VM_STATE_PREEMPTED);
    }
}

/* ---- on the thread's stack ---- */

/* Makes it begin at `entry`, and undoes what only few runs change: those that were switched out,
 * faulted, or were given something before they began. Not inlined: most begin where they did last.
 */
static __attribute__((noinline)) void prepare(struct vm_run *run, const struct vm_entry *entry)
{
    struct vm_context *context = vm_arena_context(&run->arena);

    run->entry = entry;
    run->entry_insn = entry->insn;
    run->fiber.at = run->image->engine->place(run->image->code, entry->insn);
    vm_fiber_reset(&run->fiber);
    run->resumed = false;
    run->slice_start_ns = 0;
    run->budget_left_ns = run->thread->budget_ns;
    run->fault = no_fault;
    memset(context->kept, 0, sizeof context->kept);
    context->depth_left = VM_CALL_DEPTH_MAX;
    context->trace = NULL;
    context->regs = context->kept;
    context->regs_known = 0;
}

/* Of a run that begins at run->entry: all but run->state, which arriving sets. */
static inline void begin(struct vm_run *run, void *host)
{
    struct vm_context *context = vm_arena_context(&run->arena);

    context->insn = run->entry_insn;
    atomic_store_explicit(&context->pending, 0, memory_order_relaxed);
    context->host = host;
}

static inline const struct vm_entry *entry_of(const struct vm_image *image,
                                              const struct vm_entry *entry)
{
    return entry != NULL ? entry : image->program->entries;
}

void vm_run_begin(struct vm_run *run, const struct vm_entry *entry, void *host)
{
    entry = entry_of(run->image, entry);
    if (run->entry != entry) {
        prepare(run, entry);
    }
    begin(run, host);
    run->state = VM_STATE_PREEMPTED;
}

struct vm_run *vm_run_start(struct vm_thread *t, const struct vm_image *image,
                            const struct vm_entry *entry, void *host)
{
    struct vm_run *run;

    assert(t == vm_thread_self());
    if (t->live_count >= t->run_count_max) {
        return NULL;
    }
    run = take_pooled(t, image);
    if (run == NULL) {
        run = make_run(t, image);
    }
    if (run == NULL) {
        return NULL;
    }
    t->live_count++;
    vm_run_begin(run, entry, host);
    return run;
}

void vm_run_set_args(struct vm_run *run, const uint64_t args[5])
{
    run->entry = NULL;
    memcpy(&vm_arena_context(&run->arena)->kept[1], args, 5 * sizeof *args);
}

uint32_t vm_run_heap_alloc(struct vm_run *run, uint32_t bytes, uint8_t **host)
{
    return vm_arena_heap_alloc(&run->arena, bytes, host);
}

void vm_run_set_trace(struct vm_run *run, vm_trace_fn *fn, void *trace_context)
{
    struct vm_context *context = vm_arena_context(&run->arena);

    run->entry = NULL;
    context->trace = fn;
    context->trace_context = trace_context;
}

void vm_run_pause(struct vm_run *run)
{
    assert(run->thread->running == run);
    vm_run_suspend(run, VM_STATE_WAITING);
}

const uint8_t *vm_run_memory(const struct vm_run *run, uint64_t address, uint64_t length)
{
    return length == 0 ? NULL : vm_arena_readable(&run->arena, address, length);
}

const struct vm_program *vm_run_program(const struct vm_run *run)
{
    return run->image->program;
}

void vm_run_set_budget(struct vm_run *run, uint64_t ns)
{
    run->entry = NULL;
    run->budget_left_ns = ns;
}

uint64_t vm_run_budget_left(const struct vm_run *run)
{
    return run->budget_left_ns;
}

/* Not inlined, as charge is not: resuming is mostly without them. */
static __attribute__((noinline)) uint64_t thread_time_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* Charges the slice that a tick ended. A first slice is mostly not measured, so that short runs
 * need no clock: it counts as one tick. */
static __attribute__((noinline)) void charge(struct vm_run *run)
{
    uint64_t used =
        run->slice_start_ns != 0 ? thread_time_ns() - run->slice_start_ns : run->thread->slice_ns;

    run->resumed = true;
    if (used < run->budget_left_ns) {
        run->budget_left_ns -= used;
        return;
    }
    run->budget_left_ns = 0;
    vm_run_set_fault(run, VM_FAULT_BUDGET, 0, vm_arena_context(&run->arena)->insn);
    run->state = VM_STATE_FAULT;
}

static __attribute__((noinline)) uint64_t enter_with_gs(struct vm_run *run)
{
    uintptr_t before = vm_segment_get();
    uint64_t result;

    vm_segment_set((uintptr_t)run->arena.base);
    result = vm_fiber_enter(&run->fiber);
    vm_segment_set(before);
    return result;
}

/* From here on ticks look at the run. `again`: one switched it out before. A run that is not over
 * says so itself when it leaves. */
static inline void arrive(struct vm_thread *t, struct vm_run *run, bool again)
{
    if ((++t->resume_count & t->stamp_mask) == 0) {
        vm_trap_stamp(t);
    }
    t->running = run;
    if (again || !t->armed) {
        vm_trap_arm(t);
    }
    run->state = VM_STATE_DONE;
}

/* What becomes of a run that has left, not being over. */
static enum vm_state settle(struct vm_thread *t, struct vm_run *run)
{
    if (run->state == VM_STATE_PREEMPTED) {
        vm_trap_refine(t);
        charge(run);
    }
    return run->state;
}

enum vm_state vm_run_resume(struct vm_run *run)
{
    struct vm_thread *t = run->thread;

    assert(t == vm_thread_self() && t->running == NULL);
    assert(run->state == VM_STATE_PREEMPTED || run->state == VM_STATE_WAITING);
    if (run->resumed) {
        run->slice_start_ns = thread_time_ns();
    }
    arrive(t, run, run->resumed);
    run->result = run->uses_gs ? enter_with_gs(run) : vm_fiber_enter(&run->fiber);
    t->running = NULL;
    return settle(t, run);
}

uint64_t vm_run_result(const struct vm_run *run)
{
    return run->result;
}

const struct vm_fault *vm_run_fault(const struct vm_run *run)
{
    return &run->fault;
}

void vm_run_free(struct vm_run *run)
{
    if (run != NULL) {
        run->thread->live_count--;
        vm_arena_restore(&run->arena);
        put_pooled(run->thread, run);
    }
}

/* Of vm_run_at_once: it was not over. Cold, so that it does not lie between the steps of those that
 * are, which is most. */
static __attribute__((noinline, cold)) struct vm_outcome not_at_once(struct vm_thread *t,
                                                                     struct vm_run *run)
{
    leave_pool(t, run);
    return (struct vm_outcome){.state = settle(t, run), .run = run};
}

/* Of vm_run_at_once: there is no run that begins at `entry`; so that there is one, and it can go
 * on. */
static __attribute__((noinline, cold)) struct vm_outcome prepare_first(struct vm_thread *t,
                                                                       const struct vm_image *image,
                                                                       const struct vm_entry *entry,
                                                                       void *host)
{
    struct vm_run *run = *find_pooled(t, image, NULL);

    if (run == NULL) {
        run = make_run(t, image);
        if (run == NULL) {
            return (struct vm_outcome){.state = VM_STATE_FAULT, .run = NULL};
        }
        put_pooled(t, run);
    }
    prepare(run, entry);
    return vm_run_at_once(t, image, entry, host);
}

/* The run stays in the pool meanwhile: nobody else takes it while it is under way. Whatever is rare
 * is done elsewhere, by calls that come last, so that hardly a register is to be saved. */
struct vm_outcome vm_run_at_once(struct vm_thread *t, const struct vm_image *image,
                                 const struct vm_entry *entry, void *host)
{
    struct vm_run *run;
    uint64_t result;

    assert(t == vm_thread_self() && t->running == NULL);
    if (t->live_count >= t->run_count_max) {
        return (struct vm_outcome){.state = VM_STATE_FAULT, .run = NULL};
    }
    entry = entry_of(image, entry);
    run = *find_pooled(t, image, NULL);
    if (run == NULL || run->entry != entry) {
        return prepare_first(t, image, entry, host);
    }
    t->live_count++;
    begin(run, host);
    arrive(t, run, false);
    result = run->uses_gs ? enter_with_gs(run) : vm_fiber_begin(&run->fiber);
    t->running = NULL;
    if (run->state != VM_STATE_DONE) {
        return not_at_once(t, run);
    }
    t->live_count--;
    vm_arena_restore(&run->arena);
    return (struct vm_outcome){.state = VM_STATE_DONE, .result = result};
}
