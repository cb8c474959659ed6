/* SPDX-License-Identifier: Apache-2.0 */
/* Ticket keys: how long a ticket is good, across contexts and threads. */
#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "server/limits.h"
#include "server/tls.h"
#include "tests/support/pair.h"

#define HOUR_MS (3600u * 1000u)

static char pair_path[] = "/tmp/unit-tickets-XXXXXX";
static SSL_CTX *client_context;

static void set_up(void)
{
    cr_assert(pair_create(pair_path));
    client_context = SSL_CTX_new(TLS_client_method());
    cr_assert(client_context != NULL);
}

static void tear_down(void)
{
    SSL_CTX_free(client_context);
    unlink(pair_path);
}

static struct tls_context *new_context(struct tls_tickets *tickets)
{
    char error[256];
    const char *file = pair_path;
    struct tls_options options = {
        .certs = &file, .keys = &file, .pair_count = 1, .allow_1_2 = true, .tickets = tickets};
    struct tls_context *context = tls_context_create(&options, error, sizeof error);
    cr_assert(context != NULL, "%s", error);
    return context;
}

/* One connection at this time: with the session, if any, and leaving its own behind. */
static bool connect_once(struct tls_context *context, uint64_t now_ms, int version,
                         SSL_SESSION **session)
{
    struct tls_conn *tls = tls_open(context);
    struct buffer plain = {0};
    SSL *client = SSL_new(client_context);
    char got[8];
    SSL_set_bio(client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_max_proto_version(client, version);
    SSL_set_connect_state(client);
    if (*session != NULL) {
        SSL_set_session(client, *session);
        SSL_SESSION_free(*session);
    }
    tls_at(tls, now_ms);
    for (int i = 0; i < 4; i++) {
        char *bytes;
        SSL_do_handshake(client);
        size_t size = (size_t)BIO_get_mem_data(SSL_get_wbio(client), &bytes);
        tls_receive(tls, (struct span){bytes, size}, &plain, 1 << 16);
        (void)BIO_reset(SSL_get_wbio(client));
        struct span output = buffer_span(tls_output(tls));
        BIO_write(SSL_get_rbio(client), output.base, (int)output.len);
        buffer_consume(tls_output(tls), output.len);
    }
    SSL_read(client, got, sizeof got); /* takes the ticket */
    bool resumed = tls_established(tls) && tls_info(tls).resumed;
    *session = SSL_get1_session(client);
    SSL_set_shutdown(client, SSL_SENT_SHUTDOWN); /* else it is not used again */
    SSL_free(client);
    tls_free(tls);
    buffer_release(&plain);
    return resumed;
}

TestSuite(tls_tickets, .init = set_up, .fini = tear_down);

/* A ticket made now, shown later: is it good? */
static bool good_after(uint64_t made_ms, uint64_t later_ms, int version)
{
    struct tls_tickets *tickets = tls_tickets_create();
    struct tls_context *context = new_context(tickets);
    SSL_SESSION *session = NULL;
    cr_expect_not(connect_once(context, made_ms, version, &session));
    bool resumed = connect_once(context, made_ms + later_ms, version, &session);
    SSL_SESSION_free(session);
    tls_context_free(context);
    tls_tickets_free(tickets);
    return resumed;
}

Test(tls_tickets, keys_live_for_a_day)
{
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    for (int i = 0; i < 2; i++) {
        cr_expect(good_after(0, 0, versions[i]));
        cr_expect(good_after(12345, 8 * HOUR_MS - 1, versions[i]));
        cr_expect(good_after(12345, 8 * HOUR_MS, versions[i]));
        cr_expect(good_after(12345, 24 * HOUR_MS - 1, versions[i]));
        cr_expect_not(good_after(12345, 24 * HOUR_MS, versions[i]));
        cr_expect_not(good_after(12345, 1000ull * HOUR_MS, versions[i]));
    }
}

Test(tls_tickets, survive_a_new_context)
{
    struct tls_tickets *tickets = tls_tickets_create();
    struct tls_context *context = new_context(tickets);
    SSL_SESSION *session = NULL;
    connect_once(context, 1, TLS1_3_VERSION, &session);
    tls_context_free(context);
    context = new_context(tickets);
    cr_expect(connect_once(context, 2, TLS1_3_VERSION, &session));
    tls_context_free(context);
    tls_tickets_free(tickets);
    tickets = tls_tickets_create();
    context = new_context(tickets);
    cr_expect_not(connect_once(context, 3, TLS1_3_VERSION, &session), "other keys");
    SSL_SESSION_free(session);
    tls_context_free(context);
    tls_tickets_free(tickets);
}

/* ---- threads: keys change under their hands ---- */

enum { THREADS = 4, ROUNDS = 12 };

static struct tls_context *shared_context;
static _Atomic unsigned resumed_count;

static void *connect_often(void *unused)
{
    SSL_SESSION *session = NULL;
    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++) {
        resumed_count += connect_once(shared_context, i * HOUR_MS, TLS1_3_VERSION, &session);
    }
    SSL_SESSION_free(session);
    return NULL;
}

/* Threads are at most 12 hours apart, so every key a ticket needs is there. */
Test(tls_tickets, threads_share_keys)
{
    pthread_t threads[THREADS];
    struct tls_tickets *tickets = tls_tickets_create();
    shared_context = new_context(tickets);
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, connect_often, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_expect_eq(resumed_count, THREADS * (ROUNDS - 1));
    tls_context_free(shared_context);
    tls_tickets_free(tickets);
}
