/* SPDX-License-Identifier: Apache-2.0 */
/* Counts who holds a snapshot, and frees it with the last. */
#include "server/snapshot.h"

#include <assert.h>
#include <stdlib.h>

#include "server/script.h"
#include "server/site.h"
#include "server/tls.h"

struct snapshot *snapshot_create(const struct snapshot *parts)
{
    struct snapshot *snapshot = malloc(sizeof(*snapshot));
    if (snapshot != NULL) {
        *snapshot = (struct snapshot){.site = parts->site,
                                      .scripts = parts->scripts,
                                      .tls = parts->tls,
                                      .tls_client = parts->tls_client};
        atomic_init(&snapshot->holders, 1);
    }
    return snapshot;
}

void snapshot_hold(struct snapshot *snapshot)
{
    unsigned before = atomic_fetch_add_explicit(&snapshot->holders, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

void snapshot_release(struct snapshot *snapshot)
{
    if (snapshot == NULL ||
        atomic_fetch_sub_explicit(&snapshot->holders, 1, memory_order_acq_rel) > 1) {
        return;
    }
    script_set_free(snapshot->scripts);
    site_free(snapshot->site);
    tls_context_free(snapshot->tls);
    tls_context_free(snapshot->tls_client);
    free(snapshot);
}
