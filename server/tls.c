/* SPDX-License-Identifier: Apache-2.0 */
/* TLS connections. The handshake is that of OpenSSL (3.0 and later). When one of TLS 1.3 is
 * complete the library's part of the connection is given back, and server/tls_records.h goes on
 * with the secrets that were agreed on. With TLS 1.2 the library stays.
 *
 * The library reads from the span in hand and writes to our buffer through a BIO of our own, so
 * nothing is copied besides what its record layer copies. The BIO never blocks on writing; on
 * reading it asks for more when the span is used up, and what the library keeps of an incomplete
 * record is bounded by the size of a record. Without its read-ahead it takes nothing beyond the
 * record in hand, so what comes after the handshake is ours.
 */
#include "server/tls.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/limits.h"
#include "server/tls_int.h"

enum { READ_BYTES = 4096, RECORD_OVERHEAD_BYTES = 64 };

/* ---- the library's view of our bytes ---- */

static int bio_read(BIO *bio, char *out, size_t bytes, size_t *taken)
{
    struct tls_conn *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *taken = bytes < tls->input.len ? bytes : tls->input.len;
    if (*taken == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(out, tls->input.base, *taken);
    tls->input.base += *taken;
    tls->input.len -= *taken;
    return 1;
}

static int bio_write(BIO *bio, const char *data, size_t bytes, size_t *written)
{
    struct tls_conn *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *written = 0;
    if (!buffer_append(&tls->output, (struct span){data, bytes}, LIM_TLS_OUTPUT_BYTES)) {
        return 0;
    }
    *written = bytes;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_bio_method(void)
{
    BIO_METHOD *method =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "zeroserve connection");
    if (method != NULL && BIO_meth_set_read_ex(method, bio_read) == 1 &&
        BIO_meth_set_write_ex(method, bio_write) == 1 &&
        BIO_meth_set_ctrl(method, bio_control) == 1) {
        return method;
    }
    BIO_meth_free(method);
    return NULL;
}

/* ---- connections ---- */

struct tls_conn *tls_open_as(struct tls_context *context, bool client)
{
    assert(context->client == client);
    struct tls_conn *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        return NULL;
    }
    BIO *bio = BIO_new(context->bio);
    tls->context = context;
    tls->records.output = &tls->output;
    tls->records.client = client;
    tls->ssl = SSL_new(context->ssl[0]);
    if (bio == NULL || tls->ssl == NULL || SSL_set_app_data(tls->ssl, tls) != 1) {
        BIO_free(bio);
        tls_free(tls);
        return NULL;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    if (client) {
        SSL_set_connect_state(tls->ssl);
    } else {
        SSL_set_accept_state(tls->ssl);
    }
    return tls;
}

struct tls_conn *tls_open(struct tls_context *context)
{
    return tls_open_as(context, false);
}

void tls_free(struct tls_conn *tls)
{
    if (tls != NULL) {
        SSL_free(tls->ssl);
        tls_records_end(&tls->records);
        buffer_release(&tls->output);
        buffer_release(&tls->early);
        free(tls->server_name);
        free(tls);
    }
}

void tls_at(struct tls_conn *tls, uint64_t now_ms)
{
    tls->now_ms = now_ms;
}

/* What an earlier call left would be taken for this one's. Looking is cheaper than clearing. */
static void clear_errors(void)
{
    if (ERR_peek_error() != 0) {
        ERR_clear_error();
    }
}

/* The call that gave `result` goes on when more bytes come, or was the peer's last; else the
 * connection failed. */
static bool may_go_on(struct tls_conn *tls, int result)
{
    int reason = SSL_get_error(tls->ssl, result);
    tls->ended = tls->ended || reason == SSL_ERROR_ZERO_RETURN;
    tls->failed = reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_ZERO_RETURN &&
                  reason != SSL_ERROR_WANT_CLIENT_HELLO_CB;
    tls->reason = tls->failed ? ERR_peek_error() : 0;
    clear_errors();
    return !tls->failed;
}

static bool fail(struct tls_conn *tls, const char *why)
{
    tls->failed = true;
    tls->why = why;
    return false;
}

/* ---- the end of the handshake ---- */

void tls_see_secret(const SSL *ssl, const char *line)
{
    static const char client_side[] = "CLIENT_TRAFFIC_SECRET_0 ";
    static const char server_side[] = "SERVER_TRAFFIC_SECRET_0 ";
    struct tls_conn *tls = SSL_get_app_data(ssl);
    bool client = strncmp(line, client_side, sizeof client_side - 1) == 0;
    if (!client && strncmp(line, server_side, sizeof server_side - 1) != 0) {
        return;
    }
    bool ours = client == tls->context->client;
    struct tls_keys *keys = ours ? &tls->records.write : &tls->records.read;
    size_t bytes = 0;
    OPENSSL_hexstr2buf_ex(keys->secret, sizeof keys->secret, &bytes, strrchr(line, ' ') + 1, '\0');
    keys->secret_bytes = (unsigned)bytes;
    keys->sequence = 0; /* what is sent from now on counts, tickets are */
}

/* Static, as the library's goes with its connection. */
static struct span selected_protocol(const SSL *ssl)
{
    const unsigned char *name = NULL;
    unsigned bytes = 0;
    SSL_get0_alpn_selected(ssl, &name, &bytes);
    struct span selected = {(const char *)name, bytes};
    if (span_equal(selected, SPAN("h2"))) {
        return SPAN("h2");
    }
    return span_equal(selected, SPAN("http/1.1")) ? SPAN("http/1.1") : SPAN("");
}

static void note_agreed(struct tls_conn *tls)
{
    tls->agreed = (struct tls_info){
        .alpn = selected_protocol(tls->ssl),
        .version = span_of(SSL_get_version(tls->ssl)),
        .cipher = span_of(SSL_CIPHER_standard_name(SSL_get_current_cipher(tls->ssl))),
        .resumed = SSL_session_reused(tls->ssl) == 1,
    };
}

/* Octets of a record: the most there may be, or what the client asked for (RFC 6066 4). */
static unsigned agreed_text_max(SSL *ssl)
{
    enum { SMALLEST = 512 };
    unsigned mode = SSL_SESSION_get_max_fragment_length(SSL_get_session(ssl));
    return mode == TLSEXT_max_fragment_length_DISABLED ? TLS_RECORD_BYTES : SMALLEST << (mode - 1);
}

/* Records are ours from here on, unless the library must keep them. False: out of memory. */
static bool take_over(struct tls_conn *tls)
{
    const struct tls_suite *suite = tls_suites_find(
        &tls->context->suites, SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(tls->ssl)));
    if (SSL_version(tls->ssl) != TLS1_3_VERSION || suite == NULL || SSL_has_pending(tls->ssl)) {
        SSL_set_read_ahead(tls->ssl, 1);
        return true;
    }
    tls->records.text_max = agreed_text_max(tls->ssl);
    if (!tls_records_begin(&tls->records, suite)) {
        return false;
    }
    /* else it is taken for cut off, and looked for in the session cache */
    SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls->ssl);
    tls->ssl = NULL;
    return true;
}

