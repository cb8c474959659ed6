/* SPDX-License-Identifier: Apache-2.0 */
/* The record layer of TLS 1.3 for a connection whose handshake is complete.
 *
 * A record is opened from where it was received straight into the plaintext, when it arrived whole;
 * one that arrives in pieces is collected first. What is opened counts only when its tag was right,
 * and the plaintext grows only by what is application data. Whatever RFC 8446 does not allow at
 * this point ends the connection with the alert it asks for.
 */
#include "server/tls_records.h"

#include <assert.h>
#include <openssl/ssl.h>

#include "server/limits.h"

enum {
    RECORD_TEXT_MAX = TLS_RECORD_BYTES + 1, /* with its type; padding counts */
    RECORD_SEALED_MAX = TLS_RECORD_BYTES + 256,
    VERSION = 0x03, /* 3, 3: TLS 1.2, for whoever stands in between */

    KEY_UPDATE = 24,
    NEW_SESSION_TICKET = 4,
    UPDATE_NOT_REQUESTED = 0,
    UPDATE_REQUESTED = 1,

    ALERT_BYTES = 2,
    ALERT_WARNING = 1,
    ALERT_FATAL = 2,
};

bool tls_late_count(struct tls_late *late, uint64_t now_ms)
{
    enum { SECOND_MS = 1000 };
    if (now_ms - late->since_ms >= SECOND_MS) {
        late->since_ms = now_ms;
        late->count = 0;
    }
    late->count++;
    return late->count <= LIM_TLS_LATE_MESSAGES;
}

bool tls_records_begin(struct tls_records *records, const struct tls_suite *suite)
{
    assert(records->output != NULL && buffer_bytes(&records->partial) == 0);
    assert(records->text_max > 0 && records->text_max <= TLS_RECORD_BYTES);
    return tls_keys_derive(&records->read, suite) && tls_keys_derive(&records->write, suite);
}

void tls_records_end(struct tls_records *records)
{
    tls_keys_forget(&records->read);
    tls_keys_forget(&records->write);
    buffer_release(&records->partial);
}

void tls_records_rest(struct tls_records *records)
{
    tls_keys_rest(&records->read);
    tls_keys_rest(&records->write);
    if (buffer_bytes(&records->partial) == 0) {
        buffer_release(&records->partial);
    }
}

/* ---- sending ---- */

static bool put_record(struct tls_records *records, unsigned char type, struct tls_text text)
{
    struct buffer *output = records->output;
    size_t bytes = tls_text_bytes(text);
    size_t sealed = bytes + 1 + TLS_TAG_BYTES;
    assert(bytes <= TLS_RECORD_BYTES);
    if (!buffer_reserve(output, TLS_HEADER_BYTES + sealed, LIM_TLS_OUTPUT_BYTES)) {
        return false;
    }
    unsigned char *header = (unsigned char *)output->base + output->end;
    header[0] = SSL3_RT_APPLICATION_DATA;
    header[1] = VERSION;
    header[2] = VERSION;
    header[3] = (unsigned char)(sealed >> 8);
    header[4] = (unsigned char)sealed;
    if (!tls_keys_seal(&records->write, header, text, type, header + TLS_HEADER_BYTES)) {
        return false;
    }
    output->end += TLS_HEADER_BYTES + sealed;
    return true;
}

/* Says that the next record comes under a new key. */
static bool update_write(struct tls_records *records)
{
    static const char message[] = {KEY_UPDATE, 0, 0, 1, UPDATE_NOT_REQUESTED};
    records->owes_update = false;
    return put_record(records, SSL3_RT_HANDSHAKE, (struct tls_text){{message, sizeof message}}) &&
           tls_keys_update(&records->write);
}

bool tls_records_send(struct tls_records *records, struct tls_text plain)
{
    while (tls_text_bytes(plain) > 0) {
        struct tls_text text = tls_text_take(&plain, records->text_max);
        bool due = records->owes_update || records->write.sequence >= LIM_TLS_KEY_RECORDS;
        if (records->closed || (due && !update_write(records)) ||
            !put_record(records, SSL3_RT_APPLICATION_DATA, text)) {
            return false;
        }
    }
    return true;
}

static bool put_alert(struct tls_records *records, char level, char description)
{
    const char alert[ALERT_BYTES] = {level, description};
    records->closed = true;
    return put_record(records, SSL3_RT_ALERT, (struct tls_text){{alert, sizeof alert}});
}

bool tls_records_close(struct tls_records *records)
{
    return records->closed || put_alert(records, ALERT_WARNING, SSL_AD_CLOSE_NOTIFY);
}

/* The peer broke the rules, and is told so if it can be. */
static bool refuse(struct tls_records *records, char alert, const char *why)
{
    records->why = why;
    if (!records->closed) {
        put_alert(records, ALERT_FATAL, alert);
    }
    return false;
}

