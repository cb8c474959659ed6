/* SPDX-License-Identifier: Apache-2.0 */
/* The first of three: guards a path that nobody asks for. */
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    char path[64];

    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/private") == 0)
        zs_respond(403, ZS_STR("no\n"));
    return 0;
}
