/* SPDX-License-Identifier: Apache-2.0 */
/* The table is divided into sets of a few places, and a key belongs into one set. A place holds the
 * key's hash and, for each window, the time at which it will be as if nothing had been taken.
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
#include <sys/random.h>

#include "server/siphash.h"

#define NS_PER_MS 1000000u

enum {
    WAYS = 16,        /* places of a set, where there are several sets */
    ONE_SET_MAX = 64, /* a table as small as that is one set: it holds exactly what was asked for */
    SEEN_STEP_NS = 1 << 20, /* how stale `seen` may be: writing it each time would move the line */
};

static const uint64_t window_ns[RATE_WINDOWS] = {
    [RATE_SECOND] = 1000000000ull,
    [RATE_MINUTE] = 60 * 1000000000ull,
    [RATE_HOUR] = 3600 * 1000000000ull,
};

struct place {
    _Atomic uint64_t hash;               /* of its key; FREE, CHANGING */
    _Atomic uint64_t seen;               /* when its key was last asked about */
    _Atomic uint64_t full[RATE_WINDOWS]; /* when all of the window is there again */
};

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
            atomic_store(&place->full[i], 0);
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

/* What one take costs. A limit that is finer than the clock is none. */
static uint64_t cost_ns(enum rate_window window, uint64_t count)
{
    return window_ns[window] / count;
}

/* When a window is full, seen from now: what lies behind, or farther ahead than a window reaches
 * (the key or the limit changed), is brought to the nearest that makes sense. */
static uint64_t full_at(uint64_t full, enum rate_window window, uint64_t now)
{
    if (full < now) {
        return now;
    }
    return full - now > window_ns[window] ? now + window_ns[window] : full;
}

static bool fits(uint64_t full, enum rate_window window, uint64_t cost, uint64_t now)
{
    return full_at(full, window, now) - now + cost <= window_ns[window];
}

/* False: exceeded. */
static bool take(struct place *place, enum rate_window window, uint64_t cost, uint64_t now)
{
    uint64_t full = atomic_load_explicit(&place->full[window], memory_order_relaxed);

    do {
        if (!fits(full, window, cost, now)) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&place->full[window], &full,
                                           full_at(full, window, now) + cost));
    return true;
}

static void give_back(struct place *place, enum rate_window window, uint64_t cost)
{
    uint64_t full = atomic_load_explicit(&place->full[window], memory_order_relaxed);

    while (full >= cost &&
           !atomic_compare_exchange_weak(&place->full[window], &full, full - cost)) {
    }
}

enum rate_window rate_take(struct rate_table *table, struct span key,
                           const struct rate_limits *limits, uint64_t now_ns)
{
    struct place *place = find_or_make(table, hash_of(table, key), now_ns);
    uint64_t cost[RATE_WINDOWS];

    touch(place, now_ns);
    /* Looks before it takes, so that taking and giving back is rare. */
    for (enum rate_window i = 0; i < RATE_WINDOWS; i++) {
        cost[i] = limits->count[i] == 0 ? 0 : cost_ns(i, limits->count[i]);
        if (cost[i] > 0 && !fits(atomic_load(&place->full[i]), i, cost[i], now_ns)) {
            return i;
        }
    }
    for (enum rate_window i = 0; i < RATE_WINDOWS; i++) {
        if (cost[i] == 0 || take(place, i, cost[i], now_ns)) {
            continue;
        }
        for (enum rate_window j = 0; j < i; j++) {
            if (cost[j] > 0) {
                give_back(place, j, cost[j]);
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

struct rate_info rate_look(struct rate_table *table, struct span key, enum rate_window window,
                           uint64_t count, uint64_t now_ns)
{
    const struct place *place = find(table, hash_of(table, key));
    uint64_t full = place == NULL ? 0 : atomic_load(&place->full[window]);
    uint64_t used = full_at(full, window, now_ns) - now_ns;
    uint64_t left = window_ns[window] - used;
    uint64_t cost = cost_ns(window, count);
    struct rate_info info = {.remaining = count, .reset_ms = ms_up(used)};

    if (cost > 0 && left / cost < count) {
        info.remaining = left / cost;
        info.retry_ms = left < cost ? ms_up(cost - left) : 0;
    }
    return info;
}