/* ---- what a record may contain ---- */

static bool take_alert(struct tls_records *records, struct span text)
{
    if (text.len != ALERT_BYTES) {
        return refuse(records, SSL_AD_DECODE_ERROR, "an alert of a wrong size");
    }
    int description = (unsigned char)text.base[1];
    if (description == SSL_AD_CLOSE_NOTIFY) {
        records->ended = true;
        return true;
    }
    if (description == SSL_AD_USER_CANCELLED) {
        return true; /* an announcement of the one above */
    }
    records->why = SSL_alert_desc_string_long(description);
    records->closed = true;
    return false;
}

static bool take_key_update(struct tls_records *records, unsigned char request, bool last)
{
    if (request != UPDATE_NOT_REQUESTED && request != UPDATE_REQUESTED) {
        return refuse(records, SSL_AD_ILLEGAL_PARAMETER, "bad key update");
    }
    if (!last) {
        return refuse(records, SSL_AD_UNEXPECTED_MESSAGE, "not on record boundary");
    }
    records->owes_update = records->owes_update || request == UPDATE_REQUESTED;
    return tls_keys_update(&records->read) ||
           refuse(records, SSL_AD_INTERNAL_ERROR, "out of memory");
}

/* The head of a message is complete: is one like that in order? */
static bool begin_message(struct tls_records *records)
{
    const unsigned char *head = records->message;
    records->message_left = (unsigned)(head[1] << 16 | head[2] << 8 | head[3]);
    if (head[0] == KEY_UPDATE) {
        return records->message_left == 1 || refuse(records, SSL_AD_DECODE_ERROR, "bad key update");
    }
    if (!records->client || head[0] != NEW_SESSION_TICKET) {
        return refuse(records, SSL_AD_UNEXPECTED_MESSAGE, "unexpected message");
    }
    return records->message_left <= LIM_TLS_HELLO_BYTES ||
           refuse(records, SSL_AD_ILLEGAL_PARAMETER, "a ticket that is too long");
}

/* Takes what it can of the message in hand, at least one octet; tickets are let go by. */
static bool take_piece(struct tls_records *records, struct span *text)
{
    if (records->message_bytes < TLS_MESSAGE_BYTES) {
        records->message[records->message_bytes++] = (unsigned char)*text->base;
        text->base++;
        text->len--;
        return records->message_bytes < TLS_MESSAGE_BYTES || begin_message(records);
    }
    unsigned char first = (unsigned char)*text->base;
    size_t bytes = text->len < records->message_left ? text->len : records->message_left;
    text->base += bytes;
    text->len -= bytes;
    records->message_left -= (unsigned)bytes;
    return records->message[0] != KEY_UPDATE || take_key_update(records, first, text->len == 0);
}

static bool take_messages(struct tls_records *records, uint64_t now_ms, struct span text)
{
    while (text.len > 0) {
        if (!take_piece(records, &text)) {
            return false;
        }
        if (records->message_bytes == TLS_MESSAGE_BYTES && records->message_left == 0) {
            records->message_bytes = 0;
            if (!tls_late_count(&records->late, now_ms)) {
                return refuse(records, SSL_AD_UNEXPECTED_MESSAGE, "too many key updates");
            }
        }
    }
    return true;
}

/* Only application data may be empty (RFC 8446 5.1, 5.4), and not for ever; the same holds for
 * alerts after which the connection goes on. */
static bool count_empty(struct tls_records *records, unsigned type, size_t bytes)
{
    records->empty = bytes == 0 || type == SSL3_RT_ALERT ? records->empty + 1 : 0;
    return (bytes > 0 || type == SSL3_RT_APPLICATION_DATA) &&
           records->empty <= LIM_TLS_EMPTY_RECORDS;
}

static bool take_record(struct tls_records *records, uint64_t now_ms, unsigned type,
                        struct span text, struct buffer *plain)
{
    if (!count_empty(records, type, text.len)) {
        return refuse(records, SSL_AD_UNEXPECTED_MESSAGE, "empty records");
    }
    if (records->message_bytes > 0 && type != SSL3_RT_HANDSHAKE) {
        return refuse(records, SSL_AD_UNEXPECTED_MESSAGE, "a message with another in it");
    }
    switch (type) {
    case SSL3_RT_APPLICATION_DATA: plain->end += text.len; return true;
    case SSL3_RT_HANDSHAKE: return take_messages(records, now_ms, text);
    case SSL3_RT_ALERT: return take_alert(records, text);
    default: return refuse(records, SSL_AD_UNEXPECTED_MESSAGE, "bad record type");
    }
}

/* ---- receiving ---- */

static size_t sealed_bytes(const char *header)
{
    return (size_t)((unsigned char)header[3] << 8 | (unsigned char)header[4]);
}

