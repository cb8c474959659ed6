/* SPDX-License-Identifier: Apache-2.0 */
/* What came in a millisecond, and what that says of the next one. */
#include "server/pace.h"

#include <stdbool.h>

#include "server/limits.h"

enum { WAITS_PER_MS = 6 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

void pace_begin(struct pace *pace, uint64_t now_ms)
{
    if (now_ms == pace->now_ms) {
        return;
    }
    bool follows = now_ms == pace->now_ms + 1;
    unsigned senders = (unsigned)__builtin_popcountll(pace->senders);
    unsigned wanted = least(pace->events / WAITS_PER_MS, senders / 2);
    *pace = (struct pace){
        .now_ms = now_ms,
        .wanted = follows ? least(wanted, LIM_GATHER_EVENTS) : 0,
    };
}

void pace_missed(struct pace *pace)
{
    pace->wanted = 0;
}

unsigned pace_wanted(const struct pace *pace)
{
    return pace->wanted > 1 ? pace->wanted : 1;
}
