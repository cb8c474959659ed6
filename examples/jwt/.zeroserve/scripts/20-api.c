/* SPDX-License-Identifier: Apache-2.0 */
/* GET /api/me: what 10-jwt.c found out. It runs only for those that were let in. */
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    char path[16];
    char user[128];
    zs_s64 answer, value;

    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/api/me") != 0)
        return 0;
    zs_meta_get(ZS_STR("user"), user, sizeof user);
    answer = zs_json_new_object();
    value = zs_json_new_object();
    zs_json_set_string(value, ZS_STR(user));
    zs_json_set(answer, ZS_STR("user"), value);
    zs_json_respond(200, answer);
    return 0;
}
