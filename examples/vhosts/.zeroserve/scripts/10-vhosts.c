/* SPDX-License-Identifier: Apache-2.0 */
/* Several sites in one tar: the folder of a host is its root. Hosts that have none get the folder
 * "default". */
#include <zeroserve.h>

static char uri[2048];
static char host[128];

/* Cuts the port off, and says whether the name can be that of a folder. */
static int is_name(char *name)
{
    for (; *name != '\0' && *name != ':'; name++)
        if (*name == '/' || *name == '?' || *name == '#' || *name == '%' || *name == '[')
            return 0;
    *name = '\0';
    return 1;
}

static int has_site(void)
{
    char page[160];

    zs_stpcpy(zs_stpcpy(page, host), "/index.html");
    return zs_load_file_metadata(ZS_STR(page)) > 0;
}

ZS_ENTRY zs_u64 entry(void)
{
    zs_s64 bytes;
    char *end;

    bytes = zs_req_header(ZS_STR("host"), host, sizeof host);
    if (bytes < 1 || bytes >= (zs_s64)sizeof host || !is_name(host) || !has_site())
        zs_strcpy(host, "default");
    uri[0] = '/';
    end = zs_stpcpy(uri + 1, host);
    if (zs_req_uri(end, 1800) >= 1800) {
        zs_respond(414, ZS_STR("too long\n"));
        return 0;
    }
    zs_req_set_uri(ZS_STR(uri));
    return 0;
}
