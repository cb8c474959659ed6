/* SPDX-License-Identifier: Apache-2.0 */
/* server/tls.c against a client of the same library, in memory: bytes are carried between the two
 * whole, in pieces, damaged and cut off. */
#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/limits.h"
#include "server/tls.h"
#include "tests/support/pair.h"

enum { PLAIN_MAX = 1 << 20, PIECE_MAX = 1 << 20 };

static struct tls_context *new_context(bool allow_1_2)
{
    char error[256];
    char path[] = "/tmp/unit-tls-XXXXXX";
    cr_assert(pair_create(path));
    const char *file = path;
    struct tls_options options = {
        .certs = &file, .keys = &file, .pair_count = 1, .allow_1_2 = allow_1_2, .h2 = true};
    struct tls_context *context = tls_context_create(&options, error, sizeof error);
    unlink(path);
    cr_assert(context != NULL, "%s", error);
    return context;
}

/* ---- a client, and the wire ---- */

struct wire {
    struct tls_context *context;
    struct tls_conn *tls;
    struct buffer plain; /* what the server read */
    SSL_CTX *client_context;
    SSL *client;
    BIO *to_client;
    BIO *from_client;
    size_t piece; /* bytes the server gets at a time */
    bool fine;    /* of the server */
};

static void connect_client(struct wire *wire, int version)
{
    wire->fine = true;
    wire->piece = PIECE_MAX;
    wire->tls = tls_open(wire->context);
    wire->client = SSL_new(wire->client_context);
    wire->to_client = BIO_new(BIO_s_mem());
    wire->from_client = BIO_new(BIO_s_mem());
    SSL_set_bio(wire->client, wire->to_client, wire->from_client);
    SSL_set_max_proto_version(wire->client, version);
    SSL_set_connect_state(wire->client);
    cr_assert(wire->tls != NULL);
}

static void open_wire(struct wire *wire, int version)
{
    *wire = (struct wire){.context = new_context(true)};
    wire->client_context = SSL_CTX_new(TLS_client_method());
    connect_client(wire, version);
}

static void disconnect(struct wire *wire)
{
    tls_free(wire->tls);
    SSL_free(wire->client);
    buffer_release(&wire->plain);
}

static void close_wire(struct wire *wire)
{
    disconnect(wire);
    SSL_CTX_free(wire->client_context);
    tls_context_free(wire->context);
}

/* All that the client wrote goes to the server. */
static void to_server(struct wire *wire)
{
    char *bytes;
    size_t size = (size_t)BIO_get_mem_data(wire->from_client, &bytes);
    for (size_t at = 0; at < size && wire->fine;) {
        size_t piece = wire->piece < size - at ? wire->piece : size - at;
        char *copy = malloc(piece); /* so that reads outside are seen */
        memcpy(copy, bytes + at, piece);
        wire->fine = tls_receive(wire->tls, (struct span){copy, piece}, &wire->plain, PLAIN_MAX);
        free(copy);
        at += piece;
    }
    (void)BIO_reset(wire->from_client);
}

static size_t to_client(struct wire *wire)
{
    struct buffer *output = tls_output(wire->tls);
    struct span bytes = buffer_span(output);
    if (bytes.len > 0) {
        cr_assert_eq(BIO_write(wire->to_client, bytes.base, (int)bytes.len), (int)bytes.len);
    }
    buffer_consume(output, bytes.len);
    return bytes.len;
}

static bool shake_hands(struct wire *wire)
{
    for (int i = 0; i < 8 && wire->fine; i++) {
        SSL_do_handshake(wire->client);
        to_server(wire);
        to_client(wire);
    }
    return SSL_is_init_finished(wire->client) && tls_established(wire->tls);
}

static void client_says(struct wire *wire, const char *text)
{
    cr_assert_eq(SSL_write(wire->client, text, (int)strlen(text)), (int)strlen(text));
    to_server(wire);
}

static void expect_plain(const struct wire *wire, const char *text)
{
    struct span got = buffer_span(&wire->plain);
    cr_expect_eq(got.len, strlen(text));
    cr_expect(span_equal(got, (struct span){text, strlen(text)}), "%s", text);
}

static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};

/* ---- conversations ---- */

