/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by h2.c (session and streams), h2_head.c (request heads), h2_write.c (answers) and
 * h2_guard.c (limits over time). */
#ifndef SERVER_H2_INT_H
#define SERVER_H2_INT_H

#include <nghttp2/nghttp2.h>

#include "server/h2.h"
#include "server/h2_memory.h"

/* ---- h2_guard.c: what a connection did so far, and whether that is too much */

/* Tokens, in thousandths: full at first, refilled by time. */
struct h2_bucket {
    uint64_t filled_ms;
    uint64_t thousandths;
};

struct h2_guard {
    uint64_t now_ms;
    uint64_t bytes;         /* received */
    uint64_t payload;       /* bytes that were worth it: header lists, bodies of both directions */
    uint32_t streams;       /* opened by the peer */
    uint32_t streams_total; /* that it may open */
    uint32_t streams_of_read; /* of these, by the bytes of this h2_receive */
    uint32_t glitches;        /* oddities that were survived */
    struct h2_bucket resets_received;
    struct h2_bucket resets_caused;
};

void h2_guard_init(struct h2_guard *guard, uint32_t streams_total);
/* New bytes. Each function returns false when the connection has to end for it. */
bool h2_guard_read(struct h2_guard *guard, size_t bytes, uint64_t now_ms);
bool h2_guard_stream(struct h2_guard *guard, uint32_t streams_max);
bool h2_guard_reset(struct h2_guard *guard, struct h2_bucket *bucket);
bool h2_guard_glitch(struct h2_guard *guard);
/* The peer has had its share: no new streams, please. */
bool h2_guard_wants_drain(const struct h2_guard *guard);

/* ---- h2_head.c: one header block on its way in; they never interleave */

struct h2_block {
    int32_t stream_id;
    bool is_trailer;
    unsigned cookie; /* index of the cookie field + 1, or 0 */
    unsigned expects;
    unsigned held_count;
    size_t list_bytes; /* as RFC 9113 6.5.2 counts */
    struct span host;
    struct span expect;
    struct buffer cookies; /* joined */
    struct h2_head head;
    nghttp2_rcbuf *held[2 * (LIM_FIELD_COUNT + 6)]; /* keeps what `head` points to */
};

struct h2_block *h2_block_new(struct h2_memory *memory, int32_t stream_id, bool is_trailer);
void h2_block_free(struct h2_memory *memory, struct h2_block *block);
/* False: the block is so far beyond the limit that the connection has to end. */
bool h2_block_add(struct h2_block *block, nghttp2_rcbuf *name, nghttp2_rcbuf *value);
/* After the last field of a request: fills what head says about all of them together. */
void h2_block_finish(struct h2_block *block);

/* ---- h2.c */

struct h2_stream {
    struct h2 *h2;
    struct h2_stream *previous;
    struct h2_stream *next;
    void *owner; /* what handler.request returned */
    int32_t id;
    uint32_t unconsumed; /* body bytes given to the owner and not given back */
    bool has_ended; /* the request, trailers and all */
    bool responded;
    bool has_trailers;
    uint32_t dropped; /* body bytes that came for nobody */
    bool muted;   /* reset by us; of its owner's functions only `closed` is still to be called */
    bool is_over; /* `closed` was called */
};

struct h2 {
    nghttp2_session *session;
    struct h2_memory *memory; /* or NULL */
    struct h2_room room;      /* the session's */
    const struct h2_handler *handler;
    void *owner;
    struct h2_stream *streams;
    unsigned stream_count;
    uint32_t streams_max;
    struct h2_block *block; /* or NULL */
    struct h2_guard guard;
    uint32_t error; /* what a callback wants the connection to end with, or 0 */
    bool broken;    /* the session is not to be used any more */
    bool has_sent;  /* anything, so SETTINGS */
    bool said_goodbye;
    bool notified;             /* GOAWAY 2^31-1 is on its way */
    bool draining;             /* GOAWAY with the last stream is on its way */
    uint32_t streams_notified; /* guard.streams when `notified` was set */
    bool receiving;            /* within h2_receive */
    struct h2_stream *framed; /* of the frame of DATA that was made last */
    /* during h2_send */
    struct buffer *out;
    size_t out_bytes; /* that it would hold if `take` took out none */
    size_t out_max;
};

/* What the output may hold: frames begin below out_max only. */
static inline size_t h2_out_limit(const struct h2 *h2)
{
    return h2->out_max + H2_FRAME_HEAD_BYTES + LIM_H2_FRAME_BYTES;
}

/* The stream, when it is open and its owner may still act on it. */
struct h2_stream *h2_stream_find(const struct h2 *h2, int32_t id);
/* For callbacks: ends the connection with this error. */
int h2_fail(struct h2 *h2, uint32_t error);

/* ---- h2_write.c: callbacks of nghttp2 */

ssize_t h2_data_length(nghttp2_session *session, uint8_t frame_type, int32_t stream_id,
                       int32_t session_window, int32_t stream_window, uint32_t frame_max,
                       void *user);
int h2_data_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_head,
                 size_t bytes, nghttp2_data_source *source, void *user);

#endif
