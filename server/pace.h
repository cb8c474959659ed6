/* SPDX-License-Identifier: Apache-2.0 */
/* How many events a worker waits for before it wakes. To sleep and to be woken costs as much as a
 * request or two, so one that is asked all the time, but not enough to be always busy, sleeps until
 * several clients or upstreams have said something: as many as do in a sixth of a millisecond,
 * judged by the last whole one. Never more than half of those that did, as the others may wait for
 * us; and where these are few, or few come, it is not worth it. Who sleeps so does it for
 * LIM_GATHER_US at most.
 *
 * Whether clients lose by it, because they ran out of work themselves and fell asleep, depends on
 * what both sides take for a request and for waking up. So it is tried: now and then, for a few
 * milliseconds, the worker does the other thing than it mostly does, and the requests of these are
 * compared with those just before and after. Sans I/O. */
#ifndef SERVER_PACE_H
#define SERVER_PACE_H

#include <stdint.h>

/* Of a request that is forwarded, the client waits for us or we for the upstream. */
enum pace_side { PACE_CLIENTS, PACE_UPSTREAMS };

/* A round of spans, of which one is the other way. */
struct pace_trial {
    uint64_t began_ms; /* the span that is counted */
    uint64_t requests; /* that had begun by then */
    unsigned span;     /* its number in the round */
    unsigned apt;      /* milliseconds of the round that told to wait for several */
    float before;      /* requests a millisecond, in the last span that was as most are ... */
    float other;       /* ... and in the one that was not */
    float gain;        /* how many more when several are waited for, of late; 0: as many */
};

/* All zero: nothing has come yet. */
struct pace {
    uint64_t now_ms;     /* the millisecond that is counted */
    uint64_t senders[2]; /* who sent something in it, of each side: a bit for many of them */
    unsigned events;     /* how often something came in it */
    unsigned wanted;     /* by the one before */
    struct pace_trial trial;
};

static inline void pace_note(struct pace *pace, enum pace_side side, uint32_t sender)
{
    pace->senders[side] |= (uint64_t)1 << sender % 64;
    pace->events++;
}

/* It is `now_ms`, and so many requests have begun so far. */
void pace_begin(struct pace *pace, uint64_t now_ms, uint64_t requests);
/* What was waited for did not come: until the next millisecond the first event wakes. */
void pace_missed(struct pace *pace);
/* From 1 to LIM_GATHER_EVENTS. */
unsigned pace_wanted(const struct pace *pace);

#endif