Test(tls, bytes_arrive_in_pieces_of_any_size)
{
    static const size_t pieces[] = {1, 2, 5, 6, 7, 100, PIECE_MAX};
    for (unsigned i = 0; i < 2 * sizeof pieces / sizeof pieces[0]; i++) {
        struct wire wire;
        char got[32];
        open_wire(&wire, versions[i % 2]);
        wire.piece = pieces[i / 2];
        cr_assert(shake_hands(&wire));
        client_says(&wire, "hello ");
        client_says(&wire, "server");
        expect_plain(&wire, "hello server");
        cr_expect(tls_send(wire.tls, SPAN("hello client")));
        to_client(&wire);
        cr_expect_eq(SSL_read(wire.client, got, sizeof got), 12);
        cr_expect_eq(memcmp(got, "hello client", 12), 0);
        close_wire(&wire);
    }
}

Test(tls, split_at_every_byte)
{
    for (size_t at = 1; at < 90; at++) {
        struct wire wire;
        char *bytes;
        open_wire(&wire, TLS1_3_VERSION);
        cr_assert(shake_hands(&wire));
        SSL_write(wire.client, "first", 5);
        SSL_write(wire.client, "second record", 13);
        size_t size = (size_t)BIO_get_mem_data(wire.from_client, &bytes);
        size_t first = at < size ? at : size;
        cr_expect(tls_receive(wire.tls, (struct span){bytes, first}, &wire.plain, PLAIN_MAX));
        cr_expect(tls_receive(wire.tls, (struct span){bytes + first, size - first}, &wire.plain,
                              PLAIN_MAX));
        expect_plain(&wire, "firstsecond record");
        close_wire(&wire);
    }
}

Test(tls, a_small_answer_is_one_record)
{
    struct wire wire;
    open_wire(&wire, TLS1_3_VERSION);
    cr_assert(shake_hands(&wire));
    cr_expect(tls_send(wire.tls, (struct span){NULL, 0}));
    cr_expect_eq(buffer_bytes(tls_output(wire.tls)), 0);
    cr_expect(tls_send(wire.tls, SPAN("0123456789")));
    /* header, type byte and tag around it */
    cr_expect_eq(buffer_bytes(tls_output(wire.tls)), 5 + 10 + 1 + 16);
    close_wire(&wire);
}

/* The sizes of the next records; returns how many there are. */
static unsigned take_records(struct wire *wire, unsigned *sizes, unsigned most)
{
    struct span output = buffer_span(tls_output(wire->tls));
    unsigned count = 0;
    for (size_t at = 0; at < output.len; count++) {
        const unsigned char *head = (const unsigned char *)output.base + at;
        cr_assert(count < most && at + 5 <= output.len);
        sizes[count] = (unsigned)(head[3] << 8 | head[4]) - 1 - 16;
        at += 5 + sizes[count] + 1 + 16;
    }
    buffer_consume(tls_output(wire->tls), output.len);
    return count;
}

Test(tls, records_grow_as_the_connection_warms_up)
{
    enum { BYTES = 100000, SMALL = (LIM_TLS_WARM_UP_BYTES - 1) / LIM_TLS_SMALL_BYTES + 1 };
    static const char zeros[BYTES];
    struct wire wire;
    unsigned sizes[200];
    open_wire(&wire, TLS1_3_VERSION);
    cr_assert(shake_hands(&wire));
    for (unsigned round = 0; round < 2; round++) {
        tls_at(wire.tls, 5000 + round * 1000); /* the second after a pause */
        cr_assert(tls_send(wire.tls, (struct span){zeros, BYTES}));
        unsigned count = take_records(&wire, sizes, 200);
        cr_assert_eq(count, SMALL + (BYTES - SMALL * LIM_TLS_SMALL_BYTES - 1) / 16384 + 1);
        for (unsigned i = 0; i + 1 < count; i++) {
            cr_expect_eq(sizes[i], i < SMALL ? LIM_TLS_SMALL_BYTES : 16384);
        }
    }
    tls_at(wire.tls, 6999);
    cr_assert(tls_send(wire.tls, (struct span){zeros, BYTES}));
    cr_expect_eq(take_records(&wire, sizes, 200), BYTES / 16384 + 1);
    close_wire(&wire);
}

