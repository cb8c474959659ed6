/* SPDX-License-Identifier: Apache-2.0 */
/* Rates of keys, on a clock of the test: how many are allowed, which window is told, what makes
 * room, and that threads count together. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "server/rate.h"

#define SECOND 1000000000ull
#define MS     1000000ull
#define WINDOW (SECOND / 256 * 257) /* of a second, as it is counted */
#define START  (1000 * SECOND)

static enum rate_window take(struct rate_table *table, const char *key, uint64_t s, uint64_t m,
                             uint64_t h, uint64_t now)
{
    return rate_take(table, span_of(key), &(struct rate_limits){{s, m, h}}, now);
}

static unsigned take_many(struct rate_table *table, const char *key, unsigned tries, uint64_t s,
                          uint64_t now)
{
    unsigned allowed = 0;

    for (unsigned i = 0; i < tries; i++) {
        allowed += take(table, key, s, 0, 0, now) == RATE_WINDOWS;
    }
    return allowed;
}

/* What came at once is back at once, a window later. */
Test(rate, burst_comes_back_together)
{
    struct rate_table *table = rate_table_create(10000);

    cr_expect_eq(take_many(table, "k", 20, 5, START), 5);
    cr_expect_eq(take_many(table, "k", 3, 5, START + WINDOW - 1), 0);
    cr_expect_eq(take_many(table, "k", 20, 5, START + WINDOW), 5);
    cr_expect_eq(take_many(table, "k", 20, 5, START + WINDOW * 19 / 10), 0);
    cr_expect_eq(take_many(table, "k", 20, 5, START + 10 * SECOND), 5);
    cr_expect_eq(take_many(table, "other", 20, 5, START + 10 * SECOND), 5);
    rate_table_free(table);
}

/* A window begins with its first take, also where the machine itself is younger than a window. */
Test(rate, just_after_boot)
{
    struct rate_table *table = rate_table_create(16);
    uint64_t boot = 600 * SECOND, minute = 60 * WINDOW, hour = 60 * minute;

    for (unsigned i = 0; i < 5; i++) {
        cr_expect_eq(take(table, "k", 0, 0, 5, boot), RATE_WINDOWS);
    }
    cr_expect_eq(rate_look(table, span_of("k"), RATE_HOUR, 5, boot).retry_ms, (hour + MS - 1) / MS);
    cr_expect_eq(take(table, "k", 0, 0, 5, boot + hour - minute), RATE_HOUR);
    cr_expect_eq(take(table, "k", 0, 0, 5, boot + hour + minute), RATE_WINDOWS);
    rate_table_free(table);
}

/* What came bit by bit comes back so: the end of a window lets nobody have everything again. */
Test(rate, spread_comes_back_spread)
{
    struct rate_table *table = rate_table_create(10000);

    for (unsigned i = 0; i < 10; i++) {
        cr_expect_eq(take_many(table, "k", 1, 10, START + i * SECOND / 10), 1);
    }
    cr_expect_eq(take_many(table, "k", 20, 10, START + WINDOW - 1), 0);
    cr_expect_leq(take_many(table, "k", 20, 10, START + WINDOW + 1), 1);
    cr_expect_eq(take_many(table, "k", 20, 10, START + WINDOW * 3 / 2), 5);
    cr_expect_eq(take_many(table, "k", 20, 10, START + WINDOW * 19 / 10), 4);
    rate_table_free(table);
}

/* Whoever asks without a pause: the limit in each window, for any limit. */
Test(rate, limit_is_exact)
{
    static const uint64_t limits[] = {1, 2, 3, 7, 60, 999, 1000, 10007};

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct rate_table *table = rate_table_create(16);

        for (unsigned window = 0; window < 10; window++) {
            unsigned allowed = 0;
            for (uint64_t at = 0; at < WINDOW; at += WINDOW / 10000) {
                allowed += take_many(table, "k", 2, limits[i], START + window * WINDOW + at);
            }
            cr_expect_eq(allowed, limits[i], "%u of %lu", allowed, limits[i]);
        }
        rate_table_free(table);
    }
}

Test(rate, shortest_exceeded_window_is_told)
{
    struct rate_table *table = rate_table_create(1);
    uint64_t now = START;

    cr_expect_eq(take(table, "k", 2, 3, 4, now), RATE_WINDOWS);
    cr_expect_eq(take(table, "k", 2, 3, 4, now), RATE_WINDOWS);
    cr_expect_eq(take(table, "k", 2, 3, 4, now), RATE_SECOND);
    now += WINDOW;
    cr_expect_eq(take(table, "k", 2, 3, 4, now), RATE_WINDOWS);
    cr_expect_eq(take(table, "k", 2, 3, 4, now), RATE_MINUTE);
    now += 60 * WINDOW;
    cr_expect_eq(take(table, "k", 2, 3, 4, now), RATE_WINDOWS);
    cr_expect_eq(take(table, "k", 2, 3, 4, now), RATE_HOUR);
    now += 3600 * WINDOW;
    cr_expect_eq(take(table, "k", 2, 3, 4, now), RATE_WINDOWS);
    rate_table_free(table);
}

