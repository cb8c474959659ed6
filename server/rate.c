/* SPDX-License-Identifier: Apache-2.0 */
/* The table is divided into sets of a few places, and a key belongs into one set. A place holds the
 * key's hash and, for each window, how many were taken in the one that runs and the one before.
 *
 * Places are found and counted in without a lock. Only a key that is new takes the lock of its set,
 * to choose a place. Whoever counts in a place while it is being given to another key counts for
 * that one: once, and by no more than one take, which the next window forgives.
 */
#include "server/rate.h"

#include <assert.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "server/siphash.h"

#define NS_PER_MS 1000000u
#define NS_PER_US 1000u

enum {
    WAYS = 16,        /* places of a set, where there are several sets */
    ONE_SET_MAX = 64, /* a table as small as that is one set: it holds exactly what was asked for */
    SEEN_STEP_NS = 1 << 20, /* how stale `seen` may be: writing it each time would move the line */
};

#define SPAN_UNITS 256u /* of a window: how exactly the time of a last take is known */

/* A unit longer than their names say, so that what is not known exactly lets nobody have more. */
#define WINDOW_NS(ns) ((ns) / SPAN_UNITS * (SPAN_UNITS + 1))
static const uint64_t window_ns[RATE_WINDOWS] = {
    [RATE_SECOND] = WINDOW_NS(1000000000ull),
    [RATE_MINUTE] = WINDOW_NS(60 * 1000000000ull),
    [RATE_HOUR] = WINDOW_NS(3600 * 1000000000ull),
};

/* What was taken since `start` and, until it is back, in the window before. Each was spread evenly
 * from the start of its window over that many units. All 0: nothing was ever taken. */
struct counts {
    uint64_t start_us : 48;
    uint64_t span : 8;
    uint64_t span_before : 8;
    uint32_t taken;
    uint32_t taken_before;
};

/* A struct counts that is read and exchanged whole. */
union cell {
    unsigned __int128 whole;
    _Atomic uint64_t half[2];
};

struct place {
    _Atomic uint64_t hash; /* of its key; FREE, CHANGING */
    _Atomic uint64_t seen; /* when its key was last asked about */
    union cell cells[RATE_WINDOWS];
};
static_assert(sizeof(struct counts) == sizeof(union cell), "it fills the cell");
static_assert(sizeof(struct place) == 64, "one line of cache");

enum { FREE, CHANGING, HASH_MIN };

struct rate_table {
    uint64_t secret[2];
    uint32_t sets;
    uint32_t ways;
    atomic_flag *locks; /* of each set */
    struct place places[];
};

struct rate_table *rate_table_create(uint32_t keys)
{
    bool one = keys <= ONE_SET_MAX;
    /* Keys do not spread evenly: with twice the places hardly any set is full before its time. */
    uint32_t sets = one ? 1 : (uint32_t)(((uint64_t)keys * 2 + WAYS - 1) / WAYS);
    uint32_t ways = one ? keys : WAYS;
    struct rate_table *table;

    assert(keys > 0);
    table = calloc(1, sizeof *table + (size_t)sets * ways * sizeof table->places[0]);
    if (table == NULL) {
        return NULL;
    }
    table->sets = sets;
    table->ways = ways;
    table->locks = calloc(sets, sizeof *table->locks);
    if (table->locks == NULL ||
        getrandom(table->secret, sizeof table->secret, 0) != (ssize_t)sizeof table->secret) {
        rate_table_free(table);
        return NULL;
    }
    for (uint32_t i = 0; i < sets; i++) {
        atomic_flag_clear(&table->locks[i]);
    }
    return table;
}

void rate_table_free(struct rate_table *table)
{
    if (table != NULL) {
        free(table->locks);
        free(table);
    }
}

/* ---- places ---- */

static uint64_t hash_of(const struct rate_table *table, struct span key)
{
    uint64_t hash = siphash(table->secret, key);

    return hash < HASH_MIN ? hash + HASH_MIN : hash;
}

static uint32_t set_of(const struct rate_table *table, uint64_t hash)
{
    return (uint32_t)((hash >> 32) * table->sets >> 32);
}

/* NULL: the key is not there. */
static struct place *find(struct rate_table *table, uint64_t hash)
{
    struct place *set = &table->places[(size_t)set_of(table, hash) * table->ways];

