/* SPDX-License-Identifier: Apache-2.0 */
/* server/tls_records.c by itself: a server's end and a client's with secrets made up for both, and
 * records that the client's end would never make. How it agrees with another implementation is in
 * tls_take_over.c. */
#include <criterion/criterion.h>
#include <openssl/ssl.h>

#include "server/limits.h"
#include "server/tls_records.h"

enum { PLAIN_MAX = 1 << 20, KEY_UPDATE = 24, NEW_SESSION_TICKET = 4 };

/* ---- two ends, and the wire ---- */

struct end {
    struct tls_records records;
    struct buffer output;
    struct buffer plain;
};

static struct tls_suites suites;
static struct end server, client;
static struct tls_keys forged; /* as those the client writes with */

static void set_secret(struct tls_keys *keys, const struct tls_suite *suite, int seed)
{
    keys->secret_bytes = suite->secret_bytes;
    memset(keys->secret, seed, suite->secret_bytes);
}

static bool send_text(struct end *end, struct span text)
{
    return tls_records_send(&end->records, (struct tls_text){text});
}

static void open_ends(unsigned suite_index)
{
    const struct tls_suite *suite = &suites.items[suite_index];
    server = (struct end){.records = {.output = &server.output, .text_max = TLS_RECORD_BYTES}};
    client = (struct end){
        .records = {.output = &client.output, .text_max = TLS_RECORD_BYTES, .client = true}};
    forged = (struct tls_keys){0};
    set_secret(&server.records.read, suite, 1);
    set_secret(&server.records.write, suite, 2);
    set_secret(&client.records.read, suite, 2);
    set_secret(&client.records.write, suite, 1);
    set_secret(&forged, suite, 1);
    cr_assert(tls_records_begin(&server.records, suite));
    cr_assert(tls_records_begin(&client.records, suite));
    cr_assert(tls_keys_derive(&forged, suite));
}

static void close_ends(void)
{
    tls_keys_forget(&forged);
    for (int i = 0; i < 2; i++) {
        struct end *end = i == 0 ? &server : &client;
        tls_records_end(&end->records);
        buffer_release(&end->output);
        buffer_release(&end->plain);
    }
}

static void set_up(void)
{
    tls_suites_fetch(&suites);
    open_ends(0);
}

static void tear_down(void)
{
    close_ends();
    tls_suites_release(&suites);
}

TestSuite(tls_records, .init = set_up, .fini = tear_down);

/* Copies of the pieces, so that reads outside are seen. */
static bool receive(struct end *end, struct span bytes, size_t piece_max)
{
    bool fine = true;
    for (size_t at = 0; at < bytes.len && fine;) {
        size_t piece = bytes.len - at < piece_max ? bytes.len - at : piece_max;
        char *copy = malloc(piece);
        memcpy(copy, bytes.base + at, piece);
        fine = tls_records_receive(&end->records, 1000, (struct span){copy, piece}, &end->plain,
                                   PLAIN_MAX);
        free(copy);
        at += piece;
    }
    return fine;
}

static bool carry(struct end *from, struct end *to, size_t piece_max)
{
    bool fine = receive(to, buffer_span(&from->output), piece_max);
    buffer_consume(&from->output, buffer_bytes(&from->output));
    return fine;
}

static void expect_plain(struct end *end, struct span want)
{
    cr_expect(span_equal(buffer_span(&end->plain), want), "%.*s", (int)want.len, want.base);
    buffer_consume(&end->plain, buffer_bytes(&end->plain));
}

/* A record from the client with these contents, its type and so many zeros. */
static struct span forge(unsigned char type, struct span text, size_t zeros)
{
    static unsigned char record[20000];
    static char inner[20000];
    size_t bytes = text.len + zeros;
    size_t sealed = bytes + 1 + TLS_TAG_BYTES;
    memset(inner, 0, sizeof inner);
    memcpy(inner, text.base, text.len);
    inner[text.len] = (char)type;
    memcpy(record, (unsigned char[]){23, 3, 3, sealed >> 8, sealed & 255}, TLS_HEADER_BYTES);
    cr_assert(tls_keys_seal(&forged, record, (struct tls_text){{inner, bytes}},
                            (unsigned char)inner[bytes], record + TLS_HEADER_BYTES));
    return (struct span){(char *)record, TLS_HEADER_BYTES + sealed};
}

static bool take_forged(unsigned char type, const char *text, size_t bytes)
{
    return receive(&server, forge(type, (struct span){text, bytes}, 0), PLAIN_MAX);
}

