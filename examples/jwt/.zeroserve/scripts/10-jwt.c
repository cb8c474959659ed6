/* SPDX-License-Identifier: Apache-2.0 */
/* Lets only those into /api who bring a JSON Web Token signed with HS256 (RFC 7519) by the secret
 * in JWT_SECRET. Later scripts find the name of the user in the metadata "user". */
#include <zeroserve.h>

static char field[2048];
static char copy[2048];

/* Decodes one part of the token, up to its dot, in place; a handle on its JSON, or -1. */
static zs_s64 part(char *text, zs_s64 len)
{
    len = zs_base64_decode_in_place(text, (zs_u64)len, ZS_BASE64_URL_NO_PAD);
    return len < 1 ? -1 : zs_json_parse(text, (zs_u64)len);
}

static int same(const zs_u8 *a, const zs_u8 *b)
{
    unsigned difference = 0;
    int i;

    for (i = 0; i < 32; i++)
        difference |= a[i] ^ b[i];
    return difference == 0;
}

static int member_is(zs_s64 object, const char *name, const char *wanted)
{
    char text[16];
    zs_s64 value = zs_json_get(object, ZS_STR(name));

    return value > 0 && zs_json_read_string(value, text, sizeof text) > 0 &&
           zs_strcmp(text, wanted) == 0;
}

/* The end of the part that begins at `at`: a dot, or where the text ends. */
static zs_s64 end_of(const char *text, zs_s64 at)
{
    while (text[at] != '.' && text[at] != '\0')
        at++;
    return at;
}

/* Is the signature ours? `token` is cut into its parts; *claims is a handle on the middle one. */
static int is_signed(char *token, zs_s64 len, zs_s64 *claims)
{
    char secret[128];
    zs_u8 mac[32];
    zs_s64 secret_len = zs_env_get(ZS_STR("JWT_SECRET"), secret, sizeof secret);
    zs_s64 first = end_of(token, 0);
    zs_s64 second = token[first] == '.' ? end_of(token, first + 1) : len;
    zs_s64 header;

    if (secret_len < 1 || secret_len >= (zs_s64)sizeof secret || second >= len)
        return 0;
    zs_hmac_sha256(secret, (zs_u64)secret_len, token, (zs_u64)second, mac);
    if (zs_base64_decode_in_place(token + second + 1, (zs_u64)(len - second - 1),
                                  ZS_BASE64_URL_NO_PAD) != 32 ||
        !same(mac, (const zs_u8 *)token + second + 1))
        return 0;
    header = part(token, first);
    *claims = part(token + first + 1, second - first - 1);
    return header > 0 && *claims > 0 && member_is(header, "alg", "HS256");
}

/* Has it ended, or does it not say when it does? */
static int is_over(zs_s64 claims)
{
    zs_s64 end;
    zs_s64 value = zs_json_get(claims, ZS_STR("exp"));

    return value < 0 || zs_json_read_i64(value, &end, sizeof end) != 8 ||
           end <= (zs_s64)(zs_now_ms() / 1000);
}

static void refuse(const char *why)
{
    zs_meta_set(ZS_STR("zs.response.header.www-authenticate"), ZS_STR("Bearer"));
    zs_meta_set(ZS_STR("zs.response.header.content-type"), ZS_STR("text/plain"));
    zs_respond(401, ZS_STR(why));
}

ZS_ENTRY zs_u64 entry(void)
{
    char user[128];
    char path[8];
    zs_s64 claims = -1;
    zs_s64 len, subject;

    zs_req_path(path, sizeof path);
    if (zs_strncmp(path, "/api", 4) != 0 || (path[4] != '/' && path[4] != '\0'))
        return 0;
    len = zs_req_header(ZS_STR("authorization"), field, sizeof field);
    if (len >= (zs_s64)sizeof field || zs_strncmp(field, "Bearer ", 7) != 0) {
        refuse("a token, please\n");
        return 0;
    }
    zs_strcpy(copy, field + 7);
    if (!is_signed(copy, len - 7, &claims)) {
        refuse("not a token of ours\n");
        return 0;
    }
    subject = zs_json_get(claims, ZS_STR("sub"));
    if (is_over(claims) || subject < 0 || zs_json_read_string(subject, user, sizeof user) < 1) {
        refuse("the token is over\n");
        return 0;
    }
    zs_meta_set(ZS_STR("user"), ZS_STR(user));
    return 0;
}
