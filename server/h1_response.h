/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 answers of upstreams (RFC 9112), bytes in: a strict parser of the head, the framing of
 * the body. No I/O, no allocation.
 *
 * An upstream is trusted no more than a client: what two parsers could read differently would let
 * one answer pass for two. It is refused, the client gets a 502 and the connection is closed.
 */
#ifndef SERVER_H1_RESPONSE_H
#define SERVER_H1_RESPONSE_H

#include "server/h1.h"

/* A parsed head. Spans point into the buffer given to h1_parse_response. */
struct h1_response {
    uint8_t minor;      /* HTTP/1.<minor> */
    unsigned status;    /* 100 to 999 */
    struct span reason; /* maybe empty */
    bool keep_alive;    /* the connection may serve another request once the body is complete; if
                           bytes follow that nobody asked for, it may not, and that is the caller's to
                           see */
    bool until_close;   /* the body ends where the connection does; framing is then H1_BODY_NONE */
    enum h1_framing framing;
    bool has_length; /* there is a Content-Length, maybe of a body that is not sent (HEAD, 304) */
    uint64_t content_length; /* it, or 0 */
    struct field fields[LIM_UPSTREAM_FIELDS];
    unsigned field_count;
};

/* As h1_parse_head, for the answer to a request with this method; after H1_BAD parser->status is
 * 502. A 1xx status other than 101 is an interim answer: parse the next one from a fresh parser,
 * at most LIM_UPSTREAM_INTERIM times. */
enum h1_result h1_parse_response(struct h1_parser *parser, const char *buf, size_t len,
                                 struct span method, struct h1_response *head, size_t *consumed);

/* Whether 1xx: another head follows. */
static inline bool h1_response_interim(const struct h1_response *head)
{
    return head->status < 200 && head->status != 101;
}

/* Decodes the body. */
struct h1_response_body {
    struct h1_body framed;
    bool until_close;
};

void h1_response_body_init(struct h1_response_body *body, const struct h1_response *head);
/* As h1_body_next. Never H1_DONE for a body that ends with the connection. */
enum h1_result h1_response_body_next(struct h1_response_body *body, const char *buf, size_t len,
                                     size_t *consumed, struct span *content);
/* Whether the body is complete if the upstream has closed the connection and h1_response_body_next
 * has said H1_MORE about all that came. False: it was cut off. */
bool h1_response_body_complete_at_eof(const struct h1_response_body *body);

#endif
