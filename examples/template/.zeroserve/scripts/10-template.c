/* SPDX-License-Identifier: Apache-2.0 */
/* Puts what is known of the visitor into pages: <zs-meta>name</zs-meta> becomes metadata "name". */
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    static char text[256];

    if (zs_req_query_param(ZS_STR("name"), text, sizeof text) == 0)
        zs_strcpy(text, "stranger");
    zs_meta_set(ZS_STR("name"), ZS_STR(text));
    zs_req_header(ZS_STR("accept-language"), text, sizeof text);
    zs_meta_set(ZS_STR("greeting"), ZS_STR(zs_strncmp(text, "de", 2) == 0 ? "Hallo" : "Hello"));
    zs_version(text, sizeof text);
    zs_meta_set(ZS_STR("version"), ZS_STR(text));
    /* The page is made for this visitor: validators of the file are not those of the page. */
    zs_meta_set(ZS_STR("zs.response.header.cache-control"), ZS_STR("no-store"));
    zs_res_delete_header(ZS_STR("etag"));
    zs_res_delete_header(ZS_STR("last-modified"));
    zs_req_delete_header(ZS_STR("if-*"));
    return 0;
}
