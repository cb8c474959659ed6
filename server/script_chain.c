/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the scripts of one request, in order, until one answers.
 *
 * A chain lives in the exchange's pool from the first script to the verdict. While it is pending,
 * ex->chain names it, and `run` is the invocation that was switched out, or NULL when the next one
 * could not start because the thread's arenas are all in use. A script that faults closes the
 * request with a 500: what it was to guard stays guarded.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/helpers/helpers.h"
#include "server/log.h"
#include "server/script_set.h"

#define FAULT_TEXT_BYTES 512u

struct script_host {
    struct vm_thread *thread;
    const struct script_watch *watch; /* or NULL */
    unsigned live;                    /* runs */
};

struct script_chain {
    struct script_host *host;
    const struct script_set *set;
    unsigned script; /* the one that runs, or is next */
    unsigned entry;  /* of its entries */
    struct vm_run *run;
    uint64_t budget_left_ns; /* after the last run: a request has one budget, not each script */
    bool has_run;
    struct helper_state state;
};

/* ---- hosts ---- */

struct script_host *script_host_create(const struct script_options *options, char *error,
                                       size_t error_bytes)
{
    struct vm_thread_config config = {
        .tick_ms = options->tick_ms,
        .budget_ms = options->budget_ms,
    };
    struct script_host *host = calloc(1, sizeof *host);
    struct vm_diag diag;

    if (host == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return NULL;
    }
    host->watch = options->watch;
    host->thread = vm_thread_create(&config, &diag);
    if (host->thread == NULL) {
        snprintf(error, error_bytes, "%s", diag.text);
        free(host);
        return NULL;
    }
    return host;
}

void script_host_free(struct script_host *host)
{
    if (host == NULL) {
        return;
    }
    assert(host->live == 0);
    vm_thread_free(host->thread);
    free(host);
}

void script_host_forget(struct script_host *host, const struct script_set *set)
{
    for (unsigned i = 0; i < set->count; i++) {
        vm_thread_forget(host->thread, set->items[i].image);
    }
}

/* ---- chains ---- */

static const struct script *current(const struct script_chain *chain)
{
    return &chain->set->items[chain->script];
}

/* Moves on to a script that has an entry left. False: there is none. */
static bool find_next(struct script_chain *chain)
{
    while (chain->script < chain->set->count) {
        if (chain->entry < current(chain)->entry_count) {
            return true;
        }
        chain->script++;
        chain->entry = 0;
    }
    return false;
}

/* The answer to a request whose scripts cannot be trusted to have guarded it. */
static void fail_closed(struct exchange *ex)
{
    response_start(ex, 500);
    ex->aborted = false;
    ex->proxy = NULL;
    ex->faulted = true;
}

static void end_run(struct script_chain *chain)
{
    helper_log_finish(&chain->state);
    helper_json_finish(&chain->state);
    chain->budget_left_ns = vm_run_budget_left(chain->run);
    vm_run_free(chain->run);
    chain->run = NULL;
    chain->host->live--;
}

static void report_fault(const struct script_chain *chain)
{
    char text[FAULT_TEXT_BYTES];

    vm_fault_format(vm_run_fault(chain->run), text, sizeof text);
    log_line("script '%s': %s (request %" PRIu64 ")", current(chain)->name, text,
             chain->state.ex->id);
}

/* Begins the next invocation. False: the arenas are all in use, or there is no memory for one. */
static bool start_run(struct script_chain *chain)
{
    const struct script *script = current(chain);

    chain->run = vm_run_start(chain->host->thread, script->image, script->entries[chain->entry],
                              &chain->state);
    if (chain->run == NULL) {
        return false;
    }
    if (chain->has_run) {
        vm_run_set_budget(chain->run, chain->budget_left_ns);
    }
    chain->has_run = true;
    chain->host->live++;
    chain->state.script = script->name;
    if (chain->host->watch != NULL && chain->host->watch->started != NULL) {
        chain->host->watch->started(chain->host->watch->context, chain->run);
    }
    return true;
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

/* One invocation, started or resumed. SCRIPT_PASS: it returned without an answer. */
static enum script_verdict run_one(struct script_chain *chain)
{
    struct exchange *ex = chain->state.ex;
    enum script_verdict verdict = SCRIPT_PENDING;

    if (chain->run == NULL && !start_run(chain)) {
        if (chain->host->live > 0) {
            return SCRIPT_PENDING;
        }
        log_line("script '%s': out of memory (request %" PRIu64 ")", current(chain)->name, ex->id);
        fail_closed(ex);
        return SCRIPT_RESPONDED;
    }
    switch (vm_run_resume(chain->run)) {
    case VM_STATE_PREEMPTED:
    case VM_STATE_WAITING: return SCRIPT_PENDING;
    case VM_STATE_DONE: verdict = after_return(ex); break;
    case VM_STATE_FAULT:
        report_fault(chain);
        fail_closed(ex);
        verdict = SCRIPT_RESPONDED;
        break;
    }
    if (chain->host->watch != NULL && chain->host->watch->ended != NULL) {
        chain->host->watch->ended(chain->host->watch->context, chain->run, ex->faulted);
    }
    end_run(chain);
    chain->entry++;
    return verdict;
}

static enum script_verdict run_chain(struct script_chain *chain)
{
    struct exchange *ex = chain->state.ex;
    enum script_verdict verdict = SCRIPT_PASS;

    while (verdict == SCRIPT_PASS && find_next(chain)) {
        verdict = run_one(chain);
    }
    if ((verdict == SCRIPT_PASS || verdict == SCRIPT_PROXY) && chain->state.bad_target) {
        response_error(ex, 400);
        ex->proxy = NULL;
        verdict = SCRIPT_RESPONDED;
    }
    ex->chain = verdict == SCRIPT_PENDING ? chain : NULL;
    return verdict;
}

enum script_verdict script_chain_start(struct script_host *host, const struct script_set *set,
                                       struct exchange *ex)
{
    struct script_chain *chain;

    assert(ex->chain == NULL);
    if (set->count == 0) {
        return SCRIPT_PASS;
    }
    chain = pool_alloc(&ex->pool, sizeof *chain);
    if (chain == NULL) {
        log_line("out of memory for scripts (request %" PRIu64 ")", ex->id);
        fail_closed(ex);
        return SCRIPT_RESPONDED;
    }
    *chain = (struct script_chain){
        .host = host, .set = set, .state = {.ex = ex, .shared = &set->shared}};
    return run_chain(chain);
}

enum script_verdict script_chain_resume(struct exchange *ex)
{
    assert(ex->chain != NULL);
    return run_chain(ex->chain);
}

void script_chain_cancel(struct exchange *ex)
{
    struct script_chain *chain = ex->chain;

    if (chain != NULL && chain->run != NULL) {
        end_run(chain);
    }
    ex->chain = NULL;
}
