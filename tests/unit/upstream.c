/* SPDX-License-Identifier: Apache-2.0 */
/* Upstreams of a worker: who is chosen, who is out, which connections are kept, what is retried. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/upstream.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* Two of them may be in hand. */
static struct proxy_request request_of(const char *list)
{
    static struct upstream_url targets[2][LIM_UPSTREAM_TARGETS];
    static unsigned made;
    struct upstream_url *urls = targets[made++ % 2];
    const char *reason;
    struct span culprit;
    unsigned count = upstream_list_parse(span_of(list), urls, &reason, &culprit);
    cr_assert_gt(count, 0);
    return (struct proxy_request){.targets = urls, .target_count = count};
}

static struct upstream *choose(struct upstreams *all, const char *list, uint64_t now_ms)
{
    struct proxy_request request = request_of(list);
    unsigned target;
    return upstream_choose(all, &request, 0, now_ms, &target);
}

/* ---- choosing */

Test(upstream, one_for_each_key)
{
    struct upstreams *all = upstreams_create();
    struct upstream *a = choose(all, "http://a", 0);
    cr_assert_not_null(a);
    cr_expect_eq(choose(all, "http://A:80/base", 0), a);
    cr_expect_eq(upstream_active(a), 2);
    static const char *const others[] = {"http://a:81", "https://a:80", "unix/a", "http://b"};
    for (size_t i = 0; i < COUNT(others); i++) {
        struct upstream *other = choose(all, others[i], 0);
        cr_expect_neq(other, a);
        upstream_end(other);
    }
    upstream_end(a);
    upstream_end(a);
    upstreams_free(all);
    upstreams_free(NULL);
}

Test(upstream, fewest_requests_in_hand)
{
    struct upstreams *all = upstreams_create();
    struct proxy_request request = request_of("http://a,http://b,http://c");
    struct upstream *taken[30];
    unsigned target, counts[3] = {0};
    for (size_t i = 0; i < COUNT(taken); i++) {
        taken[i] = upstream_choose(all, &request, 0, 0, &target);
        cr_assert_not_null(taken[i]);
        counts[target]++;
    }
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_eq(counts[i], 10);
    }
    upstream_end(taken[4]);
    struct upstream *next = upstream_choose(all, &request, 0, 0, &target);
    cr_expect_eq(next, taken[4]);
    for (size_t i = 0; i < COUNT(taken); i++) {
        upstream_end(taken[i]);
    }
    upstreams_free(all);
}

/* Nobody has anything in hand: all get their share all the same. */
Test(upstream, equals_take_turns)
{
    struct upstreams *all = upstreams_create();
    struct proxy_request request = request_of("http://a,http://b,http://c");
    unsigned target, counts[3] = {0};
    for (unsigned i = 0; i < 30; i++) {
        upstream_end(upstream_choose(all, &request, 0, 0, &target));
        counts[target]++;
    }
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_eq(counts[i], 10, "%u: %u", i, counts[i]);
    }
    upstreams_free(all);
}

Test(upstream, tried_ones_are_left_out)
{
    struct upstreams *all = upstreams_create();
    struct proxy_request request = request_of("http://a,http://b,http://a");
    unsigned target;
    for (unsigned i = 0; i < 6; i++) {
        struct upstream *b = upstream_choose(all, &request, 5, 0, &target);
        cr_expect_eq(target, 1);
        upstream_end(b);
    }
    cr_expect_null(upstream_choose(all, &request, 7, 0, &target));
    struct upstream *a = upstream_choose(all, &request, 2, 0, &target);
    cr_expect_eq(upstream_active(a), 1);
    upstream_end(a);
    upstreams_free(all);
}

/* The target each of `count` keys goes to. */
static void stick(struct upstreams *all, struct proxy_request *request, uint32_t tried,
                  unsigned *targets, unsigned count)
{
    request->sticky = true;
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        int bytes = snprintf(key, sizeof key, "user%u", i);
        request->hash = upstream_hash((struct span){key, (size_t)bytes});
        upstream_end(upstream_choose(all, request, tried, 0, &targets[i]));
    }
}

Test(upstream, keys_stick)
{
    enum { KEYS = 1000 };
    static unsigned before[KEYS], again[KEYS], without[KEYS];
    struct upstreams *all = upstreams_create();
    struct proxy_request request = request_of("http://a,http://b,http://c,http://d");
    unsigned counts[4] = {0};
    stick(all, &request, 0, before, KEYS);
    stick(all, &request, 0, again, KEYS);
    stick(all, &request, 1u << 2, without, KEYS);
    for (unsigned i = 0; i < KEYS; i++) {
        cr_assert_eq(before[i], again[i]);
        cr_assert_neq(without[i], 2);
        cr_assert(before[i] == 2 || before[i] == without[i], "only keys of the lost one move");
        counts[before[i]]++;
    }
    for (unsigned i = 0; i < 4; i++) {
        cr_expect(counts[i] > KEYS / 8 && counts[i] < KEYS / 2, "%u: %u", i, counts[i]);
    }
    /* The order of the list does not matter, nor what was chosen before. */
    struct proxy_request turned = request_of("http://d,http://c,http://b,http://a");
    stick(all, &turned, 0, again, KEYS);
    for (unsigned i = 0; i < KEYS; i++) {
        cr_assert_eq(before[i], 3 - again[i]);
    }
    upstreams_free(all);
}

