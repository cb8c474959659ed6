/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that have an upstream answer the request. They only note who; the server connects once
 * the script has returned. */
#include "server/helpers/helpers.h"
#include "server/upstream_url.h"

uint64_t host_zs_reverse_proxy(struct vm_context *context, const struct vm_arg arg[5])
{
    struct exchange *ex = helper_exchange(context);
    struct span list = helper_name(context, &arg[0]);
    struct proxy_request *proxy;
    struct span culprit;
    const char *reason;

    if (ex->status != 0) {
        vm_helper_fault(context, "a response is set already");
    }
    if (ex->proxy != NULL) {
        vm_helper_fault(context, "an upstream is set already");
    }
    if (list.len > LIM_UPSTREAM_LIST_BYTES) {
        vm_helper_fault(context, "list of upstreams is too long");
    }
    list = pool_copy(&ex->pool, list);
    proxy = pool_alloc(&ex->pool, sizeof *proxy);
    helper_allocated(context, list.base != NULL && proxy != NULL);
    *proxy = (struct proxy_request){.sticky = false};
    proxy->target_count = upstream_list_parse(list, proxy->targets, &reason, &culprit);
    if (proxy->target_count == 0) {
        vm_helper_fault(context, reason);
    }
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