    for (uint32_t i = 0; i < table->ways; i++) {
        if (atomic_load_explicit(&set[i].hash, memory_order_acquire) == hash) {
            return &set[i];
        }
    }
    return NULL;
}

/* A free place, or the one whose key was not seen for longest. */
static struct place *choose(struct place *set, uint32_t ways)
{
    struct place *oldest = set;

    for (uint32_t i = 0; i < ways; i++) {
        if (atomic_load(&set[i].hash) == FREE) {
            return &set[i];
        }
        if (atomic_load(&set[i].seen) < atomic_load(&oldest->seen)) {
            oldest = &set[i];
        }
    }
    return oldest;
}

static struct place *find_or_make(struct rate_table *table, uint64_t hash, uint64_t now)
{
    uint32_t number = set_of(table, hash);
    struct place *place = find(table, hash);

    if (place != NULL) {
        return place;
    }
    while (atomic_flag_test_and_set_explicit(&table->locks[number], memory_order_acquire)) {
        sched_yield();
    }
    place = find(table, hash);
    if (place == NULL) {
        place = choose(&table->places[(size_t)number * table->ways], table->ways);
        atomic_store(&place->hash, CHANGING);
        for (unsigned i = 0; i < RATE_WINDOWS; i++) {
            atomic_store(&place->cells[i].half[0], 0);
            atomic_store(&place->cells[i].half[1], 0);
        }
        atomic_store(&place->seen, now);
        atomic_store_explicit(&place->hash, hash, memory_order_release);
    }
    atomic_flag_clear_explicit(&table->locks[number], memory_order_release);
    return place;
}

static void touch(struct place *place, uint64_t now)
{
    uint64_t seen = atomic_load_explicit(&place->seen, memory_order_relaxed);

    if (now > seen && now - seen > SEEN_STEP_NS) {
        atomic_store_explicit(&place->seen, now, memory_order_relaxed);
    }
}

/* ---- counting ---- */

static struct counts counts_read(union cell *cell)
{
    struct counts counts;
    uint64_t half[2], again = atomic_load(&cell->half[0]);

    do { /* a start goes forward only: when it is still the same, the other half belongs to it */
        half[0] = again;
        half[1] = atomic_load(&cell->half[1]);
        again = atomic_load(&cell->half[0]);
    } while (half[0] != again);
    memcpy(&counts, half, sizeof counts);
    return counts;
}

/* False: it was not `expected`. */
__attribute__((target("cx16"))) static bool
counts_exchange(union cell *cell, struct counts expected, struct counts desired)
{
    unsigned __int128 from, to;

    memcpy(&from, &expected, sizeof from);
    memcpy(&to, &desired, sizeof to);
    return __sync_bool_compare_and_swap(&cell->whole, from, to);
}

static uint64_t span_ns(unsigned span, enum rate_window window)
{
    return window_ns[window] / SPAN_UNITS * span;
}

/* How much of the window has passed. Threads may have read the clock in another order. */
static uint64_t elapsed_ns(const struct counts *counts, uint64_t now)
{
    uint64_t start = (uint64_t)counts->start_us * NS_PER_US;

    return now > start ? now - start : 0;
}

/* The same counts seen from now: the window that runs may be a new one. */
static struct counts counts_at(struct counts counts, enum rate_window window, uint64_t now)
{
    uint64_t elapsed = elapsed_ns(&counts, now);

    if (counts.start_us == 0 || elapsed >= window_ns[window] + span_ns(counts.span, window)) {
        return (struct counts){.start_us = now / NS_PER_US};
    }
    if (elapsed < window_ns[window]) {
        return counts;
    }
    return (struct counts){
        .start_us = counts.start_us + window_ns[window] / NS_PER_US,
        .span_before = counts.span,
        .taken_before = counts.taken,
    };
}

/* How many of `taken`, spread over `span`, are not back when that much of the next window passed.
 */
static uint64_t still_out(uint64_t taken, uint64_t span, uint64_t elapsed)
{
    return elapsed >= span ? 0 : (uint64_t)((unsigned __int128)taken * (span - elapsed) / span);
}

/* The least that must pass until only `most` of them are out. */
static uint64_t until_out(uint64_t taken, uint64_t span, uint64_t most)
{
    if (taken <= most || span == 0) {
        return 0;
    }
    return span - (uint64_t)((((unsigned __int128)most + 1) * span - 1) / taken);
}

