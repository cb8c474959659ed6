/* SPDX-License-Identifier: Apache-2.0 */
/* A single-page application: addresses that only its JavaScript knows are answered by index.html.
 * What looks like a file, or is below /api, is not: a missing picture stays a 404. */
#include <zeroserve.h>

static char path[1024];

/* Is there a file, or a folder with a page? */
static int exists(const char *name)
{
    static char index[1040];
    zs_s64 file = zs_load_file_metadata(ZS_STR(name));

    if (file < 0) {
        zs_stpcpy(zs_stpcpy(index, name), "/index.html");
        file = zs_load_file_metadata(ZS_STR(index));
    }
    return file > 0;
}

ZS_ENTRY zs_u64 entry(void)
{
    const char *last;

    if (zs_req_path(path, sizeof path) >= (zs_s64)sizeof path || zs_strncmp(path, "/api/", 5) == 0)
        return 0;
    last = zs_strrchr(path, '/');
    if (zs_strrchr(last, '.') == 0 && last[1] != '\0' && !exists(path + 1))
        zs_req_set_uri(ZS_STR("/index.html"));
    /* Names of assets have a hash in them, the page has not. */
    if (zs_strncmp(path, "/assets/", 8) == 0)
        zs_meta_set(ZS_STR("zs.response.header.cache-control"),
                    ZS_STR("public, max-age=31536000, immutable"));
    else
        zs_meta_set(ZS_STR("zs.response.header.cache-control"), ZS_STR("no-cache"));
    return 0;
}
