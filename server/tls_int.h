/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of TLS share: tls.c carries bytes, tls_context.c holds the settings
 * and answers what the library asks during a handshake. Only tls*.c know the library. */
#ifndef SERVER_TLS_INT_H
#define SERVER_TLS_INT_H

#include <openssl/ssl.h>

#include "server/ja4.h"
#include "server/tls.h"
#include "server/tls_certs.h"

struct tls_context {
    SSL_CTX *
        *ssl; /* one for each certificate; connections begin with the first, clients have one */
    unsigned count;
    struct tls_names names;
    BIO_METHOD *bio;
    struct tls_tickets *tickets; /* NULL: the library's */
    bool any_name;               /* the first certificate serves names that none has */
    bool h2;
    bool client;
};

struct tls_conn {
    SSL *ssl;
    struct tls_context *context;
    struct span input; /* during tls_receive: what is left */
    struct buffer output;
    const char *why;        /* it failed, when we know more than the library; static */
    unsigned long reason;   /* of the library */
    char *server_name;      /* lower case; NULL: the client named none */
    uint64_t now_ms;        /* what tls_at said */
    uint64_t late_ms;       /* since when late_messages counts */
    uint64_t sent_ms;       /* tls_send was called last */
    unsigned late_messages; /* handshake messages after the handshake, within a second */
    unsigned hello_bytes;   /* received before the end of the handshake */
    unsigned warm_bytes;    /* sent in small records */
    bool established;
    bool ended;
    bool failed;
    char ja4[JA4_BYTES];
};

/* BIOs over `input` and `output` of the struct tls_conn that is their data. NULL: out of memory. */
BIO_METHOD *tls_bio_method(void);
/* What server and client have in common. */
bool tls_set_common(SSL_CTX *ssl, bool allow_1_2);
/* NULL: out of memory. */
struct tls_conn *tls_open_as(struct tls_context *context, bool client);
/* Goes on with the handshake as far as it gets. False: failed. */
bool tls_shake_hands(struct tls_conn *tls);
/* Tickets of connections under this context use the keys of theirs. */
void tls_tickets_use(SSL_CTX *ssl);

#endif
