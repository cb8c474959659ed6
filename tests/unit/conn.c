/* SPDX-License-Identifier: Apache-2.0 */
/* The table of connections: which states follow which, deadlines, slots; and the buffers that
 * connections hold. No sockets. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "server/conn.h"

static struct conn_table *new_table(void)
{
    struct conn_table *table = calloc(1, sizeof(*table));
    cr_assert(table != NULL);
    conn_table_init(table, 1000);
    return table;
}

static void end(struct conn_table *table, struct conn *conn)
{
    if (conn->state != CONN_CLOSING) {
        conn_set_state(table, conn, CONN_CLOSING);
    }
    conn_release(table, conn);
}

/* ---- states ---- */

Test(conn, every_state_reaches_free)
{
    for (unsigned from = 0; from < CONN_STATES; from++) {
        uint32_t reached = 1u << from;
        for (unsigned i = 0; i < CONN_STATES; i++) {
            for (unsigned state = 0; state < CONN_STATES; state++) {
                reached |= reached & 1u << state ? conn_rows[state].successors : 0;
            }
        }
        cr_expect(reached & 1u << CONN_FREE, "%s", conn_rows[from].name);
    }
}

Test(conn, only_closing_frees_and_only_free_opens)
{
    for (unsigned state = 0; state < CONN_STATES; state++) {
        uint32_t successors = conn_rows[state].successors;
        bool closes = state != CONN_CLOSING && state != CONN_FREE;
        cr_expect_eq(successors >> CONN_CLOSING & 1, closes, "%s", conn_rows[state].name);
        cr_expect_eq(successors >> CONN_FREE & 1, state == CONN_CLOSING, "%s",
                     conn_rows[state].name);
        cr_expect_eq(successors >> state & 1, 0, "%s follows itself", conn_rows[state].name);
    }
    cr_expect_eq(conn_rows[CONN_FREE].successors, 1u << CONN_IDLE);
}

Test(conn, waiting_for_the_peer_has_a_deadline)
{
    for (unsigned state = 0; state < CONN_STATES; state++) {
        bool ours = state == CONN_RUN || state == CONN_TUNNEL || state == CONN_CLOSING ||
                    state == CONN_FREE;
        cr_expect_eq(conn_rows[state].ms == 0, ours, "%s", conn_rows[state].name);
    }
}

Test(conn, illegal_move_is_a_bug, .signal = SIGABRT)
{
    struct conn_table *table = new_table();
    conn_set_state(table, conn_open(table, 3), CONN_LINGER);
}

Test(conn, freeing_with_something_in_flight_is_a_bug, .signal = SIGABRT)
{
    struct conn_table *table = new_table();
    struct conn *conn = conn_open(table, 3);
    conn->inflight = 1;
    end(table, conn);
}

/* ---- deadlines ---- */

Test(conn, nearest_deadline_first)
{
    struct conn_table *table = new_table();
    cr_expect_eq(conn_wait_ms(table), -1);
    struct conn *a = conn_open(table, 3);
    table->now_ms += 10;
    struct conn *b = conn_open(table, 4);
    cr_expect_eq(conn_wait_ms(table), LIM_IDLE_MS - 10);
    conn_set_state(table, b, CONN_HEAD);
    cr_expect_eq(conn_wait_ms(table), LIM_HEAD_MS);
    cr_expect_null(conn_expired(table));
    table->now_ms += LIM_HEAD_MS;
    cr_expect_eq(conn_expired(table), b);
    cr_expect_eq(conn_wait_ms(table), 0);
    conn_set_state(table, b, CONN_SEND);
    cr_expect_null(conn_expired(table));
    table->now_ms += LIM_IDLE_MS - LIM_HEAD_MS;
    cr_expect_eq(conn_expired(table), a);
    end(table, a);
    end(table, b);
    conn_table_free(table);
    free(table);
}