bool tls_shake_hands(struct tls_conn *tls)
{
    size_t before = tls->input.len;
    clear_errors();
    int result = SSL_do_handshake(tls->ssl);
    tls->established = result == 1;
    if (tls->established) {
        note_agreed(tls);
        return take_over(tls) || fail(tls, "out of memory");
    }
    tls->hello_bytes += (unsigned)(before - tls->input.len);
    if (tls->hello_bytes > LIM_TLS_HELLO_BYTES) {
        return fail(tls, "the handshake is too long");
    }
    return may_go_on(tls, result);
}

/* ---- a rest at the ClientHello ---- */

void tls_rest_at_hello(struct tls_conn *tls)
{
    tls->judgement = TLS_TO_JUDGE;
}

bool tls_rests(const struct tls_conn *tls)
{
    return tls->judgement == TLS_JUDGING;
}

void tls_judge(struct tls_conn *tls, bool admitted)
{
    assert(tls_rests(tls));
    tls->judgement = admitted ? TLS_ADMITTED : TLS_REFUSED;
}

static bool keep(struct tls_conn *tls, struct span bytes)
{
    return buffer_append(&tls->early, bytes, LIM_TLS_HELLO_BYTES) ||
           fail(tls, "the handshake is too long");
}

/* ---- after it ---- */

