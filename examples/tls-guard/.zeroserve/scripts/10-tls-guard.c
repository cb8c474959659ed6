/* SPDX-License-Identifier: Apache-2.0 */
/* Judges TLS clients at their first message, before a key is used for them: some programs are
 * refused by their fingerprint, and all addresses have so many handshakes a minute. */
#include <zeroserve.h>

static char ja4[64];
static char text[64];

/* Whether the list of the configuration has the fingerprint. */
static int is_listed(zs_s64 list)
{
    zs_s64 item;

    for (zs_s64 i = 0; i < zs_json_len(list); i++) {
        item = zs_json_array_get(list, (zs_u64)i);
        zs_json_read_string(item, text, sizeof text);
        zs_object_free(item);
        if (zs_strcmp(text, ja4) == 0)
            return 1;
    }
    return 0;
}

ZS_TLS_ENTRY zs_u64 hello(void)
{
    zs_s64 config = zs_load_static_json(ZS_STR("data/tls-guard.json"));
    zs_s64 fingerprint = zs_json_get(zs_connection_info(), ZS_STR("fingerprint"));
    zs_s64 per_minute = 0;

    zs_json_read_string(zs_json_get(fingerprint, ZS_STR("ja4")), ja4, sizeof ja4);
    if (is_listed(zs_json_get(config, ZS_STR("refused_ja4"))))
        return (zs_u64)zs_abort();
    zs_json_read_i64(zs_json_get(config, ZS_STR("handshakes_per_minute")), &per_minute, 8);
    zs_req_peer_ip(text, sizeof text);
    if (zs_rate_limit(ZS_STR(text), 0, (zs_u64)per_minute, 0) > 0)
        zs_abort();
    return 0;
}