Test(conn, restarted_deadline_moves_behind_the_others)
{
    struct conn_table *table = new_table();
    struct conn *conns[3];
    for (int i = 0; i < 3; i++) {
        conns[i] = conn_open(table, i);
        table->now_ms += 1;
    }
    conn_restart_deadline(table, conns[0]);
    conn_restart_deadline(table, conns[1]);
    table->now_ms = 1000 + 2 + LIM_IDLE_MS;
    cr_expect_eq(conn_expired(table), conns[2]);
    conn_set_state(table, conns[2], CONN_CLOSING);
    cr_expect_null(conn_expired(table), "closing has no deadline");
    table->now_ms += 1;
    cr_expect_eq(conn_expired(table), conns[0]);
    for (int i = 0; i < 3; i++) {
        end(table, conns[i]);
    }
    cr_expect_eq(conn_wait_ms(table), -1);
    conn_table_free(table);
    free(table);
}

Test(conn, idle_ones_go_sooner_when_there_are_many)
{
    struct conn_table *table = new_table();
    struct conn *idle = conn_open(table, 3);
    struct conn *busy = conn_open(table, 4);
    conn_set_state(table, busy, CONN_HEAD);
    conn_set_state(table, busy, CONN_SEND);
    table->crowded = true;
    cr_expect_eq(conn_wait_ms(table), LIM_IDLE_CROWDED_MS);
    table->now_ms += LIM_IDLE_CROWDED_MS - 1;
    cr_expect_null(conn_expired(table));
    table->now_ms += 1;
    cr_expect_eq(conn_expired(table), idle);
    table->crowded = false;
    cr_expect_null(conn_expired(table));
    /* Who wants even less is not kept longer. */
    table->crowded = true;
    table->ms[CONN_IDLE] = LIM_IDLE_CROWDED_MS / 2;
    struct conn *brief = conn_open(table, 5);
    end(table, idle);
    conn_restart_deadline(table, busy);
    table->now_ms += LIM_IDLE_CROWDED_MS / 2;
    cr_expect_eq(conn_expired(table), brief);
    end(table, brief);
    end(table, busy);
    conn_table_free(table);
    free(table);
}

Test(conn, times_are_the_tables_own)
{
    struct conn_table *table = new_table();
    table->ms[CONN_IDLE] = 7;
    struct conn *conn = conn_open(table, 3);
    cr_expect_eq(conn->opened_ms, 1000);
    cr_expect_eq(conn_wait_ms(table), 7);
    end(table, conn);
    conn_table_free(table);
    free(table);
}

/* ---- handshakes ---- */

static struct conn *shake(struct conn_table *table, const char *address, struct conn **oldest)
{
    struct conn *conn = conn_open(table, 3);
    bool v6 = strchr(address, ':') != NULL;
    conn->peer.any.sa_family = v6 ? AF_INET6 : AF_INET;
    void *out = v6 ? (void *)&conn->peer.v6.sin6_addr : (void *)&conn->peer.v4.sin_addr;
    cr_assert_eq(inet_pton(conn->peer.any.sa_family, address, out), 1);
    *oldest = conn_shake_hands(table, conn);
    return conn;
}

/* The first of LIM_HANDSHAKES_EACH of one address is the one that goes, not those of another. */
static void expect_limit(const char *address, const char *same, const char *other)
{
    struct conn_table *table = new_table();
    struct conn *conns[LIM_HANDSHAKES_EACH + 2];
    struct conn *oldest;
    do { /* the secret may put both into one bucket */
        conns[0] = shake(table, other, &oldest);
        conns[1] = shake(table, address, &oldest);
        if (conns[0]->bucket == conns[1]->bucket) {
            end(table, conns[0]);
            end(table, conns[1]);
            conn_table_init(table, 1000);
        }
    } while (conns[0]->state == CONN_FREE);
    for (unsigned i = 2; i < LIM_HANDSHAKES_EACH + 1; i++) {
        conns[i] = shake(table, i % 2 ? address : same, &oldest);
        cr_expect_null(oldest);
    }
    conns[LIM_HANDSHAKES_EACH + 1] = shake(table, same, &oldest);
    cr_expect_eq(oldest, conns[1]);
    for (unsigned i = 0; i < LIM_HANDSHAKES_EACH + 2; i++) {
        end(table, conns[i]);
    }
    struct conn *again = shake(table, address, &oldest);
    cr_expect_null(oldest);
    cr_expect_eq(table->handshakes[again->bucket].count, 1);
    end(table, again);
    conn_table_free(table);
    free(table);
}

Test(conn, handshakes_of_an_address_are_limited)
{
    expect_limit("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2");
    expect_limit("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1");
}

/* ---- slots ---- */