/* What the server told last was this alert: it is the last two octets that the client reads. */
static void expect_alert(int alert, const char *why)
{
    cr_expect_not(carry(&server, &client, PLAIN_MAX), "%s", why);
    cr_expect_str_eq(client.records.why, SSL_alert_desc_string_long(alert), "%s: %s", why,
                     client.records.why);
    cr_expect_str_eq(server.records.why, why);
    cr_expect_eq(buffer_bytes(&server.plain), 0);
    cr_expect_not(send_text(&server, SPAN("more")));
}

/* ---- conversations ---- */

Test(tls_records, both_ways_under_every_suite_in_pieces_of_any_size)
{
    static const size_t pieces[] = {1, 4, 5, 6, 21, 22, 23, 100, PLAIN_MAX};
    for (unsigned i = 0; i < TLS_AEADS * sizeof pieces / sizeof pieces[0]; i++) {
        size_t piece = pieces[i / TLS_AEADS];
        close_ends();
        open_ends(i % TLS_AEADS);
        cr_assert(send_text(&client, SPAN("question ")));
        cr_assert(send_text(&client, SPAN("by question")));
        cr_expect(carry(&client, &server, piece));
        expect_plain(&server, SPAN("question by question"));
        cr_assert(send_text(&server, SPAN("answer")));
        cr_expect(carry(&server, &client, piece));
        expect_plain(&client, SPAN("answer"));
        cr_assert(tls_records_close(&client.records));
        cr_expect(carry(&client, &server, piece));
        cr_expect(server.records.ended);
        cr_expect(receive(&server, SPAN("whatever"), piece), "nothing counts after the end");
    }
}

Test(tls_records, long_texts_are_cut_into_records)
{
    enum { BYTES = 50000 };
    static char text[BYTES];
    for (int i = 0; i < BYTES; i++) {
        text[i] = (char)(i * 7 >> 2);
    }
    cr_assert(send_text(&server, (struct span){text, BYTES}));
    cr_expect_eq(buffer_bytes(&server.output), BYTES + 4 * (5 + 1 + TLS_TAG_BYTES));
    cr_expect(carry(&server, &client, 1000));
    expect_plain(&client, (struct span){text, BYTES});
}

/* Wherever the second text begins, it is in the record of the first as far as there is room. */
Test(tls_records, texts_in_two_places)
{
    enum { BYTES = 3 * TLS_RECORD_BYTES / 2, OVERHEAD = TLS_HEADER_BYTES + 1 + TLS_TAG_BYTES };
    static char text[BYTES];
    for (unsigned i = 0; i < BYTES; i++) {
        text[i] = (char)(i * 31 >> 4);
    }
    for (unsigned suite = 0; suite < TLS_AEADS; suite++) {
        close_ends();
        open_ends(suite);
        for (size_t at = 0; at <= BYTES; at += at < 20 ? 1 : 4093) {
            struct tls_text both = {{text, at}, {text + at, BYTES - at}};
            cr_assert(tls_records_send(&server.records, both));
            cr_expect_eq(buffer_bytes(&server.output), BYTES + 2 * OVERHEAD);
            cr_expect(carry(&server, &client, 1000));
            expect_plain(&client, (struct span){text, BYTES});
        }
    }
}

Test(tls_records, rest_between_records)
{
    for (int i = 0; i < 3; i++) {
        cr_assert(send_text(&client, SPAN("question")));
        struct span record = buffer_span(&client.output);
        cr_expect(receive(&server, (struct span){record.base, 10}, PLAIN_MAX));
        tls_records_rest(&server.records); /* does not lose what came of the record */
        cr_expect(receive(&server, (struct span){record.base + 10, record.len - 10}, PLAIN_MAX));
        buffer_consume(&client.output, record.len);
        expect_plain(&server, SPAN("question"));
        tls_records_rest(&server.records);
        cr_expect_eq(server.records.read.aead, NULL);
        cr_expect_eq(server.records.partial.base, NULL);
    }
}

