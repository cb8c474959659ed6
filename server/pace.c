/* SPDX-License-Identifier: Apache-2.0 */
/* What came in a millisecond, and what that says of the next one. */
#include "server/pace.h"

#include <stdbool.h>

#include "server/limits.h"

enum {
    WAITS_PER_MS = 6,
    SENDERS_MIN = 32, /* fewer would soon all wait for us, and have to be woken */
    WANTED_MIN = 8,   /* for fewer a timer is not worth it */
};

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Of the side with more of them. */
static unsigned senders_of(const struct pace *pace)
{
    int clients = __builtin_popcountll(pace->senders[PACE_CLIENTS]);
    int upstreams = __builtin_popcountll(pace->senders[PACE_UPSTREAMS]);
    return (unsigned)(clients > upstreams ? clients : upstreams);
}

void pace_begin(struct pace *pace, uint64_t now_ms)
{
    if (now_ms == pace->now_ms) {
        return;
    }
    bool follows = now_ms == pace->now_ms + 1;
    unsigned senders = senders_of(pace);
    unsigned wanted = least(pace->events / WAITS_PER_MS, least(senders / 2, LIM_GATHER_EVENTS));
    bool worth_it = follows && senders >= SENDERS_MIN && wanted >= WANTED_MIN;
    *pace = (struct pace){.now_ms = now_ms, .wanted = worth_it ? wanted : 1};
}

void pace_missed(struct pace *pace)
{
    pace->wanted = 1;
}

unsigned pace_wanted(const struct pace *pace)
{
    return pace->wanted > 0 ? pace->wanted : 1;
}
