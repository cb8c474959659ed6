/* SPDX-License-Identifier: Apache-2.0 */
/* POST /orders takes {"item": "...", "count": 1 to 100} and says in JSON what is wrong with
 * anything else. */
#include <zeroserve.h>

enum { BODY_BYTES = 4096 };

static void answer(zs_u64 status, const char *name, const char *text)
{
    zs_s64 object = zs_json_new_object();
    zs_s64 value = zs_json_new_object();

    zs_json_set_string(value, ZS_STR(text));
    zs_json_set(object, ZS_STR(name), value);
    zs_json_respond(status, object);
}

/* What is wrong with the order, or NULL. */
static const char *problem(zs_s64 order)
{
    zs_s64 item, count;
    zs_s64 number = 0;

    if (order < 0)
        return "not JSON";
    if (zs_json_type(order) != ZS_JSON_OBJECT)
        return "not an object";
    item = zs_json_get(order, ZS_STR("item"));
    if (item < 0 || zs_json_type(item) != ZS_JSON_STRING || zs_json_len(item) < 1 ||
        zs_json_len(item) > 64)
        return "item: want a text of 1 to 64 bytes";
    count = zs_json_get(order, ZS_STR("count"));
    if (count < 0 || zs_json_read_i64(count, &number, sizeof number) != 8 || number < 1 ||
        number > 100)
        return "count: want a number from 1 to 100";
    return zs_json_len(order) == 2 ? 0 : "want item and count, and nothing else";
}

ZS_ENTRY zs_u64 entry(void)
{
    char path[16];
    char method[8];
    char type[64];
    const char *wrong;

    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/orders") != 0)
        return 0;
    zs_req_method(method, sizeof method);
    if (zs_strcmp(method, "POST") != 0) {
        zs_meta_set(ZS_STR("zs.response.header.allow"), ZS_STR("POST"));
        answer(405, "error", "want POST");
        return 0;
    }
    zs_req_header(ZS_STR("content-type"), type, sizeof type);
    if (zs_strncmp(type, "application/json", 16) != 0) {
        answer(415, "error", "want application/json");
        return 0;
    }
    if (zs_req_body_limit(BODY_BYTES)) {
        answer(413, "error", "too long");
        return 0;
    }
    wrong = problem(zs_req_body_json());
    if (wrong != 0)
        answer(422, "error", wrong);
    else
        answer(201, "status", "taken"); /* or zs_reverse_proxy: the body goes on whole */
    return 0;
}
