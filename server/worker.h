/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: one thread with its own ring, listener, connections and script host. Workers share
 * nothing that changes.
 *
 * A turn of its loop submits all operations prepared so far and waits; then it collects some
 * completions, steps each touched connection once, those that send much last, and gives scripts
 * that wait their go. When completions or connections make many bytes to send, those that are left
 * of them are for the next turn, so that what is sent is copied by the kernel, and its memory used
 * again, while the processor still has it in its cache. While scripts wait for the processor or
 * connections are left over it does not wait. So a turn is short, and a short request is answered in
 * the one that it comes in, whatever others ask for.
 */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include <pthread.h>

#include "server/accept.h"
#include "server/access.h"
#include "server/conn.h"
#include "server/date.h"
#include "server/epoch.h"
#include "server/h1_response.h"
#include "server/link.h"
#include "server/options.h"
#include "server/pace.h"
#include "server/ring.h"
#include "server/schedule.h"
#include "server/server.h"
#include "server/static.h"
#include "server/stream.h"

/* Connections to step, by touched_next. */
struct touched_list {
    struct conn *first;
    struct conn *last;
};

struct worker {
    /* set by the creator */
    const struct options *options;
    struct resolver *resolver;
    struct snapshot *snapshot; /* to begin with; the creator holds it until the worker is ready */
    unsigned index;
    unsigned count; /* of workers */
    unsigned connections_max;
    struct listener listeners[LISTENERS];
    /* Set by the creator at any time; a write to wake_fd, an eventfd, makes the worker look. */
    _Atomic(struct snapshot *) next; /* held for the worker: what to serve from now on */
    atomic_bool stopping;            /* drain and end */
    int wake_fd;
    int done_fd; /* eventfd; the worker adds 1 when it is ready, and again when it ended */
    pthread_t thread;
    _Atomic bool failed; /* the log says why */

    /* the worker's */
    struct static_options static_options;
    struct ring *ring;
    struct pace pace;
    struct epoch *epoch; /* the current one */
    struct script_host *host;
    struct acceptor acceptor;
    struct conn_table conns;
    struct stream_table streams;
    struct schedule schedule;
    struct link_table links;
    uint64_t links_scanned_ms;
    struct upstreams *upstreams;
    struct resolve_client *resolve;
    int resolved_fd; /* eventfd: names were looked up */
    uint64_t resolved_value;
    struct buffer forwarded;     /* scratch: head of the request to an upstream */
    struct h1_response response; /* scratch: head of an upstream's answer */
    struct touched_list touched;
    struct touched_list bulky;
    struct access_log *access; /* NULL: requests are not logged */
    struct h1_head head;       /* scratch: of the request being started */
    uint64_t requests;
    uint32_t turns;    /* of the loop; may begin again at 0 */
    uint64_t turn_us;  /* when this one began */
    bool late;         /* this one came so late that clients are heard before their time is up */
    size_t turn_bytes; /* made to be sent: by completions of this turn, then by its connections */
    unsigned warm;      /* connections that keep their memory between requests */
    uint64_t cool_ms;   /* when to look for connections to cool; 0: none is warm */
    uint64_t cooled_ms; /* those that became warm before are cool */
    uint64_t
        trim_ms; /* when memory that bursts left is given back; 0: there was no request since */
    uint64_t dated_ms;   /* when the clock of `date` was read */
    int64_t date_second; /* that `date` shows */
    char date[DATE_BYTES + 1];
    bool draining;
    bool given_up;         /* draining took too long: all connections are being closed */
    bool abandoned;        /* so did that */
    uint64_t drain_end_ms; /* once draining: when to give up */
    uint64_t wake_value;
    /* Workers lie in an array. What this one writes is not to share a line of the processors' caches,
     * which fetch them in pairs, with what the next one reads. */
    char apart[128];
};

/* Thread function; `worker` stays the creator's. */
void *worker_main(void *worker);
/* Steps the connection before the turn ends. */
void worker_touch(struct worker *worker, struct conn *conn);
/* For worker_date alone: makes the date that of now. */
void worker_look_at_clock(struct worker *worker);
/* The current Date value. */
static inline struct span worker_date(struct worker *worker)
{
    if (worker->dated_ms != worker->conns.now_ms) {
        worker_look_at_clock(worker);
    }
    return (struct span){worker->date, DATE_BYTES};
}

#endif
