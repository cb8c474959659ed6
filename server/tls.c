/* SPDX-License-Identifier: Apache-2.0 */
/* TLS connections with OpenSSL (3.0 and later). The library reads from the span in hand and writes
 * to our buffer through a BIO of our own, so nothing is copied besides what its record layer
 * copies. The BIO never blocks on writing; on reading it asks for more when the span is used up,
 * and what the library keeps of an incomplete record is bounded by the size of a record.
 */
#include "server/tls.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/limits.h"
#include "server/tls_int.h"

enum { READ_BYTES = 4096, RECORD_BYTES = 16384, RECORD_OVERHEAD_BYTES = 64 };

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
        buffer_release(&tls->output);
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
    tls->failed = reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_ZERO_RETURN;
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

bool tls_shake_hands(struct tls_conn *tls)
{
    size_t before = tls->input.len;
    int result = SSL_do_handshake(tls->ssl);
    tls->established = result == 1;
    if (tls->established) {
        return true;
    }
    tls->hello_bytes += (unsigned)(before - tls->input.len);
    if (tls->hello_bytes > LIM_TLS_HELLO_BYTES) {
        return fail(tls, "the handshake is too long");
    }
    return may_go_on(tls, result);
}

static bool read_records(struct tls_conn *tls, struct buffer *plain, size_t plain_max)
{
    for (;;) {
        size_t got = 0;
        if (!buffer_reserve(plain, READ_BYTES, plain_max)) {
            return fail(tls, "more plaintext than there is room for");
        }
        int result =
            SSL_read_ex(tls->ssl, plain->base + plain->end, plain->capacity - plain->end, &got);
        plain->end += got;
        if (tls->late_messages > LIM_TLS_LATE_MESSAGES) {
            return fail(tls, "too many key updates");
        }
        if (result != 1) {
            return may_go_on(tls, result);
        }
    }
}

bool tls_receive(struct tls_conn *tls, struct span bytes, struct buffer *plain, size_t plain_max)
{
    if (tls->failed || tls->ended) {
        return !tls->failed;
    }
    tls->input = bytes;
    clear_errors();
    bool fine = tls->established || tls_shake_hands(tls);
    if (fine && tls->established) {
        fine = read_records(tls, plain, plain_max);
    }
    assert(!fine || tls->ended || tls->input.len == 0);
    tls->input = (struct span){0};
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

static bool write_records(struct tls_conn *tls, struct span plain)
{
    size_t written = 0;
    for (size_t at = 0; at < plain.len; at += written) {
        size_t bytes = next_write(tls, plain.len - at);
        if (SSL_write_ex(tls->ssl, plain.base + at, bytes, &written) != 1 || written != bytes) {
            return false;
        }
    }
    return true;
}

bool tls_send(struct tls_conn *tls, struct span plain)
{
    assert(tls->established);
    if (plain.len == 0) {
        return !tls->failed;
    }
    if (tls->now_ms - tls->sent_ms >= LIM_TLS_COLD_MS) {
        tls->warm_bytes = 0;
    }
    tls->sent_ms = tls->now_ms;
    size_t small = plain.len < LIM_TLS_WARM_UP_BYTES ? plain.len : LIM_TLS_WARM_UP_BYTES;
    size_t records = small / LIM_TLS_SMALL_BYTES + plain.len / RECORD_BYTES + 3;
    if (tls->failed || !buffer_reserve(&tls->output, plain.len + records * RECORD_OVERHEAD_BYTES,
                                       LIM_TLS_OUTPUT_BYTES)) {
        return false;
    }
    clear_errors();
    tls->failed = !write_records(tls, plain);
    clear_errors();
    return !tls->failed;
}

void tls_idle(struct tls_conn *tls)
{
    SSL_free_buffers(tls->ssl); /* fails when they hold part of a record: then they stay */
    if (buffer_bytes(&tls->output) == 0) {
        buffer_release(&tls->output);
    }
}

void tls_close(struct tls_conn *tls)
{
    if (!tls->established || tls->failed || (SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN) != 0) {
        return;
    }
    clear_errors();
    tls->failed = SSL_shutdown(tls->ssl) < 0;
    clear_errors();
}

bool tls_established(const struct tls_conn *tls)
{
    return tls->established;
}

bool tls_is_h2(const struct tls_conn *tls)
{
    return span_equal(tls_info(tls).alpn, SPAN("h2"));
}

static struct span selected_protocol(const struct tls_conn *tls)
{
    const unsigned char *name = NULL;
    unsigned bytes = 0;
    SSL_get0_alpn_selected(tls->ssl, &name, &bytes);
    return (struct span){(const char *)name, bytes};
}

struct tls_info tls_info(const struct tls_conn *tls)
{
    struct tls_info info = {
        .sni = tls->server_name != NULL ? span_of(tls->server_name) : SPAN(""),
        .version = "",
        .cipher = "",
        .ja4 = tls->ja4,
    };
    if (tls->established) {
        info.alpn = selected_protocol(tls);
        info.version = SSL_get_version(tls->ssl);
        info.cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(tls->ssl));
        info.resumed = SSL_session_reused(tls->ssl) == 1;
    }
    return info;
}

void tls_error(const struct tls_conn *tls, char *text, size_t bytes)
{
    long verified = SSL_get_verify_result(tls->ssl);
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