Test(tls, large_answers_are_whole)
{
    enum { BYTES = 3 << 20 };
    static char sent[BYTES], got[BYTES];
    for (int i = 0; i < BYTES; i++) {
        sent[i] = (char)(i * 31 >> 3);
    }
    for (int i = 0; i < 2; i++) {
        struct wire wire;
        size_t bytes = 0;
        size_t total = 0;
        open_wire(&wire, versions[i]);
        cr_assert(shake_hands(&wire));
        cr_assert(tls_send(wire.tls, (struct span){sent, BYTES}));
        to_client(&wire);
        while (SSL_read_ex(wire.client, got + total, sizeof got - total, &bytes) == 1) {
            total += bytes;
        }
        cr_expect_eq(total, BYTES);
        cr_expect_eq(memcmp(sent, got, BYTES), 0);
        close_wire(&wire);
    }
}

Test(tls, more_output_than_allowed_is_refused)
{
    struct wire wire;
    char *bytes = calloc(1, LIM_TLS_OUTPUT_BYTES);
    open_wire(&wire, TLS1_3_VERSION);
    cr_assert(shake_hands(&wire));
    cr_expect_not(tls_send(wire.tls, (struct span){bytes, LIM_TLS_OUTPUT_BYTES}));
    free(bytes);
    close_wire(&wire);
}

/* ---- what is agreed on ---- */

static void expect_protocol(const char *offer, const char *want, bool h2)
{
    struct wire wire;
    open_wire(&wire, TLS1_3_VERSION);
    SSL_set_alpn_protos(wire.client, (const unsigned char *)offer, (unsigned)strlen(offer));
    cr_expect_eq(shake_hands(&wire), want != NULL, "%s", offer);
    if (want != NULL) {
        cr_expect(span_equal(tls_info(wire.tls).alpn, span_of(want)), "%s", offer);
    }
    cr_expect_eq(tls_is_h2(wire.tls), h2, "%s", offer);
    close_wire(&wire);
}

Test(tls, alpn_prefers_h2)
{
    expect_protocol("\x08http/1.1\x02h2", "h2", true);
    expect_protocol("\x02h2", "h2", true);
    expect_protocol("\x02h3\x08http/1.1", "http/1.1", false);
    expect_protocol("\x02h3", NULL, false);
}

Test(tls, alpn_without_h2)
{
    char error[256];
    char path[] = "/tmp/unit-tls-XXXXXX";
    cr_assert(pair_create(path));
    const char *file = path;
    struct tls_options options = {.certs = &file, .keys = &file, .pair_count = 1};
    struct wire wire = {.context = tls_context_create(&options, error, sizeof error),
                        .client_context = SSL_CTX_new(TLS_client_method())};
    unlink(path);
    connect_client(&wire, TLS1_3_VERSION);
    SSL_set_alpn_protos(wire.client, (const unsigned char *)"\x02h2\x08http/1.1", 12);
    cr_expect(shake_hands(&wire));
    cr_expect_not(tls_is_h2(wire.tls));
    cr_expect(span_equal(tls_info(wire.tls).alpn, SPAN("http/1.1")));
    close_wire(&wire);
}

Test(tls, a_refused_protocol_is_told)
{
    struct wire wire;
    open_wire(&wire, TLS1_3_VERSION);
    SSL_set_alpn_protos(wire.client, (const unsigned char *)"\x02h3", 3);
    SSL_do_handshake(wire.client);
    to_server(&wire);
    struct span alert = buffer_span(tls_output(wire.tls));
    cr_assert_eq(alert.len, 7);
    cr_expect_eq(alert.base[6], SSL_AD_NO_APPLICATION_PROTOCOL);
    close_wire(&wire);
}

Test(tls, info_of_a_connection)
{
    for (int i = 0; i < 2; i++) {
        struct wire wire;
        open_wire(&wire, versions[i]);
        struct tls_info before = tls_info(wire.tls);
        cr_expect(before.sni.len == 0 && before.alpn.len == 0 && !before.resumed);
        cr_expect_eq(before.ja4.len, 0);
        cr_expect_eq(before.version.len, 0);
        cr_expect_eq(before.cipher.len, 0);
        SSL_set_tlsext_host_name(wire.client, "WWW.Example.com");
        cr_assert(shake_hands(&wire));
        struct tls_info info = tls_info(wire.tls);
        cr_expect(span_equal(info.sni, SPAN("www.example.com")));
        cr_expect_eq(info.alpn.len, 0);
        cr_expect(span_equal(info.version, i == 0 ? SPAN("TLSv1.3") : SPAN("TLSv1.2")));
        cr_expect(span_equal(info.cipher, i == 0
                                              ? SPAN("TLS_AES_128_GCM_SHA256")
                                              : SPAN("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")));
        cr_expect_not(info.resumed);
        cr_expect_eq(info.ja4.len, 36);
        cr_expect_eq(strlen(info.ja4.base), 36);
        cr_expect_eq(memcmp(info.ja4.base, i == 0 ? "t13d" : "t12d", 4), 0, "%s", info.ja4.base);
        close_wire(&wire);
    }
}

