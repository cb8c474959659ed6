/* SPDX-License-Identifier: Apache-2.0 */
/* One address for several services, whose upstreams are in data/gateway.json: /api, /reports, which
 * speaks TLS, and /app, a group where a visitor stays with the same one. Everything else is a file.
 */
#include <zeroserve.h>

static char urls[512];
static char uri[2048];

static int is_below(const char *path, const char *prefix, zs_u64 len)
{
    return zs_strncmp(path, prefix, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* The upstreams of a service, by the site's own configuration. */
static int find(const char *service)
{
    zs_s64 config = zs_load_static_json(ZS_STR("data/gateway.json"));
    zs_s64 value = config < 0 ? -1 : zs_json_get(config, ZS_STR(service));

    return value > 0 && zs_json_read_string(value, urls, sizeof urls) > 0;
}

/* Takes "/api" off: the service does not know where it is mounted. */
static void strip(zs_u64 len)
{
    zs_req_uri(uri, sizeof uri);
    if (uri[len] == '/')
        zs_req_set_uri(ZS_STR(uri + len));
    else
        zs_req_set_uri(ZS_STR("/"));
}

ZS_ENTRY zs_u64 entry(void)
{
    char path[16];
    char client[64];

    zs_req_path(path, sizeof path);
    if (is_below(path, "/api", 4) && find("api")) {
        strip(4);
        zs_reverse_proxy(ZS_STR(urls));
    } else if (is_below(path, "/reports", 8) && find("reports")) {
        strip(8);
        zs_reverse_proxy(ZS_STR(urls));
    } else if (is_below(path, "/app", 4) && find("app")) {
        zs_req_client_ip(client, sizeof client);
        zs_reverse_proxy(ZS_STR(urls));
        zs_upstream_hash(ZS_STR(client));
    } else {
        return 0;
    }
    zs_req_delete_header(ZS_STR("x-internal-*")); /* what only we may say */
    zs_res_delete_header(ZS_STR("server"));
    return 0;
}
