/* SPDX-License-Identifier: Apache-2.0 */
#include "server/script_run.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "server/log.h"

#define FAULT_TEXT_BYTES   512u
#define SECTION_NAME_BYTES 256u

/* ---- frames ---- */

static struct script_frame *top(const struct script_runs *runs)
{
    return runs->frames[runs->depth - 1];
}

/* Gives the next depth its frame. */
static void use_frame(struct script_runs *runs, struct script_frame *frame)
{
    helper_state_begin(&frame->state, runs->ex, &runs->set->shared);
    runs->frames[runs->depth] = frame;
}

void runs_begin(struct script_runs *runs, struct script_host *host, const struct script_set *set,
                struct exchange *ex, struct script_frame *first)
{
    runs->host = host;
    runs->set = set;
    runs->ex = ex;
    runs->plain = host->watch == NULL && ex->request_body.complete;
    use_frame(runs, first);
}

/* Makes the first frame of the next depth and adds it. Not inlined, or each push would save its
 * registers: most frames are used again. */
static __attribute__((noinline)) struct script_frame *
push_first(struct script_runs *runs, const struct script *script, const struct vm_entry *entry)
{
    struct script_frame *frame = pool_alloc(&runs->ex->pool, sizeof *frame);

    if (frame == NULL) {
        return NULL;
    }
    bytes_clear(frame, SCRIPT_FRAME_CLEARED);
    use_frame(runs, frame);
    return runs_push(runs, script, entry);
}

/* All that a frame needs to be used again, see pop. */
static inline void set_script(struct script_frame *frame, const struct script *script,
                              const struct vm_entry *entry)
{
    frame->script = script;
    frame->entry = entry;
    frame->state.script = script->name;
}

struct script_frame *runs_push(struct script_runs *runs, const struct script *script,
                               const struct vm_entry *entry)
{
    struct script_frame *frame;

    assert(runs->depth <= LIM_CALL_DEPTH);
    frame = runs->frames[runs->depth];
    if (frame == NULL) {
        return push_first(runs, script, entry);
    }
    assert(frame->run == NULL);
    set_script(frame, script, entry);
    frame->state.response = runs->depth > 0 ? top(runs)->state.response : NULL;
    runs->depth++;
    return frame;
}

struct script_frame *runs_push_apart(struct script_runs *runs, const struct script *script,
                                     const struct vm_entry *entry)
{
    struct script_frame *frame = runs_push(runs, script, entry);

    if (frame == NULL) {
        return NULL;
    }
    frame->own_answer = true;
    frame->saved = helper_answer_take(runs->ex);
    if (runs->depth == 1) { /* the memory holds what a script before has answered */
        frame->state.body = NULL;
        frame->state.body_capacity = 0;
    }
    return frame;
}

static inline void drop_values(struct script_frame *frame)
{
    if (frame->state.json != NULL) {
        helper_json_finish(&frame->state);
    }
}

/* The values of the frame that ended last are kept until the one below has copied the result. */
static inline void drop_values_above(struct script_runs *runs)
{
    struct script_frame *ended = runs->frames[runs->depth];

    if (ended != NULL) {
        drop_values(ended);
    }
}

/* An arena can be had again, which somebody may wait for. */
static inline void tell_given_back(struct script_host *host, bool upload)
{
    if (upload || host->wanted) {
        host->given_back++;
        host->wanted = false; /* until somebody finds none again */
    }
}

static void give_back(struct script_host *host, struct script_frame *frame)
{
    vm_run_free(frame->run);
    frame->run = NULL;
    host->live--;
    host->uploads -= frame->upload;
    tell_given_back(host, frame->upload);
}

