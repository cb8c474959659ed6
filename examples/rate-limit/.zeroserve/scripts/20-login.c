/* SPDX-License-Identifier: Apache-2.0 */
/* The login there is not: a site of your own has an upstream here, see ../gateway. */
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    char path[16];

    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/login") != 0)
        return 0;
    zs_meta_set(ZS_STR("zs.response.header.content-type"), ZS_STR("text/plain"));
    zs_respond(200, ZS_STR("wrong password\n"));
    return 0;
}
