/* SPDX-License-Identifier: Apache-2.0 */
/* TLS with OpenSSL (3.0 and later). The library reads from the span in hand and writes to our
 * buffer through a BIO of our own, so nothing is copied besides what its record layer copies. The
 * BIO never blocks on writing; on reading it asks for more when the span is used up, and what the
 * library keeps of an incomplete record is bounded by the size of a record.
 */
#include "server/tls.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/limits.h"

/* ECDHE with an AEAD is all that TLS 1.2 gets. */
#define CIPHERS_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"

enum { READ_BYTES = 4096, RECORD_BYTES = 16384, RECORD_OVERHEAD_BYTES = 64 };

struct tls_context {
    SSL_CTX *ssl;
    BIO_METHOD *bio;
};

struct tls_conn {
    SSL *ssl;
    struct span input; /* during tls_receive: what is left */
    struct buffer output;
    unsigned late_messages; /* handshake messages after the handshake */
    bool established;
    bool ended;
    bool failed;
};

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

static BIO_METHOD *create_bio_method(void)
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

/* ---- the context ---- */

/* A client that speaks ALPN and knows no protocol of ours gets the alert RFC 7301 asks for. */
static int select_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_bytes,
                           const unsigned char *offered, unsigned offered_bytes, void *unused)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *match = NULL;
    (void)ssl;
    (void)unused;
    if (SSL_select_next_proto(&match, chosen_bytes, ours, sizeof ours - 1, offered,
                              offered_bytes) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *chosen = match;
    return SSL_TLSEXT_ERR_OK;
}

/* Counts what a peer may send for ever at little cost of its own: key updates, and attempts to
 * negotiate again. */
static void count_message(int sent, int version, int type, const void *message, size_t bytes,
                          SSL *ssl, void *unused)
{
    struct tls_conn *tls = SSL_get_app_data(ssl);
    (void)version;
    (void)message;
    (void)bytes;
    (void)unused;
    if (!sent && type == SSL3_RT_HANDSHAKE && tls->established) {
        tls->late_messages++;
    }
}

/* Nobody is there to be asked: a key that needs a passphrase is refused. */
static int no_passphrase(char *buffer, int bytes, int writing, void *unused)
{
    (void)buffer;
    (void)bytes;
    (void)writing;
    (void)unused;
    return -1;
}

static bool set_up(SSL_CTX *ssl, bool allow_1_2)
{
    static const unsigned char session_context[] = "zeroserve";
    SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ssl, 1);
    /* Tickets hold the whole session, encrypted with a key of the context: nothing to share. */
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ssl, select_protocol, NULL);
    SSL_CTX_set_msg_callback(ssl, count_message);
    SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
    return SSL_CTX_set_min_proto_version(ssl, allow_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ssl, CIPHERS_1_2) == 1 && SSL_CTX_set_num_tickets(ssl, 1) == 1 &&
           SSL_CTX_set_session_id_context(ssl, session_context, sizeof session_context - 1) == 1 &&
           /* the first list needs a library that knows the post-quantum group */
           (SSL_CTX_set1_groups_list(ssl, "X25519MLKEM768:X25519:P-256:P-384") == 1 ||
            SSL_CTX_set1_groups_list(ssl, "X25519:P-256:P-384") == 1);
}

static bool fail_file(char *error, size_t error_bytes, const char *flag, const char *path,
                      const char *why)
{
    snprintf(error, error_bytes, "%s %s: %s", flag, path, why != NULL ? why : "not usable");
    return false;
}

static bool is_readable(const char *flag, const char *path, char *error, size_t error_bytes)
{
    return access(path, R_OK) == 0 || fail_file(error, error_bytes, flag, path, strerror(errno));
}

static bool load_pair(SSL_CTX *ssl, const struct tls_options *options, char *error,
                      size_t error_bytes)
{
    if (!is_readable("--cert", options->cert, error, error_bytes) ||
        !is_readable("--key", options->key, error, error_bytes)) {
        return false;
    }
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ssl, options->cert) != 1) {
        unsigned long reason = ERR_peek_last_error();
        return fail_file(error, error_bytes, "--cert", options->cert,
                         ERR_GET_REASON(reason) == ERR_R_PEM_LIB
                             ? "no certificate in PEM format in it"
                             : ERR_reason_error_string(reason));
    }
    bool loaded = SSL_CTX_use_PrivateKey_file(ssl, options->key, SSL_FILETYPE_PEM) == 1;
    unsigned long reason = ERR_peek_last_error();
    bool other = ERR_GET_LIB(reason) == ERR_LIB_X509 &&
                 (ERR_GET_REASON(reason) == X509_R_KEY_VALUES_MISMATCH ||
                  ERR_GET_REASON(reason) == X509_R_KEY_TYPE_MISMATCH);
    if (other || (loaded && SSL_CTX_check_private_key(ssl) != 1)) {
        return fail_file(error, error_bytes, "--key", options->key,
                         "not the key of the certificate");
    }
    return loaded || fail_file(error, error_bytes, "--key", options->key,
                               "no private key in PEM format, without passphrase, in it");
}

