/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of TLS, for upstreams: whom to trust and how names are checked. A connection
 * is good only after the whole chain and the host were verified; there is no way around that.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/tls_int.h"

enum { HOST_BYTES_MAX = 253 };

/* Where Debian and those like it keep all the authorities they trust in one file. */
#define SYSTEM_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

static bool load_file(SSL_CTX *ssl, const char *path, char *error, size_t error_bytes)
{
    if (access(path, R_OK) != 0) {
        snprintf(error, error_bytes, "%s: %s", path, strerror(errno));
        return false;
    }
    if (SSL_CTX_load_verify_file(ssl, path) != 1) {
        snprintf(error, error_bytes, "%s: no certificate in PEM format in it", path);
        return false;
    }
    return true;
}

/* A file is read now. Of a directory the library reads what it needs during handshakes: the last
 * resort, as that takes time of a worker, and may be forbidden by then. */
static bool load_trust(SSL_CTX *ssl, const char *ca_file, char *error, size_t error_bytes)
{
    const char *named = ca_file != NULL ? ca_file : getenv("SSL_CERT_FILE");
    if (named != NULL) {
        return load_file(ssl, named, error, error_bytes);
    }
    if (getenv("SSL_CERT_DIR") == NULL && load_file(ssl, SYSTEM_BUNDLE, error, error_bytes)) {
        return true;
    }
    return SSL_CTX_set_default_verify_paths(ssl) == 1;
}

static bool set_up(SSL_CTX *ssl)
{
    static const unsigned char protocols[] = "\x08http/1.1";
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    /* this one alone gives 0 for success */
    return tls_set_common(ssl, true) &&
           SSL_CTX_set_alpn_protos(ssl, protocols, sizeof protocols - 1) == 0;
}

struct tls_context *tls_client_context_create(const char *ca_file, char *error, size_t error_bytes)
{
    struct tls_context *context = calloc(1, sizeof *context);
    snprintf(error, error_bytes, "TLS cannot be set up");
    if (context == NULL || (context->ssl = calloc(1, sizeof(SSL_CTX *))) == NULL ||
        (context->ssl[0] = SSL_CTX_new(TLS_client_method())) == NULL) {
        tls_context_free(context);
        return NULL;
    }
    context->count = 1;
    context->client = true;
    context->bio = tls_bio_method();
    tls_suites_fetch(&context->suites);
    bool fine = context->bio != NULL && set_up(context->ssl[0]) &&
                load_trust(context->ssl[0], ca_file, error, error_bytes);
    ERR_clear_error();
    if (!fine) {
        tls_context_free(context);
        return NULL;
    }
    return context;
}

/* A host that begins with a dot would stand for all below it, an empty one for all. */
static bool is_host(const char *host)
{
    size_t bytes = strlen(host);
    return bytes > 0 && bytes <= HOST_BYTES_MAX && host[0] != '.';
}

static bool is_address(const char *host)
{
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* Addresses stand in certificates, but are no server names (RFC 6066 3). */
static bool expect_host(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *wanted = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                                X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (is_address(host)) {
        return X509_VERIFY_PARAM_set1_ip_asc(wanted, host) == 1;
    }
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct tls_conn *tls_client_open(struct tls_context *context, const char *host)
{
    struct tls_conn *tls = is_host(host) ? tls_open_as(context, true) : NULL;
    if (tls == NULL || !expect_host(tls->ssl, host) || !tls_shake_hands(tls)) {
        ERR_clear_error();
        tls_free(tls);
        return NULL;
    }
    return tls;
}
