/* SPDX-License-Identifier: Apache-2.0 */
/* What came in a millisecond, what that says of the next one, and whether it does any good. */
#include "server/pace.h"

#include <stdbool.h>

#include "server/limits.h"

enum {
    WAITS_PER_MS = 6,
    WANTED_MIN = 8, /* for fewer a timer is not worth it */
};

enum {
    SPAN_MS = 3,
    ROUND = 24,        /* spans, so that little is lost by trying */
    OTHER = ROUND - 2, /* the one that is the other way */
    ROUNDS_KEPT = 16,  /* that make up `gain`: one says little, on a machine that does other work */
};

#define CHANGE_MAX 0.05f  /* of one round: more is an accident */
#define LOSS_MAX   0.015f /* that is borne, and may be chance */

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* ---- whether ---- */

static bool waits_mostly(const struct pace_trial *trial)
{
    return trial->gain >= -LOSS_MAX;
}

static bool waits_now(const struct pace_trial *trial)
{
    return waits_mostly(trial) != (trial->span == OTHER);
}

static void judge(struct pace_trial *trial, float after)
{
    float mostly = (trial->before + after) / 2;
    float waiting = waits_mostly(trial) ? mostly : trial->other;
    float waking = waits_mostly(trial) ? trial->other : mostly;
    if (waking <= 0 || trial->apt < ROUND * SPAN_MS / 2) {
        return;
    }
    float change = waiting / waking - 1;
    change = change > CHANGE_MAX ? CHANGE_MAX : change;
    change = change < -CHANGE_MAX ? -CHANGE_MAX : change;
    trial->gain += (change - trial->gain) / ROUNDS_KEPT;
}

static void end_span(struct pace_trial *trial, float rate)
{
    if (trial->span == OTHER) {
        trial->other = rate;
    } else if (trial->span == ROUND - 1) {
        judge(trial, rate);
        trial->apt = 0;
    } else {
        trial->before = rate;
    }
    trial->span = (trial->span + 1) % ROUND;
}

/* A millisecond is over. */
static void count(struct pace_trial *trial, bool apt, uint64_t now_ms, uint64_t requests)
{
    uint64_t ms = now_ms - trial->began_ms;
    trial->apt += apt;
    if (ms < SPAN_MS) {
        return;
    }
    if (ms <= 2 * SPAN_MS) {
        end_span(trial, (float)(requests - trial->requests) / (float)ms);
    } else {
        trial->span = trial->apt = 0; /* there was a pause */
    }
    trial->began_ms = now_ms;
    trial->requests = requests;
}

/* ---- how many ---- */

/* Of the side with more of them. */
static unsigned senders_of(const struct pace *pace)
{
    int clients = __builtin_popcountll(pace->senders[PACE_CLIENTS]);
    int upstreams = __builtin_popcountll(pace->senders[PACE_UPSTREAMS]);
    return (unsigned)(clients > upstreams ? clients : upstreams);
}

void pace_begin(struct pace *pace, uint64_t now_ms, uint64_t requests)
{
    if (now_ms == pace->now_ms) {
        return;
    }
    bool follows = now_ms == pace->now_ms + 1;
    unsigned half = least(senders_of(pace) / 2, LIM_GATHER_EVENTS);
    unsigned wanted = least(pace->events / WAITS_PER_MS, half);
    bool apt = follows && wanted >= WANTED_MIN;
    struct pace_trial trial = pace->trial;
    count(&trial, apt, now_ms, requests);
    bool wait = apt && waits_now(&trial);
    *pace = (struct pace){.now_ms = now_ms, .wanted = wait ? wanted : 1, .trial = trial};
}

void pace_missed(struct pace *pace)
{
    pace->wanted = 1;
}

unsigned pace_wanted(const struct pace *pace)
{
    return pace->wanted > 0 ? pace->wanted : 1;
}
