/* SPDX-License-Identifier: Apache-2.0 */
/* Asks for a name and a password below /private. BASIC_AUTH in the server's environment is the one
 * pair that is let in, as in "ann:secret". */
#include <zeroserve.h>

/* Takes the same time wherever the texts differ: their hashes do not tell how much was right. */
static int same(const char *a, zs_u64 a_len, const char *b, zs_u64 b_len)
{
    zs_u8 key[32], mac_a[32], mac_b[32];

    zs_getrandom(key, sizeof key);
    zs_hmac_sha256(key, sizeof key, a, a_len, mac_a);
    zs_hmac_sha256(key, sizeof key, b, b_len, mac_b);
    return zs_memcmp(mac_a, mac_b, sizeof mac_a) == 0;
}

/* The pair that the client sent, or less than 1. */
static zs_s64 sent(char *pair, zs_u64 size)
{
    static char field[256];
    zs_s64 len = zs_req_header(ZS_STR("authorization"), field, sizeof field);

    if (len >= (zs_s64)sizeof field || zs_strncmp(field, "Basic ", 6) != 0)
        return -1;
    len = zs_base64_decode_in_place(field + 6, (zs_u64)len - 6, ZS_BASE64_STANDARD);
    if (len < 1 || (zs_u64)len > size)
        return -1;
    zs_memcpy(pair, field + 6, (zs_u64)len);
    return len;
}

ZS_ENTRY zs_u64 entry(void)
{
    char path[16];
    char right[128];
    char pair[192];
    zs_s64 right_len, len;

    zs_req_path(path, sizeof path);
    if (zs_strncmp(path, "/private", 8) != 0 || (path[8] != '/' && path[8] != '\0'))
        return 0;
    right_len = zs_env_get(ZS_STR("BASIC_AUTH"), right, sizeof right);
    len = sent(pair, sizeof pair);
    if (right_len > 0 && right_len < (zs_s64)sizeof right && len > 0 &&
        same(pair, (zs_u64)len, right, (zs_u64)right_len))
        return 0;
    zs_meta_set(ZS_STR("zs.response.header.www-authenticate"),
                ZS_STR("Basic realm=\"private\", charset=\"UTF-8\""));
    zs_respond(401, ZS_STR("a name and a password, please\n"));
    return 0;
}
