/* SPDX-License-Identifier: Apache-2.0 */
/* States, deadlines and slots of connections. */
#include "server/conn.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

#include "server/hot.h"
#include "server/siphash.h"
#include "server/tls.h"

#define TO(name) (1u << CONN_##name)
const struct conn_row conn_rows[CONN_STATES] = {
#define CONN(name, successors, ms, meaning) [CONN_##name] = {#name, (successors), (ms)},
#include "server/conn.def"
};
#undef TO

/* ---- lists ---- */

static void list_append(struct conn_list *list, struct conn *conn)
{
    conn->next = NULL;
    conn->previous = list->last;
    if (list->last != NULL) {
        list->last->next = conn;
    } else {
        list->first = conn;
    }
    list->last = conn;
}

static void list_remove(struct conn_list *list, struct conn *conn)
{
    if (conn->previous != NULL) {
        conn->previous->next = conn->next;
    } else {
        list->first = conn->next;
    }
    if (conn->next != NULL) {
        conn->next->previous = conn->previous;
    } else {
        list->last = conn->previous;
    }
}

static void bucket_append(struct conn_bucket *bucket, struct conn *conn)
{
    conn->shaking_next = NULL;
    conn->shaking_previous = bucket->last;
    *(bucket->last != NULL ? &bucket->last->shaking_next : &bucket->first) = conn;
    bucket->last = conn;
    bucket->count++;
}

static void bucket_remove(struct conn_bucket *bucket, struct conn *conn)
{
    struct conn *previous = conn->shaking_previous;
    struct conn *next = conn->shaking_next;
    *(previous != NULL ? &previous->shaking_next : &bucket->first) = next;
    *(next != NULL ? &next->shaking_previous : &bucket->last) = previous;
    bucket->count--;
}

/* ---- states ---- */

static void enter(struct conn_table *table, struct conn *conn, enum conn_state next)
{
    uint32_t ms = table->ms[next];
    if (conn->state == CONN_TLS && next != CONN_TLS) {
        bucket_remove(&table->handshakes[conn->bucket], conn);
    }
    list_remove(&table->lists[conn->state], conn);
    conn->state = next;
    conn->entered_ms = table->now_ms;
    conn->deadline_ms = ms == 0 ? UINT64_MAX : table->now_ms + ms;
    list_append(&table->lists[next], conn);
}

void conn_set_state(struct conn_table *table, struct conn *conn, enum conn_state next)
{
    assert(conn_rows[conn->state].successors & 1u << next);
    assert(next != CONN_FREE || conn->inflight == 0);
    enter(table, conn, next);
}

/* Of IPv6 the network counts: who has one address has them all. */
static struct span octets_of(const struct conn *conn)
{
    const struct in6_addr *v6 = &conn->peer.v6.sin6_addr;
    const char *bytes = (const char *)v6->s6_addr;
    if (conn->peer.any.sa_family != AF_INET6) {
        return (struct span){(const char *)&conn->peer.v4.sin_addr, 4};
    }
    return IN6_IS_ADDR_V4MAPPED(v6) ? (struct span){bytes + 12, 4} : (struct span){bytes, 8};
}

struct conn *conn_shake_hands(struct conn_table *table, struct conn *conn)
{
    uint64_t hash = siphash(table->secret, octets_of(conn));
    conn->bucket = (uint32_t)(hash % LIM_HANDSHAKE_BUCKETS);
    conn_set_state(table, conn, CONN_TLS);
    struct conn_bucket *bucket = &table->handshakes[conn->bucket];
    bucket_append(bucket, conn);
    return bucket->count > LIM_HANDSHAKES_EACH ? bucket->first : NULL;
}

void conn_restart_deadline(struct conn_table *table, struct conn *conn)
{
    enter(table, conn, conn->state);
}

/* How much earlier than its deadline a state ends while connections are many. */
static uint32_t early_ms(const struct conn_table *table, unsigned state)
{
    bool idle = state == CONN_IDLE || state == CONN_H2_IDLE;
    return table->crowded && idle && table->ms[state] > LIM_IDLE_CROWDED_MS
               ? table->ms[state] - LIM_IDLE_CROWDED_MS
               : 0;
}

