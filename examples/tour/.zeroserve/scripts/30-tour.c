/* SPDX-License-Identifier: Apache-2.0 */
/* One stop of the tour for each path. */
#include <zeroserve.h>

static char path[64];

static int at(const char *stop)
{
    return zs_strcmp(path, stop) == 0;
}

static void say(const char *text)
{
    zs_meta_set(ZS_STR("zs.response.header.content-type"), ZS_STR("text/plain; charset=utf-8"));
    zs_respond(200, ZS_STR(text));
}

static void front_page(void)
{
    zs_meta_set(ZS_STR("zs.response.header.cache-control"), ZS_STR("public, max-age=3600"));
    zs_res_add_header(ZS_STR("set-cookie"), ZS_STR("seen=1; Path=/; HttpOnly"));
}

static void title_of_site(void)
{
    char text[64];
    zs_s64 config = zs_load_static_json(ZS_STR("data/config.json"));
    zs_s64 title = zs_json_get(config, ZS_STR("title"));
    zs_json_read_string(title, text, sizeof text);
    say(text);
}

static void time_now(void)
{
    zs_s64 answer = zs_json_new_object();
    zs_s64 value = zs_json_new_object();
    zs_json_set_i64(value, zs_now_ms());
    zs_json_set(answer, ZS_STR("now"), value);
    zs_json_respond(200, answer); /* {"now":1760000000000} */
}

static void sign(const char *key, const char *message)
{
    zs_u8 mac[32];
    char text[64];
    zs_hmac_sha256(ZS_STR(key), ZS_STR(message), mac);
    zs_hex_encode(mac, sizeof mac, text, sizeof text, ZS_HEX_LOWERCASE);
    zs_respond(200, text, sizeof text);
}

static void signature(void)
{
    char message[64];

    zs_req_query_param(ZS_STR("message"), message, sizeof message);
    sign("key", message);
}

static void inside(void)
{
    say("inside\n");
    if (!zs_req_remote_ip_matches(ZS_STR("[\"10.0.0.0/8\", \"::1\"]")))
        zs_respond(403, ZS_STR("not from here\n"));
}

static void door(void)
{
    char text[64];
    zs_u8 may = 0;
    zs_s64 request = zs_json_new_object();
    zs_s64 token = zs_json_new_object();
    zs_req_query_param(ZS_STR("token"), text, sizeof text);
    zs_json_set_string(token, ZS_STR(text));
    zs_json_set(request, ZS_STR("token"), token);

    zs_s64 answer = zs_call(ZS_STR("10-auth"), ZS_STR("may_enter"), request);
    if (answer < 0)
        zs_respond(500, ZS_STR("no answer\n"));
    else if (zs_json_read_bool(answer, &may, 1) == 1 && may)
        say("come in\n");
    else
        zs_respond(401, ZS_STR("who are you?\n"));
}

ZS_ENTRY zs_u64 entry(void)
{
    zs_req_path(path, sizeof path);
    if (at("/"))
        front_page();
    else if (at("/title"))
        title_of_site();
    else if (at("/now"))
        time_now();
    else if (at("/signature"))
        signature();
    else if (at("/inside"))
        inside();
    else if (at("/door"))
        door();
    else if (at("/connection"))
        zs_json_respond(200, zs_connection_info());
    return 0;
}
