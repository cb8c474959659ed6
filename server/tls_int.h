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
    SSL_CTX **ssl; /* one for each certificate; connections begin with the first */
    unsigned count;
    struct tls_names names;
    BIO_METHOD *bio;
    bool any_name; /* the first certificate serves names that none has */
    bool h2;
};

struct tls_conn {
    SSL *ssl;
    struct tls_context *context;
    struct span input; /* during tls_receive: what is left */
    struct buffer output;
    char *server_name;      /* lower case; NULL: the client named none */
    unsigned late_messages; /* handshake messages after the handshake */
    bool established;
    bool ended;
    bool failed;
    char ja4[JA4_BYTES];
};

/* BIOs over `input` and `output` of the struct tls_conn that is their data. NULL: out of memory. */
BIO_METHOD *tls_bio_method(void);

#endif
