/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 (RFC 9113) of one connection, bytes in, bytes out: framing, streams, flow control, RFC
 * 9218 priorities, and the limits that keep a hostile peer cheap. No I/O, no clock.
 *
 * The owner (a connection) feeds what it received with h2_receive and empties h2_send into its
 * output; the handler's functions are called from within these two. Requests and their answers are
 * named by stream id. A handler may call every function below but h2_receive, h2_send and h2_free.
 *
 * Malformed messages never reach the owner: their streams are reset with PROTOCOL_ERROR. What is
 * well formed and may not be served reaches it with the status to answer (h2_head.status).
 *
 *     struct h2 *h2 = h2_open(&(struct h2_options){0}, &handler, conn);
 *     bool more = h2_receive(h2, bytes, now_ms);   -> handler.request -> h2_respond
 *     bool good = h2_send(h2, &out, 80 << 10);     -> handler.ready, take -> closed
 *     send `out`; then, if (!more || !good || h2_finished(h2)), close
 */
#ifndef SERVER_H2_H
#define SERVER_H2_H

#include <stdint.h>

#include "server/buffer.h"
#include "server/exchange.h"
#include "server/limits.h"

enum { H2_FRAME_HEAD_BYTES = 9 };

struct h2;

/* RFC 9113 7: those that are sent. */
enum h2_error {
    H2_NO_ERROR = 0x0,
    H2_PROTOCOL_ERROR = 0x1,
    H2_INTERNAL_ERROR = 0x2,
    H2_FLOW_CONTROL_ERROR = 0x3,
    H2_STREAM_CLOSED = 0x5,
    H2_FRAME_SIZE_ERROR = 0x6,
    H2_REFUSED_STREAM = 0x7,
    H2_CANCEL = 0x8,
    H2_COMPRESSION_ERROR = 0x9,
    H2_ENHANCE_YOUR_CALM = 0xb,
};

/* Zero means the default of server/limits.h. */
struct h2_options {
    uint32_t stream_window;     /* request body bytes a stream may have in hand, at first */
    uint32_t connection_window; /* the same of all streams together */
    uint32_t max_streams;       /* requests at a time */
    uint32_t total_streams;     /* requests in all; then the client is told to open no more */
    bool connect_protocol;      /* take extended CONNECT, RFC 8441 */
};

/* The head of a request. All spans live until handler.request returns. */
struct h2_head {
    unsigned status; /* 0, or the only right answer: 400, 414, 417, 431 or 501. What follows is then
                        what was understood, for the log; target or authority may be empty. */
    struct span method;
    struct span scheme;    /* "http" or "https", as the client says; empty for CONNECT */
    struct span authority; /* of :authority, else of Host; valid (h1_authority_valid) */
    struct span target;    /* :path: "/a?b", or "*" for OPTIONS; empty for CONNECT */
    struct span protocol;  /* of an extended CONNECT, else empty */
    struct field fields[LIM_FIELD_COUNT + 1]; /* in order; names in lower case; valid. Cookies are
                                                 one field. Host is there also if only :authority
                                                 came, so that all versions look the same. */
    unsigned field_count;
    bool has_body; /* handler.body_end will be called, unless the stream ends early */
    bool has_length;
    uint64_t content_length; /* the body has that length, or the stream is reset */
    bool expect_continue;    /* the client may wait for h2_inform 100 */
};

/* All called from within h2_receive or h2_send. `stream` is what `request` returned. */
struct h2_handler {
    /* A new request. It may be answered at once or later. NULL: no room, the stream is reset with
     * REFUSED_STREAM, so the client may try again; nothing more is called about it. */
    void *(*request)(void *owner, int32_t id, const struct h2_head *head);
    /* Bytes of the request's body, valid during the call. The client's window shrinks until
     * h2_consumed gives the bytes back. */
    void (*body)(void *stream, struct span bytes);
    /* It is complete. The trailers (names in lower case, valid) live during the call. */
    void (*body_end)(void *stream, const struct field *trailers, unsigned count);
    /* How many bytes of the answer's body are at hand, `max` (> 0) at most; *end when they are the
     * last. With 0 and no end the stream rests until h2_resume. */
    size_t (*ready)(void *stream, size_t max, bool *end);
    /* Appends `head`, which is a frame's, and then exactly the bytes that `ready` has just promised
     * to `out`. May take out what is in there, if it goes to the client all the same. False: out of
     * memory. */
    bool (*take)(void *stream, struct span head, struct buffer *out, size_t bytes);
    /* The stream is over: answered (H2_NO_ERROR), reset by either side, or h2_free. The last call
     * about it; its id means nothing any more. What is still coming of its body is dropped. */
    void (*closed)(void *stream, uint32_t error);
};

