/* SPDX-License-Identifier: Apache-2.0 */
/* /chat is a WebSocket of the chat server; the page is a file. Only our own page may open it:
 * browsers send Origin, and other sites' pages have another one (RFC 6455 10.2). */
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    char path[16];
    char host[128];
    char origin[160];
    const char *authority;

    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/chat") != 0)
        return 0;
    zs_req_header(ZS_STR("host"), host, sizeof host);
    zs_req_header(ZS_STR("origin"), origin, sizeof origin);
    authority = zs_strncmp(origin, "https://", 8) == 0  ? origin + 8
                : zs_strncmp(origin, "http://", 7) == 0 ? origin + 7
                                                        : origin;
    if (zs_strcmp(authority, host) != 0) {
        zs_meta_set(ZS_STR("zs.response.header.content-type"), ZS_STR("text/plain"));
        zs_respond(403, ZS_STR("only from our own page\n"));
        return 0;
    }
    zs_reverse_proxy(ZS_STR("http://127.0.0.1:9021"));
    return 0;
}
