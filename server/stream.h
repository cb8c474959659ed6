/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of one worker. A stream is one request and its answer on a connection, from the complete
 * head to the last byte: RFC 9113's word, used for HTTP/1.1 too, whose connections have one at a
 * time. No I/O here.
 *
 * Streams live in slots of blocks that never move; a slot that was used keeps a little memory for
 * its next request. Closed streams are free, all others belong to a connection.
 */
#ifndef SERVER_STREAM_H
#define SERVER_STREAM_H

#include "server/access.h"
#include "server/exchange.h"
#include "server/limits.h"

struct conn;  /* server/conn.h */
struct page;  /* server/page.h */
struct relay; /* server/proxy.h */
struct epoch; /* server/epoch.h */

/* What is left of an answer's body. First `bytes`; when there are none, a range of the tar; when
 * that is empty too, nothing. Segments behind move up by themselves. Or octets come from elsewhere
 * into the stream's chunk. */
struct source {
    struct span bytes;
    uint64_t file_offset;
    uint64_t file_left;
    const struct body_segment *segments;
    unsigned segments_left;
    bool streamed; /* by way of the chunk */
    bool live;     /* and more of them will come */
};

static inline bool source_ended(const struct source *source)
{
    return source->bytes.len == 0 && source->file_left == 0 && !source->live;
}
void source_start(struct source *source, const struct body *body);
/* `count` of the bytes, or of the range, are done. */
void source_advance(struct source *source, uint64_t count);

enum stream_wait {
    STREAM_ACTIVE,   /* waits for nothing that the table would know of */
    STREAM_NEW,      /* for its scripts to start */
    STREAM_PENDING,  /* its scripts want to go on */
    STREAM_STARVED,  /* its scripts want an arena */
    STREAM_AWAITING, /* octets of the request's body, until the deadline */
    STREAM_WAITS,
};

struct stream {
    struct conn *conn;
    uint32_t slot;
    enum stream_wait wait;
    uint64_t deadline_ms; /* when awaiting octets */
    struct stream *next;  /* in the list of those that wait for the same, or of free ones */
    struct stream *previous;
    struct stream *sibling; /* HTTP/2: in a list of the connection */

    struct epoch *epoch; /* what it is served from, whatever is loaded meanwhile */
    bool is_handshake;   /* no request: scripts look at a TLS handshake (server/handshake.h) */
    bool head_only;      /* HEAD as the client sent it, whatever scripts made of it */
    struct span method;  /* as the client sent them, in the exchange's pool; for the log */
    struct span target;
    uint64_t started_us;
    enum access_decision decision;
    struct source source;
    struct hot_piece *hot; /* held: what the body is taken from; or NULL */
    bool hot_due;          /* the body is a file that is to be remembered once read */
    struct buffer chunk;   /* of the answer's body: what an upstream sent; HTTP/2: of the file */
    struct buffer kept; /* of the request's body: went by a connection that may turn out closed */
    struct buffer trailer_section; /* an upstream's, as it came so far */
    struct relay *relay;   /* an upstream is answering; or NULL */
    struct page *page;     /* the body is made of a page; or NULL */
    struct buffer raw;     /* of that page, as read */
    struct span upstream_name; /* the last one that was asked; for the log */
    bool delivering;           /* the response is made; scripts may still look at it */
    bool answered;             /* the answer is made */
    bool reading;              /* the chunk, or `raw`, belongs to the kernel */
    bool closed;               /* all is over but the read */
    /* HTTP/2 */
    int32_t id;
    struct span passing; /* of the answer's body: is being framed from where it was received */
    struct buffer up;   /* by_connect: what came from the client, for the upstream */
    bool up_ended;      /* and nothing will follow */
    unsigned refusal;   /* the status to answer without further ado; 0: none */
    size_t unconsumed;  /* octets of the request's body that the client's window still lacks */
    size_t dropped;     /* octets of it that came after the answer and were not kept */
    bool unread;        /* answered before the request was complete: is in the connection's list */
    bool wanted;        /* somebody reads the body, so that its window was widened */
    bool expecting;     /* the client waits for a 100 before it sends the body */
    bool held;          /* the answer is not sent before the rest of the request came */
    size_t held_bytes;  /* of the connection's: asked of the file for the chunk */
    bool parked;        /* they were too many to read more */
    uint32_t awaited_bytes; /* of the connection's: that the relay receives */
    bool roomless;      /* the relay receives no more until output was sent */
    uint64_t moved_ms;  /* when bytes of the body were last handed on, at first its answer */
    uint64_t body_sent; /* bytes of the answer's body handed to the connection */

    struct exchange exchange; /* last: the rest is cleared by itself */
};

/* Takes the body from memory if it is there, or has it remembered when it is read. */
void stream_warm(struct stream *stream);
/* How much of the file to read now: at most `most`, but all of one that is to be remembered. */
size_t stream_read_bytes(const struct stream *stream, size_t most);
/* `data` was read: the first of the file, and all of it if it is to be remembered. */
void stream_was_read(struct stream *stream, struct span data);
/* From now on the body of the response is taken from the source. */
void stream_start_body(struct stream *stream);
/* Of the answer's body nothing is left to be handed to the connection. */
static inline bool stream_answer_ended(const struct stream *stream)
{
    const struct source *source = &stream->source;
    return source_ended(source) && !(source->streamed && buffer_bytes(&stream->chunk) > 0);
}

/* Lists linked by `sibling`: at the end of one, or out of it if it is there. */
void stream_chain(struct stream **list, struct stream *stream);
void stream_unchain(struct stream **list, struct stream *stream);

struct stream_list {
    struct stream *first;
    struct stream *last;
    unsigned count;
};

#define STREAM_BLOCK_SLOTS 32u
#define STREAM_BLOCKS      (LIM_STREAMS / STREAM_BLOCK_SLOTS)

struct stream_table {
    struct stream *blocks[STREAM_BLOCKS];
    unsigned block_count;
    unsigned live;
    struct stream *free;
    struct stream_list waiting[STREAM_WAITS]; /* oldest wait first; of ACTIVE none */
};

/* A stream of `conn` with an empty exchange. NULL: too many, or out of memory. */
struct stream *stream_open(struct stream_table *table, struct conn *conn);
/* The one in this slot. */
struct stream *stream_at(struct stream_table *table, uint32_t slot);
/* Its chain must have been cancelled. */
void stream_close(struct stream_table *table, struct stream *stream);
/* Puts the stream at the end of the list of those that wait for this; ACTIVE: in none. */
void stream_wait(struct stream_table *table, struct stream *stream, enum stream_wait wait);
/* All must be closed: gives back what a burst of requests needed. */
void stream_table_shrink(struct stream_table *table);
/* All must be closed. */
void stream_table_free(struct stream_table *table);

#endif
