/* SPDX-License-Identifier: Apache-2.0 */
/* GET /health answers with a line of JSON. Every other path is a file. */
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    char path[16];
    char version[32];
    zs_s64 answer, value;

    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/health") != 0)
        return 0;

    answer = zs_json_new_object();
    value = zs_json_new_object();
    zs_json_set_string(value, ZS_STR("ok"));
    zs_json_set(answer, ZS_STR("status"), value);
    zs_version(version, sizeof version);
    zs_json_set_string(value, ZS_STR(version));
    zs_json_set(answer, ZS_STR("version"), value);

    zs_meta_set(ZS_STR("zs.response.header.cache-control"), ZS_STR("no-store"));
    zs_json_respond(200, answer);
    return 0;
}