Test(tls, rests_at_the_hello_until_it_is_judged)
{
    static const char *const groups[] = {"X25519:P-256",
                                         "P-521:X25519:P-256"}; /* the second is asked again */
    for (int i = 0; i < 4; i++) {
        struct wire wire;
        open_wire(&wire, versions[i % 2]);
        tls_rest_at_hello(wire.tls);
        SSL_set_tlsext_host_name(wire.client, "www.example.com");
        SSL_set1_groups_list(wire.client, groups[i / 2]);
        wire.piece = i == 0 ? 1 : PIECE_MAX;
        cr_expect_not(shake_hands(&wire));
        cr_assert(wire.fine && tls_rests(wire.tls));
        cr_expect(span_equal(tls_info(wire.tls).sni, SPAN("www.example.com")));
        cr_expect_eq(tls_info(wire.tls).ja4.len, 36);
        cr_expect_eq(buffer_bytes(tls_output(wire.tls)), 0, "nothing is answered");
        tls_judge(wire.tls, true);
        cr_expect(tls_receive(wire.tls, SPAN(""), &wire.plain, PLAIN_MAX));
        cr_expect_gt(to_client(&wire), 0);
        cr_expect(shake_hands(&wire), "row %d", i);
        cr_expect_not(tls_rests(wire.tls), "it is judged once");
        client_says(&wire, "hello");
        expect_plain(&wire, "hello");
        close_wire(&wire);
    }
}

Test(tls, who_is_not_admitted_is_told)
{
    struct wire wire;
    open_wire(&wire, TLS1_3_VERSION);
    tls_rest_at_hello(wire.tls);
    cr_expect_not(shake_hands(&wire));
    tls_judge(wire.tls, false);
    cr_expect_not(tls_receive(wire.tls, SPAN(""), &wire.plain, PLAIN_MAX));
    struct span alert = buffer_span(tls_output(wire.tls));
    cr_assert_eq(alert.len, 7);
    cr_expect_eq(alert.base[6], SSL_AD_ACCESS_DENIED);
    close_wire(&wire);
}

Test(tls, what_comes_during_the_rest_is_bounded)
{
    struct wire wire;
    open_wire(&wire, TLS1_3_VERSION);
    tls_rest_at_hello(wire.tls);
    cr_expect_not(shake_hands(&wire));
    static char junk[LIM_TLS_HELLO_BYTES];
    struct span much = {junk, sizeof junk};
    cr_expect(tls_receive(wire.tls, much, &wire.plain, PLAIN_MAX));
    cr_expect_not(tls_receive(wire.tls, SPAN("x"), &wire.plain, PLAIN_MAX));
    close_wire(&wire);
}

/* The client guesses a group the server does not have, and is asked for another. */
Test(tls, asking_again)
{
    struct wire wire;
    char first[64];
    open_wire(&wire, TLS1_3_VERSION);
    cr_assert_eq(SSL_set1_groups_list(wire.client, "P-521:P-256"), 1);
    SSL_set_tlsext_host_name(wire.client, "www.example.com");
    SSL_do_handshake(wire.client);
    to_server(&wire);
    snprintf(first, sizeof first, "%s", tls_info(wire.tls).ja4.base);
    to_client(&wire);
    cr_expect_not(tls_established(wire.tls));
    cr_expect(shake_hands(&wire));
    cr_expect(span_equal(tls_info(wire.tls).sni, SPAN("www.example.com")));
    cr_expect(span_equal(tls_info(wire.tls).ja4, span_of(first)));
    cr_expect_eq(strlen(first), 36);
    close_wire(&wire);
}

