/* SPDX-License-Identifier: Apache-2.0 */
/* How many events are waited for, after milliseconds of which each had so many from so many. */
#include <criterion/criterion.h>

#include "server/limits.h"
#include "server/pace.h"

enum { START_MS = 1000 };

/* What is wanted after a millisecond of that, and `later` more. */
static unsigned wanted_after(unsigned events, unsigned senders, unsigned later)
{
    struct pace pace = {0};
    pace_begin(&pace, START_MS);
    for (unsigned i = 0; i < events; i++) {
        pace_note(&pace, i % senders);
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
    cr_expect_eq(wanted_after(11, 11, 0), 1);
    cr_expect_eq(wanted_after(12, 12, 0), 2);
    cr_expect_eq(wanted_after(100, 64, 0), 16);
    cr_expect_eq(wanted_after(1000000, 64, 0), LIM_GATHER_EVENTS);
}

Test(pace, no_more_than_half_of_those_who_sent)
{
    cr_expect_eq(wanted_after(100, 1, 0), 1);
    cr_expect_eq(wanted_after(100, 3, 0), 1);
    cr_expect_eq(wanted_after(100, 4, 0), 2);
    cr_expect_eq(wanted_after(100, 11, 0), 5);
}

Test(pace, what_is_long_ago_says_nothing)
{
    cr_expect_eq(wanted_after(1000, 64, 1), 1);
    cr_expect_eq(wanted_after(1000, 64, 100000), 1);
}

Test(pace, who_waited_in_vain_does_so_once_in_a_millisecond)
{
    struct pace pace = {0};
    for (uint64_t ms = START_MS; ms < START_MS + 10; ms++) {
        pace_begin(&pace, ms);
        cr_expect_eq(pace_wanted(&pace), ms == START_MS ? 1 : 5);
        pace_missed(&pace);
        pace_begin(&pace, ms);
        cr_expect_eq(pace_wanted(&pace), 1);
        for (uint32_t i = 0; i < 32; i++) {
            pace_note(&pace, i);
        }
    }
}
