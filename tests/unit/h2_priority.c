/* SPDX-License-Identifier: Apache-2.0 */
/* The text of priorities (RFC 9218 4, RFC 8941 3.2), and whose turn it is to send by them. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "server/h2_schedule.h"

enum { DEFAULT = H2_PRIORITY_DEFAULT, I = H2_INCREMENTAL };

struct text_row {
    const char *text;
    uint8_t priority;
};

static const struct text_row texts[] = {
    {"", DEFAULT},
    {"u=0", 0},
    {"u=7", 7},
    {"i", DEFAULT | I},
    {"u=1, i", 1 | I},
    {"i,u=5", 5 | I},
    {"  u=2 \t,\t i  ", 2 | I},
    {"i=?1", DEFAULT | I},
    {"i=?0", DEFAULT},
    {"i, i=?0", DEFAULT},
    {"u=1, u=6", 6},
    {"u=2;a;b=\"c,u=7\"", 2},
    {"u=2;  a=1.5, i", 2 | I},
    {"a=\"u=1, i\", u=2", 2},
    {"a=\"\\\"\\\\,u=1\", u=2", 2},
    {"a=(1 \"b,\" c;d=e);f, u=2", 2},
    {"a=(), u=2", 2},
    {"a=:aGk=:, b=token/x, *c=-12.5, u=4", 4},
    /* values that mean nothing */
    {"u=8", DEFAULT},
    {"u=-1", DEFAULT},
    {"u=1.0", DEFAULT},
    {"u=10", DEFAULT},
    {"u=?1", DEFAULT},
    {"u=\"1\"", DEFAULT},
    {"u", DEFAULT},
    {"i=1", DEFAULT},
    {"i=(?1)", DEFAULT},
    {"uu=1, ii", DEFAULT},
    /* malformed: all of it means nothing */
    {"u=1,", DEFAULT},
    {"u=1,,i", DEFAULT},
    {",u=1", DEFAULT},
    {"u=1 i", DEFAULT},
    {"u=", DEFAULT},
    {"u=1, A=2", DEFAULT},
    {"u=1, i=?2", DEFAULT},
    {"u=1, a=\"b", DEFAULT},
    {"u=1, a=\"b\\c\"", DEFAULT},
    {"u=1, a=(b", DEFAULT},
    {"u=1, a=(b\"c\")", DEFAULT},
    {"u=1, a=:b", DEFAULT},
    {"u=1;", DEFAULT},
    {"u=1;A", DEFAULT},
    {"u=1, a=1234567890123456", DEFAULT},
    {"u=1, a=-", DEFAULT},
    {"u=1, a=\xff", DEFAULT},
    {"????", DEFAULT},
};

Test(h2_priority, texts)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t length = strlen(texts[i].text);
        char *copy = malloc(length + 1); /* so that a sanitizer sees reads beyond */
        cr_assert_not_null(copy);
        memcpy(copy, texts[i].text, length);
        char *exact = realloc(copy, length > 0 ? length : 1);
        uint8_t priority = h2_priority_parse((struct span){exact, length});
        cr_expect_eq(priority, texts[i].priority, "%s: %u", texts[i].text, priority);
        free(exact);
    }
}

/* ---- turns */

enum { TURNS_MAX = 40 };

/* The ids that send the next frames, one character each. */
static const char *order(struct h2_schedule *schedule, unsigned frames)
{
    static char ids[TURNS_MAX + 1];
    cr_assert(frames <= TURNS_MAX);
    unsigned i = 0;
    for (; i < frames; i++) {
        struct h2_turn *turn = h2_schedule_next(schedule);
        if (turn == NULL) {
            break;
        }
        ids[i] = (char)('0' + turn->id);
        h2_schedule_sent(schedule, turn);
    }
    ids[i] = '\0';
    return ids;
}

static struct h2_turn turn_of(uint32_t id, uint8_t priority)
{
    return (struct h2_turn){.id = id, .priority = priority};
}

Test(h2_priority, the_most_urgent_sends_alone)
{
    struct h2_schedule schedule = {0};
    struct h2_turn late = turn_of(1, 6), soon = turn_of(3, 0), other = turn_of(5, 3 | I);
    cr_expect_null(h2_schedule_next(&schedule));
    h2_schedule_add(&schedule, &late);
    h2_schedule_add(&schedule, &other);
    h2_schedule_add(&schedule, &soon);
    cr_expect_str_eq(order(&schedule, 3), "333");
    h2_schedule_remove(&schedule, &soon);
    cr_expect_str_eq(order(&schedule, 3), "555");
    h2_schedule_remove(&schedule, &other);
    cr_expect_str_eq(order(&schedule, 3), "111");
    h2_schedule_remove(&schedule, &late);
    cr_expect_null(h2_schedule_next(&schedule));
}

Test(h2_priority, the_same_urgency_is_in_order_of_ids)
{
    static const uint32_t ids[] = {5, 1, 9, 3, 7};
    struct h2_schedule schedule = {0};
    struct h2_turn turns[5];
    for (int i = 0; i < 5; i++) {
        turns[i] = turn_of(ids[i], 3);
        h2_schedule_add(&schedule, &turns[i]);
    }
    for (uint32_t id = 1; id <= 9; id += 2) {
        struct h2_turn *turn = h2_schedule_next(&schedule);
        cr_assert_not_null(turn);
        cr_expect_eq(turn->id, id);
        h2_schedule_sent(&schedule, turn);
        cr_expect_eq(h2_schedule_next(&schedule), turn, "until it is complete");
        h2_schedule_remove(&schedule, turn);
    }
    cr_expect_null(h2_schedule_next(&schedule));
}

Test(h2_priority, incremental_ones_share)
{
    struct h2_schedule schedule = {0};
    struct h2_turn turns[4];
    for (uint32_t i = 0; i < 4; i++) {
        turns[i] = turn_of(2 * i + 1, 3 | I);
        h2_schedule_add(&schedule, &turns[i]);
    }
    cr_expect_str_eq(order(&schedule, 6), "135713");
    h2_schedule_remove(&schedule, &turns[2]); /* whose turn it would be */
    cr_expect_str_eq(order(&schedule, 4), "7137");
}

Test(h2_priority, both_kinds_take_turns)
{
    struct h2_schedule schedule = {0};
    struct h2_turn whole = turn_of(1, 3), next = turn_of(7, 3);
    struct h2_turn a = turn_of(3, 3 | I), b = turn_of(5, 3 | I);
    h2_schedule_add(&schedule, &a);
    h2_schedule_add(&schedule, &b);
    h2_schedule_add(&schedule, &next);
    h2_schedule_add(&schedule, &whole);
    cr_expect_str_eq(order(&schedule, 6), "131513");
    h2_schedule_remove(&schedule, &whole);
    cr_expect_str_eq(order(&schedule, 4), "7573");
    h2_schedule_remove(&schedule, &next);
    cr_expect_str_eq(order(&schedule, 4), "5353");
}