static bool receive_by_library(struct tls_conn *tls, struct buffer *plain, size_t plain_max)
{
    clear_errors();
    for (;;) {
        size_t got = 0;
        if (!buffer_reserve(plain, READ_BYTES, plain_max)) {
            return fail(tls, "more plaintext than there is room for");
        }
        int result =
            SSL_read_ex(tls->ssl, plain->base + plain->end, plain->capacity - plain->end, &got);
        plain->end += got;
        if (tls->records.late.count > LIM_TLS_LATE_MESSAGES) {
            return fail(tls, "too many attempts to negotiate again");
        }
        if (result != 1) {
            return may_go_on(tls, result);
        }
    }
}

static bool receive_records(struct tls_conn *tls, struct buffer *plain, size_t plain_max)
{
    struct tls_records *records = &tls->records;
    bool fine = tls_records_receive(records, tls->now_ms, tls->input, plain, plain_max);
    tls->input.len = 0;
    tls->ended = records->ended;
    return fine || fail(tls, records->why);
}

static bool receive(struct tls_conn *tls, struct span bytes, struct buffer *plain, size_t plain_max)
{
    tls->input = bytes;
    bool fine = tls->established || tls_shake_hands(tls);
    if (fine && tls_rests(tls)) {
        fine = keep(tls, tls->input);
        tls->input.len = 0;
    }
    if (fine && tls->established) {
        fine = tls->ssl != NULL ? receive_by_library(tls, plain, plain_max)
                                : receive_records(tls, plain, plain_max);
    }
    assert(!fine || tls->ended || tls->input.len == 0);
    tls->input = (struct span){0};
    return fine;
}

bool tls_receive(struct tls_conn *tls, struct span bytes, struct buffer *plain, size_t plain_max)
{
    if (tls->failed || tls->ended) {
        return !tls->failed;
    }
    if (tls_rests(tls)) {
        return keep(tls, bytes);
    }
    if (buffer_bytes(&tls->early) == 0) {
        return receive(tls, bytes, plain, plain_max);
    }
    struct buffer early = tls->early;
    tls->early = (struct buffer){0};
    bool fine = buffer_append(&early, bytes, SIZE_MAX / 2)
                    ? receive(tls, buffer_span(&early), plain, plain_max)
                    : fail(tls, "out of memory");
    buffer_release(&early);
    return fine;
}

/* How much of `left` bytes goes into the next record or, when large ones are in order, all. */
static size_t next_write(struct tls_conn *tls, size_t left)
{
    if (tls->warm_bytes >= LIM_TLS_WARM_UP_BYTES) {
        return left;
    }
    size_t bytes = left < LIM_TLS_SMALL_BYTES ? left : LIM_TLS_SMALL_BYTES;
    tls->warm_bytes += (unsigned)bytes;
    return bytes;
}

static bool write_by_library(struct tls_conn *tls, struct span plain)
{
    size_t written = 0;
    clear_errors();
    return plain.len == 0 ||
           (SSL_write_ex(tls->ssl, plain.base, plain.len, &written) == 1 && written == plain.len);
}

static bool write_records(struct tls_conn *tls, struct tls_text plain)
{
    bool fine = true;
    while (fine && tls_text_bytes(plain) > 0) {
        struct tls_text piece = tls_text_take(&plain, next_write(tls, tls_text_bytes(plain)));
        fine = tls->ssl == NULL
                   ? tls_records_send(&tls->records, piece)
                   : write_by_library(tls, piece.first) && write_by_library(tls, piece.second);
    }
    return fine;
}

