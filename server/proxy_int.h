/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by proxy.c (who answers, and the answers), proxy_request.c (what goes to the upstream) and
 * proxy_tunnel.c (what follows a change of protocol). */
#ifndef SERVER_PROXY_INT_H
#define SERVER_PROXY_INT_H

#include "server/answer.h"
#include "server/proxy.h"
#include "server/resolve.h"
#include "server/websocket.h"
#include "server/worker.h"

/* Where a target is, until one of its addresses is connected to or the last one is tried. */
struct lookup {
    struct relay *relay;
    unsigned address; /* of those found: the one that is tried */
    struct resolve_query query;
};

struct relay {
    struct worker *worker;
    struct stream *stream;
    struct link *link; /* NULL: none now */
    struct upstream *upstream;
    const struct upstream_url *target;
    uint32_t tried; /* a bit for each target */
    unsigned retries;
    struct lookup *lookup; /* NULL: none, or no more */
    bool resolving;        /* its query is pending */
    bool reused;           /* the link had served before */
    const char *doubt; /* why it failed, while it is not known if it took the request; or NULL */
    bool begun;        /* the head of the request is in `out` */
    bool expecting;    /* the client sends its body when the upstream says 100, or is slow */
    bool heard;        /* something of an answer came */
    bool body_ended;   /* so is the end of its body */
    bool body_gone;    /* some of its body was sent and is kept nowhere */
    bool answered;     /* the answer's head is the stream's */
    bool tunnel;       /* 101 */
    bool client_ended; /* tunnel: nothing more comes from the client */
    char websocket_key[WEBSOCKET_KEY_BYTES]; /* by_connect */
    enum h1_framing framing; /* of the request's body */
    uint64_t expect_end_ms;
    uint64_t awaiting_ms; /* since when octets of the request's body are awaited */
    uint64_t awaited_ms;  /* and for how long before that */
    struct answer answer;
};

/* The attempt came to nothing. Tries again if that is safe; else the client is told, or cut off
 * when a part of the answer is on its way. Status 503: the upstream is not to blame. */
void proxy_attempt_failed(struct relay *relay, const char *reason, unsigned status);
/* Puts the request's head into the link's output. False: it cannot be sent. */
bool proxy_send_head(struct relay *relay);
/* Moves what is here of the body to the upstream, and asks for more. False: out of memory. */
bool proxy_send_body(struct relay *relay);
/* A 101 came. False: it is not what was asked for, or cannot be told to the client. */
bool proxy_tunnel_begin(struct relay *relay, const struct h1_response *head);
/* Moves what may be moved of a tunnel. The relay may be over then. */
void proxy_tunnel_step(struct relay *relay);

static inline bool proxy_has_room(const struct stream *stream)
{
    return buffer_bytes(&stream->chunk) < LIM_LINK_BYTES;
}

#endif
