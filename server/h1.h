/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 (RFC 9112), bytes in, bytes out: a strict request parser, the framing of request bodies,
 * the head of a response. No I/O; nothing is allocated but room for that head.
 *
 * The parser never guesses: what two parsers could read differently is refused with a status and
 * the connection is closed after the answer.
 */
#ifndef SERVER_H1_H
#define SERVER_H1_H

#include <stdint.h>

#include "server/exchange.h"
#include "server/limits.h"

enum h1_result { H1_MORE, H1_DONE, H1_BAD };

enum h1_framing { H1_BODY_NONE, H1_BODY_LENGTH, H1_BODY_CHUNKED };

/* A parsed head. Spans point into the buffer given to h1_parse_head. */
struct h1_head {
    struct span method;
    struct span target; /* origin-form ("/a?b") or "*"; of an absolute-form target, its path and
                           query ("/" when empty, "?b" when it has a query but no path) */
    struct span
        authority;   /* of the absolute-form target, else of Host; empty in HTTP/1.0 without Host */
    uint8_t minor;   /* HTTP/1.<minor> */
    bool keep_alive; /* may another request follow on this connection */
    bool expect_continue;
    enum h1_framing framing;
    uint64_t content_length;
    struct field fields[LIM_FIELD_COUNT];
    unsigned field_count;
};

/* Where the scan stopped, so that each byte is looked at once however the head is split. */
struct h1_parser {
    size_t scanned;     /* bytes of the buffer known not to end the head */
    size_t line;        /* start of the line that `scanned` is in */
    size_t fields;      /* start of the first field line, once there is a request line */
    unsigned lines;     /* complete lines so far, empty ones before the request line not counted */
    unsigned status;    /* after H1_BAD: 400, 414, 417, 431, 501 or 505 */
    const char *reason; /* after H1_BAD: for the log, static */
};

void h1_parser_init(struct h1_parser *parser);
/* Looks for a complete head at the start of buf[0..len). H1_DONE: *head is filled and *consumed is
 * its size with the final empty line. H1_MORE: call again with the same bytes and more behind them
 * (the buffer may have moved). H1_BAD: parser->status; nothing of the connection may be read any
 * more. Limits apply to incomplete heads too. */
enum h1_result h1_parse_head(struct h1_parser *parser, const char *buf, size_t len,
                             struct h1_head *head, size_t *consumed);

/* Decodes a body. */
struct h1_body {
    enum h1_framing framing;
    uint64_t left;        /* bytes of the body or of the chunk still to come */
    uint8_t state;        /* private */
    uint32_t line_bytes;  /* private: of the current chunk line, or of all trailers */
    uint32_t extra_bytes; /* private: of all extensions so far */
    unsigned status;      /* after H1_BAD: 400 or 413 */
    struct span trailers; /* the octets of the trailer section, to its empty line, among those that
                             h1_body_next has just consumed: LIM_TRAILER_BYTES in all, or a few more
                             for line ends */
};

void h1_body_init(struct h1_body *body, const struct h1_head *head);
/* The same without a request's head; `length` counts for H1_BODY_LENGTH. */
void h1_body_start(struct h1_body *body, enum h1_framing framing, uint64_t length);
/* Consumes framing at the start of buf[0..len) and finds the next run of content: sets *consumed to
 * the bytes taken (framing and content together) and *content to the piece of content among them
 * (maybe empty). H1_MORE: call again for what follows. H1_DONE: the body ends after *consumed
 * bytes. H1_BAD: close. */
enum h1_result h1_body_next(struct h1_body *body, const char *buf, size_t len, size_t *consumed,
                            struct span *content);

/* Takes the next field off a complete trailer section. False: that was all. */
bool h1_trailer_next(struct span *section, struct field *field);

/* Appends status line, fields of ex->response_fields, Date, Content-Length (unless the status
 * forbids it) and `Connection: close` unless keep_alive (for a 1.0 client that keeps alive:
 * `Connection: keep-alive`). `date` is an IMF-fixdate. ex->body gives the length; for HEAD the caller
 * sends no body after it. False: `out` cannot hold it, and is as it was. */
bool h1_append_head(const struct exchange *ex, bool keep_alive, struct span date,
                    struct buffer *out, size_t bytes_max);

#endif