/* ---- health */

Test(upstream, several_failures_take_one_out)
{
    struct upstreams *all = upstreams_create();
    struct proxy_request request = request_of("http://a,http://b");
    unsigned target;
    struct upstream *a = upstream_choose(all, &request, 2, 0, &target);
    upstream_failed(a, 1000);
    upstream_failed(a, 2000);
    cr_expect_not(upstream_is_out(a, 2000));
    upstream_failed(a, 1000 + LIM_UPSTREAM_FAILURE_MS);
    cr_expect(upstream_is_out(a, 11000));
    for (unsigned i = 0; i < 4; i++) {
        upstream_end(upstream_choose(all, &request, 0, 11000 + i, &target));
        cr_expect_eq(target, 1);
    }
    request.sticky = true;
    for (request.hash = 0; request.hash < 8; request.hash++) {
        upstream_end(upstream_choose(all, &request, 0, 12000, &target));
        cr_expect_eq(target, 1);
    }
    cr_expect(upstream_is_out(a, 11000 + LIM_UPSTREAM_OUT_MS - 1));
    cr_expect_not(upstream_is_out(a, 11000 + LIM_UPSTREAM_OUT_MS));
    upstream_failed(a, 30000); /* counted from the start */
    cr_expect_not(upstream_is_out(a, 30000));
    upstream_end(a);
    upstreams_free(all);
}

Test(upstream, rare_failures_do_not_count)
{
    struct upstreams *all = upstreams_create();
    struct upstream *a = choose(all, "http://a", 0);
    for (uint64_t ms = 0; ms < 20; ms++) {
        upstream_failed(a, ms * (LIM_UPSTREAM_FAILURE_MS / 2 + 1));
        cr_expect_not(upstream_is_out(a, ms * (LIM_UPSTREAM_FAILURE_MS / 2 + 1)));
    }
    upstream_end(a);
    upstreams_free(all);
}

Test(upstream, when_all_are_out_the_next_one_back_is_tried)
{
    struct upstreams *all = upstreams_create();
    struct proxy_request request = request_of("http://a,http://b,http://c");
    unsigned target;
    static const uint64_t at_ms[] = {3000, 1000, 2000};
    for (unsigned i = 0; i < 3; i++) {
        struct upstream *upstream = upstream_choose(all, &request, ~(1u << i), 0, &target);
        for (unsigned n = 0; n < LIM_UPSTREAM_FAILURES; n++) {
            upstream_failed(upstream, at_ms[i]);
        }
        upstream_end(upstream);
    }
    for (unsigned i = 0; i < 4; i++) {
        upstream_end(upstream_choose(all, &request, 0, 4000, &target));
        cr_expect_eq(target, 1);
    }
    upstreams_free(all);
}

/* ---- the table is bounded */

Test(upstream, table_is_bounded)
{
    static struct upstream *taken[LIM_UPSTREAMS];
    struct upstreams *all = upstreams_create();
    char url[32];
    for (unsigned i = 0; i < 2 * LIM_UPSTREAMS; i++) { /* nothing in hand: the oldest go */
        snprintf(url, sizeof url, "http://first%u", i);
        struct upstream *upstream = choose(all, url, 0);
        cr_assert_not_null(upstream);
        upstream_end(upstream);
    }
    for (unsigned i = 0; i < LIM_UPSTREAMS; i++) {
        snprintf(url, sizeof url, "http://second%u", i);
        taken[i] = choose(all, url, 0);
        cr_assert_not_null(taken[i]);
    }
    cr_expect_null(choose(all, "http://third", 0));
    cr_expect_eq(choose(all, "http://second7", 0), taken[7]);
    upstream_end(taken[7]);
    upstream_end(taken[5]);
    struct upstream *third = choose(all, "http://third,http://fourth", 0);
    cr_assert_not_null(third);
    upstream_end(third);
    for (unsigned i = 0; i < LIM_UPSTREAMS; i++) {
        if (i != 5) {
            upstream_end(taken[i]);
        }
    }
    upstreams_free(all);
}

/* ---- idle connections */