Test(tls, names_that_are_none_are_refused)
{
    static const char *const names[] = {"a b", "a\nb", "a\"b", "\xc3\xa4.example"};
    for (int i = 0; i < 4; i++) {
        struct wire wire;
        open_wire(&wire, TLS1_3_VERSION);
        SSL_set_tlsext_host_name(wire.client, names[i]);
        cr_expect_not(shake_hands(&wire));
        cr_expect_eq(tls_info(wire.tls).sni.len, 0);
        close_wire(&wire);
    }
}

/* ---- sessions ---- */

Test(tls, sessions_resume_on_other_connections)
{
    for (int i = 0; i < 2; i++) {
        struct wire wire;
        char got[8];
        open_wire(&wire, versions[i]);
        cr_assert(shake_hands(&wire));
        cr_expect_not(SSL_session_reused(wire.client));
        SSL_read(wire.client, got, sizeof got); /* takes the ticket */
        SSL_SESSION *session = SSL_get1_session(wire.client);
        SSL_set_shutdown(wire.client, SSL_SENT_SHUTDOWN); /* else it is not used again */
        disconnect(&wire);
        wire.plain = (struct buffer){0};
        connect_client(&wire, versions[i]);
        SSL_set_session(wire.client, session);
        cr_expect(shake_hands(&wire));
        cr_expect(SSL_session_reused(wire.client), "version %x", (unsigned)versions[i]);
        cr_expect(tls_info(wire.tls).resumed);
        SSL_SESSION_free(session);
        close_wire(&wire);
    }
}

/* ---- the end ---- */

Test(tls, both_ends_are_told)
{
    for (int i = 0; i < 2; i++) {
        struct wire wire;
        char got[8];
        open_wire(&wire, versions[i]);
        cr_assert(shake_hands(&wire));
        SSL_write(wire.client, "bye", 3);
        SSL_shutdown(wire.client);
        to_server(&wire);
        cr_expect(wire.fine && tls_ended(wire.tls));
        expect_plain(&wire, "bye");
        cr_expect(tls_send(wire.tls, SPAN("bye")), "one half stays open");
        tls_close(wire.tls);
        tls_close(wire.tls);
        to_client(&wire);
        cr_expect_eq(SSL_read(wire.client, got, sizeof got), 3);
        cr_expect_eq(SSL_read(wire.client, got, sizeof got), 0);
        cr_expect_eq(SSL_get_shutdown(wire.client), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        close_wire(&wire);
    }
}

Test(tls, the_end_is_told_once_and_the_peer_still_heard)
{
    for (int i = 0; i < 2; i++) {
        struct wire wire;
        open_wire(&wire, versions[i]);
        cr_assert(shake_hands(&wire));
        tls_close(wire.tls);
        size_t bytes = buffer_bytes(tls_output(wire.tls));
        tls_close(wire.tls);
        cr_expect_eq(buffer_bytes(tls_output(wire.tls)), bytes);
        client_says(&wire, "going on");
        cr_expect(wire.fine);
        expect_plain(&wire, "going on");
        close_wire(&wire);
    }
}

Test(tls, cut_off_is_not_the_end)
{
    struct wire wire;
    char *bytes;
    open_wire(&wire, TLS1_3_VERSION);
    cr_assert(shake_hands(&wire));
    SSL_write(wire.client, "0123456789", 10);
    size_t size = (size_t)BIO_get_mem_data(wire.from_client, &bytes);
    cr_expect(tls_receive(wire.tls, (struct span){bytes, size - 1}, &wire.plain, PLAIN_MAX));
    cr_expect_not(tls_ended(wire.tls));
    expect_plain(&wire, "");
    close_wire(&wire);
}

/* ---- hostile clients ---- */

static bool server_takes(struct wire *wire, const void *bytes, size_t size)
{
    return tls_receive(wire->tls, (struct span){bytes, size}, &wire->plain, PLAIN_MAX);
}

Test(tls, damaged_records_end_it_with_an_alert)
{
    for (size_t at = 0; at < 30; at++) {
        struct wire wire;
        char *bytes;
        char filler[20000] = {0};
        open_wire(&wire, TLS1_3_VERSION);
        cr_assert(shake_hands(&wire));
        SSL_write(wire.client, "0123456789", 10);
        size_t size = (size_t)BIO_get_mem_data(wire.from_client, &bytes);
        bytes[at] ^= 0x40;
        bool fine = server_takes(&wire, bytes, size);
        fine = fine && server_takes(&wire, filler, sizeof filler); /* the length may be damaged */
        cr_expect_not(fine, "byte %zu", at);
        cr_expect(buffer_bytes(tls_output(wire.tls)) > 0, "byte %zu", at);
        expect_plain(&wire, "");
        cr_expect_not(tls_send(wire.tls, SPAN("more")));
        cr_expect_not(server_takes(&wire, "x", 1));
        close_wire(&wire);
    }
}

Test(tls, garbage_instead_of_a_hello)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff\x01",
                                        "\x16\x03\x01\x00\x04\x02\xff\xff\xff", "\x80\x2e\x01\x03"};
    static const size_t sizes[] = {18, 6, 9, 4};
    char zeros[20000] = {0};
    for (int i = 0; i < 4; i++) {
        struct wire wire;
        open_wire(&wire, TLS1_3_VERSION);
        bool fine =
            server_takes(&wire, texts[i], sizes[i]) && server_takes(&wire, zeros, sizeof zeros);
        cr_expect_not(fine, "%d", i);
        cr_expect_not(tls_established(wire.tls));
        tls_close(wire.tls);
        close_wire(&wire);
    }
}