/* The keys and the records of RFC 8448 3. */
Test(tls_records, known_answer)
{
    static const unsigned char secret[32] = {0x9e, 0x40, 0x64, 0x6c, 0xe7, 0x9a, 0x7f, 0x9d,
                                             0xc0, 0x5a, 0xf8, 0x88, 0x9b, 0xce, 0x65, 0x52,
                                             0x87, 0x5a, 0xfa, 0x0b, 0x06, 0xdf, 0x00, 0x87,
                                             0xf7, 0x92, 0xeb, 0xb7, 0xc1, 0x75, 0x04, 0xa5};
    static const unsigned char key[16] = {0x17, 0x42, 0x2d, 0xda, 0x59, 0x6e, 0xd5, 0xd9,
                                          0xac, 0xd8, 0x90, 0xe3, 0xc6, 0x3f, 0x50, 0x51};
    static const unsigned char iv[12] = {0x5b, 0x78, 0x92, 0x3d, 0xee, 0x08,
                                         0x57, 0x90, 0x33, 0xe5, 0x23, 0xd9};
    static const unsigned char want[] = {
        0x17, 0x03, 0x03, 0x00, 0x43, 0xa2, 0x3f, 0x70, 0x54, 0xb6, 0x2c, 0x94, 0xd0, 0xaf, 0xfa,
        0xfe, 0x82, 0x28, 0xba, 0x55, 0xcb, 0xef, 0xac, 0xea, 0x42, 0xf9, 0x14, 0xaa, 0x66, 0xbc,
        0xab, 0x3f, 0x2b, 0x98, 0x19, 0xa8, 0xa5, 0xb4, 0x6b, 0x39, 0x5b, 0xd5, 0x4a, 0x9a, 0x20,
        0x44, 0x1e, 0x2b, 0x62, 0x97, 0x4e, 0x1f, 0x5a, 0x62, 0x92, 0xa2, 0x97, 0x70, 0x14, 0xbd,
        0x1e, 0x3d, 0xea, 0xe6, 0x3a, 0xee, 0xbb, 0x21, 0x69, 0x49, 0x15, 0xe4};
    struct tls_keys *keys = &client.records.write;
    char text[50];
    for (int i = 0; i < 50; i++) {
        text[i] = (char)i;
    }
    memcpy(keys->secret, secret, sizeof secret);
    cr_assert(tls_keys_derive(keys, &suites.items[0]));
    cr_expect_arr_eq(keys->key, key, sizeof key);
    cr_expect_arr_eq(keys->iv, iv, sizeof iv);
    cr_assert(send_text(&client, (struct span){text, sizeof text}));
    cr_expect(span_equal(buffer_span(&client.output), (struct span){(char *)want, sizeof want}));
}

/* ---- keys change ---- */

Test(tls_records, our_keys_change_before_they_are_used_up)
{
    for (unsigned suite = 0; suite < TLS_AEADS; suite++) {
        close_ends();
        open_ends(suite);
        server.records.write.sequence = LIM_TLS_KEY_RECORDS - 1;
        client.records.read.sequence = LIM_TLS_KEY_RECORDS - 1;
        cr_assert(send_text(&server, SPAN("one ")));
        cr_expect_eq(server.records.write.sequence, LIM_TLS_KEY_RECORDS);
        cr_assert(send_text(&server, SPAN("two ")));
        cr_expect_eq(server.records.write.sequence, 1);
        cr_assert(send_text(&server, SPAN("three")));
        cr_expect(carry(&server, &client, 7));
        expect_plain(&client, SPAN("one two three"));
        cr_expect_not(client.records.owes_update);
    }
}

Test(tls_records, a_key_is_changed_when_asked_for_but_once)
{
    for (int i = 0; i < 3; i++) {
        cr_expect(take_forged(22, "\x18\0\0\1\1", 5));
        cr_assert(tls_keys_update(&forged));
    }
    cr_expect_eq(buffer_bytes(&server.output), 0, "not before there is something to say");
    cr_assert(send_text(&server, SPAN("one")));
    cr_expect_eq(buffer_bytes(&server.output), (5 + 5 + 17) + (5 + 3 + 17));
    cr_assert(send_text(&server, SPAN("two")));
    cr_expect_eq(server.records.write.sequence, 2);
    cr_expect(carry(&server, &client, 3));
    expect_plain(&client, SPAN("onetwo"));
    cr_expect(take_forged(23, "still heard", 11));
    expect_plain(&server, SPAN("still heard"));
}

Test(tls_records, key_updates_in_pieces)
{
    for (size_t at = 1; at < 5; at++) {
        cr_expect(take_forged(22, "\x18\0\0\1\0", at));
        cr_expect(take_forged(22, &"\x18\0\0\1\0"[at], 5 - at));
        cr_assert(tls_keys_update(&forged));
    }
    cr_expect(take_forged(23, "x", 1));
    expect_plain(&server, SPAN("x"));
}

