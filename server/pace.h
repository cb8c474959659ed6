/* SPDX-License-Identifier: Apache-2.0 */
/* How many events a worker waits for before it wakes. To sleep and to be woken costs as much as a
 * request or two, so one that is asked all the time, but not enough to be always busy, sleeps until
 * several clients or upstreams have said something: as many as do in a sixth of a millisecond,
 * judged by the last whole one. Never more than half of those that did, as the others may wait for
 * us; and where these are few, or few come, it is not worth it. Who sleeps so does it for
 * LIM_GATHER_US at most. Sans I/O. */
#ifndef SERVER_PACE_H
#define SERVER_PACE_H

#include <stdint.h>

/* Of a request that is forwarded, the client waits for us or we for the upstream. */
enum pace_side { PACE_CLIENTS, PACE_UPSTREAMS };

/* All zero: nothing has come yet. */
struct pace {
    uint64_t now_ms;     /* the millisecond that is counted */
    uint64_t senders[2]; /* who sent something in it, of each side: a bit for many of them */
    unsigned events;     /* how often something came in it */
    unsigned wanted;     /* by the one before */
};

static inline void pace_note(struct pace *pace, enum pace_side side, uint32_t sender)
{
    pace->senders[side] |= (uint64_t)1 << sender % 64;
    pace->events++;
}

/* It is `now_ms`. */
void pace_begin(struct pace *pace, uint64_t now_ms);
/* What was waited for did not come: until the next millisecond the first event wakes. */
void pace_missed(struct pace *pace);
/* From 1 to LIM_GATHER_EVENTS. */
unsigned pace_wanted(const struct pace *pace);

#endif
