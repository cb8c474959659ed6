/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of one request: a script, and the scripts it calls by zs_call, one waiting for the next. For
 * script_chain.c and script_init.c.
 *
 * Each has a frame: its run, its handles and its log. The topmost runs; when it ends, the one below
 * gets what it returned and goes on. Together they have one budget.
 */
#ifndef SERVER_SCRIPT_RUN_H
#define SERVER_SCRIPT_RUN_H

#include "server/helpers/helpers.h"
#include "server/script_set.h"

struct script_host {
    struct vm_thread *thread;
    const struct script_watch *watch; /* or NULL */
    unsigned live;                    /* runs */
    unsigned stuck;                   /* of them, those that wait for one more */
    unsigned uploads;                 /* of them, those of requests whose body was not complete */
    unsigned uploads_max;
    bool wanted;                /* somebody could not start, and not because of uploads_max */
    uint64_t given_back;        /* runs that ended, and somebody waited for it */
    struct script_chain *spare; /* for the next request; or NULL */
};

struct script_frame {
    struct vm_run *run; /* NULL: not started yet, the arenas were all in use; or it has ended */
    const struct script *script;
    const struct vm_entry *entry;
    uint64_t input; /* handle, of a called function; 0: an entry without */
    bool upload;    /* its run is counted in host->uploads */
    bool own_answer;
    struct helper_state state;
    struct helper_answer saved; /* of own_answer: what is put back when this one has ended */
};

/* What is to be zero in a new one: all but the last. */
enum { SCRIPT_FRAME_CLEARED = offsetof(struct script_frame, saved) };

struct script_runs {
    struct script_host *host;
    const struct script_set *set;
    struct exchange *ex;
    struct script_frame *frames[LIM_CALL_DEPTH + 2]; /* made once; the last is never */
    unsigned depth;                                  /* frames in use */
    uint64_t budget_left_ns;                         /* after the last run that ended */
    bool charged; /* a run was charged, budget_left_ns counts; before, each has all of it */
    bool plain;   /* none was, none had to wait, and nobody wants to know when they begin: between
                     the steps of a chain there is no frame then */
    bool stuck;   /* its runs are counted in host->stuck */
    char *error;  /* where a fault is told instead of in the log; or NULL */
    size_t error_bytes;
    uint64_t *result; /* where r0 of the only frame goes when it has returned; or NULL */
};

enum runs_end {
    RUNS_RETURNED,
    RUNS_FAULTED, /* the log says so */
    RUNS_PENDING, /* preempted, waiting, or out of arenas: go on later */
};

/* Of a request; `runs` and `first`, its frame of depth 0, live equally long. They are zero, or were
 * of another request and have been `plain` to its end. */
void runs_begin(struct script_runs *runs, struct script_host *host, const struct script_set *set,
                struct exchange *ex, struct script_frame *first);
/* Adds a frame for `entry`. NULL: out of memory. It runs by runs_go. */
struct script_frame *runs_push(struct script_runs *runs, const struct script *script,
                               const struct vm_entry *entry);
/* The same; what it answers is its own and is dropped. */
struct script_frame *runs_push_apart(struct script_runs *runs, const struct script *script,
                                     const struct vm_entry *entry);
/* Runs until the only frame has ended, which is then gone. */
enum runs_end runs_go(struct script_runs *runs);
/* The same for *step and those behind it, one after another, until one leaves an outcome in the
 * exchange. *step is then the one behind the last that returned, or the one that is pending, with
 * which to call it again. Those that are over at once take fewer instructions and no frame. */
enum runs_end runs_go_along(struct script_runs *runs, const struct script_step **step);
/* Whether the topmost could not start for want of an arena. */
bool runs_is_starved(const struct script_runs *runs);
/* Drops all frames, wherever they are. */
void runs_drop(struct script_runs *runs);

/* The function of a script, by the names that scripts use; *script is whose. NULL: there is none.
 */
const struct vm_entry *runs_find(const struct script_set *set, struct span script,
                                 struct span function, const struct script **out);

#endif
