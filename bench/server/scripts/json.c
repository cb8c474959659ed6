/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted answer: a JSON object of a query parameter, the method and a number. */
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    char name[64];
    char method[16];
    zs_s64 answer = zs_json_new_object();
    zs_s64 value = zs_json_new_object();

    zs_req_query_param(ZS_STR("name"), name, sizeof name);
    zs_req_method(method, sizeof method);
    zs_json_set_string(value, ZS_STR(name));
    zs_json_set(answer, ZS_STR("hello"), value);
    zs_json_set_string(value, ZS_STR(method));
    zs_json_set(answer, ZS_STR("method"), value);
    zs_json_set_i64(value, 42);
    zs_json_set(answer, ZS_STR("answer"), value);
    zs_json_respond(200, answer);
    return 0;
}
