/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the server's side of TLS, and what the library asks of us during a handshake.
 *
 * Each certificate has a context of the library of its own. A connection begins with the first and
 * changes to that of its server name before anything of the ClientHello is acted on. Sessions are
 * bound to the certificate: what was agreed on under one name is no ticket for another's.
 */
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/chars.h"
#include "server/limits.h"
#include "server/tls_int.h"

/* The cheapest of the strong ones first. ECDHE with an AEAD is all that TLS 1.2 gets. */
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_1_2 "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20"

/* ---- what the library asks during a handshake ---- */

/* A client that speaks ALPN and knows no protocol of ours gets the alert RFC 7301 asks for. */
static int select_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_bytes,
                           const unsigned char *offered, unsigned offered_bytes, void *unused)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    const struct tls_conn *tls = SSL_get_app_data(ssl);
    unsigned skipped = tls->context->h2 ? 0 : 3;
    unsigned char *match = NULL;
    (void)unused;
    if (SSL_select_next_proto(&match, chosen_bytes, ours + skipped, sizeof ours - 1 - skipped,
                              offered, offered_bytes) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *chosen = match;
    return SSL_TLSEXT_ERR_OK;
}

/* Sees every message, and what stands before it in a record. */
static void see_message(int sent, int version, int type, const void *message, size_t bytes,
                        SSL *ssl, void *unused)
{
    enum { CLIENT_HELLO = 1, HEADER_BYTES = 4 };
    struct tls_conn *tls = SSL_get_app_data(ssl);
    const char *text = message;
    (void)version;
    (void)unused;
    if (sent) {
        tls->records.write.sequence += type == SSL3_RT_HEADER;
        return;
    }
    if (type != SSL3_RT_HANDSHAKE) {
        return;
    }
    if (tls->established) {
        tls_late_count(&tls->records.late, tls->now_ms);
    } else if (bytes > HEADER_BYTES && text[0] == CLIENT_HELLO && tls->ja4[0] == '\0') {
        ja4_fingerprint((struct span){text + HEADER_BYTES, bytes - HEADER_BYTES}, tls->ja4);
    }
}

/* The name in the extension server_name (RFC 6066 3): a list of one host name. Names are written
 * to logs: only characters that host names have are taken. */
static bool read_server_name(const unsigned char *list, size_t bytes, struct span *name)
{
    enum { HEADER_BYTES = 5, HOST_NAME = 0, NAME_BYTES_MAX = 255 };
    if (bytes <= HEADER_BYTES || (size_t)(list[0] << 8 | list[1]) != bytes - 2 ||
        list[2] != HOST_NAME || (size_t)(list[3] << 8 | list[4]) != bytes - HEADER_BYTES ||
        bytes - HEADER_BYTES > NAME_BYTES_MAX) {
        return false;
    }
    *name = (struct span){(const char *)list + HEADER_BYTES, bytes - HEADER_BYTES};
    return chars_all(*name, CHAR_NAME);
}

static bool choose_certificate(struct tls_conn *tls, int *alert)
{
    const struct tls_context *context = tls->context;
    int found = tls_names_find(&context->names, tls->server_name);
    if (found < 0 && !context->any_name) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return false;
    }
    return found <= 0 || SSL_set_SSL_CTX(tls->ssl, context->ssl[found]) != NULL;
}

/* The library calls again with the same message when this has it rest. */
static int judge(struct tls_conn *tls, int *alert)
{
    switch (tls->judgement) {
    case TLS_ADMITTED: return SSL_CLIENT_HELLO_SUCCESS;
    case TLS_TO_JUDGE:
    case TLS_JUDGING: tls->judgement = TLS_JUDGING; return SSL_CLIENT_HELLO_RETRY;
    case TLS_REFUSED: break;
    }
    *alert = SSL_AD_ACCESS_DENIED;
    return SSL_CLIENT_HELLO_ERROR;
}

/* Called once a ClientHello was taken apart, before anything of it is acted on; a second time after
 * a HelloRetryRequest. */
static int see_hello(SSL *ssl, int *alert, void *unused)
{
    struct tls_conn *tls = SSL_get_app_data(ssl);
    const unsigned char *list;
    size_t bytes;
    struct span name;
    (void)unused;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &list, &bytes) != 1) {
        return judge(tls, alert);
    }
    if (!read_server_name(list, bytes, &name)) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_CLIENT_HELLO_ERROR;
    }
    free(tls->server_name);
    tls->server_name = span_copy_lower(name);
    if (tls->server_name == NULL) {
        return SSL_CLIENT_HELLO_ERROR;
    }
    return choose_certificate(tls, alert) ? judge(tls, alert) : SSL_CLIENT_HELLO_ERROR;
}

