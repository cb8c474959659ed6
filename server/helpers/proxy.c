/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that have an upstream answer the request. They only note who; the server connects once
 * the script has returned. */
#include "server/helpers/helpers.h"
#include "server/upstream_url.h"

uint64_t host_zs_reverse_proxy(struct vm_context *context, const struct vm_arg arg[5])
{
    struct exchange *ex = helper_exchange(context);
    struct span list = helper_name(context, &arg[0]);
    struct upstream_url targets[LIM_UPSTREAM_TARGETS];
    struct proxy_request *proxy;
    struct upstream_url *kept;
    struct span culprit;
    const char *reason;
    unsigned count;

    if (ex->status != 0) {
        vm_helper_fault(context, "a response is set already");
    }
    if (ex->proxy != NULL) {
        vm_helper_fault(context, "an upstream is set already");
    }
    if (list.len > LIM_UPSTREAM_LIST_BYTES) {
        vm_helper_fault(context, "list of upstreams is too long");
    }
    count = upstream_list_parse(helper_keep(context, &arg[0], list), targets, &reason, &culprit);
    if (count == 0) {
        vm_helper_fault(context, reason);
    }
    kept = pool_alloc(&ex->pool, count * sizeof *kept);
    proxy = pool_alloc(&ex->pool, sizeof *proxy);
    helper_allocated(context, kept != NULL && proxy != NULL);
    memcpy(kept, targets, count * sizeof *kept);
    *proxy = (struct proxy_request){.targets = kept, .target_count = count};
    ex->proxy = proxy;
    return 0;
}

uint64_t host_zs_upstream_hash(struct vm_context *context, const struct vm_arg arg[5])
{
    struct exchange *ex = helper_exchange(context);
    struct span key = {(const char *)arg[0].data, arg[0].length};

    if (ex->proxy == NULL) {
        vm_helper_fault(context, "no upstream is set");
    }
    ex->proxy->sticky = key.len > 0;
    ex->proxy->hash = upstream_hash(key);
    return 0;
}