/* The topmost, `frame`, is over, its values apart. */
static inline void pop(struct script_runs *runs, struct script_frame *frame)
{
    if (frame->run != NULL) {
        if (frame->state.log_used > 0) {
            helper_log_finish(&frame->state);
        }
        if (runs->charged) {
            runs->budget_left_ns = vm_run_budget_left(frame->run);
        }
        give_back(runs->host, frame);
    }
    if (frame->own_answer) {
        helper_answer_put(runs->ex, &frame->saved);
    }
    frame->input = 0;
    frame->own_answer = false;
    frame->state.call.state = CALL_NONE;
    frame->state.response = NULL;
    runs->depth--;
}

bool runs_is_starved(const struct script_runs *runs)
{
    return runs->depth > 0 && top(runs)->run == NULL;
}

void runs_drop(struct script_runs *runs)
{
    if (runs->stuck) {
        runs->host->stuck -= runs->depth - 1;
        runs->stuck = false;
    }
    drop_values_above(runs);
    while (runs->depth > 0) {
        pop(runs, top(runs));
        drop_values_above(runs);
    }
}

/* ---- starting ---- */

/* r1 of a called function points to its handle. Not inlined, or its array would have the compiler
 * guard the stack at every start. */
static __attribute__((noinline)) bool pass_input(struct script_frame *frame)
{
    uint64_t args[5] = {0};
    uint8_t *host;

    args[0] = vm_run_heap_alloc(frame->run, sizeof frame->input, &host);
    if (args[0] == 0) {
        return false;
    }
    memcpy(host, &frame->input, sizeof frame->input);
    vm_run_set_args(frame->run, args);
    return true;
}

/* The topmost. False: the arenas are all in use, or there is no memory for one. */
static inline bool start(struct script_runs *runs, struct script_frame *frame)
{
    struct script_host *host = runs->host;

    frame->upload = runs->depth == 1 && !runs->ex->request_body.complete;
    if (frame->upload && host->uploads >= host->uploads_max) {
        return false;
    }
    frame->run = vm_run_start(host->thread, frame->script->image, frame->entry, &frame->state);
    if (frame->run == NULL) {
        host->wanted = true;
        return false;
    }
    host->live++;
    host->uploads += frame->upload;
    if (runs->charged) {
        vm_run_set_budget(frame->run, runs->budget_left_ns);
    }
    if (frame->input != 0 && !pass_input(frame)) {
        give_back(host, frame);
        host->wanted = true;
        return false;
    }
    if (host->watch != NULL && host->watch->started != NULL) {
        host->watch->started(host->watch->context, frame->run);
    }
    return true;
}

/* Waiting for an arena is of use while somebody has one; when this request has some itself, while
 * somebody has one who does not wait for another. */
static bool may_wait(struct script_runs *runs)
{
    struct script_host *host = runs->host;

    if (!runs->stuck) {
        host->stuck += runs->depth - 1;
        runs->stuck = true;
    }
    return host->live > (runs->depth == 1 ? 0 : host->stuck);
}

static void got_unstuck(struct script_runs *runs)
{
    if (runs->stuck) {
        runs->host->stuck -= runs->depth - 1;
        runs->stuck = false;
    }
}

/* ---- calls ---- */

static bool names_script(struct span text, const char *name)
{
    struct span own = span_of(name);

    return span_equal(text, own) ||
           (text.len == own.len + 2 && memcmp(text.base, own.base, own.len) == 0 &&
            memcmp(text.base + own.len, ".o", 2) == 0);
}

const struct vm_entry *runs_find(const struct script_set *set, struct span script,
                                 struct span function, const struct script **out)
{
    char section[SECTION_NAME_BYTES];
    int length = snprintf(section, sizeof section, "zeroserve.call.%.*s", (int)function.len,
                          function.base == NULL ? "" : function.base);

    if (function.len >= sizeof section || length >= (int)sizeof section) {
        return NULL;
    }
    for (unsigned i = 0; i < set->count; i++) {
        if (names_script(script, set->items[i].name)) {
            const struct vm_program *program = set->items[i].program;

            *out = &set->items[i];
            for (uint32_t e = 0; e < vm_program_entry_count(program); e++) {
                if (strcmp(vm_program_entry(program, e)->section, section) == 0) {
                    return vm_program_entry(program, e);
                }
            }
            return NULL;
        }
    }
    return NULL;
}