/* What one window refuses is not counted in another. */
Test(rate, refused_is_not_counted)
{
    struct rate_table *table = rate_table_create(1);

    cr_expect_eq(take(table, "k", 5, 1, 0, START), RATE_WINDOWS);
    for (unsigned i = 0; i < 100; i++) {
        cr_expect_eq(take(table, "k", 5, 1, 0, START), RATE_MINUTE);
    }
    cr_expect_eq(take_many(table, "k", 20, 5, START), 4);
    rate_table_free(table);
}

Test(rate, no_limit_and_enormous_limits)
{
    struct rate_table *table = rate_table_create(1);

    cr_expect_eq(take_many(table, "k", 1000, 0, START), 1000);
    cr_expect_eq(take_many(table, "k", 1000, UINT64_MAX, START), 1000);
    cr_expect_eq(take_many(table, "k", 1000, 2 * SECOND, START), 1000);
    cr_expect_eq(take_many(table, "other", 10, 1, START), 1);
    rate_table_free(table);
}

/* A clock that differs a little between threads, or a limit that is lowered, blocks nobody for
 * long. */
Test(rate, odd_times)
{
    struct rate_table *table = rate_table_create(1);

    cr_expect_eq(take_many(table, "k", 10, 10, START + SECOND), 10);
    cr_expect_eq(take_many(table, "k", 10, 10, START), 0);
    cr_expect_eq(take_many(table, "k", 10, 1, START + SECOND), 0);
    cr_expect_eq(take_many(table, "k", 10, 1, START + SECOND + WINDOW), 1);
    cr_expect_eq(take_many(table, "k", 1, 1, 0), 0);
    rate_table_free(table);
}

Test(rate, least_recently_seen_makes_room)
{
    struct rate_table *table = rate_table_create(3);

    cr_expect_eq(take_many(table, "a", 9, 1, START), 1);
    cr_expect_eq(take_many(table, "b", 9, 1, START + 10000000), 1);
    cr_expect_eq(take_many(table, "c", 9, 1, START + 20000000), 1);
    cr_expect_eq(take_many(table, "a", 9, 1, START + 30000000), 0);
    cr_expect_eq(take_many(table, "d", 9, 1, START + 40000000), 1); /* in place of b */
    cr_expect_eq(take_many(table, "a", 9, 1, START + 50000000), 0);
    cr_expect_eq(take_many(table, "c", 9, 1, START + 60000000), 0);
    cr_expect_eq(take_many(table, "b", 9, 1, START + 70000000), 1);
    rate_table_free(table);
}

/* How many of `keys` are taken for new ones when all have been seen once. */
static unsigned forgotten_by_a_table_for(uint32_t keys)
{
    struct rate_table *table = rate_table_create(keys);
    unsigned forgotten = 0;
    char key[16];

    for (unsigned round = 0; round < 2; round++) {
        for (uint32_t k = 0; k < keys; k++) {
            snprintf(key, sizeof key, "key %u", k);
            forgotten += take_many(table, key, 1, 1, START) * round;
        }
    }
    rate_table_free(table);
    return forgotten;
}

/* Where a key belongs is by chance, so a table of several sets may have one that is full too early:
 * of 10,000 keys in all, in as many tables as it takes, 13 are forgotten on the average, 36 at most
 * in 500 tries. */
Test(rate, as_many_keys_as_asked_for_are_kept)
{
    static const uint32_t exactly[] = {1, 2, 63, 64}, nearly[] = {65, 1000, 10000};

    for (size_t i = 0; i < sizeof exactly / sizeof exactly[0]; i++) {
        cr_expect_eq(forgotten_by_a_table_for(exactly[i]), 0, "of %u", exactly[i]);
    }
    for (size_t i = 0; i < sizeof nearly / sizeof nearly[0]; i++) {
        unsigned forgotten = 0;
        for (uint32_t keys = 0; keys < 10000; keys += nearly[i]) {
            forgotten += forgotten_by_a_table_for(nearly[i]);
        }
        cr_expect_leq(forgotten, 100, "%u by tables for %u", forgotten, nearly[i]);
    }
}

