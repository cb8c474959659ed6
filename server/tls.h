/* SPDX-License-Identifier: Apache-2.0 */
/* TLS 1.3 and 1.2, of a server and of a client of upstreams. Bytes in, bytes out: no sockets, no
 * clock. Only tls*.c know the library.
 *
 * What the peer sent goes in by tls_receive, which takes all of it and hands out plaintext. What is
 * to be sent to it (handshake, records, alerts) collects in tls_output, from which the owner takes
 * it whenever it can send. After a false result the connection is of no more use than sending that.
 */
#ifndef SERVER_TLS_H
#define SERVER_TLS_H

#include <stdint.h>

#include "server/buffer.h"

/* Keys of the session tickets, shared by all threads and by contexts that follow each other. They
 * change by themselves: each makes tickets for eight hours and is good for sixteen more. */
struct tls_tickets;

/* NULL: out of memory or random numbers. */
struct tls_tickets *tls_tickets_create(void);
/* No context that uses it may be left. NULL is fine. */
void tls_tickets_free(struct tls_tickets *tickets);

/* Certificates, keys and settings; immutable, shared by all threads. Session tickets of one
 * connection are good for every other with the same ticket keys that gets the same certificate. */
struct tls_context;

struct tls_options {
    const char *const *certs; /* PEM files: a certificate, then those that lead to its issuer */
    const char *const *keys;  /* PEM files: the key of each */
    unsigned pair_count;
    const char *cert_dir; /* a directory of PEM files, in which keys find their certificates */
    bool allow_1_2;
    bool h2;                        /* offer HTTP/2 (ALPN h2) before HTTP/1.1 */
    struct tls_tickets *tickets;    /* NULL: keys of the context's own, which do not change */
    void (*warn)(const char *line); /* of what is odd but no mistake; NULL: nobody */
};

/* A client gets the certificate that has its server name; without such a name, the first: of
 * `certs`, then of cert_dir by file name. One whose name no certificate has is refused
 * (unrecognized_name), unless a single pair is all there is: that serves every name.
 *
 * NULL: one line in `error` that names the file at fault. */
struct tls_context *tls_context_create(const struct tls_options *options, char *error,
                                       size_t error_bytes);
/* No connection may be left. NULL is fine. */
void tls_context_free(struct tls_context *context);

/* For connections to upstreams: whom to trust. NULL trusts what the system does, or the file that
 * SSL_CERT_FILE names. NULL: one line in `error`. Freed as the others. */
struct tls_context *tls_client_context_create(const char *ca_file, char *error, size_t error_bytes);

struct tls_conn;

/* NULL: out of memory. */
struct tls_conn *tls_open(struct tls_context *context);
/* With a context for clients; the first message lies in tls_output. The handshake ends well only if
 * a certificate for `host`, a name or an address without brackets, leads to one that is trusted.
 * NULL: out of memory, or the host cannot be one. */
struct tls_conn *tls_client_open(struct tls_context *context, const char *host);
/* NULL is fine. */
void tls_free(struct tls_conn *tls);

/* Says what time it is, by the owner's monotonic clock: before tls_receive and tls_send, as the
 * limits of a second, the size of records and the age of ticket keys go by it. */
void tls_at(struct tls_conn *tls, uint64_t now_ms);

/* Before the first bytes: the handshake shall rest at the ClientHello, when tls_info knows sni and
 * ja4 and nothing was answered yet, until it is judged. What comes meanwhile waits. */
void tls_rest_at_hello(struct tls_conn *tls);
/* It rests there now. */
bool tls_rests(const struct tls_conn *tls);
/* It goes on with the next tls_receive, which may bring no bytes; not admitted, that fails with the
 * alert access_denied. */
void tls_judge(struct tls_conn *tls, bool admitted);

/* Plaintext is appended to `plain`, which may grow to plain_max. False: the peer broke the protocol
 * or memory ran out. */
bool tls_receive(struct tls_conn *tls, struct span bytes, struct buffer *plain, size_t plain_max);
/* Only when established; a small span becomes one record. At the beginning and after a pause
 * records are small, so that the peer can use the first packet before the second arrives; then
 * large. False: out of memory. */
bool tls_send(struct tls_conn *tls, struct span plain);
/* The same of `first` and then `second`. */
bool tls_send_both(struct tls_conn *tls, struct span first, struct span second);
/* About so much will be sent in pieces: makes room for all of it at once. False: out of memory. */
bool tls_reserve(struct tls_conn *tls, size_t bytes);
/* Nothing is under way: gives back what memory can be done without, also that of tls_output if it
 * is empty. Any other function may follow. */
void tls_idle(struct tls_conn *tls);
/* Says that nothing follows (close_notify). Once; before the handshake ended there is nothing to
 * say. */
void tls_close(struct tls_conn *tls);

/* After a false result: why, one line, as "certificate verify failed: hostname mismatch"; else "".
 */
void tls_error(const struct tls_conn *tls, char *text, size_t bytes);
/* The handshake is complete. */
bool tls_established(const struct tls_conn *tls);
/* The protocol agreed on is h2; else it is HTTP/1.1. */
bool tls_is_h2(const struct tls_conn *tls);

/* What logs and scripts tell of a connection. What is not known is empty: after the ClientHello sni
 * and ja4 are, after the handshake the rest. Valid while the connection is. */
struct tls_info {
    struct span sni;     /* the host the client named, lower case: letters, digits, "-", "_", "." */
    struct span alpn;    /* "h2", "http/1.1"; empty when the client did not ask */
    struct span version; /* "TLSv1.3" */
    struct span cipher;  /* the IANA name */
    struct span ja4;     /* server/ja4.h */
    bool resumed;
};
struct tls_info tls_info(const struct tls_conn *tls);

/* The peer said that nothing follows. An end of the bytes without it is a connection cut off. */
bool tls_ended(const struct tls_conn *tls);
/* Bytes for the peer, in order; the owner consumes them, or swaps the buffer for an empty one. */
struct buffer *tls_output(struct tls_conn *tls);

#endif
