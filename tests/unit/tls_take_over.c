/* SPDX-License-Identifier: Apache-2.0 */
/* Connections whose records are ours after the handshake (server/tls_records.c), against the
 * library's, which carries on with records of its own: sequence numbers, keys and their changes
 * must be what it expects. */
#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include "server/limits.h"
#include "server/tls_int.h"
#include "tests/support/pair.h"

enum { PLAIN_MAX = 1 << 20 };

static const char *const ciphers[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                      "TLS_CHACHA20_POLY1305_SHA256"};

struct wire {
    struct tls_context *context;
    struct tls_conn *tls;
    struct buffer plain;
    SSL_CTX *clients;
    SSL *client;
};

static void set_up(struct wire *wire)
{
    char error[256];
    char path[] = "/tmp/unit-over-XXXXXX";
    const char *file = path;
    cr_assert(pair_create(path));
    struct tls_options options = {.certs = &file, .keys = &file, .pair_count = 1, .h2 = true};
    *wire = (struct wire){.context = tls_context_create(&options, error, sizeof error),
                          .clients = SSL_CTX_new(TLS_client_method())};
    unlink(path);
    cr_assert(wire->context != NULL, "%s", error);
}

static void connect_client(struct wire *wire, const char *cipher, SSL_SESSION *session)
{
    wire->tls = tls_open(wire->context);
    wire->client = SSL_new(wire->clients);
    SSL_set_bio(wire->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(wire->client);
    cr_assert(wire->tls != NULL && SSL_set_ciphersuites(wire->client, cipher) == 1);
    if (session != NULL) {
        SSL_set_session(wire->client, session);
    }
}

static void disconnect(struct wire *wire)
{
    tls_free(wire->tls);
    SSL_set_shutdown(wire->client, SSL_SENT_SHUTDOWN); /* its session can be used again */
    SSL_free(wire->client);
    buffer_release(&wire->plain);
}

static void tear_down(struct wire *wire)
{
    SSL_CTX_free(wire->clients);
    tls_context_free(wire->context);
}

static void to_server(struct wire *wire)
{
    char *bytes;
    size_t size = (size_t)BIO_get_mem_data(SSL_get_wbio(wire->client), &bytes);
    cr_assert(tls_receive(wire->tls, (struct span){bytes, size}, &wire->plain, PLAIN_MAX));
    (void)BIO_reset(SSL_get_wbio(wire->client));
}

static void to_client(struct wire *wire)
{
    struct span bytes = buffer_span(tls_output(wire->tls));
    if (bytes.len > 0) {
        BIO_write(SSL_get_rbio(wire->client), bytes.base, (int)bytes.len);
        buffer_consume(tls_output(wire->tls), bytes.len);
    }
}

/* The client's first words come with the last of its handshake, as those of browsers do. */
static void shake_hands(struct wire *wire, struct span first_words)
{
    SSL_do_handshake(wire->client);
    to_server(wire);
    to_client(wire);
    cr_assert_eq(SSL_do_handshake(wire->client), 1);
    cr_assert_eq(SSL_write(wire->client, first_words.base, (int)first_words.len),
                 (int)first_words.len);
    to_server(wire);
    cr_assert(tls_established(wire->tls));
    cr_expect_eq(wire->tls->ssl, NULL, "the library is done");
    cr_expect(span_equal(buffer_span(&wire->plain), first_words));
    buffer_consume(&wire->plain, buffer_bytes(&wire->plain));
}

static void exchange(struct wire *wire)
{
    char got[16] = "";
    cr_assert_eq(SSL_write(wire->client, "question", 8), 8);
    to_server(wire);
    cr_expect(span_equal(buffer_span(&wire->plain), SPAN("question")));
    buffer_consume(&wire->plain, buffer_bytes(&wire->plain));
    cr_assert(tls_send(wire->tls, SPAN("answer")));
    to_client(wire);
    cr_expect_eq(SSL_read(wire->client, got, sizeof got), 6);
    cr_expect_str_eq(got, "answer");
}

static unsigned tickets_seen;

static int see_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    (void)session;
    tickets_seen++;
    return 0;
}

