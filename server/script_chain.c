/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the scripts of one request, in order, until one answers; later the hooks they left for the
 * response. The same of one TLS handshake, which ends with an answer.
 *
 * A chain lives from the first script to the answer. It is the worker's: mostly all is over at
 * once, and the next request has the same one. Only where scripts have left hooks is there a
 * second, in the exchange's pool. While one is pending, ex->chain names it. A script that faults
 * closes the request with a 500: what it was to guard stays guarded. A hook that faults is as if it
 * had not run: what it was to add is missing.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "server/log.h"
#include "server/script_run.h"

/* What a hook that faults must not leave behind. */
struct hook_undo {
    unsigned status;
    struct field_list meta;
    size_t meta_bytes;
    struct field_list added_fields;
    struct field_list deleted_fields;
};

struct script_chain {
    struct script_runs runs;
    const struct script_step *step;   /* the one that runs, or is next; the last has no script */
    bool in_hooks;                    /* it is the one in the pool, and has begun */
    const struct response_hook *hook; /* that runs, or is next */
    unsigned hooks_left;              /* those that hooks add are not run */
    struct script_frame first;        /* of depth 0 */
    struct hook_undo undo;            /* of a hook that runs */
};

/* ---- hosts ---- */

struct script_host *script_host_create(const struct script_options *options, char *error,
                                       size_t error_bytes)
{
    struct vm_thread_config config = {
        .tick_ms = options->tick_ms,
        .fine_tick_us = options->slice_us,
        .budget_ms = options->budget_ms,
        .run_count_max = options->run_count_max,
    };
    struct script_host *host = calloc(1, sizeof *host);
    struct vm_diag diag;

    if (host == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return NULL;
    }
    host->watch = options->watch;
    unsigned runs_max = options->run_count_max != 0 ? options->run_count_max : LIM_SCRIPT_RUNS;
    host->uploads_max = runs_max - runs_max / LIM_SCRIPT_RUNS_KEPT;
    host->thread = vm_thread_create(&config, &diag);
    if (host->thread == NULL) {
        snprintf(error, error_bytes, "%s", diag.text);
        free(host);
        return NULL;
    }
    return host;
}

uint64_t script_host_given_back(const struct script_host *host)
{
    return host->given_back;
}

void script_host_free(struct script_host *host)
{
    if (host == NULL) {
        return;
    }
    assert(host->live == 0);
    vm_thread_free(host->thread);
    free(host->spare);
    free(host);
}

void script_host_forget(struct script_host *host, const struct script_set *set)
{
    for (unsigned i = 0; i < set->count; i++) {
        vm_thread_forget(host->thread, set->items[i].image);
    }
}

/* ---- chains ---- */

/* The answer to a request whose scripts cannot be trusted to have guarded it. */
static __attribute__((cold)) enum script_verdict fail_closed(struct exchange *ex)
{
    response_start(ex, 500);
    ex->aborted = false;
    ex->proxy = NULL;
    ex->faulted = true;
    return SCRIPT_RESPONDED;
}

static enum script_verdict out_of_memory(struct exchange *ex)
{
    log_line("out of memory for scripts (request %" PRIu64 ")", ex->id);
    return fail_closed(ex);
}

/* A response counts before an abort, an abort before an upstream. */
static enum script_verdict after_return(struct exchange *ex)
{
    if (ex->status != 0) {
        ex->aborted = false;
        ex->proxy = NULL;
        return SCRIPT_RESPONDED;
    }
    if (ex->aborted) {
        return SCRIPT_ABORTED;
    }
    return ex->proxy != NULL ? SCRIPT_PROXY : SCRIPT_PASS;
}

static enum script_verdict run_steps(struct script_chain *chain)
{
    struct exchange *ex = chain->runs.ex;
    enum runs_end end = runs_go_along(&chain->runs, &chain->step);

    if (end == RUNS_PENDING) {
        return SCRIPT_PENDING;
    }
    return end == RUNS_RETURNED ? after_return(ex) : fail_closed(ex);
}

static void clear(struct script_chain *chain)
{
    bytes_clear(chain, offsetof(struct script_chain, first) + SCRIPT_FRAME_CLEARED);
}

/* Makes it ready for the scripts of `ex`, see runs_begin. */
static inline void begin(struct script_chain *chain, struct script_host *host,
                         const struct script_set *set, struct exchange *ex)
{
    runs_begin(&chain->runs, host, set, ex, &chain->first);
}

static struct script_chain *take(struct script_host *host)
{
    struct script_chain *chain = host->spare;

    host->spare = NULL;
    return chain != NULL ? chain : calloc(1, sizeof *chain);
}

static void give_back(struct script_chain *chain)
{
    struct script_host *host = chain->runs.host;

    if (host->spare != NULL) {
        free(chain);
        return;
    }
    if (!chain->runs.plain) {
        clear(chain);
    }
    host->spare = chain;
}

/* The chain for the hooks that were left. They share the budget of the scripts. */
static bool make_hook_chain(const struct script_runs *scripts)
{
    struct exchange *ex = scripts->ex;
    struct script_chain *chain = pool_alloc(&ex->pool, sizeof *chain);

    if (chain == NULL) {
        return false;
    }
    clear(chain);
    begin(chain, scripts->host, scripts->set, ex);
    chain->runs.charged = scripts->charged;
    chain->runs.budget_left_ns = scripts->budget_left_ns;
    ex->hook_chain = chain;
    return true;
}

static enum script_verdict run_chain(struct script_chain *chain)
{
    struct exchange *ex = chain->runs.ex;
    enum script_verdict verdict = run_steps(chain);