bool tls_reserve(struct tls_conn *tls, size_t bytes)
{
    size_t held = buffer_bytes(&tls->output);
    return held >= bytes || buffer_reserve(&tls->output, bytes - held, LIM_TLS_OUTPUT_BYTES);
}

bool tls_send_both(struct tls_conn *tls, struct span first, struct span second)
{
    struct tls_text plain = {first, second};
    size_t bytes = tls_text_bytes(plain);
    assert(tls->established);
    if (bytes == 0) {
        return !tls->failed;
    }
    if (tls->now_ms - tls->sent_ms >= LIM_TLS_COLD_MS) {
        tls->warm_bytes = 0;
    }
    tls->sent_ms = tls->now_ms;
    size_t small = bytes < LIM_TLS_WARM_UP_BYTES ? bytes : LIM_TLS_WARM_UP_BYTES;
    size_t records = small / LIM_TLS_SMALL_BYTES + bytes / TLS_RECORD_BYTES + 4;
    if (tls->failed || !buffer_reserve(&tls->output, bytes + records * RECORD_OVERHEAD_BYTES,
                                       LIM_TLS_OUTPUT_BYTES)) {
        return false;
    }
    tls->failed = !write_records(tls, plain);
    return !tls->failed;
}

bool tls_send(struct tls_conn *tls, struct span plain)
{
    return tls_send_both(tls, plain, (struct span){NULL, 0});
}

void tls_idle(struct tls_conn *tls)
{
    if (tls->ssl != NULL) {
        SSL_free_buffers(tls->ssl); /* fails when they hold part of a record: then they stay */
    }
    tls_records_rest(&tls->records);
    if (buffer_bytes(&tls->output) == 0) {
        buffer_release(&tls->output);
    }
}

/* Said twice, it would wait for the peer's. */
static bool close_by_library(struct tls_conn *tls)
{
    clear_errors();
    return (SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN) != 0 || SSL_shutdown(tls->ssl) >= 0;
}

void tls_close(struct tls_conn *tls)
{
    if (!tls->established || tls->failed) {
        return;
    }
    tls->failed = tls->ssl != NULL ? !close_by_library(tls) : !tls_records_close(&tls->records);
}

bool tls_established(const struct tls_conn *tls)
{
    return tls->established;
}

bool tls_is_h2(const struct tls_conn *tls)
{
    return span_equal(tls->agreed.alpn, SPAN("h2"));
}

struct tls_info tls_info(const struct tls_conn *tls)
{
    struct tls_info info = tls->agreed;
    info.sni = tls->server_name != NULL ? span_of(tls->server_name) : SPAN("");
    info.ja4 = tls->ja4[0] != '\0' ? (struct span){tls->ja4, JA4_BYTES - 1} : SPAN("");
    if (!tls->established) {
        info.version = SPAN("");
        info.cipher = SPAN("");
    }
    return info;
}

void tls_error(const struct tls_conn *tls, char *text, size_t bytes)
{
    long verified = tls->ssl != NULL ? SSL_get_verify_result(tls->ssl) : X509_V_OK;
    const char *reason = tls->why != NULL ? tls->why : ERR_reason_error_string(tls->reason);
    if (!tls->failed) {
        snprintf(text, bytes, "%s", "");
    } else if (tls->context->client && verified != X509_V_OK) {
        snprintf(text, bytes, "certificate verify failed: %s",
                 X509_verify_cert_error_string(verified));
    } else {
        snprintf(text, bytes, "%s", reason != NULL ? reason : "failed");
    }
}

bool tls_ended(const struct tls_conn *tls)
{
    return tls->ended;
}

struct buffer *tls_output(struct tls_conn *tls)
{
    return &tls->output;
}