/* The topmost waits for what it asked for: adds the frame of the called function, or tells it at
 * once that there is none. Like end_call and report_fault not inlined: they are rare, and runs_go
 * would save their registers and guard their arrays. */
static __attribute__((noinline)) void begin_call(struct script_runs *runs)
{
    struct script_frame *caller = top(runs);
    struct helper_call *call = &caller->state.call;
    uint64_t left = vm_run_budget_left(caller->run);
    const struct script *script;
    const struct vm_entry *entry = runs_find(runs->set, call->script, call->function, &script);
    struct script_frame *frame;

    if (left <= LIM_CALL_NS) {
        call->state = CALL_TOO_LATE;
        return;
    }
    runs->budget_left_ns = left - LIM_CALL_NS;
    runs->charged = true;
    vm_run_set_budget(caller->run, runs->budget_left_ns);
    call->state = CALL_FAILED;
    if (entry == NULL || runs->depth > LIM_CALL_DEPTH) {
        return;
    }
    frame = runs_push_apart(runs, script, entry);
    if (frame == NULL) {
        return;
    }
    frame->input = helper_json_give(&frame->state, call->value);
    if (frame->input == 0) {
        pop(runs, frame);
        return;
    }
    call->state = CALL_WANTED;
}

/* The topmost, a called function, is over: the one below goes on. */
static __attribute__((noinline)) void end_call(struct script_runs *runs, bool returned)
{
    struct script_frame *frame = top(runs);
    struct helper_call *call = &runs->frames[runs->depth - 2]->state.call;
    int64_t result = returned ? (int64_t)vm_run_result(frame->run) : -1;
    const struct json_t *value =
        result > 0 ? helper_json_value(&frame->state, (uint64_t)result) : NULL;

    pop(runs, frame);
    vm_run_set_budget(top(runs)->run, runs->budget_left_ns);
    call->state = value == NULL ? CALL_FAILED : CALL_RETURNED;
    call->value = value;
}

/* ---- running ---- */

static __attribute__((noinline)) void report_fault(const struct script_runs *runs)
{
    const struct script_frame *frame = top(runs);
    char text[FAULT_TEXT_BYTES] = "out of memory";

    if (frame->run != NULL) {
        vm_fault_format(vm_run_fault(frame->run), text, sizeof text);
    }
    if (runs->error != NULL) {
        snprintf(runs->error, runs->error_bytes, "script '%s': %s: %s", frame->script->name,
                 frame->entry->section, text);
    } else {
        log_line("script '%s': %s (request %" PRIu64 ")", frame->script->name, text, runs->ex->id);
    }
}

/* The topmost, `frame`, ended. True: it was the only one. */
static inline bool finish(struct script_runs *runs, struct script_frame *frame, bool faulted)
{
    const struct script_watch *watch = runs->host->watch;

    if (faulted) {
        report_fault(runs);
    }
    if (watch != NULL && watch->ended != NULL && frame->run != NULL) {
        watch->ended(watch->context, frame->run, faulted);
    }
    if (runs->depth > 1) {
        end_call(runs, !faulted);
        return false;
    }
    if (runs->result != NULL && !faulted) {
        *runs->result = vm_run_result(frame->run);
    }
    pop(runs, frame);
    drop_values(frame);
    return true;
}

/* Goes on with the topmost, `frame`. If it has no run then, it could not start. */
static inline enum vm_state advance(struct script_runs *runs, struct script_frame *frame)
{
    enum vm_state state;

    if (frame->run == NULL && !start(runs, frame)) {
        return VM_STATE_FAULT;
    }
    got_unstuck(runs);
    state = vm_run_resume(frame->run);
    drop_values_above(runs);
    return state;
}

