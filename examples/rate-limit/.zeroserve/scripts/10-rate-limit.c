/* SPDX-License-Identifier: Apache-2.0 */
/* Every client may try to log in 5 times an hour. Who tries more often learns when to come back. */
#include <zeroserve.h>

enum { PER_HOUR = 5, HOUR = 3 };

static void tell(const char *name, zs_u64 value)
{
    char key[64];
    char digits[16];

    zs_stpcpy(zs_stpcpy(key, "zs.response.header."), name);
    zs_utoa10((unsigned)value, digits, sizeof digits);
    zs_meta_set(ZS_STR(key), ZS_STR(digits));
}

ZS_ENTRY zs_u64 entry(void)
{
    struct zs_rate_info info;
    char path[16];
    char client[64];
    int refused;

    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/login") != 0)
        return 0;
    zs_req_client_ip(client, sizeof client);
    refused = zs_rate_limit(ZS_STR(client), 0, 0, PER_HOUR) != 0;
    zs_rate_limit_info(ZS_STR(client), HOUR, PER_HOUR, &info);
    tell("ratelimit-limit", PER_HOUR);
    tell("ratelimit-remaining", info.remaining);
    if (!refused)
        return 0;
    tell("retry-after", (info.retry_ms + 999) / 1000);
    zs_meta_set(ZS_STR("zs.response.header.content-type"), ZS_STR("text/plain"));
    zs_respond(429, ZS_STR("slow down\n"));
    return 0;
}
