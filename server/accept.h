/* SPDX-License-Identifier: Apache-2.0 */
/* How clients become connections of a worker.
 *
 * Of a crowd that comes at a time, LIM_ACCEPTS_PER_TURN get a connection in a turn of the loop; the
 * others wait. With LIM_CONNECTIONS there, the connection that is idle for the longest time makes
 * way, or else one that is answered and lingers, or the oldest handshake; when there is none, the
 * newcomer is closed.
 *
 * Without a free descriptor the kernel would let clients wait for as long as that lasts, and nobody
 * would tell them. So when nobody can make way, the worker gives up a spare one, accepts with it,
 * closes that client and takes the spare one back.
 */
#ifndef SERVER_ACCEPT_H
#define SERVER_ACCEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "server/limits.h"

struct ring_event; /* server/ring.h */
struct worker;     /* server/worker.h */

enum { LISTENER_PLAIN, LISTENER_TLS, LISTENERS };

struct listener {
    int fd;            /* the worker's own; it closes it. -1: none */
    bool accepting;    /* accept is armed */
    uint64_t retry_ms; /* when to arm accept again; 0: it did not fail */
};

/* Clients that were accepted and have no connection yet, oldest first. */
struct accepted_queue {
    struct {
        int fd;
        bool secure;
    } items[LIM_ACCEPTED];
    unsigned first;
    unsigned count;
    unsigned of_turn; /* that got a connection in this turn */
};

struct acceptor {
    struct accepted_queue queue;
    int spare_fd;      /* -1: given up, or there was none */
    unsigned failures; /* of accept, since one was told */
    uint64_t told_ms;  /* 0: never */
};

/* Starts accepting. */
void accept_start(struct worker *worker);
/* Begins a turn: clients that wait get connections. */
void accept_turn(struct worker *worker);
void accept_event(struct worker *worker, const struct ring_event *event);
/* Tries again where it is time. */
void accept_expire(struct worker *worker);
/* Milliseconds until there is something to do; -1: nothing. */
int64_t accept_wait_ms(const struct worker *worker);
/* Accepts no more. It may still be under way: accept_has_ended. */
void accept_stop(struct worker *worker);
bool accept_has_ended(const struct worker *worker);
/* Closes what is left. */
void accept_finish(struct worker *worker);

#endif