/* NULL: out of memory. `handler` and `owner` are borrowed. Free with h2_free, which calls `closed`
 * for every stream that is left. */
struct h2 *h2_open(const struct h2_options *options, const struct h2_handler *handler, void *owner);
void h2_free(struct h2 *h2);

/* Whether `bytes` start with the connection preface of a client with prior knowledge; *more: they
 * may, once there are more of them. The preface is for h2_receive, too. */
bool h2_is_preface(struct span bytes, bool *more);

/* Takes all of `bytes`. now_ms never goes back. False: the peer broke a rule; send what h2_send has
 * (a GOAWAY), then close. */
bool h2_receive(struct h2 *h2, struct span bytes, uint64_t now_ms);
/* Appends frames to `out` until nothing is left to send or it got so many bytes that it would hold
 * out_max, and one frame more at most. Never leaves part of a frame. False: send what `out` has,
 * then close. */
bool h2_send(struct h2 *h2, struct buffer *out, size_t out_max);
/* One of these two is at work: it may not be called again. */
bool h2_is_busy(const struct h2 *h2);

/* ---- answers: false when the stream is gone, or out of memory */

/* An interim response (100, 103); `fields` may be NULL. */
bool h2_inform(struct h2 *h2, int32_t id, unsigned status, const struct field_list *fields);
/* The head of the answer: status and response_fields of `ex`, date unless it has one, and
 * content-length as h1_append_head tells it. `date` is an IMF-fixdate. All is copied; a head that is
 * too long resets the stream. With with_body the handler is asked for the body, else the answer
 * ends here. Once a stream. */
bool h2_respond(struct h2 *h2, int32_t id, const struct exchange *ex, struct span date,
                bool with_body);
/* Trailers, copied; to be called from within handler.ready, by the call that sets *end. */
bool h2_trailers(struct h2 *h2, int32_t id, const struct field_list *fields);

/* ---- streams; calls about streams that are gone do nothing */

void h2_resume(struct h2 *h2, int32_t id); /* `ready` may have bytes now */
/* Ends a stream: `closed` is the next and last call about it. */
void h2_reset(struct h2 *h2, int32_t id, uint32_t error);
void h2_consumed(struct h2 *h2, int32_t id, size_t bytes); /* of `body`; opens the windows */
/* Bytes of the answer's body that the client's windows admit now. */
size_t h2_window(const struct h2 *h2, int32_t id);
/* The same of the stream's own window alone. */
size_t h2_stream_window(const struct h2 *h2, int32_t id);
/* Lets the client send that much ahead on this stream, for a body that somebody reads. */
void h2_widen(struct h2 *h2, int32_t id, uint32_t window);

/* ---- the connection */

/* Not final: tells the client to open no more streams (GOAWAY 2^31-1); those under way to us are
 * still served. Final, a round trip later: later streams are not served. Both may be repeated. */
void h2_drain(struct h2 *h2, bool final);
/* The client was told to open no more streams, by h2_drain or for a limit. */
bool h2_is_ending(const struct h2 *h2);
/* A header block has begun and is not complete. */
bool h2_in_head(const struct h2 *h2);
/* Calls `visit` with each stream that the owner holds. It may end that stream. */
void h2_each(struct h2 *h2, void (*visit)(void *stream));
unsigned h2_streams(const struct h2 *h2); /* requests whose `closed` is still to come */
/* No request is in hand and nothing on its way: gives back the memory that is empty meanwhile. */
void h2_rest(struct h2 *h2);
/* Nothing more to send and nothing to wait for: close. */
bool h2_finished(const struct h2 *h2);

#endif