Test(tls_records, key_updates_without_end)
{
    for (unsigned i = 0; i < LIM_TLS_LATE_MESSAGES; i++) {
        cr_assert(take_forged(22, "\x18\0\0\1\0", 5));
        cr_assert(tls_keys_update(&forged));
    }
    cr_expect_not(take_forged(22, "\x18\0\0\1\0", 5));
    expect_alert(SSL_AD_UNEXPECTED_MESSAGE, "too many key updates");
}

/* ---- what is not allowed ---- */

Test(tls_records, no_damage_goes_unseen)
{
    cr_assert(send_text(&client, SPAN("0123456789")));
    size_t bytes = buffer_bytes(&client.output);
    static const char filler[20000];
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        char record[64];
        close_ends();
        open_ends(bit % TLS_AEADS);
        cr_assert(send_text(&client, SPAN("0123456789")));
        memcpy(record, client.output.base, bytes);
        record[bit / 8] ^= (char)(1 << bit % 8);
        bool fine = receive(&server, (struct span){record, bytes}, PLAIN_MAX) &&
                    receive(&server, (struct span){filler, sizeof filler}, PLAIN_MAX);
        cr_expect_not(fine, "bit %zu", bit); /* the filler: its length may be damaged */
        cr_expect_eq(buffer_bytes(&server.plain), 0, "bit %zu", bit);
        cr_expect_eq(buffer_bytes(&server.output), 5 + 2 + 17, "bit %zu", bit);
    }
}

Test(tls_records, records_keep_their_order)
{
    char first[64];
    cr_assert(send_text(&client, SPAN("first")));
    size_t bytes = buffer_bytes(&client.output);
    memcpy(first, client.output.base, bytes);
    cr_expect(carry(&client, &server, PLAIN_MAX));
    expect_plain(&server, SPAN("first"));
    cr_expect_not(receive(&server, (struct span){first, bytes}, PLAIN_MAX), "twice");
    expect_alert(SSL_AD_BAD_RECORD_MAC, "decryption failed or bad record mac");
    close_ends();
    open_ends(0);
    cr_assert(send_text(&client, SPAN("lost")));
    buffer_consume(&client.output, buffer_bytes(&client.output));
    cr_assert(send_text(&client, SPAN("second")));
    cr_expect_not(carry(&client, &server, PLAIN_MAX));
    expect_alert(SSL_AD_BAD_RECORD_MAC, "decryption failed or bad record mac");
}

Test(tls_records, cut_off_is_nothing)
{
    cr_assert(send_text(&client, SPAN("0123456789")));
    struct span record = buffer_span(&client.output);
    cr_expect(receive(&server, (struct span){record.base, record.len - 1}, PLAIN_MAX));
    cr_expect_not(server.records.ended);
    expect_plain(&server, SPAN(""));
}

Test(tls_records, padding)
{
    static const size_t zeros[] = {1, 15, 255, TLS_RECORD_BYTES - 4};
    for (int i = 0; i < 4; i++) {
        cr_expect(receive(&server, forge(23, SPAN("text"), zeros[i]), PLAIN_MAX));
        expect_plain(&server, SPAN("text"));
    }
    cr_expect(receive(&server, forge(23, SPAN("\0ends with zeros\0\0"), 20), PLAIN_MAX));
    expect_plain(&server, SPAN("\0ends with zeros\0\0"));
    cr_expect_not(receive(&server, forge(0, SPAN(""), 20), PLAIN_MAX));
    expect_alert(SSL_AD_UNEXPECTED_MESSAGE, "bad record type");
}