Test(upstream, last_kept_is_first_taken)
{
    struct upstreams *all = upstreams_create();
    struct upstream *a = choose(all, "http://a", 0);
    struct upstream *b = choose(all, "http://b", 0);
    struct upstream_idle idle[4] = {{NULL}};
    cr_expect_eq(upstream_idle_wait_ms(all, 0), -1);
    cr_expect_null(upstream_idle_take(all, a, 0));
    cr_expect_null(upstream_idle_put(all, a, &idle[0], 100));
    cr_expect_null(upstream_idle_put(all, b, &idle[1], 200));
    cr_expect_null(upstream_idle_put(all, a, &idle[2], 300));
    cr_expect_null(upstream_idle_put(all, a, &idle[3], 400));
    cr_expect_eq(upstream_idle_wait_ms(all, 400), LIM_UPSTREAM_IDLE_MS - 300);
    upstream_idle_remove(all, &idle[2]);
    cr_expect_null(idle[2].upstream);
    cr_expect_eq(upstream_idle_take(all, a, 500), &idle[3]);
    cr_expect_eq(upstream_idle_take(all, a, 500), &idle[0]);
    cr_expect_null(upstream_idle_take(all, a, 500));
    cr_expect_eq(upstream_idle_wait_ms(all, 500), LIM_UPSTREAM_IDLE_MS - 300);
    cr_expect_eq(upstream_idle_take(all, b, 500), &idle[1]);
    cr_expect_eq(upstream_idle_wait_ms(all, 500), -1);
    upstream_end(a);
    upstream_end(b);
    upstreams_free(all);
}

Test(upstream, idle_ones_expire)
{
    struct upstreams *all = upstreams_create();
    struct upstream *a = choose(all, "http://a", 0);
    struct upstream_idle idle[3] = {{NULL}};
    for (unsigned i = 0; i < 3; i++) {
        upstream_idle_put(all, a, &idle[i], 10 * i);
    }
    uint64_t end = LIM_UPSTREAM_IDLE_MS;
    cr_expect_null(upstream_idle_expired(all, end - 1));
    cr_expect_eq(upstream_idle_expired(all, end), &idle[0]);
    cr_expect_null(upstream_idle_expired(all, end));
    cr_expect_eq(upstream_idle_wait_ms(all, end), 10);
    cr_expect_eq(upstream_idle_wait_ms(all, end + 100), 0);
    cr_expect_null(upstream_idle_take(all, a, end + 20), "nothing expired is taken");
    cr_expect_eq(upstream_idle_expired(all, UINT64_MAX), &idle[1]);
    cr_expect_eq(upstream_idle_expired(all, UINT64_MAX), &idle[2]);
    cr_expect_null(upstream_idle_expired(all, UINT64_MAX));
    upstream_end(a);
    upstreams_free(all);
}

Test(upstream, idle_ones_are_bounded)
{
    static struct upstream_idle idle[LIM_UPSTREAM_IDLE + LIM_UPSTREAM_IDLE_EACH + 1];
    struct upstreams *all = upstreams_create();
    struct upstream *a = choose(all, "http://a", 0);
    unsigned used = 0;
    for (; used < LIM_UPSTREAM_IDLE_EACH; used++) {
        cr_assert_null(upstream_idle_put(all, a, &idle[used], used));
    }
    cr_expect_eq(upstream_idle_put(all, a, &idle[used], used), &idle[0]);
    used++;
    char url[32];
    for (unsigned kept = LIM_UPSTREAM_IDLE_EACH; kept < LIM_UPSTREAM_IDLE; kept++, used++) {
        snprintf(url, sizeof url, "http://b%u", kept % 16);
        struct upstream *b = choose(all, url, 0);
        cr_assert_null(upstream_idle_put(all, b, &idle[used], used));
        upstream_end(b);
    }
    struct upstream *c = choose(all, "http://c", 0);
    cr_expect_eq(upstream_idle_put(all, c, &idle[used], used), &idle[1], "the oldest of all");
    unsigned closed = 0;
    while (upstream_idle_expired(all, UINT64_MAX) != NULL) {
        closed++;
    }
    cr_expect_eq(closed, LIM_UPSTREAM_IDLE);
    upstream_end(a);
    upstream_end(c);
    upstreams_free(all);
}

/* ---- trying again */

Test(upstream, retries)
{
    static const struct {
        const char *method;
        struct upstream_attempt attempt;
        bool retry;
    } rows[] = {
        {"GET", {.sent = true}, true},
        {"PUT", {.sent = true}, true},
        {"DELETE", {.sent = true, .targets_left = true}, true},
        {"POST", {.sent = true, .targets_left = true}, false},
        {"PATCH", {.sent = true}, false},
        {"get", {.sent = true}, false},
        {"BREW", {.sent = true}, false},
        {"GET", {.sent = true, .retries = LIM_UPSTREAM_RETRIES}, false},
        {"GET", {.sent = true, .answered = true}, false},
        {"PUT", {.sent = true, .body_gone = true}, false},
        {"POST", {.targets_left = true}, true},
        {"POST", {.targets_left = true, .retries = LIM_UPSTREAM_RETRIES}, true},
        {"GET", {.targets_left = false}, false},
        {"POST", {.sent = true, .untaken = true}, true},
        {"POST", {.sent = true, .untaken = true, .body_gone = true}, false},
        {"POST", {.sent = true, .untaken = true, .retries = LIM_UPSTREAM_RETRIES}, false},
        {"POST", {.targets_left = true, .body_gone = true}, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct upstream_attempt attempt = rows[i].attempt;
        attempt.method = span_of(rows[i].method);
        cr_expect_eq(upstream_may_retry(&attempt), rows[i].retry, "%zu: %s", i, rows[i].method);
    }
}