Test(rate, look)
{
    const uint64_t quarter = 15 * WINDOW;
    struct rate_table *table = rate_table_create(1);
    struct rate_info info = rate_look(table, SPAN("k"), RATE_MINUTE, 4, START);

    cr_expect(info.remaining == 4 && info.retry_ms == 0 && info.reset_ms == 0);
    for (unsigned i = 0; i < 4; i++) {
        take(table, "k", 0, 4, 0, START + i * quarter);
        info = rate_look(table, SPAN("k"), RATE_MINUTE, 4, START + i * quarter);
        cr_expect_eq(info.remaining, 3 - i);
        cr_expect(info.reset_ms >= 60000 && info.reset_ms <= 60500, "%lu", info.reset_ms);
    }
    cr_expect(info.retry_ms > 15000 && info.retry_ms <= 15100, "one is back behind the end: %lu",
              info.retry_ms);
    info = rate_look(table, SPAN("k"), RATE_MINUTE, 4, START + 5 * quarter);
    cr_expect(info.remaining == 2 && info.retry_ms == 0);
    cr_expect(info.reset_ms >= 30000 && info.reset_ms <= 30500, "%lu", info.reset_ms);
    info = rate_look(table, SPAN("k"), RATE_HOUR, UINT64_MAX, START);
    cr_expect(info.remaining == UINT64_MAX && info.retry_ms == 0 && info.reset_ms == 0);
    rate_table_free(table);
}

/* Trying again when told to succeeds, not a millisecond before. */
Test(rate, retry_is_right)
{
    static const uint64_t limits[] = {1, 2, 3, 7, 60};

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct rate_table *table = rate_table_create(1);
        uint64_t now = START;

        for (unsigned tries = 0; tries < 500; tries++) {
            struct rate_info info;

            now += tries * 7919 % 29 * 1000000ull;
            info = rate_look(table, SPAN("k"), RATE_SECOND, limits[i], now);
            if (info.retry_ms > 0) {
                cr_assert_eq(take_many(table, "k", 1, limits[i], now + (info.retry_ms - 1) * MS),
                             0);
                now += info.retry_ms * MS;
            }
            cr_assert_eq(take_many(table, "k", 1, limits[i], now), 1, "limit %lu, take %u",
                         limits[i], tries);
        }
        rate_table_free(table);
    }
}

/* ---- threads ---- */

#define THREADS 8

struct crowd {
    struct rate_table *table;
    _Atomic uint64_t now;
    _Atomic unsigned allowed;
    uint64_t end;
    bool real;
};

static uint64_t real_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

/* Each take moves the clock on by 50 us: twenty tries for each one that is allowed. */
static void *hammer(void *context)
{
    struct crowd *crowd = context;

    for (;;) {
        uint64_t now = crowd->real ? real_now() : atomic_fetch_add(&crowd->now, 50000);

        if (now >= crowd->end) {
            return NULL;
        }
        if (take(crowd->table, "shared", 1000, 0, 0, now) == RATE_WINDOWS) {
            atomic_fetch_add(&crowd->allowed, 1);
        }
    }
}

static unsigned run_crowd(struct crowd *crowd)
{
    pthread_t threads[THREADS];

    crowd->table = rate_table_create(100);
    for (unsigned i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, hammer, crowd), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    rate_table_free(crowd->table);
    return atomic_load(&crowd->allowed);
}

/* 1000 in each of ten seconds: 10,000 within 1 %. */
Test(rate, threads_count_together)
{
    struct crowd crowd = {.now = START, .end = START + 10 * SECOND};
    unsigned allowed = run_crowd(&crowd);

    cr_expect(allowed >= 9900 && allowed <= 10100, "%u", allowed);
}

/* On a real clock, however slow the machine: never more than the limit. */
Test(rate, threads_on_a_real_clock)
{
    uint64_t start = real_now();
    struct crowd crowd = {.end = start + SECOND / 2, .real = true};
    unsigned allowed = run_crowd(&crowd);
    uint64_t most = 1000;

    cr_expect_leq(allowed, most + most / 100, "%u", allowed);
}

/* Many keys in a small table: places change hands all the time. */
static void *churn(void *context)
{
    struct rate_table *table = context;
    char key[16];

    for (unsigned i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "%u", i % 97);
        (void)take(table, key, 5, 50, 500, START + i * 1000000ull);
        (void)rate_look(table, span_of(key), RATE_SECOND, 5, START + i * 1000000ull);
    }
    return NULL;
}

Test(rate, places_change_hands)
{
    struct rate_table *table = rate_table_create(70);
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, churn, table), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_expect_eq(take_many(table, "fresh", 20, 5, START + 100 * SECOND), 5);
    rate_table_free(table);
}
