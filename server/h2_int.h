/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of HTTP/2: h2.c (the connection), h2_receive.c (frames that come),
 * h2_control.c (what they do to connection and streams), h2_head.c and h2_field.c (header blocks),
 * h2_streams.c and h2_past.c (streams, and those that are closed), h2_write.c (answers), h2_queue.c
 * (frames that wait to be sent) and h2_guard.c (limits over time).
 */
#ifndef SERVER_H2_INT_H
#define SERVER_H2_INT_H

#include "server/h2.h"
#include "server/h2_frame.h"
#include "server/h2_past.h"
#include "server/h2_schedule.h"
#include "server/hpack.h"

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

/* ---- h2_head.c, h2_field.c: one header block on its way in; they never interleave */

enum h2_block_kind {
    H2_REQUEST,
    H2_TRAILERS,
    H2_IGNORED, /* of a stream that is no more, or is refused: read for the sake of HPACK */
};

/* What fields came, and what they said. */
enum h2_seen {
    H2_SEEN_METHOD = 1 << 0,
    H2_SEEN_SCHEME = 1 << 1,
    H2_SEEN_AUTHORITY = 1 << 2,
    H2_SEEN_PATH = 1 << 3,
    H2_SEEN_PROTOCOL = 1 << 4,
    H2_SEEN_HOST = 1 << 5,
    H2_SEEN_LENGTH = 1 << 6,
    H2_SEEN_FIELD = 1 << 7, /* any that is no pseudo field */
    H2_SEEN_CONNECT = 1 << 8,
    H2_SEEN_OPTIONS = 1 << 9,
    H2_SEEN_HTTP = 1 << 10,     /* a scheme whose paths begin with a slash */
    H2_SEEN_ASTERISK = 1 << 11, /* a path that is "*" */
    H2_SEEN_SLASH = 1 << 12,    /* a path that begins with a slash */
    H2_SEEN_BAD_PATH = 1 << 13, /* well formed for HTTP/2, but no path of a URI */
    H2_SEEN_BAD_HOST = 1 << 14, /* the same of Host or :authority */
};

/* What is known of a block before its first field. */
struct h2_block_start {
    uint32_t stream;
    enum h2_block_kind kind;
    bool ends_stream;
    bool takes_protocol; /* RFC 8441 */
};

/* 48 KiB, of which a small head touches little: fields first, then the texts as far as they go. */
struct h2_block {
    struct h2_block_start start;
    bool malformed; /* RFC 9113 8.1.1; what follows of it is not looked at */
    bool has_gap;   /* a field was too long to be looked at */
    uint8_t priority;
    unsigned seen;   /* bits of h2_seen */
    unsigned cookie; /* index of the cookie field + 1, or 0 */
    unsigned expects;
    size_t list_bytes; /* as RFC 9113 6.5.2 counts */
    struct span host;
    struct span expect;
    struct h2_head head;
    size_t cookie_bytes;
    size_t text_bytes;             /* kept; behind them is room for HPACK */
    char cookies[LIM_FIELD_BYTES]; /* joined */
    char text[LIM_HEAD_FIELDS_BYTES + HPACK_ROOM_BYTES];
};

void h2_block_begin(struct h2_block *block, const struct h2_block_start *start);
/* The next octets of it; `is_last`: there will be none. Returns the error that the connection has
 * to end with, or 0. */
uint32_t h2_block_read(struct h2_block *block, struct hpack_decoder *decoder, struct span bytes,
                       bool is_last);
/* After the last field: fills what head says about all of them together. */
void h2_block_finish(struct h2_block *block);
/* Notes the next field. False: it makes the message malformed. */
bool h2_field_check(struct h2_block *block, const struct hpack_field *field);
/* RFC 9113 8.2.2: what HTTP/1 says about its connection has no place here. In any case of letters. */
bool h2_connection_specific(struct span name);
/* Whether a request has all the fields it needs, and they go together. */
bool h2_fields_complete(const struct h2_block *block);

/* ---- windows for what comes */

struct h2_flow {
    int32_t window; /* bytes that may still come; below 0 after SETTINGS made it smaller */
    uint32_t held;  /* that came and were not given back */
    uint32_t max;   /* how far ahead the peer may be; all three below 2^31 */
};

