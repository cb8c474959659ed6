/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of names, without blocking the worker that asks: look-ups run on threads of their own,
 * which all workers share, with the names they found last.
 *
 *   resolver  threads, queue, cache; one for the process
 *   client    a worker's side; used on its thread alone
 *   query     one question, part of whatever waits for it
 *
 * Times are of CLOCK_MONOTONIC.
 */
#ifndef SERVER_RESOLVE_H
#define SERVER_RESOLVE_H

#include <netinet/in.h>
#include <stdint.h>

#include "server/limits.h"
#include "server/span.h"

union resolve_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

enum resolve_status {
    RESOLVE_PENDING,
    RESOLVE_FOUND,
    RESOLVE_FAILED, /* no such name, no answer, or too many names are being looked up */
    RESOLVE_TIMED_OUT,
};

struct resolver;
struct resolve_client;
struct resolve_entry;

/* Stays where it is while it is pending. */
struct resolve_query {
    enum resolve_status status;
    union resolve_address
        addresses[LIM_RESOLVE_ADDRESSES]; /* RESOLVE_FOUND: in order of preference */
    unsigned count;

    /* private */
    uint16_t port;
    uint64_t deadline_ms;
    struct resolve_client *client;
    struct resolve_entry *entry; /* waits for it; NULL: answered */
    struct resolve_query *next;  /* of those that wait for the entry, or are answered */
    struct resolve_query *previous;
    struct resolve_query *later; /* of those the client has pending */
    struct resolve_query *earlier;
};

/* Finds the addresses of `name`, with port 0; blocks as long as it likes. Returns their number, 0
 * when there are none. */
typedef unsigned resolve_lookup(const char *name,
                                union resolve_address addresses[LIM_RESOLVE_ADDRESSES]);

/* Starts the threads; `lookup` NULL asks the system (getaddrinfo). NULL: out of memory or threads.
 */
struct resolver *resolver_create(resolve_lookup *lookup);
/* All clients must be freed. A look-up under way ends by itself, later. */
void resolver_free(struct resolver *resolver);

/* One is added to `wake_fd`, an eventfd of the caller's, whenever there is something for
 * resolve_next. NULL: out of memory. */
struct resolve_client *resolve_client_create(struct resolver *resolver, int wake_fd);
/* Nothing may be pending. */
void resolve_client_free(struct resolve_client *client);

/* Fills *query. Addresses in digits and names looked up not long ago are answered at once; when the
 * result is RESOLVE_PENDING, the query will come out of resolve_next, unless it is cancelled. */
enum resolve_status resolve_ask(struct resolve_client *client, struct resolve_query *query,
                                struct span host, uint16_t port, uint64_t now_ms);
/* A query that was answered, or is now given up for having waited LIM_RESOLVE_MS. NULL: none. */
struct resolve_query *resolve_next(struct resolve_client *client, uint64_t now_ms);
/* Milliseconds until a query is to be given up, or -1. */
int64_t resolve_wait_ms(const struct resolve_client *client, uint64_t now_ms);
/* Of a query that is pending and has not come out of resolve_next. */
void resolve_cancel(struct resolve_query *query);

#endif