Test(tls_take_over, after_any_number_of_tickets)
{
    struct wire wire;
    set_up(&wire);
    SSL_CTX_set_session_cache_mode(wire.clients, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(wire.clients, see_ticket);
    for (unsigned i = 0; i < 9; i++) {
        connect_client(&wire, ciphers[i / 3], NULL);
        SSL_set_num_tickets(wire.tls->ssl, i % 3);
        tickets_seen = 0;
        shake_hands(&wire, SPAN("first words"));
        cr_expect_eq(wire.tls->records.write.sequence, i % 3);
        exchange(&wire);
        cr_expect_eq(tickets_seen, i % 3);
        cr_expect(span_equal(tls_info(wire.tls).cipher, span_of(ciphers[i / 3])));
        disconnect(&wire);
    }
    tear_down(&wire);
}

Test(tls_take_over, when_a_session_is_resumed)
{
    struct wire wire;
    set_up(&wire);
    for (unsigned i = 0; i < 3; i++) {
        connect_client(&wire, ciphers[i], NULL);
        shake_hands(&wire, SPAN("GET /"));
        exchange(&wire);
        SSL_SESSION *session = SSL_get1_session(wire.client);
        disconnect(&wire);
        connect_client(&wire, ciphers[i], session);
        shake_hands(&wire, SPAN("GET /"));
        cr_expect(tls_info(wire.tls).resumed && SSL_session_reused(wire.client));
        exchange(&wire);
        exchange(&wire);
        SSL_SESSION_free(session);
        disconnect(&wire);
    }
    tear_down(&wire);
}

Test(tls_take_over, keys_change_on_both_sides)
{
    struct wire wire;
    set_up(&wire);
    for (unsigned i = 0; i < 12; i++) {
        connect_client(&wire, ciphers[i / 4], NULL);
        shake_hands(&wire, SPAN("hello"));
        for (int round = 0; round < 5; round++) {
            if (i & 1) {
                SSL_key_update(wire.client, SSL_KEY_UPDATE_REQUESTED);
            } else {
                SSL_key_update(wire.client, SSL_KEY_UPDATE_NOT_REQUESTED);
            }
            exchange(&wire);
            if (i & 2) {
                tls_idle(wire.tls);
                wire.tls->records.owes_update = true; /* as if the key were used up */
            }
            exchange(&wire);
        }
        disconnect(&wire);
    }
    tear_down(&wire);
}

/* RFC 6066 4: small clients ask for small records. */
Test(tls_take_over, records_are_as_small_as_the_client_asks)
{
    static const char text[5000];
    static char got[sizeof text];
    struct wire wire;
    set_up(&wire);
    for (unsigned mode = 1; mode <= 4; mode++) {
        size_t total = 0;
        size_t bytes;
        connect_client(&wire, ciphers[0], NULL);
        SSL_set_tlsext_max_fragment_length(wire.client, (uint8_t)mode);
        shake_hands(&wire, SPAN("hello"));
        cr_expect_eq(wire.tls->records.text_max, 256u << mode);
        cr_assert(tls_send(wire.tls, (struct span){text, sizeof text}));
        to_client(&wire); /* which refuses larger ones */
        while (SSL_read_ex(wire.client, got + total, sizeof got - total, &bytes) == 1) {
            cr_expect_leq(bytes, 256u << mode);
            total += bytes;
        }
        cr_expect_eq(total, sizeof text);
        disconnect(&wire);
    }
    tear_down(&wire);
}

/* ---- our client, the library's server ---- */

static void carry_to_library(struct tls_conn *tls, SSL *peer)
{
    struct span bytes = buffer_span(tls_output(tls));
    if (bytes.len > 0) {
        BIO_write(SSL_get_rbio(peer), bytes.base, (int)bytes.len);
        buffer_consume(tls_output(tls), bytes.len);
    }
}

static void carry_from_library(SSL *peer, struct tls_conn *tls, struct buffer *plain)
{
    char *bytes;
    size_t size = (size_t)BIO_get_mem_data(SSL_get_wbio(peer), &bytes);
    cr_assert(tls_receive(tls, (struct span){bytes, size}, plain, PLAIN_MAX));
    (void)BIO_reset(SSL_get_wbio(peer));
}

static void ask_library(struct tls_conn *tls, SSL *peer)
{
    struct buffer plain = {0};
    char got[16] = "";
    cr_assert(tls_send(tls, SPAN("question")));
    carry_to_library(tls, peer);
    cr_assert_eq(SSL_read(peer, got, sizeof got), 8);
    cr_expect_str_eq(got, "question");
    cr_assert_eq(SSL_write(peer, "answer", 6), 6);
    carry_from_library(peer, tls, &plain);
    cr_expect(span_equal(buffer_span(&plain), SPAN("answer")));
    buffer_release(&plain);
}

Test(tls_take_over, a_client_of_the_library)
{
    char error[256];
    char path[] = "/tmp/unit-over-XXXXXX";
    cr_assert(pair_create(path));
    SSL_CTX *servers = SSL_CTX_new(TLS_server_method());
    struct tls_context *clients = tls_client_context_create(path, error, sizeof error);
    cr_assert(clients != NULL, "%s", error);
    cr_assert_eq(SSL_CTX_use_certificate_file(servers, path, SSL_FILETYPE_PEM), 1);
    cr_assert_eq(SSL_CTX_use_PrivateKey_file(servers, path, SSL_FILETYPE_PEM), 1);
    unlink(path);
    for (unsigned i = 0; i < 9; i++) {
        struct buffer plain = {0};
        struct tls_conn *tls = tls_client_open(clients, "localhost");
        SSL *peer = SSL_new(servers);
        SSL_set_bio(peer, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_accept_state(peer);
        SSL_set_ciphersuites(peer, ciphers[i / 3]);
        SSL_set_num_tickets(peer, i % 3 * 2);
        for (int round = 0; round < 2; round++) {
            carry_to_library(tls, peer);
            SSL_do_handshake(peer);
            carry_from_library(peer, tls, &plain);
        }
        cr_assert(tls_established(tls) && SSL_is_init_finished(peer));
        cr_expect_eq(tls->ssl, NULL, "the library is done");
        cr_expect_eq(buffer_bytes(&plain), 0);
        ask_library(tls, peer);
        SSL_key_update(peer, SSL_KEY_UPDATE_REQUESTED);
        ask_library(tls, peer);
        tls_idle(tls);
        ask_library(tls, peer);
        cr_expect_eq(tls->records.write.sequence, 1, "under the second key");
        tls_free(tls);
        SSL_free(peer);
        buffer_release(&plain);
    }
    tls_context_free(clients);
    SSL_CTX_free(servers);
}

/* ---- the end ---- */

Test(tls_take_over, the_end_and_alerts)
{
    struct wire wire;
    char got[8];
    char text[128];
    set_up(&wire);
    connect_client(&wire, ciphers[0], NULL);
    shake_hands(&wire, SPAN("hello"));
    tls_close(wire.tls);
    to_client(&wire);
    cr_expect_eq(SSL_read(wire.client, got, sizeof got), 0);
    cr_expect_eq(SSL_get_error(wire.client, 0), SSL_ERROR_ZERO_RETURN);
    SSL_shutdown(wire.client);
    to_server(&wire);
    cr_expect(tls_ended(wire.tls));
    disconnect(&wire);

    connect_client(&wire, ciphers[0], NULL);
    shake_hands(&wire, SPAN("hello"));
    cr_expect_not(tls_receive(wire.tls, SPAN("\x17\3\3\xff\xff"), &wire.plain, PLAIN_MAX));
    tls_error(wire.tls, text, sizeof text);
    cr_expect_str_eq(text, "packet length too long");
    to_client(&wire);
    cr_expect_leq(SSL_read(wire.client, got, sizeof got), 0);
    cr_expect_eq(SSL_get_error(wire.client, -1), SSL_ERROR_SSL);
    disconnect(&wire);
    tear_down(&wire);
}
