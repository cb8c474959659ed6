/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker knows of the upstreams it forwards to: requests in hand, failures, connections kept
 * for later. No I/O: connections are the caller's, and so is the clock.
 *
 * An upstream is what upstream_url_key tells apart. It is made when first asked for, and forgotten
 * when room is needed for others and nothing of it is in hand.
 */
#ifndef SERVER_UPSTREAM_H
#define SERVER_UPSTREAM_H

#include "server/upstream_url.h"

struct upstream;
struct upstreams;

/* Part of a connection that may be kept. All zero: it is not. */
struct upstream_idle {
    struct upstream *upstream;             /* NULL: not kept */
    struct upstream_idle *newer, *older;   /* of the same upstream */
    struct upstream_idle *next, *previous; /* of all, next is newer */
    uint64_t expires_ms;
};

/* NULL: out of memory. */
struct upstreams *upstreams_create(void);
/* Nothing may be active or kept. */
void upstreams_free(struct upstreams *upstreams);

/* Chooses among the targets whose bit in `tried` is 0: of those that have not failed too often, the
 * one that the hash prefers if the request is sticky, else one with the fewest requests in hand;
 * when all have failed, the one that is out the shortest. It has one request more in hand then,
 * until upstream_end. NULL: none left, out of memory, or too many upstreams are in use. */
struct upstream *upstream_choose(struct upstreams *upstreams, const struct proxy_request *request,
                                 uint32_t tried, uint64_t now_ms, unsigned *target);
void upstream_end(struct upstream *upstream);
unsigned upstream_active(const struct upstream *upstream);

/* The upstream refused a connection, broke it, said nothing in time or nonsense. Several such in a
 * short time take it out for a while. */
void upstream_failed(struct upstream *upstream, uint64_t now_ms);
bool upstream_is_out(const struct upstream *upstream, uint64_t now_ms);

/* Keeps a connection that waits for nothing. Returns one the caller must close instead, taken off
 * already, or NULL. */
struct upstream_idle *upstream_idle_put(struct upstreams *upstreams, struct upstream *upstream,
                                        struct upstream_idle *idle, uint64_t now_ms);
/* Takes the one kept last, which is the likeliest to be alive. NULL: none that may be used. */
struct upstream_idle *upstream_idle_take(struct upstreams *upstreams, struct upstream *upstream,
                                         uint64_t now_ms);
/* Takes off one that the upstream closed or wrote to. */
void upstream_idle_remove(struct upstreams *upstreams, struct upstream_idle *idle);
/* Takes off one that has been kept long enough, for the caller to close; NULL: none. Also with
 * now_ms UINT64_MAX, to close all. */
struct upstream_idle *upstream_idle_expired(struct upstreams *upstreams, uint64_t now_ms);
/* Milliseconds until then, or -1. */
int64_t upstream_idle_wait_ms(const struct upstreams *upstreams, uint64_t now_ms);

/* How an attempt to have a request answered failed. */
struct upstream_attempt {
    struct span method;
    bool sent;         /* a byte of the request may have reached the upstream: it was connected */
    bool untaken;      /* though sent, nothing of it got there: the connection was closed before */
    bool answered;     /* a byte came back */
    bool body_gone;    /* bytes of the request's body were sent and are kept nowhere */
    unsigned retries;  /* attempts before it that had sent something */
    bool targets_left; /* there is one not tried yet */
};

/* Whether to try again. An attempt that sent nothing moves on to a target not tried yet; one that
 * did is repeated once, if the method is idempotent or nothing was taken (RFC 9110 9.2.2). */
bool upstream_may_retry(const struct upstream_attempt *attempt);
/* A request with this method may be done twice. */
bool upstream_is_idempotent(struct span method);

#endif
