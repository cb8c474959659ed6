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
    pace_begin(&pace, START_MS);
    for (unsigned i = 0; i < events; i++) {
        if (upstreams > 0 && i % 2 > 0) {
            pace_note(&pace, PACE_UPSTREAMS, i / 2 % upstreams);
        } else {
            pace_note(&pace, PACE_CLIENTS, i / (upstreams > 0 ? 2 : 1) % clients);
        }
    }
    cr_expect_eq(pace_wanted(&pace), 1, "it is not over");
    pace_begin(&pace, START_MS + 1 + later);
    return pace_wanted(&pace);
}

Test(pace, nothing_is_no_reason_to_wait)
{
    struct pace pace = {0};
    cr_expect_eq(pace_wanted(&pace), 1);
    pace_begin(&pace, START_MS);
    pace_begin(&pace, START_MS + 1);
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

Test(pace, few_who_sent_are_not_worth_it_either)
{
    cr_expect_eq(wanted_after(1000, 1, 0, 0), 1);
    cr_expect_eq(wanted_after(1000, 31, 0, 0), 1);
    cr_expect_eq(wanted_after(1000, 32, 0, 0), 16);
}

Test(pace, a_client_and_its_upstream_do_not_send_at_once)
{
    cr_expect_eq(wanted_after(1000, 31, 31, 0), 1);
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
        pace_begin(&pace, ms);
        cr_expect_eq(pace_wanted(&pace), ms == START_MS ? 1 : 10);
        pace_missed(&pace);
        pace_begin(&pace, ms);
        cr_expect_eq(pace_wanted(&pace), 1);
        for (uint32_t i = 0; i < 60; i++) {
            pace_note(&pace, PACE_CLIENTS, i);
        }
    }
}