/* ---- settings ---- */

bool tls_set_common(SSL_CTX *ssl, bool allow_1_2)
{
    SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_msg_callback(ssl, see_message);
    SSL_CTX_set_keylog_callback(ssl, tls_see_secret);
    return SSL_CTX_set_min_proto_version(ssl, allow_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_ciphersuites(ssl, CIPHERS_1_3) == 1 &&
           SSL_CTX_set_cipher_list(ssl, CIPHERS_1_2) == 1 &&
           /* the first list needs a library that knows the post-quantum group */
           (SSL_CTX_set1_groups_list(ssl, "X25519MLKEM768:X25519:P-256:P-384") == 1 ||
            SSL_CTX_set1_groups_list(ssl, "X25519:P-256:P-384") == 1);
}

/* Tickets hold the whole session, encrypted: there is nothing else to share. One is enough, and
 * making it is a tenth of the cost of a handshake. */
static bool set_up(SSL_CTX *ssl, const struct tls_options *options)
{
    enum { MS = 1000 };
    if (!tls_set_common(ssl, options->allow_1_2) || SSL_CTX_set_num_tickets(ssl, 1) != 1) {
        return false;
    }
    SSL_CTX_set_timeout(ssl, (LIM_TLS_TICKET_KEYS - 1) * (LIM_TLS_TICKET_KEY_MS / MS));
    if (options->tickets != NULL) {
        tls_tickets_use(ssl);
    }
    SSL_CTX_set_alpn_select_cb(ssl, select_protocol, NULL);
    SSL_CTX_set_client_hello_cb(ssl, see_hello, NULL);
    return true;
}

/* The certificate, its chain and key; its hash is the name of the sessions under it. */
static bool set_identity(SSL_CTX *ssl, const struct tls_identity *identity)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned bytes = 0;
    return SSL_CTX_use_certificate(ssl, identity->certificate) == 1 &&
           SSL_CTX_set1_chain(ssl, identity->issuers) == 1 &&
           SSL_CTX_use_PrivateKey(ssl, identity->key) == 1 &&
           X509_digest(identity->certificate, EVP_sha256(), hash, &bytes) == 1 &&
           SSL_CTX_set_session_id_context(ssl, hash, bytes) == 1;
}

static bool add_identity(struct tls_context *context, const struct tls_identity *identity,
                         const struct tls_options *options, char *error, size_t error_bytes)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    ERR_clear_error();
    if (ssl == NULL || !set_up(ssl, options) || !set_identity(ssl, identity)) {
        const char *why = ERR_reason_error_string(ERR_peek_last_error());
        snprintf(error, error_bytes, "%s: %s", identity->source,
                 why != NULL ? why : "TLS cannot be set up");
        SSL_CTX_free(ssl);
        return false;
    }
    context->ssl[context->count++] = ssl;
    return true;
}

static bool add_identities(struct tls_context *context, const struct tls_identities *identities,
                           const struct tls_options *options, char *error, size_t error_bytes)
{
    context->ssl = calloc(identities->count, sizeof(SSL_CTX *));
    if (context->ssl == NULL || !tls_names_collect(&context->names, identities)) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    for (unsigned i = 0; i < identities->count; i++) {
        if (!add_identity(context, &identities->items[i], options, error, error_bytes)) {
            return false;
        }
    }
    return true;
}

struct tls_context *tls_context_create(const struct tls_options *options, char *error,
                                       size_t error_bytes)
{
    struct tls_identities identities = {0};
    struct tls_context *context = calloc(1, sizeof *context);
    if (context == NULL || (context->bio = tls_bio_method()) == NULL) {
        snprintf(error, error_bytes, "TLS cannot be set up");
        free(context);
        return NULL;
    }
    tls_suites_fetch(&context->suites);
    context->h2 = options->h2;
    context->tickets = options->tickets;
    context->any_name = options->pair_count == 1 && options->cert_dir == NULL;
    bool fine = tls_identities_load(&identities, options, error, error_bytes) &&
                add_identities(context, &identities, options, error, error_bytes);
    tls_identities_free(&identities);
    ERR_clear_error();
    if (!fine) {
        tls_context_free(context);
        return NULL;
    }
    return context;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL) {
        return;
    }
    for (unsigned i = 0; i < context->count; i++) {
        SSL_CTX_free(context->ssl[i]);
    }
    free(context->ssl);
    tls_suites_release(&context->suites);
    tls_names_free(&context->names);
    BIO_meth_free(context->bio);
    free(context);
}
