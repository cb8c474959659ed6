/* SPDX-License-Identifier: Apache-2.0 */
/* Epochs of a worker. */
#include "server/epoch.h"

#include <assert.h>
#include <stdlib.h>

#include "server/script.h"

struct epoch *epoch_begin(struct snapshot *snapshot, struct script_host *host)
{
    struct epoch *epoch = malloc(sizeof(*epoch));
    struct hot_cache *hot = hot_create();
    struct static_facts *facts = static_facts_create();
    if (epoch == NULL || hot == NULL || facts == NULL) {
        free(epoch);
        hot_free(hot);
        static_facts_free(facts);
        return NULL;
    }
    snapshot_hold(snapshot);
    *epoch = (struct epoch){
        .snapshot = snapshot, .host = host, .hot = hot, .facts = facts, .users = 1};
    return epoch;
}

struct epoch *epoch_enter(struct epoch *epoch)
{
    assert(epoch->users > 0);
    epoch->users++;
    return epoch;
}

void epoch_leave(struct epoch *epoch)
{
    if (epoch == NULL || --epoch->users > 0) {
        return;
    }
    script_host_forget(epoch->host, epoch->snapshot->scripts);
    hot_free(epoch->hot);
    static_facts_free(epoch->facts);
    snapshot_release(epoch->snapshot);
    free(epoch);
}
