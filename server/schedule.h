/* SPDX-License-Identifier: Apache-2.0 */
/* Which scripts of a worker have the processor.
 *
 * A turn of the loop gives scripts one slice before it looks at the ring again: an eighth of a
 * tick, or one or two whole ticks for the first script that turns out to be busy. As long as none is
 * switched out, each request's scripts start as soon as its head is complete. Once one was, the
 * slice is spent: further newcomers wait for a later turn, and so do those that were switched out
 * before. Between turns all connections are served, so busy scripts, however many, delay others by
 * no more than a slice or two. Newcomers, of which most are short, have LIM_NEWCOMER_SLICES turns,
 * the newest and the oldest first by turns; then those that were switched out have one.
 *
 * A request that finds all arenas in use waits for one to be given back; LIM_STARVED_TRIES such
 * requests look for it in a turn. Scripts that wait for the body of a slow client keep theirs; then
 * those go that have waited for some time.
 */
#ifndef SERVER_SCHEDULE_H
#define SERVER_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct options; /* server/options.h */
struct stream;  /* server/stream.h */
struct worker;  /* server/worker.h */

struct schedule {
    bool spent;               /* the slice of this turn */
    unsigned started;         /* requests by HTTP/2, in this turn */
    bool oldest_first;        /* of newcomers; else the newest */
    unsigned newcomer_slices; /* that newcomers spent since somebody else did */
    uint64_t end_us;          /* of the slice of this turn */
    uint64_t given_back;      /* arenas that were, when those that are starved began to try again */
    unsigned tries;           /* that they have left */
    uint64_t room_ms;         /* when to look for room for them again; 0: none is */
};

/* How long a script runs before it is switched out, while scripts are busy. */
uint32_t schedule_slice_us(const struct options *options);

/* Whether the scripts of a new request may start at once. Else stream_wait with STREAM_NEW. */
bool schedule_may_start(const struct worker *worker);
/* A connection of HTTP/2 has started one of many requests. Their scripts may all be too short to be
 * switched out: no more start in a turn that has lasted a slice. */
void schedule_started(struct worker *worker);
/* A script was switched out. */
void schedule_spent(struct worker *worker);
/* Ends a turn: what was prepared to be sent is, and those get their go that wait for it. False:
 * nobody did. */
bool schedule_turn(struct worker *worker);
/* Milliseconds until there is something to do; -1: nothing. */
int64_t schedule_wait_ms(const struct worker *worker);

#endif