struct conn *conn_expired(const struct conn_table *table)
{
    for (unsigned state = 0; state < CONN_STATES; state++) {
        struct conn *first = table->lists[state].first;
        if (first != NULL && first->deadline_ms <= table->now_ms + early_ms(table, state)) {
            return first;
        }
    }
    return NULL;
}

int64_t conn_wait_ms(const struct conn_table *table)
{
    uint64_t nearest = UINT64_MAX;
    for (unsigned state = 0; state < CONN_STATES; state++) {
        const struct conn *first = table->lists[state].first;
        if (first != NULL && first->deadline_ms < UINT64_MAX) {
            uint64_t deadline = first->deadline_ms - early_ms(table, state);
            nearest = deadline < nearest ? deadline : nearest;
        }
    }
    if (nearest == UINT64_MAX) {
        return -1;
    }
    return nearest > table->now_ms ? (int64_t)(nearest - table->now_ms) : 0;
}

/* ---- slots ---- */

void conn_table_init(struct conn_table *table, uint64_t now_ms)
{
    table->now_ms = now_ms;
    if (getrandom(table->secret, sizeof(table->secret), GRND_NONBLOCK) < 0) {
        table->secret[0] = (uintptr_t)table; /* early in the boot: not secret, but not fixed */
    }
    for (unsigned state = 0; state < CONN_STATES; state++) {
        table->ms[state] = conn_rows[state].ms;
    }
}

static bool grow(struct conn_table *table)
{
    if (table->block_count == CONN_BLOCKS) {
        return false;
    }
    struct conn *block = calloc(CONN_BLOCK_SLOTS, sizeof(*block));
    if (block == NULL) {
        return false;
    }
    for (unsigned i = 0; i < CONN_BLOCK_SLOTS; i++) {
        block[i].state = CONN_FREE;
        block[i].slot = table->block_count * CONN_BLOCK_SLOTS + i;
        block[i].deadline_ms = UINT64_MAX;
        list_append(&table->lists[CONN_FREE], &block[i]);
    }
    table->blocks[table->block_count++] = block;
    return true;
}

struct conn *conn_open(struct conn_table *table, int fd)
{
    if (table->lists[CONN_FREE].first == NULL && !grow(table)) {
        return NULL;
    }
    /* The slot freed last is the one most likely in the processor's cache. */
    struct conn *conn = table->lists[CONN_FREE].last;
    conn->fd = fd;
    conn->opened_ms = table->now_ms;
    conn->keep_alive = true;
    conn->fresh = true;
    conn_set_state(table, conn, CONN_IDLE);
    table->live++;
    return conn;
}

struct conn *conn_find(struct conn_table *table, uint32_t slot, uint32_t generation)
{
    if (slot / CONN_BLOCK_SLOTS >= table->block_count) {
        return NULL;
    }
    struct conn *conn = &table->blocks[slot / CONN_BLOCK_SLOTS][slot % CONN_BLOCK_SLOTS];
    return conn->generation == generation && conn->state != CONN_FREE ? conn : NULL;
}

void conn_release(struct conn_table *table, struct conn *conn)
{
    conn_set_state(table, conn, CONN_FREE);
    buffer_release(&conn->in);
    buffer_release(&conn->out);
    buffer_release(&conn->wire);
    hot_release(conn->direct_of);
    tls_free(conn->tls);
    assert(conn->stream == NULL && conn->unread == NULL && conn->h2 == NULL);
    /* All that outlives a connection is its place in the table. */
    struct conn blank = {
        .state = CONN_FREE,
        .slot = conn->slot,
        .generation = (conn->generation + 1) & RING_GENERATION_MASK,
        .next = conn->next,
        .previous = conn->previous,
        .deadline_ms = UINT64_MAX,
        .fd = -1,
    };
    *conn = blank;
    table->live--;
}

void conn_table_free(struct conn_table *table)
{
    assert(table->live == 0);
    for (unsigned i = 0; i < table->block_count; i++) {
        free(table->blocks[i]);
    }
}
