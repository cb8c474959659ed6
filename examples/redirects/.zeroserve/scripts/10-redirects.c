/* SPDX-License-Identifier: Apache-2.0 */
/* Old addresses: a table of pages that moved, a folder that was renamed, one name for the site, and
 * HTTPS. */
#include <zeroserve.h>

static const struct {
    const char *from, *to;
} moved[] = {
    {"/about-us", "/about"},
    {"/blog/2024/hello", "/hello"},
    {"/shop", "https://shop.example.org/"},
};

/* A URI may be longer than the 512 bytes that clang allows for variables of a function. */
static char uri[2048];
static char location[2400];

static void redirect(zs_u64 status, const char *to)
{
    zs_meta_set(ZS_STR("zs.response.header.location"), ZS_STR(to));
    zs_respond(status, ZS_STR(""));
}

/* The same address with another beginning. */
static void redirect_to(const char *origin, const char *rest)
{
    zs_stpcpy(zs_stpcpy(location, origin), rest);
    redirect(308, location);
}

ZS_ENTRY zs_u64 entry(void)
{
    char host[64];
    char path[256];
    unsigned i;

    if (zs_req_uri(uri, sizeof uri) >= (zs_s64)sizeof uri) {
        zs_respond(414, ZS_STR("too long\n"));
        return 0;
    }
    zs_req_header(ZS_STR("host"), host, sizeof host);
    if (zs_strcmp(host, "www.example.org") == 0) {
        redirect_to("https://example.org", uri);
        return 0;
    }
    if (zs_strcmp(host, "example.org") == 0 && !zs_req_is_tls()) {
        redirect_to("https://example.org", uri);
        return 0;
    }
    zs_req_path(path, sizeof path);
    for (i = 0; i < sizeof moved / sizeof moved[0]; i++) {
        if (zs_strcmp(path, moved[i].from) == 0) {
            redirect(301, moved[i].to);
            return 0;
        }
    }
    if (zs_strncmp(uri, "/docs/", 6) == 0) /* served from another folder, without a redirect */
        zs_req_set_uri(location,
                       (zs_u64)(zs_stpcpy(zs_stpcpy(location, "/manual"), uri + 5) - location));
    return 0;
}
