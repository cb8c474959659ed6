/* SPDX-License-Identifier: Apache-2.0 */
/* What goes between a client and an upstream: the request's head as the upstream gets it, the
 * upstream's head as the client gets it, framing of bodies, changes of protocol. No I/O.
 *
 * Nothing is copied as it came: heads are written anew from their parsed parts, framing is our own,
 * and fields that are about one connection end there (RFC 9110 7.6.1): those of a fixed list and
 * those that Connection names.
 *
 * Who the client is, the upstream learns from X-Forwarded-For, -Proto and -Host. They are written
 * by us; what the client sent of them, and Forwarded, is kept only when the client is a proxy that
 * the operator trusts. Host is the client's, or what a script made of it.
 */
#ifndef SERVER_FORWARD_H
#define SERVER_FORWARD_H

#include "server/buffer.h"
#include "server/exchange.h"
#include "server/h1_response.h"
#include "server/upstream_url.h"

/* Once for each request, before scripts see it: makes Host the authority, and removes what
 * Connection names, so that a client cannot have fields dropped that scripts set later. False: out
 * of memory, or Connection names more than LIM_CONNECTION_OPTIONS. */
bool forward_receive(struct exchange *ex);

struct forward_options {
    const struct upstream_url *target;
    bool peer_trusted;    /* the peer is a --trusted-proxy */
    bool underscores;     /* names with '_' pass; upstreams that put fields into an environment
                             cannot tell them from names with '-' */
    bool upgrade;         /* forward_upgrade_wanted, and the upstream shall be asked */
    struct span websocket_key; /* with by_connect: the client has none */
    bool expect_continue; /* the client waits for a 100, which the upstream shall send */
    bool close;           /* the connection is not for another request */
};

/* Whether fields of this name are about one connection, whatever Connection names. */
bool forward_is_hop_by_hop(struct span name);

/* How the body goes to an upstream: with its length when that is known, else in chunks, and so
 * when trailers are there, or announced in HTTP/2, where they may follow a length. */
enum h1_framing forward_request_framing(const struct exchange *ex, uint64_t *length);
/* Appends the head of an HTTP/1.1 request. False: too long, out of memory, or the method is
 * CONNECT; `out` may then hold a part of it. */
bool forward_request_head(const struct exchange *ex, const struct forward_options *options,
                          struct buffer *out);

/* Append a chunk (none for no bytes: that would be the end), only what is before its so many bytes,
 * and the end of a chunked body with these trailers (may be NULL). False as buffer_append. */
#define FORWARD_CHUNK_TAIL SPAN("\r\n") /* behind those bytes */
bool forward_chunk(struct buffer *out, struct span data, size_t bytes_max);
bool forward_chunk_begin(struct buffer *out, size_t bytes, size_t bytes_max);
bool forward_chunk_end(struct buffer *out, const struct field_list *trailers, size_t bytes_max);

/* Whether field `index` of an upstream's head is for the client. Not for Content-Length: who frames
 * the body writes it. */
bool forward_field_passes(const struct h1_response *head, unsigned index);
/* Starts the exchange's response with status and fields of a final head (200 and up). The body is
 * the caller's. False: out of memory; answer 502. */
bool forward_response(struct exchange *ex, const struct h1_response *head);
/* Append a 1xx head, 101 among them, as an HTTP/1.1 client gets it; 1.0 clients get none. */
bool forward_interim(const struct h1_response *head, struct buffer *out, size_t bytes_max);

/* Whether the request asks for another protocol (RFC 9110 7.8) in a way that may pass: GET in
 * HTTP/1.1 without a body, or an extended CONNECT, one Upgrade that Connection names, and in it
 * neither HTTP nor TLS, which would let requests by unseen. */
bool forward_upgrade_wanted(const struct exchange *ex);
/* Whether a 101 switches to a protocol that the request asked for. If not: 502. */
bool forward_upgrade_matches(const struct exchange *ex, const struct h1_response *head);
/* Makes of such a 101 the 200 that answers an extended CONNECT, without its body. False: the
 * upstream has not understood the key, or out of memory. */
bool forward_connect(struct exchange *ex, const struct h1_response *head, const char *key);

#endif
