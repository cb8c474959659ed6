/* SPDX-License-Identifier: Apache-2.0 */
/* Shows half of the visitors another front page. A cookie keeps them where they are. */
#include <zeroserve.h>

static char cookies[1024];

/* The value's first letter of cookie "group", or 0. */
static char group_of(const char *text)
{
    while (*text != '\0') {
        while (*text == ' ' || *text == ';')
            text++;
        if (zs_strncmp(text, "group=", 6) == 0)
            return text[6];
        while (*text != ';' && *text != '\0')
            text++;
    }
    return 0;
}

ZS_ENTRY zs_u64 entry(void)
{
    char cookie[] = "group=?; Path=/; Max-Age=2592000; SameSite=Lax";
    char path[16];
    char group;
    zs_u8 dice;

    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/") != 0)
        return 0;
    zs_req_header(ZS_STR("cookie"), cookies, sizeof cookies);
    group = group_of(cookies);
    if (group != 'a' && group != 'b') {
        zs_getrandom(&dice, 1);
        group = dice < 128 ? 'a' : 'b';
        cookie[6] = group;
        zs_res_add_header(ZS_STR("set-cookie"), ZS_STR(cookie));
    }
    if (group == 'b')
        zs_req_set_uri(ZS_STR("/b.html"));
    /* No cache may give the page of one visitor to another. */
    zs_meta_set(ZS_STR("zs.response.header.cache-control"), ZS_STR("private"));
    zs_res_add_header(ZS_STR("vary"), ZS_STR("Cookie"));
    return 0;
}