/* Of a whole record: its type is the last octet that is not 0, what precedes that its content. */
static bool open_record(struct tls_records *records, uint64_t now_ms, struct span record,
                        struct buffer *plain, size_t plain_max)
{
    struct span sealed = {record.base + TLS_HEADER_BYTES, record.len - TLS_HEADER_BYTES};
    if (!buffer_reserve(plain, sealed.len - TLS_TAG_BYTES, plain_max)) {
        return refuse(records, SSL_AD_INTERNAL_ERROR, "more plaintext than there is room for");
    }
    struct span text = {plain->base + plain->end, sealed.len - TLS_TAG_BYTES};
    if (!tls_keys_open(&records->read, (const unsigned char *)record.base, sealed,
                       (unsigned char *)plain->base + plain->end)) {
        return refuse(records, SSL_AD_BAD_RECORD_MAC, "decryption failed or bad record mac");
    }
    if (text.len > RECORD_TEXT_MAX) {
        return refuse(records, SSL_AD_RECORD_OVERFLOW, "data length too long");
    }
    while (text.len > 0 && text.base[text.len - 1] == 0) {
        text.len--;
    }
    if (text.len == 0) {
        return refuse(records, SSL_AD_UNEXPECTED_MESSAGE, "bad record type");
    }
    text.len--;
    if (text.len > records->text_max) {
        return refuse(records, SSL_AD_RECORD_OVERFLOW, "data length too long");
    }
    return take_record(records, now_ms, (unsigned char)text.base[text.len], text, plain);
}

static bool check_header(struct tls_records *records, const char *header)
{
    size_t bytes = sealed_bytes(header);
    if (header[0] != SSL3_RT_APPLICATION_DATA) {
        return refuse(records, SSL_AD_UNEXPECTED_MESSAGE, "bad record type");
    }
    if (bytes > RECORD_SEALED_MAX) {
        return refuse(records, SSL_AD_RECORD_OVERFLOW, "packet length too long");
    }
    return bytes > TLS_TAG_BYTES || refuse(records, SSL_AD_BAD_RECORD_MAC, "length too short");
}

/* Moves octets to `partial` until it holds that many, as far as there are any. False: out of
 * memory. */
static bool collect(struct tls_records *records, struct span *bytes, size_t wanted)
{
    size_t missing = wanted - buffer_bytes(&records->partial);
    size_t more = missing < bytes->len ? missing : bytes->len;
    bool fine = buffer_append(&records->partial, (struct span){bytes->base, more},
                              TLS_HEADER_BYTES + RECORD_SEALED_MAX);
    bytes->base += more;
    bytes->len -= more;
    return fine;
}

/* Goes on with the record in `partial`, which becomes `record` once it is whole. */
static bool complete_partial(struct tls_records *records, struct span *bytes, struct span *record)
{
    size_t held = buffer_bytes(&records->partial);
    bool fine = held >= TLS_HEADER_BYTES || collect(records, bytes, TLS_HEADER_BYTES);
    struct span partial = buffer_span(&records->partial);
    if (fine && partial.len >= TLS_HEADER_BYTES) {
        if (held < TLS_HEADER_BYTES && !check_header(records, partial.base)) {
            return false;
        }
        size_t whole = TLS_HEADER_BYTES + sealed_bytes(partial.base);
        fine = collect(records, bytes, whole);
        partial = buffer_span(&records->partial);
        if (partial.len == whole) {
            *record = partial;
        }
    }
    return fine || refuse(records, SSL_AD_INTERNAL_ERROR, "out of memory");
}

/* The next record, where it lies; empty: not all of it is there. */
static bool next_record(struct tls_records *records, struct span *bytes, struct span *record)
{
    *record = (struct span){0};
    if (buffer_bytes(&records->partial) > 0 || bytes->len < TLS_HEADER_BYTES) {
        return complete_partial(records, bytes, record);
    }
    if (!check_header(records, bytes->base)) {
        return false;
    }
    size_t whole = TLS_HEADER_BYTES + sealed_bytes(bytes->base);
    if (bytes->len < whole) {
        return complete_partial(records, bytes, record);
    }
    *record = (struct span){bytes->base, whole};
    bytes->base += whole;
    bytes->len -= whole;
    return true;
}

bool tls_records_receive(struct tls_records *records, uint64_t now_ms, struct span bytes,
                         struct buffer *plain, size_t plain_max)
{
    while (bytes.len > 0 && !records->ended) {
        struct span record;
        if (!next_record(records, &bytes, &record)) {
            return false;
        }
        if (record.len == 0) {
            assert(bytes.len == 0);
            break;
        }
        bool fine = open_record(records, now_ms, record, plain, plain_max);
        if (buffer_bytes(&records->partial) > 0) {
            buffer_consume(&records->partial, buffer_bytes(&records->partial));
        }
        if (!fine) {
            return false;
        }
    }
    return true;
}