Test(conn, late_completions_do_not_find_the_next_owner)
{
    struct conn_table *table = new_table();
    struct conn *conn = conn_open(table, 3);
    uint32_t slot = conn->slot;
    uint32_t generation = conn->generation;
    cr_expect_eq(conn_find(table, slot, generation), conn);
    end(table, conn);
    cr_expect_null(conn_find(table, slot, generation));
    struct conn *next = conn_open(table, 4);
    cr_expect_eq(next->slot, slot);
    cr_expect_null(conn_find(table, slot, generation));
    cr_expect_eq(conn_find(table, slot, next->generation), next);
    cr_expect_null(conn_find(table, slot + CONN_BLOCK_SLOTS, 0));
    cr_expect_null(conn_find(table, UINT32_MAX, 0));
    end(table, next);
    conn_table_free(table);
    free(table);
}

Test(conn, generations_wrap)
{
    struct conn_table *table = new_table();
    struct conn *conn = conn_open(table, 3);
    conn->generation = RING_GENERATION_MASK;
    end(table, conn);
    cr_expect_eq(conn_open(table, 3)->generation, 0);
    end(table, conn);
    conn_table_free(table);
    free(table);
}

Test(conn, table_fills_and_empties)
{
    struct conn_table *table = new_table();
    static struct conn *conns[CONN_BLOCKS * CONN_BLOCK_SLOTS];
    unsigned max = CONN_BLOCKS * CONN_BLOCK_SLOTS;
    for (unsigned i = 0; i < max; i++) {
        conns[i] = conn_open(table, (int)i);
        cr_assert(conns[i] != NULL, "%u", i);
    }
    cr_expect_null(conn_open(table, 0));
    cr_expect_eq(table->live, max);
    for (unsigned i = 0; i < max; i++) {
        cr_assert_eq(conn_find(table, conns[i]->slot, conns[i]->generation), conns[i]);
        cr_assert_eq(conns[i]->fd, (int)i);
        end(table, conns[i]);
    }
    cr_expect_eq(table->live, 0);
    conn_table_free(table);
    free(table);
}

Test(conn, released_connection_is_blank)
{
    struct conn_table *table = new_table();
    struct conn *conn = conn_open(table, 3);
    conn->eof = true;
    conn->body_left = true;
    cr_assert(buffer_append(&conn->in, SPAN("GET"), 100));
    end(table, conn);
    conn = conn_open(table, 4);
    cr_expect(!conn->eof && !conn->body_left && conn->keep_alive);
    cr_expect_eq(buffer_bytes(&conn->in), 0);
    cr_expect_eq(conn->in.capacity, 0);
    end(table, conn);
    conn_table_free(table);
    free(table);
}

/* ---- buffers ---- */

Test(buffer, holds_what_was_appended_and_not_consumed)
{
    struct buffer buffer = {0};
    char next_in = 0;
    char next_out = 0;
    for (unsigned i = 1; i < 3000; i++) {
        char bytes[100];
        size_t take = i * 7 % sizeof(bytes);
        for (size_t k = 0; k < take; k++) {
            bytes[k] = next_in++;
        }
        cr_assert(buffer_append(&buffer, (struct span){bytes, take}, 1 << 20));
        size_t drop = i * 11 % (buffer_bytes(&buffer) + 1);
        for (size_t k = 0; k < drop; k++) {
            cr_assert_eq(buffer_span(&buffer).base[k], next_out++);
        }
        buffer_consume(&buffer, drop);
    }
    buffer_release(&buffer);
    cr_expect_eq(buffer_bytes(&buffer), 0);
}

Test(buffer, does_not_grow_over_its_maximum)
{
    struct buffer buffer = {0};
    char bytes[1000] = {0};
    for (unsigned i = 0; i < 5; i++) {
        cr_expect(buffer_append(&buffer, (struct span){bytes, sizeof(bytes)}, 5000));
    }
    cr_expect(!buffer_reserve(&buffer, 1, 5000));
    cr_expect(!buffer_reserve(&buffer, SIZE_MAX, SIZE_MAX / 2));
    cr_expect_eq(buffer_bytes(&buffer), 5000);
    buffer_consume(&buffer, 4000);
    cr_expect(buffer_reserve(&buffer, 4000, 5000), "consumed bytes make room");
    buffer_release(&buffer);
}