struct tls_context *tls_context_create(const struct tls_options *options, char *error,
                                       size_t error_bytes)
{
    struct tls_context *context = calloc(1, sizeof *context);
    snprintf(error, error_bytes, "TLS cannot be set up");
    if (context == NULL) {
        return NULL;
    }
    context->ssl = SSL_CTX_new(TLS_server_method());
    context->bio = create_bio_method();
    if (context->ssl != NULL && context->bio != NULL && set_up(context->ssl, options->allow_1_2) &&
        load_pair(context->ssl, options, error, error_bytes)) {
        ERR_clear_error();
        return context;
    }
    ERR_clear_error();
    tls_context_free(context);
    return NULL;
}

void tls_context_free(struct tls_context *context)
{
    if (context != NULL) {
        SSL_CTX_free(context->ssl);
        BIO_meth_free(context->bio);
        free(context);
    }
}

/* ---- connections ---- */

struct tls_conn *tls_open(struct tls_context *context)
{
    struct tls_conn *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        return NULL;
    }
    BIO *bio = BIO_new(context->bio);
    tls->ssl = SSL_new(context->ssl);
    if (bio == NULL || tls->ssl == NULL || SSL_set_app_data(tls->ssl, tls) != 1) {
        BIO_free(bio);
        tls_free(tls);
        return NULL;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

void tls_free(struct tls_conn *tls)
{
    if (tls != NULL) {
        SSL_free(tls->ssl);
        buffer_release(&tls->output);
        free(tls);
    }
}

/* The call that gave `result` goes on when more bytes come, or was the peer's last; else the
 * connection failed. */
static bool may_go_on(struct tls_conn *tls, int result)
{
    int reason = SSL_get_error(tls->ssl, result);
    tls->ended = tls->ended || reason == SSL_ERROR_ZERO_RETURN;
    tls->failed = reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_ZERO_RETURN;
    ERR_clear_error();
    return !tls->failed;
}

static bool shake_hands(struct tls_conn *tls)
{
    int result = SSL_accept(tls->ssl);
    tls->established = result == 1;
    return tls->established || may_go_on(tls, result);
}

static bool read_records(struct tls_conn *tls, struct buffer *plain, size_t plain_max)
{
    for (;;) {
        size_t got = 0;
        if (!buffer_reserve(plain, READ_BYTES, plain_max)) {
            tls->failed = true;
            return false;
        }
        int result =
            SSL_read_ex(tls->ssl, plain->base + plain->end, plain->capacity - plain->end, &got);
        plain->end += got;
        if (tls->late_messages > LIM_TLS_LATE_MESSAGES) {
            tls->failed = true;
            return false;
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
    ERR_clear_error();
    bool fine = tls->established || shake_hands(tls);
    if (fine && tls->established) {
        fine = read_records(tls, plain, plain_max);
    }
    assert(!fine || tls->ended || tls->input.len == 0);
    tls->input = (struct span){0};
    return fine;
}

bool tls_send(struct tls_conn *tls, struct span plain)
{
    size_t written = 0;
    size_t records = plain.len / RECORD_BYTES + 1;
    assert(tls->established);
    if (plain.len == 0) {
        return !tls->failed;
    }
    if (tls->failed || !buffer_reserve(&tls->output, plain.len + records * RECORD_OVERHEAD_BYTES,
                                       LIM_TLS_OUTPUT_BYTES)) {
        return false;
    }
    ERR_clear_error();
    tls->failed =
        SSL_write_ex(tls->ssl, plain.base, plain.len, &written) != 1 || written != plain.len;
    ERR_clear_error();
    return !tls->failed;
}

void tls_close(struct tls_conn *tls)
{
    if (!tls->established || tls->failed || (SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN) != 0) {
        return;
    }
    ERR_clear_error();
    tls->failed = SSL_shutdown(tls->ssl) < 0;
    ERR_clear_error();
}

bool tls_established(const struct tls_conn *tls)
{
    return tls->established;
}

bool tls_ended(const struct tls_conn *tls)
{
    return tls->ended;
}

struct buffer *tls_output(struct tls_conn *tls)
{
    return &tls->output;
}