/* Until the server has enough of it; how many it took. */
static unsigned update_keys(struct wire *wire, unsigned most, uint64_t step_ms)
{
    unsigned updates = 0;
    for (; updates < most && wire->fine; updates++) {
        tls_at(wire->tls, updates * step_ms);
        cr_assert_eq(SSL_key_update(wire->client, SSL_KEY_UPDATE_REQUESTED), 1);
        SSL_do_handshake(wire->client);
        client_says(wire, "x");
        to_client(wire);
        char got[1];
        SSL_read(wire->client, got, 1);
    }
    return updates;
}

Test(tls, some_key_updates_but_not_for_ever)
{
    struct wire wire;
    open_wire(&wire, TLS1_3_VERSION);
    cr_assert(shake_hands(&wire));
    cr_expect_eq(update_keys(&wire, 2 * LIM_TLS_LATE_MESSAGES, 1), LIM_TLS_LATE_MESSAGES + 1);
    cr_expect_not(wire.fine);
    close_wire(&wire);
}

Test(tls, key_updates_now_and_then)
{
    struct wire wire;
    open_wire(&wire, TLS1_3_VERSION);
    cr_assert(shake_hands(&wire));
    cr_expect_eq(update_keys(&wire, 5 * LIM_TLS_LATE_MESSAGES, 11), 5 * LIM_TLS_LATE_MESSAGES);
    cr_expect(wire.fine);
    close_wire(&wire);
}

Test(tls, a_hello_without_end)
{
    /* a ClientHello that says it has 131,071 bytes, in records of 4,096 */
    static const char begin[] = {22, 3, 1, 16, 0, 1, 1, (char)0xff, (char)0xff, 3, 3};
    char record[5 + 4096] = {22, 3, 1, 16, 0};
    struct wire wire;
    size_t sent = 0;
    open_wire(&wire, TLS1_3_VERSION);
    memcpy(record, begin, sizeof begin);
    while (sent < 2 * LIM_TLS_HELLO_BYTES && wire.fine) {
        wire.fine = server_takes(&wire, record, sizeof record);
        sent += sizeof record;
        memset(record + 5, 0, 4096);
    }
    cr_expect_not(wire.fine);
    cr_expect_eq(sent, LIM_TLS_HELLO_BYTES / sizeof record * sizeof record + sizeof record);
    close_wire(&wire);
}

Test(tls, negotiating_again_is_refused)
{
    struct wire wire;
    open_wire(&wire, TLS1_2_VERSION);
    cr_assert(shake_hands(&wire));
    cr_assert_eq(SSL_renegotiate(wire.client), 1);
    SSL_do_handshake(wire.client);
    to_server(&wire);
    to_client(&wire);
    cr_expect(SSL_do_handshake(wire.client) != 1);
    expect_plain(&wire, "");
    close_wire(&wire);
}

Test(tls, old_versions_are_refused)
{
    struct wire wire = {.context = new_context(false),
                        .client_context = SSL_CTX_new(TLS_client_method())};
    connect_client(&wire, TLS1_2_VERSION);
    cr_expect_not(shake_hands(&wire));
    cr_expect_not(wire.fine);
    close_wire(&wire);
}