static uint64_t used(const struct counts *counts, enum rate_window window, uint64_t now)
{
    return counts->taken + still_out(counts->taken_before, span_ns(counts->span_before, window),
                                     elapsed_ns(counts, now));
}

static struct counts with_one_more(struct counts counts, enum rate_window window, uint64_t now)
{
    uint64_t unit = window_ns[window] / SPAN_UNITS;
    uint64_t span = (elapsed_ns(&counts, now) + unit - 1) / unit;

    counts.taken++;
    if (span > counts.span) {
        counts.span = span < SPAN_UNITS ? span : SPAN_UNITS - 1;
    }
    return counts;
}

static bool fits(union cell *cell, enum rate_window window, uint64_t limit, uint64_t now)
{
    struct counts counts = counts_at(counts_read(cell), window, now);

    return used(&counts, window, now) < limit;
}

/* False: exceeded. */
static bool take(union cell *cell, enum rate_window window, uint64_t limit, uint64_t now)
{
    for (;;) {
        struct counts found = counts_read(cell);
        struct counts counts = counts_at(found, window, now);

        if (used(&counts, window, now) >= limit) {
            return false;
        }
        if (counts_exchange(cell, found, with_one_more(counts, window, now))) {
            return true;
        }
    }
}

static void give_back(union cell *cell)
{
    struct counts found, counts;

    do {
        found = counts = counts_read(cell);
        counts.taken -= counts.taken > 0;
    } while (!counts_exchange(cell, found, counts));
}

static uint64_t limit_of(uint64_t count)
{
    return count < UINT32_MAX ? count : UINT32_MAX;
}

enum rate_window rate_take(struct rate_table *table, struct span key,
                           const struct rate_limits *limits, uint64_t now_ns)
{
    struct place *place = find_or_make(table, hash_of(table, key), now_ns);

    touch(place, now_ns);
    /* Looks before it takes, so that taking and giving back is rare. */
    for (enum rate_window i = 0; i < RATE_WINDOWS; i++) {
        uint64_t limit = limit_of(limits->count[i]);
        if (limit > 0 && !fits(&place->cells[i], i, limit, now_ns)) {
            return i;
        }
    }
    for (enum rate_window i = 0; i < RATE_WINDOWS; i++) {
        uint64_t limit = limit_of(limits->count[i]);
        if (limit == 0 || take(&place->cells[i], i, limit, now_ns)) {
            continue;
        }
        for (enum rate_window j = 0; j < i; j++) {
            if (limits->count[j] > 0) {
                give_back(&place->cells[j]);
            }
        }
        return i;
    }
    return RATE_WINDOWS;
}

static uint64_t ms_up(uint64_t ns)
{
    return ns / NS_PER_MS + (ns % NS_PER_MS != 0);
}

/* From the start of the window until one more fits into `limit`. */
static uint64_t until_one(const struct counts *counts, enum rate_window window, uint64_t limit)
{
    if (counts->taken < limit) {
        return until_out(counts->taken_before, span_ns(counts->span_before, window),
                         limit - 1 - counts->taken);
    }
    return window_ns[window] + until_out(counts->taken, span_ns(counts->span, window), limit - 1);
}

/* The same until all are back. */
static uint64_t until_all(const struct counts *counts, enum rate_window window)
{
    if (counts->taken > 0) {
        return window_ns[window] + span_ns(counts->span, window);
    }
    return counts->taken_before > 0 ? span_ns(counts->span_before, window) : 0;
}

static uint64_t from_now(uint64_t until, uint64_t elapsed)
{
    return until > elapsed ? ms_up(until - elapsed) : 0;
}

struct rate_info rate_look(struct rate_table *table, struct span key, enum rate_window window,
                           uint64_t count, uint64_t now_ns)
{
    struct place *place = find(table, hash_of(table, key));
    uint64_t limit = limit_of(count);
    struct rate_info info = {.remaining = count};

    if (place != NULL) {
        struct counts counts = counts_at(counts_read(&place->cells[window]), window, now_ns);
        uint64_t out = used(&counts, window, now_ns);
        uint64_t elapsed = elapsed_ns(&counts, now_ns);

        info.remaining = out < limit ? count - out : 0;
        info.retry_ms = out < limit ? 0 : from_now(until_one(&counts, window, limit), elapsed);
        info.reset_ms = from_now(until_all(&counts, window), elapsed);
    }
    return info;
}