Test(tls_records, sizes)
{
    static const char text[TLS_RECORD_BYTES + 1];
    struct span most = {text, TLS_RECORD_BYTES};
    cr_expect(receive(&server, forge(23, most, 0), 4096));
    expect_plain(&server, most);
    cr_expect_not(receive(&server, forge(23, SPAN("x"), TLS_RECORD_BYTES), PLAIN_MAX));
    expect_alert(SSL_AD_RECORD_OVERFLOW, "data length too long");

    static const struct {
        const char header[TLS_HEADER_BYTES];
        int alert;
        const char *why;
    } bad[] = {
        {{23, 3, 3, 0x41, 1}, SSL_AD_RECORD_OVERFLOW, "packet length too long"},
        {{23, 3, 3, (char)0xff, (char)0xff}, SSL_AD_RECORD_OVERFLOW, "packet length too long"},
        {{23, 3, 3, 0, 0}, SSL_AD_BAD_RECORD_MAC, "length too short"},
        {{23, 3, 3, 0, 16}, SSL_AD_BAD_RECORD_MAC, "length too short"},
        {{20, 3, 3, 0, 1}, SSL_AD_UNEXPECTED_MESSAGE, "bad record type"},
        {{21, 3, 3, 0, 2}, SSL_AD_UNEXPECTED_MESSAGE, "bad record type"},
        {{22, 3, 3, 0, 40}, SSL_AD_UNEXPECTED_MESSAGE, "bad record type"},
        {{'G', 'E', 'T', ' ', '/'}, SSL_AD_UNEXPECTED_MESSAGE, "bad record type"},
    };
    for (unsigned i = 0; i < 2 * sizeof bad / sizeof bad[0]; i++) {
        close_ends();
        open_ends(0);
        struct span header = {bad[i / 2].header, TLS_HEADER_BYTES};
        cr_expect_not(receive(&server, header, i % 2 == 0 ? 1 : PLAIN_MAX));
        expect_alert(bad[i / 2].alert, bad[i / 2].why);
    }
}

/* The largest that a header may announce is waited for; it cannot be good. */
Test(tls_records, the_longest_record)
{
    static char record[TLS_HEADER_BYTES + 16640] = {23, 3, 3, 0x41, 0};
    cr_expect(receive(&server, (struct span){record, sizeof record - 1}, PLAIN_MAX));
    cr_expect_not(receive(&server, SPAN("x"), PLAIN_MAX));
    expect_alert(SSL_AD_BAD_RECORD_MAC, "decryption failed or bad record mac");
}

Test(tls_records, smaller_records_when_agreed_on)
{
    static const char text[513];
    server.records.text_max = 512;
    cr_assert(send_text(&server, (struct span){text, 513}));
    cr_expect_eq(buffer_bytes(&server.output), 513 + 2 * (5 + 1 + TLS_TAG_BYTES));
    cr_expect(carry(&server, &client, PLAIN_MAX));
    cr_expect(receive(&server, forge(23, (struct span){text, 512}, 1000), PLAIN_MAX));
    expect_plain(&server, (struct span){text, 512});
    cr_expect_not(receive(&server, forge(23, (struct span){text, 513}, 0), PLAIN_MAX));
    expect_alert(SSL_AD_RECORD_OVERFLOW, "data length too long");
}

Test(tls_records, more_plaintext_than_there_is_room_for)
{
    struct span record = forge(23, SPAN("0123456789"), 0);
    cr_expect_not(tls_records_receive(&server.records, 0, record, &server.plain, 8));
    expect_alert(SSL_AD_INTERNAL_ERROR, "more plaintext than there is room for");
}

static const struct {
    unsigned char type;
    const char *text;
    size_t bytes;
    int alert;
    const char *why;
} bad_contents[] = {
    {20, "\1", 1, SSL_AD_UNEXPECTED_MESSAGE, "bad record type"},
    {24, "heart", 5, SSL_AD_UNEXPECTED_MESSAGE, "bad record type"},
    {255, "x", 1, SSL_AD_UNEXPECTED_MESSAGE, "bad record type"},
    {22, "", 0, SSL_AD_UNEXPECTED_MESSAGE, "empty records"},
    {21, "", 0, SSL_AD_UNEXPECTED_MESSAGE, "empty records"},
    {21, "\1", 1, SSL_AD_DECODE_ERROR, "an alert of a wrong size"},
    {21, "\1\0\1\0", 4, SSL_AD_DECODE_ERROR, "an alert of a wrong size"},
    {22, "\x18\0\0\1\2", 5, SSL_AD_ILLEGAL_PARAMETER, "bad key update"},
    {22, "\x18\0\0\2\0\0", 6, SSL_AD_DECODE_ERROR, "bad key update"},
    {22, "\x18\0\0\0", 4, SSL_AD_DECODE_ERROR, "bad key update"},
    {22, "\x18\1\0\1\0", 5, SSL_AD_DECODE_ERROR, "bad key update"},
    {22, "\x18\0\0\1\0\x18\0\0\1\0", 10, SSL_AD_UNEXPECTED_MESSAGE, "not on record boundary"},
    {22, "\1\0\0\4xxxx", 8, SSL_AD_UNEXPECTED_MESSAGE, "unexpected message"},
    {22, "\4\0\0\4xxxx", 8, SSL_AD_UNEXPECTED_MESSAGE, "unexpected message"},
    {22, "\x0b\0\0\4", 4, SSL_AD_UNEXPECTED_MESSAGE, "unexpected message"},
    {22, "\x14\0\0\4", 4, SSL_AD_UNEXPECTED_MESSAGE, "unexpected message"},
};

