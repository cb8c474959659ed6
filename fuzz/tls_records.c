/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer sends under TLS 1.3 after the handshake: records with any contents under the right
 * keys, damaged ones, and bytes that are none. Played whole and in pieces; both must come to the
 * same end, hand out nothing but what was sent as application data, in its order, and answer with
 * at most one alert. As long as nothing was wrong, the peer can read what is said then.
 *
 * Input: a byte for the cipher suite, one that seeds the sizes of the pieces, then what the peer
 * sends: a byte for the kind, one for the size, and what that kind wants. Text comes last.
 */
#include "fuzz/fuzz.h"

#include <string.h>

#include "server/tls_records.h"

enum { STREAM_MAX = 1 << 20, ALERT_RECORD_BYTES = 5 + 2 + 1 + 16, DATA = 23, HANDSHAKE = 22 };

enum kind { TEXT, LONG_TEXT, UPDATE, ANY_CONTENTS, DAMAGED, BYTES, KINDS };

/* The peer, as it writes: all of its bytes, and what they say. */
struct script {
    struct span left; /* of the input */
    struct tls_keys keys;
    struct buffer stream;
    struct buffer text;
    bool good; /* nothing was wrong so far */
};

static struct tls_suites suites;

static void set_secret(struct tls_keys *keys, const struct tls_suite *suite, int seed)
{
    keys->secret_bytes = suite->secret_bytes;
    memset(keys->secret, seed, suite->secret_bytes);
}

/* Returns where in the stream the record begins. */
static size_t write_record(struct script *script, uint8_t type, struct span text)
{
    size_t sealed = text.len + 1 + TLS_TAG_BYTES;
    check(buffer_reserve(&script->stream, TLS_HEADER_BYTES + sealed, STREAM_MAX * 2));
    size_t at = script->stream.end;
    uint8_t *header = (uint8_t *)script->stream.base + at;
    memcpy(header, (uint8_t[]){DATA, 3, 3, sealed >> 8, sealed & 255}, TLS_HEADER_BYTES);
    check(tls_keys_seal(&script->keys, header, (struct tls_text){text}, type,
                        header + TLS_HEADER_BYTES));
    script->stream.end += TLS_HEADER_BYTES + sealed;
    return at;
}

static void write_text(struct script *script, struct span text)
{
    write_record(script, DATA, text);
    check(buffer_append(&script->text, text, STREAM_MAX * 2));
    script->good = script->good && text.len > 0; /* some empty records are fine, many are not */
}

/* With the type 0, what precedes it may be padding and, before that, the type. */
static void write_contents(struct script *script, uint8_t type, struct span text)
{
    script->good = false;
    write_record(script, type, text);
    while (type == 0 && text.len > 0) {
        text.len--;
        type = (uint8_t)text.base[text.len];
    }
    check(type != DATA || buffer_append(&script->text, text, STREAM_MAX * 2));
}

static void write_long_text(struct script *script, uint8_t size)
{
    static char zeros[TLS_RECORD_BYTES];
    write_text(script, (struct span){zeros, (size_t)size * 64 + 64});
}

static void write_update(struct script *script, uint8_t request)
{
    const char message[] = {24, 0, 0, 1, request & 1};
    write_record(script, HANDSHAKE, (struct span){message, sizeof message});
    check(tls_keys_update(&script->keys));
}

static void write_damaged(struct script *script, uint8_t where, struct span text)
{
    size_t at = write_record(script, DATA, text);
    size_t bytes = script->stream.end - at;
    script->stream.base[at + where % bytes] ^= (char)(1 << where % 8);
    script->good = false;
}

static void write_next(struct script *script)
{
    uint8_t kind = take_octet(&script->left) % KINDS;
    uint8_t size = take_octet(&script->left);
    switch (kind) {
    case TEXT: write_text(script, span_take(&script->left, size)); break;
    case LONG_TEXT: write_long_text(script, size); break;
    case UPDATE: write_update(script, size); break;
    case ANY_CONTENTS:
        write_contents(script, take_octet(&script->left), span_take(&script->left, size));
        break;
    case DAMAGED:
        write_damaged(script, take_octet(&script->left), span_take(&script->left, size));
        break;
    default:
        script->good = false;
        check(buffer_append(&script->stream, span_take(&script->left, size), STREAM_MAX * 2));
    }
}

