/* SPDX-License-Identifier: Apache-2.0 */
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    char path[64];

    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/hello") == 0)
        zs_respond(200, ZS_STR("Hello!\n"));
    return 0;
}