Test(tls_records, contents_that_are_not_allowed)
{
    for (unsigned i = 0; i < sizeof bad_contents / sizeof bad_contents[0]; i++) {
        close_ends();
        open_ends(i % TLS_AEADS);
        cr_expect_not(
            take_forged(bad_contents[i].type, bad_contents[i].text, bad_contents[i].bytes));
        expect_alert(bad_contents[i].alert, bad_contents[i].why);
    }
}

Test(tls_records, nothing_comes_between_the_parts_of_a_message)
{
    cr_expect(take_forged(22, "\x18\0\0", 3));
    cr_expect_not(take_forged(23, "x", 1));
    expect_alert(SSL_AD_UNEXPECTED_MESSAGE, "a message with another in it");
}

Test(tls_records, empty_records_but_not_for_ever)
{
    for (unsigned i = 0; i < 3 * LIM_TLS_EMPTY_RECORDS; i++) {
        if (i % LIM_TLS_EMPTY_RECORDS == 0) {
            cr_assert(take_forged(23, "x", 1));
        }
        cr_assert(take_forged(23, "", 0));
    }
    expect_plain(&server, SPAN("xxx"));
    cr_expect_not(take_forged(23, "", 0));
    expect_alert(SSL_AD_UNEXPECTED_MESSAGE, "empty records");
}

/* ---- alerts ---- */

Test(tls_records, alerts)
{
    cr_expect(take_forged(21, "\1\x5a", 2), "user_canceled announces the end");
    cr_expect_not(server.records.ended);
    cr_expect(take_forged(21, "\1\0", 2));
    cr_expect(server.records.ended);
    cr_expect(send_text(&server, SPAN("the other half is open")));
    close_ends();
    open_ends(0);
    cr_expect_not(take_forged(21, "\2\x30", 2));
    cr_expect_str_eq(server.records.why, "unknown CA");
    cr_expect_eq(buffer_bytes(&server.output), 0, "an alert is not answered");
    cr_expect_not(server.records.ended);
}

Test(tls_records, nothing_follows_the_end)
{
    cr_expect(tls_records_close(&server.records));
    size_t bytes = buffer_bytes(&server.output);
    cr_expect(tls_records_close(&server.records));
    cr_expect_not(send_text(&server, SPAN("more")));
    cr_expect_not(take_forged(21, "", 0));
    cr_expect_eq(buffer_bytes(&server.output), bytes);
    cr_expect(carry(&server, &client, PLAIN_MAX));
    cr_expect(client.records.ended);
}

/* ---- the client's end ---- */

static bool server_says(unsigned char type, struct span text)
{
    struct tls_keys mine = forged;
    forged = server.records.write;
    forged.aead = NULL;
    bool fine = receive(&client, forge(type, text, 0), PLAIN_MAX);
    server.records.write.sequence = forged.sequence;
    tls_keys_rest(&forged);
    forged = mine;
    return fine;
}

Test(tls_records, a_client_lets_tickets_go_by)
{
    static const char ticket[] = {NEW_SESSION_TICKET, 0, 0, 3, 'a', 'b', 'c'};
    char both[2 * sizeof ticket];
    memcpy(both, ticket, sizeof ticket);
    memcpy(both + sizeof ticket, ticket, sizeof ticket);
    cr_expect(server_says(22, (struct span){both, sizeof both}));
    cr_expect(server_says(22, (struct span){both, 9}));
    cr_expect(server_says(22, (struct span){both + 9, sizeof both - 9}));
    cr_assert(send_text(&server, SPAN("answer")));
    cr_expect(carry(&server, &client, 5));
    expect_plain(&client, SPAN("answer"));
    cr_expect_not(server_says(22, SPAN("\x0d\0\0\1x")), "no CertificateRequest");
    cr_expect_str_eq(client.records.why, "unexpected message");
}

Test(tls_records, a_ticket_without_end)
{
    cr_expect_not(server_says(22, SPAN("\4\xff\xff\xff")));
    cr_expect_str_eq(client.records.why, "a ticket that is too long");
}