/* How far the window may be opened, when it is worth a frame; else 0. */
static inline uint32_t h2_flow_grant(const struct h2_flow *flow, bool at_once)
{
    int64_t grant = (int64_t)flow->max - flow->window - flow->held;
    return grant > 0 && (at_once || grant >= flow->max / 2) ? (uint32_t)grant : 0;
}

/* ---- h2_streams.c */

enum h2_place { H2_NOWHERE, H2_SCHEDULED, H2_CLOSING };

#define H2_LENGTH_UNKNOWN UINT64_MAX

struct h2_stream {
    struct h2_turn turn;     /* first, with id and priority; in the ring that `place` tells */
    struct h2_stream *chain; /* in its bucket */
    void *owner;             /* what handler.request returned; NULL: nothing is to be called */
    struct h2_flow flow;
    uint64_t length_left; /* of the request's body, as it claims; or H2_LENGTH_UNKNOWN */
    int32_t window;       /* for the answer's body; below 0 after SETTINGS made it smaller */
    uint32_t error;       /* that it was reset with by us */
    uint32_t dropped;     /* body bytes that came for nobody */
    enum h2_place place : 8;
    bool has_ended : 1; /* the request, trailers and all */
    bool is_tunnel : 1; /* an extended CONNECT */
    bool responded : 1;
    bool sends : 1; /* its answer has a body, which is not complete */
    bool rests : 1; /* until h2_resume */
    bool has_trailers : 1;
    bool muted : 1; /* reset by us; of its owner's functions only `closed` is still to be called */
    bool is_over : 1; /* `closed` was called, but the request goes on */
};

enum { H2_BUCKETS = 32 };

#ifdef __SANITIZE_ADDRESS__ /* it is to see whatever is used after its end */
enum { H2_SPARES = 0 };
#else
enum { H2_SPARES = 16 };
#endif

/* Any stream that is not closed; and the same if its owner may still act on it. */
struct h2_stream *h2_stream_any(const struct h2 *h2, uint32_t id);
struct h2_stream *h2_stream_find(const struct h2 *h2, int32_t id);
/* NULL: out of memory. */
struct h2_stream *h2_stream_new(struct h2 *h2, uint32_t id);
/* Gives back the memory of those that are closed. */
void h2_streams_trim(struct h2 *h2);
/* Tells the owner, and forgets the stream. */
void h2_stream_close(struct h2 *h2, struct h2_stream *stream, uint32_t error);
/* Resets it; `closed` follows by h2_streams_close. */
void h2_stream_mute(struct h2 *h2, struct h2_stream *stream, uint32_t error);
/* The same because of what the peer did, which is counted. */
void h2_stream_blame(struct h2 *h2, struct h2_stream *stream, uint32_t error);
/* Of a stream that is not there. */
void h2_stream_refuse(struct h2 *h2, uint32_t id, uint32_t error);
/* Its answer is complete. */
void h2_stream_answered(struct h2 *h2, struct h2_stream *stream);
/* The same, but for its owner not to know before h2_streams_close. */
void h2_stream_answered_soon(struct h2 *h2, struct h2_stream *stream);
/* Closes those that were reset or answered. */
void h2_streams_close(struct h2 *h2);
/* Schedules it, if it has something to send and a window for it; or takes it out. */
void h2_stream_schedule(struct h2 *h2, struct h2_stream *stream);
void h2_stream_prioritise(struct h2 *h2, struct h2_stream *stream, uint8_t priority);
/* Bytes of a body, or padding, that nobody holds (any more): opens the windows. `stream` may be
 * NULL. */
void h2_window_open(struct h2 *h2, struct h2_stream *stream);
/* Body bytes came for nobody. */
void h2_stream_drop(struct h2 *h2, struct h2_stream *stream, uint32_t bytes);

/* ---- h2_queue.c: frames but DATA, sent before all DATA in the order they are put in */

struct h2_queue {
    struct buffer bytes; /* whole frames */
    unsigned frames;
    unsigned acks; /* of these */
};

