/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of a worker to upstreams: octets out and in, by TLS if the upstream wants it, and
 * their deadlines. What they say is proxy.c's business, which every event ends in.
 *
 * As with clients, at most one send is in flight and `out` is not touched meanwhile; a link that is
 * closed is freed when nothing is in flight for it.
 */
#ifndef SERVER_LINK_H
#define SERVER_LINK_H

#include <netinet/in.h>
#include <sys/un.h>

#include "server/buffer.h"
#include "server/limits.h"
#include "server/ring.h"
#include "server/upstream.h"

struct epoch;    /* server/epoch.h */
struct relay;    /* server/proxy.h */
struct tls_conn; /* server/tls.h */
struct worker;   /* server/worker.h */

union link_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un path;
};

enum link_state {
    LINK_FREE,
    LINK_CONNECTING, /* to the end of the TLS handshake, if there is one */
    LINK_USED,       /* by a relay */
    LINK_IDLE,       /* kept for later */
    LINK_CLOSING,    /* what is in flight comes back */
};

struct link {
    enum link_state state;
    uint32_t slot;
    uint32_t generation;
    int fd;
    uint32_t inflight;
    uint32_t asked; /* for so many octets, when last received */
    bool receiving;
    bool more_waits; /* when last received: the kernel had more, or may have had */
    bool suspect;    /* what follows the last answer may be on its way: there was no body */
    bool local;      /* by a Unix socket */
    bool sending;
    bool connected; /* TLS may begin */
    bool eof;       /* the upstream sends no more */
    bool deaf;      /* it takes no more; what it has said may still be on its way */
    bool ending;    /* no more is sent behind `out` */
    bool ended;     /* and the upstream was told */
    bool broken;    /* it failed: `reason` */
    const char *reason;
    char *tls_reason;    /* its text, if TLS failed and there was memory for it */
    struct relay *relay; /* NULL: idle or closing */
    struct upstream *upstream;
    struct upstream_idle idle;
    struct link *next; /* of free ones */
    uint64_t deadline_ms;
    uint64_t sent_bytes;    /* since it was connected */
    uint64_t sent_before;   /* of them, before the request in hand */
    uint64_t answer_due_ms; /* 0: the request is not all sent */
    struct tls_conn *tls;   /* NULL: plain */
    struct epoch *epoch;    /* TLS: whose authorities it trusts */
    struct buffer in;       /* plaintext */
    struct span fresh;      /* what has just come, where it was received, when `in` is empty */
    struct buffer out;
    struct buffer wire;
};

/* What is known of octets sent since the link was taken. */
enum link_fate {
    LINK_TAKEN,    /* the upstream may have read some */
    LINK_DOUBTFUL, /* it had ended before they came; if it is gone, a reset will come */
    LINK_UNTAKEN,  /* they got nowhere */
};

#define LINK_BLOCK_SLOTS 16u
#define LINK_BLOCKS      (LIM_LINKS / LINK_BLOCK_SLOTS)

struct link_table {
    struct link *blocks[LINK_BLOCKS];
    unsigned block_count;
    unsigned live;
    struct link *free;
};

/* Begins to connect. The relay hears of it. NULL: no descriptors, no memory, or too many links. */
struct link *link_connect(struct worker *worker, struct relay *relay, struct upstream *upstream,
                          const union link_address *address, const char *tls_host);
/* Its relay is done with it: keeps it for later, or closes it when it cannot be used again. */
void link_keep(struct worker *worker, struct link *link, bool reusable);
/* One that was kept for this upstream and has not ended since, now the relay's. `harmless`: it may
 * have ended in this very turn. NULL: none. */
struct link *link_take(struct worker *worker, struct relay *relay, struct upstream *upstream,
                       bool harmless);
/* Of one that was taken and has failed. */
enum link_fate link_fate(const struct link *link);
void link_close(struct worker *worker, struct link *link);
/* Sends `out` unless something is being sent. */
void link_flush(struct worker *worker, struct link *link);
/* Receives once, unless it does so already, at most so many octets; by TLS it may be more. */
void link_receive(struct worker *worker, struct link *link, size_t bytes);
/* What came and was not consumed, until more comes or the event in hand is over. */
static inline struct span link_input(const struct link *link)
{
    return link->fresh.len > 0 ? link->fresh : buffer_span(&link->in);
}
void link_consume(struct link *link, size_t bytes);
/* No more is sent: behind `out` the upstream sees the end. link_flush follows. */
void link_shutdown(struct link *link);
/* What must happen within this time. */
static inline void link_within(struct link *link, uint64_t now_ms, uint32_t ms)
{
    link->deadline_ms = now_ms + ms;
}

/* The ring's events of links. */
void link_event(struct worker *worker, const struct ring_event *event);
/* Links whose deadline passed break; idle ones that were kept long enough are closed. */
void link_expire(struct worker *worker);
/* Milliseconds until link_expire is worth calling, or -1. */
int64_t link_wait_ms(const struct worker *worker);
/* Closes idle ones. */
void link_close_idle(struct worker *worker);
/* All must be free. */
void link_table_free(struct link_table *table);

#endif
