/* SPDX-License-Identifier: Apache-2.0 */
/* What is forbidden looks as if it were not there. */
#include <zeroserve.h>

ZS_CALL_ENTRY(hide, input)
{
    if (zs_res_status() == 403)
        zs_res_set_status(404);
    zs_res_delete_header(ZS_STR("server"));
    return input;
}

ZS_ENTRY zs_u64 entry(void)
{
    zs_res_hook("", 0, ZS_STR("hide"), zs_json_new_object());
    return 0;
}