/* Room for a frame of that payload and its head, NULL: out of memory, the connection is broken. */
uint8_t *h2_queue_reserve(struct h2 *h2, size_t bytes);
/* What was written there are frames. */
void h2_queue_put(struct h2 *h2, size_t bytes, unsigned frames);
void h2_queue_reset(struct h2 *h2, uint32_t id, uint32_t error);
void h2_queue_window(struct h2 *h2, uint32_t id, uint32_t increment);
void h2_queue_goaway(struct h2 *h2, uint32_t last, uint32_t error);
void h2_queue_settings(struct h2 *h2, const struct h2_setting *settings, unsigned count);
/* Of SETTINGS (no payload) and PING. */
void h2_queue_ack(struct h2 *h2, enum h2_frame_type type, struct span payload);
/* Moves frames to `out`. False: it is full. */
bool h2_queue_flush(struct h2 *h2);
/* All of it is too much. */
bool h2_queue_is_long(const struct h2_queue *queue);

/* ---- h2.c */

/* What comes; of a frame in pieces. */
struct h2_input {
    uint8_t preface;       /* octets of it that came */
    bool has_settings;     /* the first frame came */
    bool in_head;          /* a header block has begun and is not complete */
    uint8_t pad;           /* octets at the end of `frame` */
    uint8_t continuations; /* of the block so far */
    uint32_t left;         /* octets of `frame` to come */
    struct h2_frame frame;
    struct buffer part;          /* of the head of a frame and what must be in one piece with it */
    struct h2_block_start start; /* of the block */
    struct h2_block *block;      /* that came in part; or NULL */
};

/* A priority that came before its stream. */
struct h2_hint {
    uint32_t id;
    uint8_t priority;
};

/* All of them; no memory while there are none. */
struct h2_early {
    struct h2_hint *hints;
    unsigned count;
    unsigned capacity;
};

struct h2 {
    const struct h2_handler *handler;
    void *owner;
    struct hpack_decoder decoder;
    struct hpack_encoder encoder;
    struct h2_input input;
    struct h2_queue queue;
    struct h2_stream *buckets[H2_BUCKETS];
    struct h2_schedule schedule;
    struct h2_turn *closing;
    struct h2_stream *spares; /* closed, by their `chain`: for the next ones */
    unsigned spare_count;
    unsigned count; /* of streams */
    unsigned owned; /* of these, with an owner */
    uint32_t streams_max;
    struct h2_past past;   /* streams that are closed */
    uint32_t id_processed; /* the highest id that was not refused */
    struct h2_flow flow;
    uint32_t stream_max;    /* flow.max of a new stream */
    int32_t stream_flow;    /* flow.window of a new one: SETTINGS are in force once acknowledged */
    int32_t window;         /* for all bodies of answers */
    int32_t window_initial; /* for one */
    struct h2_early early;
    struct h2_guard guard;
    uint32_t error;            /* what the connection ends with, or 0 */
    uint32_t streams_notified; /* guard.streams when `notified` was set */
    int8_t old_priorities;     /* what the peer's first SETTINGS say: 0 or 1; before: -1 */
    bool connect_protocol;
    bool acknowledged; /* our SETTINGS */
    bool broken;       /* by an error; nothing happens any more but a GOAWAY */
    bool has_sent;     /* anything, so SETTINGS */
    bool said_goodbye;
    bool notified;  /* GOAWAY 2^31-1 is on its way */
    bool draining;  /* GOAWAY with the last stream is on its way */
    bool peer_goes; /* it sent GOAWAY */
    bool receiving; /* within h2_receive */
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

/* RFC 9113 5.1: a stream of that id was never opened, and we open none. */
static inline bool h2_is_idle(const struct h2 *h2, uint32_t id)
{
    return id > h2->past.id_last || id % 2 == 0;
}

/* Ends the connection with this error; the first one counts. */
void h2_fail(struct h2 *h2, uint32_t error);
/* An oddity that is survived, mostly. */
void h2_glitch(struct h2 *h2);

/* ---- h2_receive.c, h2_control.c */

void h2_read(struct h2 *h2, struct span bytes);
/* A control frame whose head is fine. */
void h2_control(struct h2 *h2, const struct h2_frame *frame, const uint8_t *payload);
/* The priority that came ahead of the stream with the highest id so far, else `priority`. */
uint8_t h2_early_take(struct h2 *h2, uint8_t priority);

/* ---- h2_write.c */

/* A frame of DATA of the stream whose turn it is. False: out of memory. */
bool h2_write_data(struct h2 *h2, struct h2_stream *stream);

#endif
