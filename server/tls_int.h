/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of TLS share: tls.c carries bytes, tls_context.c holds the settings
 * and answers what the library asks during a handshake, tls_records.c is TLS 1.3 after it. Only
 * tls*.c know the library. */
#ifndef SERVER_TLS_INT_H
#define SERVER_TLS_INT_H

#include <openssl/ssl.h>

#include "server/ja4.h"
#include "server/tls.h"
#include "server/tls_certs.h"
#include "server/tls_records.h"

struct tls_context {
    SSL_CTX *
        *ssl; /* one for each certificate; connections begin with the first, clients have one */
    unsigned count;
    struct tls_names names;
    BIO_METHOD *bio;
    struct tls_suites suites;
    struct tls_tickets *tickets; /* NULL: the library's */
    bool any_name;               /* the first certificate serves names that none has */
    bool h2;
    bool client;
};

enum tls_judgement {
    TLS_ADMITTED, /* or nobody asks */
    TLS_TO_JUDGE, /* the ClientHello has not come yet */
    TLS_JUDGING,
    TLS_REFUSED,
};

struct tls_conn {
    SSL *ssl; /* NULL: its work is done, records go by `records` */
    struct tls_context *context;
    struct tls_records records; /* before that: the secrets, as far as they are known */
    struct span input;          /* during tls_receive: what is left */
    struct buffer early;        /* came while the handshake rested */
    enum tls_judgement judgement;
    struct buffer output;
    struct tls_info agreed; /* when established; without sni and ja4 */
    const char *why;        /* it failed, when we know more than the library; static */
    unsigned long reason;   /* of the library */
    char *server_name;      /* lower case; NULL: the client named none */
    uint64_t now_ms;        /* what tls_at said */
    uint64_t sent_ms;       /* tls_send was called last */
    unsigned hello_bytes;   /* received before the end of the handshake */
    unsigned warm_bytes;    /* sent in small records */
    bool established;
    bool ended;
    bool failed;
    char ja4[JA4_BYTES];
};

/* What the library tells of a handshake's secrets: takes those that records will need. */
void tls_see_secret(const SSL *ssl, const char *line);
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