/* ---- the end under test ---- */

struct end {
    struct tls_records records;
    struct buffer output;
    struct buffer plain;
    bool fine;
};

static void play(struct end *end, const struct tls_suite *suite, struct span stream,
                 uint32_t random, bool whole)
{
    *end = (struct end){.records = {.output = &end->output, .text_max = TLS_RECORD_BYTES},
                        .fine = true};
    set_secret(&end->records.read, suite, 1);
    set_secret(&end->records.write, suite, 2);
    check(tls_records_begin(&end->records, suite));
    for (size_t at = 0; at < stream.len && end->fine;) {
        random = random * 1664525u + 1013904223u;
        size_t piece = whole ? stream.len : (random >> 16) % ((random & 7) == 0 ? 5000 : 40) + 1;
        piece = piece < stream.len - at ? piece : stream.len - at;
        char *copy = malloc(piece);
        check(copy != NULL);
        memcpy(copy, stream.base + at, piece);
        end->fine = tls_records_receive(&end->records, 0, (struct span){copy, piece}, &end->plain,
                                        STREAM_MAX * 2);
        free(copy);
        at += piece;
    }
}

static void check_end(struct end *end, const struct script *script)
{
    struct span plain = buffer_span(&end->plain);
    struct span sent = buffer_span(&script->text);
    check(plain.len <= sent.len &&
          (plain.len == 0 || memcmp(plain.base, sent.base, plain.len) == 0));
    check(end->fine == (end->records.why == NULL));
    check(end->fine || !end->records.ended);
    check(buffer_bytes(&end->output) <= (end->fine ? 0 : ALERT_RECORD_BYTES));
    if (script->good && end->fine) {
        check(plain.len == sent.len && !end->records.ended);
    }
}

/* What is said now, under whatever key, is what the peer reads. */
static void check_answer(struct end *end, const struct tls_suite *suite)
{
    struct end peer = {
        .records = {.output = &peer.output, .text_max = TLS_RECORD_BYTES, .client = true}};
    set_secret(&peer.records.read, suite, 2);
    set_secret(&peer.records.write, suite, 1);
    check(tls_records_begin(&peer.records, suite));
    check(tls_records_send(&end->records, (struct tls_text){SPAN("answer")}) &&
          tls_records_close(&end->records));
    check(tls_records_receive(&peer.records, 0, buffer_span(&end->output), &peer.plain, 1 << 16));
    check(span_equal(buffer_span(&peer.plain), SPAN("answer")) && peer.records.ended);
    tls_records_end(&peer.records);
    buffer_release(&peer.plain);
}

static void free_end(struct end *end)
{
    tls_records_end(&end->records);
    buffer_release(&end->output);
    buffer_release(&end->plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = {.left = {(const char *)data, size}, .good = true};
    struct end whole, pieces;
    if (suites.items[0].kind == NULL) {
        tls_suites_fetch(&suites);
    }
    const struct tls_suite *suite = &suites.items[take_octet(&script.left) % TLS_AEADS];
    uint8_t seed = take_octet(&script.left);
    set_secret(&script.keys, suite, 1);
    check(tls_keys_derive(&script.keys, suite));
    while (script.left.len > 0 && buffer_bytes(&script.stream) < STREAM_MAX) {
        write_next(&script);
    }
    play(&whole, suite, buffer_span(&script.stream), 0, true);
    play(&pieces, suite, buffer_span(&script.stream), seed, false);
    check_end(&whole, &script);
    check_end(&pieces, &script);
    check(whole.fine == pieces.fine && whole.records.ended == pieces.records.ended);
    check(whole.records.why == pieces.records.why);
    check(span_equal(buffer_span(&whole.plain), buffer_span(&pieces.plain)));
    if (whole.fine) {
        check_answer(&whole, suite);
        check_answer(&pieces, suite);
    }
    tls_keys_forget(&script.keys);
    buffer_release(&script.stream);
    buffer_release(&script.text);
    free_end(&whole);
    free_end(&pieces);
    return 0;
}
