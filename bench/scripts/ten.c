/* SPDX-License-Identifier: Apache-2.0 */
/* Ten helper calls, as a script that looks at a request and marks the response makes them. */
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    char text[64];

    zs_req_method(text, sizeof text);
    zs_req_path(text, sizeof text);
    zs_req_query(text, sizeof text);
    zs_req_header(ZS_STR("host"), text, sizeof text);
    zs_req_header(ZS_STR("user-agent"), text, sizeof text);
    zs_req_query_param(ZS_STR("name"), text, sizeof text);
    zs_req_peer_ip(text, sizeof text);
    zs_meta_set(ZS_STR("client"), ZS_STR("known"));
    zs_meta_get(ZS_STR("client"), text, sizeof text);
    zs_res_add_header(ZS_STR("x-frame-options"), ZS_STR("DENY"));
    return 0;
}
