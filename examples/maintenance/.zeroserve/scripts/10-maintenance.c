/* SPDX-License-Identifier: Apache-2.0 */
/* While data/maintenance.json says so, everybody gets a page that asks for patience, apart from the
 * people who repair things. Reload the site to end it: kill -HUP. */
#include <zeroserve.h>

static char ranges[512];

/* Does the connection come from one of the networks in the configuration? */
static int may_pass(zs_s64 config)
{
    zs_s64 allow = zs_json_get(config, ZS_STR("allow"));

    return allow > 0 && zs_json_read_string(allow, ranges, sizeof ranges) > 0 &&
           zs_req_remote_ip_matches(ZS_STR(ranges));
}

/* The file is served with its own type and status 200; the hook makes it a 503. */
ZS_CALL_ENTRY(unavailable, input)
{
    zs_res_set_status(503);
    zs_res_delete_header(ZS_STR("etag"));
    return input;
}

ZS_ENTRY zs_u64 entry(void)
{
    zs_u8 on = 0;
    char path[32];
    zs_s64 config = zs_load_static_json(ZS_STR("data/maintenance.json"));
    zs_s64 value = config < 0 ? -1 : zs_json_get(config, ZS_STR("on"));

    zs_req_path(path, sizeof path);
    if (value < 0 || zs_json_read_bool(value, &on, 1) != 1 || !on || may_pass(config) ||
        zs_strncmp(path, "/assets/", 8) == 0)
        return 0;
    zs_req_set_method(ZS_STR("GET")); /* whatever was asked, the page is the answer */
    zs_req_delete_header(ZS_STR("if-*"));
    zs_req_delete_header(ZS_STR("range"));
    zs_req_set_uri(ZS_STR("/maintenance.html"));
    zs_meta_set(ZS_STR("zs.response.header.retry-after"), ZS_STR("600"));
    zs_meta_set(ZS_STR("zs.response.header.cache-control"), ZS_STR("no-store"));
    zs_res_hook("", 0, ZS_STR("unavailable"), zs_json_new_object());
    return 0;
}
