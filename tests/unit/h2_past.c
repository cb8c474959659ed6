/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of closed streams, against an array that remembers all of them. */
#include "server/h2_past.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { IDS = 8192, STEPS = 2000 };

static void expect_fates(const struct h2_past *past, const enum h2_fate fates[IDS])
{
    for (uint32_t id = 1; id <= past->id_last; id += 2) {
        bool is_old = (past->id_last - id) / 2 >= H2_PAST_IDS;
        cr_assert_eq(h2_past_fate(past, id), is_old ? H2_DISMISSED : fates[id], "id %u of %u", id,
                     past->id_last);
    }
}

Test(h2_past, fates_are_told_apart)
{
    struct h2_past past = {0};
    h2_past_open(&past, 1);
    h2_past_open(&past, 3);
    h2_past_open(&past, 9);
    h2_past_close(&past, 1, H2_ENDED);
    h2_past_close(&past, 3, H2_LEFT);
    cr_expect_eq(h2_past_fate(&past, 1), H2_ENDED);
    cr_expect_eq(h2_past_fate(&past, 3), H2_LEFT);
    cr_expect_eq(h2_past_fate(&past, 5), H2_SKIPPED);
    cr_expect_eq(h2_past_fate(&past, 7), H2_SKIPPED);
    cr_expect_eq(h2_past_fate(&past, 9), H2_DISMISSED, "as if refused");
}

Test(h2_past, the_highest_id_forgets_all_others)
{
    struct h2_past past = {0};
    h2_past_open(&past, 1);
    h2_past_close(&past, 1, H2_ENDED);
    h2_past_open(&past, INT32_MAX);
    cr_expect_eq(h2_past_fate(&past, 1), H2_DISMISSED);
    cr_expect_eq(h2_past_fate(&past, INT32_MAX - 2 * (H2_PAST_IDS - 1)), H2_SKIPPED);
    cr_expect_eq(h2_past_fate(&past, INT32_MAX - 2 * H2_PAST_IDS), H2_DISMISSED);
    h2_past_close(&past, 1, H2_LEFT);
    cr_expect_eq(h2_past_fate(&past, 1), H2_DISMISSED, "a close of long ago changes nothing");
}

Test(h2_past, agrees_with_a_perfect_memory)
{
    srand(1);
    for (int leap = 1; leap <= 600; leap += 199) {
        enum h2_fate fates[IDS] = {H2_SKIPPED};
        struct h2_past past = {0};
        for (unsigned step = 0; step < STEPS && past.id_last + 2 * 600 < IDS; step++) {
            uint32_t id = past.id_last == 0 ? 1 : past.id_last + 2 * (uint32_t)(rand() % leap + 1);
            h2_past_open(&past, id);
            fates[id] = H2_DISMISSED;
            uint32_t closed = (uint32_t)rand() % (id + 1) | 1;
            if (closed <= id && fates[closed] != H2_SKIPPED) {
                fates[closed] = (enum h2_fate)(rand() % 3 + 1);
                h2_past_close(&past, closed, fates[closed]);
            }
            if (step % 16 == 0) {
                expect_fates(&past, fates);
            }
        }
        expect_fates(&past, fates);
    }
}
