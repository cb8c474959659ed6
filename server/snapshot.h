/* SPDX-License-Identifier: Apache-2.0 */
/* What requests are served from: site, scripts and certificates that were loaded and checked
 * together. Immutable and counted; shared by workers, each of which may still use an older one
 * after a reload (server/epoch.h). */
#ifndef SERVER_SNAPSHOT_H
#define SERVER_SNAPSHOT_H

#include <stdatomic.h>

struct site;        /* server/site.h */
struct script_set;  /* server/script.h */
struct tls_context; /* server/tls.h */

struct snapshot {
    atomic_uint holders;
    struct site *site;
    struct script_set *scripts;
    struct tls_context *tls;        /* NULL: no TLS */
    struct tls_context *tls_client; /* for upstreams; NULL: no script asks for any */
};

/* Takes what `parts` has, for one holder. NULL: out of memory, and nothing was taken. */
struct snapshot *snapshot_create(const struct snapshot *parts);
/* Any thread may. */
void snapshot_hold(struct snapshot *snapshot);
/* The last one frees it. NULL is fine. */
void snapshot_release(struct snapshot *snapshot);

#endif
