/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of one worker: what one is, the states it goes through (conn.def), its deadline, and
 * the table that holds them. No I/O here; serve.h acts on them.
 *
 * Connections live in slots of blocks that never move. Those in the same state form a list; as
 * they share a time-out, the list is sorted by deadline with the nearest first. Memory of a
 * connection may belong to the kernel while something is in flight, so FREE requires that nothing
 * is.
 */
#ifndef SERVER_CONN_H
#define SERVER_CONN_H

#include <stdint.h>

#include "server/buffer.h"
#include "server/cidr.h"
#include "server/h1.h"
#include "server/limits.h"
#include "server/ring.h"

struct epoch;     /* server/epoch.h */
struct hot_piece; /* server/hot.h */
struct h2;        /* server/h2.h */
struct worker;    /* server/worker.h */
struct stream;    /* server/stream.h */
struct tls_conn;  /* server/tls.h */

enum conn_state {
#define CONN(name, successors, ms, meaning) CONN_##name,
#include "server/conn.def"
    CONN_STATES
};

struct conn_row {
    const char *name;
    uint32_t successors; /* bit mask */
    uint32_t ms;         /* by default */
};
extern const struct conn_row conn_rows[CONN_STATES];

struct conn {
    enum conn_state state;
    uint32_t slot;
    uint32_t generation;
    int fd;
    struct conn *next; /* in the list of the state */
    struct conn *previous;
    struct conn *touched_next; /* the worker's list of connections to step this turn */
    uint64_t deadline_ms;      /* UINT64_MAX: none */
    uint64_t entered_ms;       /* when it came into the state, or its deadline started again */
    uint64_t acked_bytes;      /* by the peer, when it was last looked at */
    uint64_t opened_ms;
    uint32_t bucket;        /* TLS: of its address */
    struct conn *shaking_next; /* in the list of handshakes of that, oldest first */
    struct conn *shaking_previous;
    uint64_t sent_ms;       /* when the send in hand was started, or last seen to advance */
    uint64_t linger_end_ms; /* LINGER: however much the peer still sends */

    uint32_t inflight;      /* operations that will complete with this slot */
    bool touched;           /* is in one of the lists of touched ones */
    bool bulky;             /* what it sent last was much: others come first */
    bool receiving;         /* a receive is armed */
    bool cancelling;        /* a cancel of it is on its way */
    bool sending;           /* the start of `out` (TLS: of `wire`) belongs to the kernel */
    bool reading;           /* what follows the end of `out` belongs to the kernel */
    bool eof;               /* the peer sends no more */
    bool warm;              /* idle, and keeps its memory for a while */
    bool broken;            /* the connection failed: nothing can be sent */
    bool secure;            /* it came by the listener for TLS */
    bool fresh;             /* nothing of it was looked at: it may turn out to be HTTP/2 */
    bool keep_alive;        /* may another request follow the one in hand */
    bool refused;           /* nothing received is looked at any more */
    bool chunked;           /* the answer goes out in chunks */
    bool shut;              /* TUNNEL: the client knows that the upstream has ended */
    bool answer_due;        /* scripts ended, the answer waits for `out` */
    bool expecting;         /* the client waits for a 100 before it sends the body */
    bool body_left;         /* the body of the last request is not all consumed */
    uint32_t body_bytes;    /* of it, dropped so far */
    uint64_t head_ms;       /* HTTP/2: when a header block began that is not complete; or 0 */
    bool last_said;         /* HTTP/2: the GOAWAY that ends it is made */
    uint64_t ending_ms;     /* HTTP/2: when the client was told to open no more streams; or 0 */
    size_t held_bytes;      /* HTTP/2: of files, in chunks of streams */
    bool parked;            /* HTTP/2: streams wait until less of them is held */
    uint64_t framed_ms;     /* HTTP/2: when octets of a body were last framed */
    uint32_t turn_requests; /* answered in this turn of the loop */

    struct tls_conn *tls; /* NULL: plain */
    struct epoch *epoch;  /* TLS: whose certificates it uses */
    struct buffer in;
    struct buffer out;
    struct buffer wire;          /* TLS: records being sent, instead of `out` */
    struct span direct;          /* plain: follows `out`, sent from where it lies ... */
    struct hot_piece *direct_of; /* ... in this, which is held meanwhile */
    struct h1_parser parser;
    struct h1_body body;
    struct stream *stream; /* the request in hand, or NULL; HTTP/2: those not started yet */

    struct h2 *h2;         /* NULL: HTTP/1 */
    struct worker *worker; /* HTTP/2: for its callbacks */
    struct stream *unread; /* HTTP/2: answered before their request was complete */
    struct stream *roomless; /* HTTP/2: whose relays wait until output was sent */
    uint32_t awaited_bytes;  /* HTTP/2: that relays receive from what waits in the kernel */
    uint32_t awaited_turn;   /* HTTP/2: of the loop, when one last began to */
    struct stream *passing; /* HTTP/2: whose relay waits until octets are framed; or NULL */
    struct stream *ended;   /* HTTP/2: closed while that was so */
    union peer_address peer;
};

struct conn_list {
    struct conn *first;
    struct conn *last;
};

/* Handshakes under way whose addresses share a bucket, oldest first. */
struct conn_bucket {
    struct conn *first;
    struct conn *last;
    unsigned count;
};

#define CONN_BLOCK_SLOTS 64u
/* A few more than the limit: evicted ones give their slot back a turn later. */
#define CONN_BLOCKS (LIM_CONNECTIONS / CONN_BLOCK_SLOTS + 4u)

struct conn_table {
    struct conn *blocks[CONN_BLOCKS];
    unsigned block_count;
    unsigned live; /* not FREE */
    uint64_t now_ms;
    uint32_t ms[CONN_STATES]; /* how long each state may last; 0: no deadline */
    bool crowded;             /* idle connections have to go sooner */
    struct conn_list lists[CONN_STATES];
    uint64_t secret[2];                         /* of the hash of addresses; secret */
    struct conn_bucket handshakes[LIM_HANDSHAKE_BUCKETS];
};

/* A table of zeros; the rows tell how long states may last, `ms` may be changed afterwards. */
void conn_table_init(struct conn_table *table, uint64_t now_ms);
/* Enters IDLE. NULL: full, or out of memory. */
struct conn *conn_open(struct conn_table *table, int fd);
/* The slot's connection when the generation is its own, else NULL. */
struct conn *conn_find(struct conn_table *table, uint32_t slot, uint32_t generation);
/* The only way to change the state: asserts that the table allows it, sets the deadline. */
void conn_set_state(struct conn_table *table, struct conn *conn, enum conn_state next);
/* Enters TLS. Returns the oldest handshake of the same address (of IPv6: of the same network) when
 * it has too many, else NULL. The caller ends that. */
struct conn *conn_shake_hands(struct conn_table *table, struct conn *conn);
/* Starts the deadline of the state again. */
void conn_restart_deadline(struct conn_table *table, struct conn *conn);
/* From CLOSING, with nothing in flight, to FREE: memory is given back, the generation goes on. */
void conn_release(struct conn_table *table, struct conn *conn);
/* A connection whose deadline passed, or NULL. */
struct conn *conn_expired(const struct conn_table *table);
/* Milliseconds to the nearest deadline, or -1. */
int64_t conn_wait_ms(const struct conn_table *table);
/* All must be FREE. */
void conn_table_free(struct conn_table *table);

#endif
