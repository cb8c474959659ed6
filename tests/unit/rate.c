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

Test(rate, burst_then_share_by_share)
{
    struct rate_table *table = rate_table_create(10000);

    cr_expect_eq(take_many(table, "k", 20, 5, START), 5);
    cr_expect_eq(take_many(table, "k", 3, 5, START + SECOND / 5 - 1), 0);
    cr_expect_eq(take_many(table, "k", 3, 5, START + SECOND / 5), 1);
    cr_expect_eq(take_many(table, "k", 20, 5, START + SECOND / 5 * 3), 2);
    cr_expect_eq(take_many(table, "k", 20, 5, START + 10 * SECOND), 5);
    cr_expect_eq(take_many(table, "other", 20, 5, START + 10 * SECOND), 5);
    rate_table_free(table);
}

/* For any limit, and without the pause a fixed window would give at its edge. */
Test(rate, limit_is_exact)
{
    static const uint64_t limits[] = {1, 2, 3, 7, 60, 999, 1000, 10007};

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct rate_table *table = rate_table_create(16);
        unsigned allowed = 0;

        cr_expect_eq(take_many(table, "k", (unsigned)limits[i] * 2, limits[i], START), limits[i]);
        for (unsigned step = 1; step <= 50000; step++) {
            allowed += take_many(table, "k", 2, limits[i], START + step * (5 * SECOND / 50000));
        }
        cr_expect_leq(allowed, limits[i] * 5 + 1, "%u of %lu in 5 s", allowed, limits[i]);
        cr_expect_geq(allowed, limits[i] * 5 - 1, "%u of %lu in 5 s", allowed, limits[i]);
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
    now += SECOND;
    cr_expect_eq(take(table, "k", 2, 3, 4, now), RATE_WINDOWS);
    cr_expect_eq(take(table, "k", 2, 3, 4, now), RATE_MINUTE);
    now += 60 * SECOND;
    cr_expect_eq(take(table, "k", 2, 3, 4, now), RATE_WINDOWS);
    cr_expect_eq(take(table, "k", 2, 3, 4, now), RATE_HOUR);
    now += 3600 * SECOND;
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

Test(rate, no_limit_and_limits_finer_than_the_clock)
{
    struct rate_table *table = rate_table_create(1);

    cr_expect_eq(take_many(table, "k", 1000, 0, START), 1000);
    cr_expect_eq(take_many(table, "k", 1000, UINT64_MAX, START), 1000);
    cr_expect_eq(take_many(table, "k", 1000, 2 * SECOND, START), 1000);
    cr_expect_eq(take_many(table, "k", 10, 1, START), 1);
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
    cr_expect_eq(take_many(table, "k", 10, 1, START + 2 * SECOND), 1);
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

Test(rate, as_many_keys_as_asked_for_are_kept)
{
    static const uint32_t sizes[] = {1, 2, 63, 64, 65, 1000, 10000};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct rate_table *table = rate_table_create(sizes[i]);
        unsigned forgotten = 0;
        char key[16];

        for (unsigned round = 0; round < 2; round++) {
            for (uint32_t k = 0; k < sizes[i]; k++) {
                snprintf(key, sizeof key, "key %u", k);
                forgotten += take_many(table, key, 1, 1, START) * round;
            }
        }
        /* Keys do not spread evenly over a large table. */
        cr_expect_leq(forgotten, sizes[i] / 100, "%u of %u", forgotten, sizes[i]);
        rate_table_free(table);
    }
}

Test(rate, look)
{
    struct rate_table *table = rate_table_create(1);
    struct rate_info info = rate_look(table, SPAN("k"), RATE_MINUTE, 4, START);

    cr_expect(info.remaining == 4 && info.retry_ms == 0 && info.reset_ms == 0);
    for (unsigned i = 0; i < 4; i++) {
        take(table, "k", 0, 4, 0, START);
        info = rate_look(table, SPAN("k"), RATE_MINUTE, 4, START);
        cr_expect_eq(info.remaining, 3 - i);
        cr_expect_eq(info.reset_ms, 15000 * (i + 1));
    }
    cr_expect_eq(info.retry_ms, 15000);
    info = rate_look(table, SPAN("k"), RATE_MINUTE, 4, START + SECOND / 2000);
    cr_expect_eq(info.retry_ms, 15000);
    info = rate_look(table, SPAN("k"), RATE_MINUTE, 4, START + 15 * SECOND);
    cr_expect(info.remaining == 1 && info.retry_ms == 0 && info.reset_ms == 45000);
    info = rate_look(table, SPAN("k"), RATE_HOUR, UINT64_MAX, START);
    cr_expect(info.remaining == UINT64_MAX && info.retry_ms == 0 && info.reset_ms == 0);
    rate_table_free(table);
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

/* The limit at once, for there was a pause before, then 1000 in each of ten seconds: these 10,000
 * within 1 %. */
Test(rate, threads_count_together)
{
    struct crowd crowd = {.now = START, .end = START + 10 * SECOND};
    unsigned allowed = run_crowd(&crowd);

    cr_expect(allowed >= 1000 + 9900 && allowed <= 1000 + 10100, "%u", allowed);
}

/* On a real clock, however slow the machine: never more than the limit. */
Test(rate, threads_on_a_real_clock)
{
    uint64_t start = real_now();
    struct crowd crowd = {.end = start + SECOND / 2, .real = true};
    unsigned allowed = run_crowd(&crowd);
    uint64_t most = 1000 + 500;

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
