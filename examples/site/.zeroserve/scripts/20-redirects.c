/* SPDX-License-Identifier: Apache-2.0 */
/* Old addresses keep working: /old-guide moves the browser, /docs/... is served from /guide/... in
 * place. */
#include <zeroserve.h>

/* Variables outside of functions start from their initial value on every request. They are the
 * place for what is too large for the stack frame of 512 bytes that clang allows. */
static char path[512];
static char query[1024];
static char uri[1600];

/* /docs and everything below it, also under a name that was percent-encoded. */
static int is_docs(const char *text)
{
    return zs_strncmp(text, "/docs", 5) == 0 && (text[5] == '/' || text[5] == '\0');
}

ZS_ENTRY zs_u64 entry(void)
{
    char *end;

    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/old-guide") == 0) {
        zs_meta_set(ZS_STR("zs.response.header.location"), ZS_STR("/guide/"));
        zs_respond(308, ZS_STR(""));
        return 0;
    }
    if (!is_docs(path))
        return 0;

    /* A URI has to be percent-encoded, so the new one is made from what the client sent. What did
     * not fit, or spells the prefix differently, is left to the 404 page. */
    if (zs_req_raw_path(path, sizeof path) >= (zs_s64)sizeof path || !is_docs(path) ||
        zs_req_query(query, sizeof query) >= (zs_s64)sizeof query)
        return 0;
    end = zs_stpcpy(uri, "/guide");
    end = zs_stpcpy(end, path + 5);
    if (query[0] != '\0')
        zs_stpcpy(zs_stpcpy(end, "?"), query);
    zs_req_set_uri(ZS_STR(uri));
    return 0;
}
