/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is to send: the most urgent first (RFC 9218 10). Of the same urgency, answers that
 * are of use only as a whole come one after the other, in the order in which they were asked for;
 * those that are incremental share; and the two kinds take turns, so that neither starves. Pure.
 */
#ifndef SERVER_H2_SCHEDULE_H
#define SERVER_H2_SCHEDULE_H

#include "server/h2_priority.h"

/* A stream's place; it is in one ring at a time, or in none. */
struct h2_turn {
    struct h2_turn *next;
    struct h2_turn *previous;
    uint32_t id;
    uint8_t priority;
};

/* All zero is an empty one. The rings' heads are next. */
struct h2_schedule {
    struct h2_turn *ordered[H2_URGENCIES];
    struct h2_turn *shared[H2_URGENCIES];
    uint8_t waiting;    /* a bit for each urgency that has any */
    uint8_t share_next; /* the same: the shared ring has the next turn */
};

/* Rings on their own. Adds at the end. */
void h2_ring_add(struct h2_turn **ring, struct h2_turn *turn);
void h2_ring_remove(struct h2_turn **ring, struct h2_turn *turn);

/* In constant time, as long as streams begin to send in the order of their ids. */
void h2_schedule_add(struct h2_schedule *schedule, struct h2_turn *turn);
/* It is in there. */
void h2_schedule_remove(struct h2_schedule *schedule, struct h2_turn *turn);
/* Who sends a frame now; or NULL. */
struct h2_turn *h2_schedule_next(const struct h2_schedule *schedule);
/* It did, and is still in there. */
void h2_schedule_sent(struct h2_schedule *schedule, struct h2_turn *turn);

#endif
