/* SPDX-License-Identifier: Apache-2.0 */
/* GET /health answers with a line of JSON, for load balancers and for the box on the home page. */
#include <zeroserve.h>

/* Decimal digits of a 64-bit number; `out` has room for 20 and the NUL. */
static void write_number(char *out, zs_u64 value)
{
    char digits[20];
    int count = 0;

    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (count > 0)
        *out++ = digits[--count];
    *out = '\0';
}

ZS_ENTRY zs_u64 entry(void)
{
    char path[16];
    char version[32];
    char time[24];
    char body[128];
    char *end;

    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/health") != 0)
        return 0;

    zs_version(version, sizeof version);
    write_number(time, zs_now_ms());
    end = zs_stpcpy(body, "{\"status\":\"ok\",\"version\":\"");
    end = zs_stpcpy(end, version);
    end = zs_stpcpy(end, "\",\"time_ms\":");
    end = zs_stpcpy(end, time);
    zs_stpcpy(end, "}\n");

    zs_meta_set(ZS_STR("zs.response.header.content-type"), ZS_STR("application/json"));
    zs_meta_set(ZS_STR("zs.response.header.cache-control"), ZS_STR("no-store"));
    zs_respond(200, ZS_STR(body));
    return 0;
}