/* The topmost, `frame`, has advanced to `state`. True: *end is how it ends, or stops for now. */
static inline bool has_stopped(struct script_runs *runs, struct script_frame *frame,
                               enum vm_state state, enum runs_end *end)
{
    if (frame->run == NULL) {
        if (may_wait(runs)) {
            *end = RUNS_PENDING;
            return true;
        }
        got_unstuck(runs);
    } else if (state != VM_STATE_DONE) {
        runs->charged = true; /* or may have been */
    }
    if (state == VM_STATE_DONE || state == VM_STATE_FAULT) {
        *end = state == VM_STATE_FAULT ? RUNS_FAULTED : RUNS_RETURNED;
        return finish(runs, frame, state == VM_STATE_FAULT);
    }
    if (state == VM_STATE_WAITING && frame->state.call.state == CALL_WANTED) {
        begin_call(runs);
        return false;
    }
    *end = RUNS_PENDING;
    return true;
}

enum runs_end runs_go(struct script_runs *runs)
{
    struct script_frame *frame;
    enum vm_state state;
    enum runs_end end;

    do {
        frame = top(runs);
        state = advance(runs, frame);
    } while (!has_stopped(runs, frame, state, &end));
    return end;
}

/* As if pushed, begun and advanced to what vm_run_at_once said. */
static __attribute__((noinline)) enum runs_end
go_on(struct script_runs *runs, const struct script_step *step, struct vm_outcome outcome)
{
    struct script_frame *frame = runs->frames[0];
    enum runs_end end;

    set_script(frame, step->script, step->entry);
    frame->run = outcome.run;
    frame->upload = false;
    runs->depth = 1;
    runs->plain = false;
    runs->host->live += frame->run != NULL;
    runs->host->wanted = runs->host->wanted || frame->run == NULL;
    return has_stopped(runs, frame, outcome.state, &end) ? end : runs_go(runs);
}

/* Whether `next` is a step, and nothing before it has left a response, an abort or an upstream. */
static inline bool goes_on(const struct exchange *ex, const struct script_step *next)
{
    return next->script != NULL && ex->status == 0 && !ex->aborted && ex->proxy == NULL;
}

/* Of runs_go_along, all steps that are over at once, one after another without a frame. *step is
 * then the last that ran. */
static inline enum runs_end go_plainly(struct script_runs *runs, const struct script_step **step)
{
    struct script_host *host = runs->host;
    struct vm_thread *thread = host->thread;
    struct script_frame *frame = runs->frames[0];
    const struct script_step *at = *step;

    for (;; at++) {
        struct vm_outcome outcome;

        frame->state.script = at->name;
        outcome = vm_run_at_once(thread, at->image, at->entry, &frame->state);
        if (outcome.state != VM_STATE_DONE) {
            *step = at;
            return go_on(runs, at, outcome);
        }
        if (frame->state.log_used > 0) {
            helper_log_finish(&frame->state);
        }
        tell_given_back(host, false);
        drop_values(frame);
        if (!goes_on(runs->ex, at + 1)) {
            *step = at;
            return RUNS_RETURNED;
        }
    }
}

/* The same of one step with a frame. Not inlined, nor is go_on: those that are over at once are to
 * lie close together. */
static __attribute__((noinline)) enum runs_end go_framed(struct script_runs *runs,
                                                         const struct script_step *step)
{
    if (runs->depth == 0) {
        (void)runs_push(runs, step->script, step->entry);
    }
    return runs_go(runs);
}

enum runs_end runs_go_along(struct script_runs *runs, const struct script_step **step)
{
    enum runs_end end;

    do {
        end = runs->plain ? go_plainly(runs, step) : go_framed(runs, *step);
        if (end != RUNS_RETURNED) {
            return end;
        }
        ++*step;
    } while (goes_on(runs->ex, *step));
    return RUNS_RETURNED;
}
