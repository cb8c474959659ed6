/* SPDX-License-Identifier: Apache-2.0 */
/* How many events are waited for, after milliseconds of which each had so many from so many. */
#include <criterion/criterion.h>

#include "server/limits.h"
#include "server/pace.h"

enum { START_MS = 1000 };

/* What is wanted after a millisecond of that, and `later` more. */
static unsigned wanted_after(unsigned events, unsigned clients, unsigned upstreams, unsigned later)
{
    struct pace pace = {0};
    pace_begin(&pace, START_MS, 0);
    for (unsigned i = 0; i < events; i++) {
        if (upstreams > 0 && i % 2 > 0) {
            pace_note(&pace, PACE_UPSTREAMS, i / 2 % upstreams);
        } else {
            pace_note(&pace, PACE_CLIENTS, i / (upstreams > 0 ? 2 : 1) % clients);
        }
    }
    cr_expect_eq(pace_wanted(&pace), 1, "it is not over");
    pace_begin(&pace, START_MS + 1 + later, 0);
    return pace_wanted(&pace);
}

Test(pace, nothing_is_no_reason_to_wait)
{
    struct pace pace = {0};
    cr_expect_eq(pace_wanted(&pace), 1);
    pace_begin(&pace, START_MS, 0);
    pace_begin(&pace, START_MS + 1, 0);
    cr_expect_eq(pace_wanted(&pace), 1);
}

Test(pace, as_many_as_come_in_a_sixth_of_a_millisecond)
{
    cr_expect_eq(wanted_after(60, 60, 0, 0), 10);
    cr_expect_eq(wanted_after(100, 64, 0, 0), 16);
    cr_expect_eq(wanted_after(1000000, 64, 0, 0), LIM_GATHER_EVENTS);
}

Test(pace, few_are_not_worth_it)
{
    cr_expect_eq(wanted_after(47, 47, 0, 0), 1);
    cr_expect_eq(wanted_after(48, 48, 0, 0), 8);
}

Test(pace, never_more_than_half_of_those_who_sent)
{
    cr_expect_eq(wanted_after(1000, 1, 0, 0), 1);
    cr_expect_eq(wanted_after(1000, 15, 0, 0), 1);
    cr_expect_eq(wanted_after(1000, 16, 0, 0), 8);
    cr_expect_eq(wanted_after(1000, 31, 0, 0), 15);
}

Test(pace, a_client_and_its_upstream_do_not_send_at_once)
{
    cr_expect_eq(wanted_after(1000, 15, 15, 0), 1);
    cr_expect_eq(wanted_after(1000, 33, 31, 0), 16);
    cr_expect_eq(wanted_after(1000, 4, 50, 0), 25);
}

Test(pace, what_is_long_ago_says_nothing)
{
    cr_expect_eq(wanted_after(1000, 64, 0, 1), 1);
    cr_expect_eq(wanted_after(1000, 64, 0, 100000), 1);
}

Test(pace, who_waited_in_vain_does_so_once_in_a_millisecond)
{
    struct pace pace = {0};
    for (uint64_t ms = START_MS; ms < START_MS + 10; ms++) {
        pace_begin(&pace, ms, 0);
        cr_expect_eq(pace_wanted(&pace), ms == START_MS ? 1 : 10);
        pace_missed(&pace);
        pace_begin(&pace, ms, 0);
        cr_expect_eq(pace_wanted(&pace), 1);
        for (uint32_t i = 0; i < 60; i++) {
            pace_note(&pace, PACE_CLIENTS, i);
        }
    }
}

/* ---- whether clients lose by it */

static uint64_t requests;

/* A second of so many requests a millisecond when several are waited for, and when the first wakes.
 * Returns in how many of its milliseconds several were. */
static unsigned waiting_ms(struct pace *pace, uint64_t *now_ms, unsigned waiting, unsigned waking)
{
    unsigned ms = 0;
    for (unsigned i = 0; i < 1000; i++) {
        pace_begin(pace, ++*now_ms, requests);
        bool waits = pace_wanted(pace) > 1;
        ms += waits;
        requests += waits ? waiting : waking;
        for (uint32_t event = 0; event < waking; event++) {
            pace_note(pace, PACE_CLIENTS, event);
        }
    }
    return ms;
}

Test(pace, waits_where_as_much_or_more_comes)
{
    struct pace pace = {0};
    uint64_t now_ms = START_MS;
    for (unsigned second = 0; second < 5; second++) {
        cr_expect_gt(waiting_ms(&pace, &now_ms, 100, 100), 940);
    }
    cr_expect_gt(waiting_ms(&pace, &now_ms, 130, 100), 940);
    cr_expect_gt(waiting_ms(&pace, &now_ms, 100, 101), 940, "a little may be chance");
}

Test(pace, does_not_wait_where_clients_lose)
{
    struct pace pace = {0};
    uint64_t now_ms = START_MS;
    waiting_ms(&pace, &now_ms, 90, 100);
    for (unsigned second = 0; second < 5; second++) {
        unsigned ms = waiting_ms(&pace, &now_ms, 90, 100);
        cr_expect(ms > 20 && ms < 60, "%u ms: it goes on trying, and no more", ms);
    }
    waiting_ms(&pace, &now_ms, 110, 100);
    cr_expect_gt(waiting_ms(&pace, &now_ms, 110, 100), 940, "it finds out that they no longer do");
}

Test(pace, an_accident_decides_nothing)
{
    struct pace pace = {0};
    uint64_t now_ms = START_MS;
    waiting_ms(&pace, &now_ms, 100, 100);
    for (unsigned i = 0; i < 50; i++) { /* nothing comes, some of it is slept through */
        pace_begin(&pace, now_ms += 1 + i % 9, requests);
    }
    cr_expect_gt(waiting_ms(&pace, &now_ms, 100, 100), 940);
}

Test(pace, what_is_not_tried_tells_nothing)
{
    struct pace pace = {0};
    uint64_t now_ms = START_MS;
    for (unsigned second = 0; second < 3; second++) { /* too few for waiting */
        cr_expect_eq(waiting_ms(&pace, &now_ms, 20 + second, 20), 0);
    }
    cr_expect_eq(pace.trial.gain, 0);
    cr_expect_gt(waiting_ms(&pace, &now_ms, 100, 100), 940);
}
