/* SPDX-License-Identifier: Apache-2.0 */
/* Which snapshot a worker serves from. New requests and connections enter the current epoch; a
 * reload begins the next one, and the old one ends when the last of its users left, so that no
 * request ever sees two versions. Used on the worker's own thread only. */
#ifndef SERVER_EPOCH_H
#define SERVER_EPOCH_H

#include "server/hot.h"
#include "server/snapshot.h"
#include "server/static.h"

struct script_host; /* server/script.h */

struct epoch {
    struct snapshot *snapshot; /* held */
    struct script_host *host;  /* that runs its scripts */
    struct hot_cache *hot;     /* of its site */
    struct static_facts *facts; /* the same */
    unsigned users;            /* streams, connections with TLS, and being the current one */
};

/* Holds the snapshot; the caller is its first user. NULL: out of memory. */
struct epoch *epoch_begin(struct snapshot *snapshot, struct script_host *host);
struct epoch *epoch_enter(struct epoch *epoch);
/* The last user ends it. NULL is fine. */
void epoch_leave(struct epoch *epoch);

#endif