    if (verdict == SCRIPT_PENDING) {
        ex->chain = chain;
        return verdict;
    }
    ex->chain = NULL;
    if (ex->bad_target && (verdict == SCRIPT_PASS || verdict == SCRIPT_PROXY)) {
        response_error(ex, 400);
        ex->proxy = NULL;
        verdict = SCRIPT_RESPONDED;
    }
    if (ex->hook_count > 0 && !make_hook_chain(&chain->runs)) {
        verdict = out_of_memory(ex);
    }
    give_back(chain);
    return verdict;
}

static enum script_verdict start(struct script_host *host, const struct script_set *set,
                                 const struct script_steps *steps, struct exchange *ex)
{
    struct script_chain *chain;

    assert(ex->chain == NULL);
    if (steps->count == 0) {
        return SCRIPT_PASS;
    }
    chain = take(host);
    if (chain == NULL) {
        return out_of_memory(ex);
    }
    begin(chain, host, set, ex);
    chain->step = steps->items;
    return run_chain(chain);
}

enum script_verdict script_chain_start(struct script_host *host, const struct script_set *set,
                                       struct exchange *ex)
{
    return start(host, set, &set->requests, ex);
}

enum script_verdict script_handshake_start(struct script_host *host, const struct script_set *set,
                                           struct exchange *ex)
{
    return start(host, set, &set->handshakes, ex);
}

/* ---- hooks ---- */

/* False: out of memory. */
static bool copy_list(struct pool *pool, const struct field_list *list, struct field_list *out)
{
    *out = (struct field_list){.count = list->count, .capacity = (uint16_t)list->count};
    if (list->count == 0) {
        return true;
    }
    out->items = pool_alloc(pool, list->count * sizeof list->items[0]);
    if (out->items != NULL) {
        memcpy(out->items, list->items, list->count * sizeof list->items[0]);
    }
    return out->items != NULL;
}

static bool remember(struct hook_undo *undo, struct exchange *ex)
{
    undo->status = ex->status;
    undo->meta_bytes = ex->meta_bytes;
    return copy_list(&ex->pool, &ex->meta, &undo->meta) &&
           copy_list(&ex->pool, &ex->added_fields, &undo->added_fields) &&
           copy_list(&ex->pool, &ex->deleted_fields, &undo->deleted_fields);
}

static void roll_back(const struct hook_undo *undo, struct exchange *ex)
{
    ex->status = undo->status;
    ex->meta = undo->meta;
    ex->meta_bytes = undo->meta_bytes;
    ex->added_fields = undo->added_fields;
    ex->deleted_fields = undo->deleted_fields;
}

/* False: it cannot run; the log says why. */
static bool begin_hook(struct script_chain *chain)
{
    const struct response_hook *hook = chain->hook;
    struct script_runs *runs = &chain->runs;
    const char *problem = "there is no such function";
    const struct script *script;
    const struct vm_entry *entry = runs_find(runs->set, hook->script, hook->function, &script);
    struct script_frame *frame;

    if (entry != NULL) {
        problem = "out of memory";
        frame = remember(&chain->undo, runs->ex) ? runs_push_apart(runs, script, entry) : NULL;
        if (frame != NULL) {
            frame->state.response = &frame->saved;
            frame->input = helper_json_give_text(&frame->state, hook->input);
            if (frame->input != 0) {
                return true;
            }
            runs_drop(runs);
        }
    }
    log_line("response hook '%.*s' of script '%.*s': %s (request %" PRIu64 ")",
             (int)hook->function.len, hook->function.base, (int)hook->script.len, hook->script.base,
             problem, runs->ex->id);
    return false;
}

static enum script_verdict run_hooks(struct script_chain *chain)
{
    struct exchange *ex = chain->runs.ex;

    while (chain->hook != NULL && chain->hooks_left > 0 && ex->hook_count > 0) {
        if (chain->runs.depth > 0 || begin_hook(chain)) {
            enum runs_end end = runs_go(&chain->runs);

            if (end == RUNS_PENDING) {
                ex->chain = chain;
                return SCRIPT_PENDING;
            }
            if (end == RUNS_FAULTED) {
                roll_back(&chain->undo, ex);
            }
        }
        chain->hook = chain->hook->next;
        chain->hooks_left--;
    }
    ex->chain = NULL;
    return SCRIPT_PASS;
}

enum script_verdict script_hooks_start(struct exchange *ex)
{
    struct script_chain *chain = ex->hook_chain;

    assert(ex->chain == NULL && ex->status != 0);
    if (chain == NULL || chain->in_hooks || ex->hook_count == 0 || ex->faulted) {
        return SCRIPT_PASS;
    }
    chain->in_hooks = true;
    chain->hook = ex->hooks;
    chain->hooks_left = ex->hook_count;
    return run_hooks(chain);
}

/* ---- both ---- */

enum script_verdict script_chain_resume(struct exchange *ex)
{
    assert(ex->chain != NULL);
    return ex->chain->in_hooks ? run_hooks(ex->chain) : run_chain(ex->chain);
}

bool script_chain_is_starved(const struct exchange *ex)
{
    return ex->chain != NULL && runs_is_starved(&ex->chain->runs);
}

void script_chain_cancel(struct exchange *ex)
{
    struct script_chain *chain = ex->chain;

    if (chain == NULL) {
        return;
    }
    runs_drop(&chain->runs);
    if (!chain->in_hooks) {
        give_back(chain);
    }
    ex->chain = NULL;
}
