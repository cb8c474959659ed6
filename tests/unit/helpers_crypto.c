/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes against FIPS 180 and RFC 4231 vectors, encodings against those of RFC 4648, and what they
 * refuse; on both engines. */
#include <criterion/criterion.h>

#include "tests/support/bench.h"

Test(helpers_crypto, sha256)
{
    bench_expect_ok(
        "static ZS_MAYBE_UNUSED __attribute__((noinline)) int sha(const char *s, zs_u64 n, const "
        "char *want)\n"
        "{\n"
        "    zs_u8 d[32];\n"
        "    char t[65] = {0};\n"
        "    if (zs_sha256(s, n, d, 32) != 32) return 0;\n"
        "    return is(t, zs_hex_encode(d, 32, t, 64, ZS_HEX_LOWERCASE), want);\n"
        "}\n"
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    static char big[1000000];\n"
        "    CHECK(sha(TEXT(\"abc\"), \"ba7816bf8f01cfea414140de5dae2223\"\n"
        "                            \"b00361a396177a9cb410ff61f20015ad\"));\n"
        "    CHECK(sha(TEXT(\"\"), \"e3b0c44298fc1c149afbf4c8996fb924\"\n"
        "                         \"27ae41e4649b934ca495991b7852b855\"));\n"
        "    CHECK(sha((char *)0, 0, \"e3b0c44298fc1c149afbf4c8996fb924\"\n"
        "                         \"27ae41e4649b934ca495991b7852b855\"));\n"
        "    CHECK(sha(TEXT(\"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq\"),\n"
        "              \"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1\"));\n"
        "    zs_memset(big, 'a', sizeof big);\n"
        "    CHECK(sha(big, sizeof big, \"cdc76e5c9914fb9281a1c7e284d73e67\"\n"
        "                               \"f1809a48a497200e046d39ccc7112cd0\"));\n"
        "    OK();\n"
        "}\n",
        "/");
}

Test(helpers_crypto, hmac_sha256)
{
    bench_expect_ok(
        "static ZS_MAYBE_UNUSED __attribute__((noinline)) int mac(const char *k, zs_u64 kn, const "
        "char *m, zs_u64 mn, const char *want)\n"
        "{\n"
        "    zs_u8 d[32];\n"
        "    char t[65] = {0};\n"
        "    if (zs_hmac_sha256(k, kn, m, mn, d) != 32) return 0;\n"
        "    return is(t, zs_hex_encode(d, 32, t, 64, ZS_HEX_LOWERCASE), want);\n"
        "}\n"
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    static char k[131];\n"
        "    zs_memset(k, 0x0b, 20);\n"
        "    CHECK(mac(k, 20, TEXT(\"Hi There\"),\n"
        "              \"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7\"));\n"
        "    CHECK(mac(TEXT(\"Jefe\"), TEXT(\"what do ya want for nothing?\"),\n"
        "              \"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\"));\n"
        "    zs_memset(k, 0xaa, sizeof k);\n"
        "    CHECK(mac(k, 131, TEXT(\"Test Using Larger Than Block-Size Key - Hash Key First\"),\n"
        "              \"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54\"));\n"
        "    CHECK(mac(k, 0, k, 0,\n"
        "              \"b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad\"));\n"
        "    OK();\n"
        "}\n",
        "/");
}

Test(helpers_crypto, base64)
{
    bench_expect_ok(
        "static ZS_MAYBE_UNUSED __attribute__((noinline)) int b64(const char *s, zs_u64 n, zs_u64 "
        "v, const char *want)\n"
        "{\n"
        "    char t[16];\n"
        "    zs_s64 size = zs_base64_encode(s, n, 0, 0, v);\n"
        "    zs_memset(t, 0, sizeof t);\n"
        "    if (zs_base64_encode(s, n, t, sizeof t, v) != size || !is(t, size, want)) return 0;\n"
        "    if (size > 0 && zs_base64_encode(s, n, t, size, v) != size) return 0;\n"
        "    return zs_base64_decode_in_place(t, size, v) == (zs_s64)n &&\n"
        "           zs_memcmp(t, s, n) == 0;\n"
        "}\n"
        "static ZS_MAYBE_UNUSED __attribute__((noinline)) int bad(const char *s, zs_u64 n, zs_u64 "
        "v)\n"
        "{\n"
        "    char t[16];\n"
        "    zs_memset(t, 0, sizeof t);\n"
        "    zs_memcpy(t, s, n);\n"
        "    return zs_base64_decode_in_place(t, n, v) == -1 && zs_memcmp(t, s, n) == 0;\n"
        "}\n"
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    CHECK(b64(TEXT(\"\"), 0, \"\"));\n"
        "    CHECK(b64(TEXT(\"f\"), ZS_BASE64_STANDARD, \"Zg==\"));\n"
        "    CHECK(b64(TEXT(\"fo\"), 0, \"Zm8=\"));\n"
        "    CHECK(b64(TEXT(\"foo\"), 0, \"Zm9v\"));\n"
        "    CHECK(b64(TEXT(\"foobar\"), 0, \"Zm9vYmFy\"));\n"
        "    CHECK(b64(TEXT(\"foob\"), ZS_BASE64_STANDARD_NO_PAD, \"Zm9vYg\"));\n"
        "    CHECK(b64(TEXT(\"fooba\"), 1, \"Zm9vYmE\"));\n"
        "    CHECK(b64(TEXT(\"\\xfb\\xef\\xff\\xfe\"), 0, \"++///g==\"));\n"
        "    CHECK(b64(TEXT(\"\\xfb\\xef\\xff\\xfe\"), ZS_BASE64_URL, \"--___g==\"));\n"
        "    CHECK(b64(TEXT(\"\\xfb\\xef\\xff\\xfe\"), ZS_BASE64_URL_NO_PAD, \"--___g\"));\n"
        "    CHECK(bad(TEXT(\"Zg\"), 0) && bad(TEXT(\"Zg=\"), 0) && bad(TEXT(\"Zg==\"), 1));\n"
        "    CHECK(bad(TEXT(\"Zh==\"), 0) && bad(TEXT(\"Zm9=\"), 0) && bad(TEXT(\"Zh\"), 1));\n"
        "    CHECK(bad(TEXT(\"====\"), 0) && bad(TEXT(\"Z===\"), 0) && bad(TEXT(\"Zg==Zg==\"), "
        "0));\n"
        "    CHECK(bad(TEXT(\"Zm9v\\n\"), 0) && bad(TEXT(\"Zm 9\"), 0) && bad(TEXT(\"Z\"), 1));\n"
        "    CHECK(bad(TEXT(\"++//\"), 2) && bad(TEXT(\"--__\"), 0) && bad(TEXT(\"Zm\\09\"), 1));\n"
        "    CHECK(bad(TEXT(\"Zg=a\"), 0) && bad(TEXT(\"\\xff\\xff\\xff\\xff\"), 0));\n"
        "    CHECK(zs_base64_decode_in_place(0, 0, 0) == 0);\n"
        "    OK();\n"
        "}\n",
        "/");
}

Test(helpers_crypto, hex)
{
    bench_expect_ok("ZS_ENTRY zs_u64 entry(void)\n"
                    "{\n"
                    "    char t[9] = {0};\n"
                    "    CHECK(zs_hex_encode(TEXT(\"\\x00\\x9f\\xab\"), 0, 0, 0) == 6);\n"
                    "    CHECK(is(t, zs_hex_encode(TEXT(\"\\x00\\x9f\\xab\"), t, 8, "
                    "ZS_HEX_LOWERCASE), \"009fab\"));\n"
                    "    CHECK(is(t, zs_hex_encode(TEXT(\"\\x00\\x9f\\xab\"), t, 6, "
                    "ZS_HEX_UPPERCASE), \"009FAB\"));\n"
                    "    zs_memcpy(t, \"0aFfG\", 5);\n"
                    "    CHECK(zs_hex_decode_in_place(t, 5) == -1);\n"
                    "    CHECK(zs_hex_decode_in_place(t + 3, 2) == -1 && t[3] == 'f');\n"
                    "    CHECK(zs_hex_decode_in_place(t, 4) == 2 && t[0] == 10 && t[1] == -1);\n"
                    "    CHECK(zs_hex_decode_in_place(0, 0) == 0);\n"
                    "    CHECK(zs_hex_encode(0, 0, t, 1, 0) == 0);\n"
                    "    OK();\n"
                    "}\n",
                    "/");
}

Test(helpers_crypto, refused)
{
    static const char *const reasons[] = {
        "has 32 bytes",
        "has 32 bytes",
        "overlaps another argument",
        "overlaps",
        "overlaps",
        "not writable",
        "not writable",
        "no such encoding",
        "output is too small",
        "no such encoding",
        "no such encoding",
        "no such encoding",
        "output is too small",
        "overlaps another argument",
        "not writable",
        "not readable",
    };

    bench_expect_faults("static char b[64];\n"
                        "static const char constant[64] = {1};\n"
                        "static volatile zs_u64 null = 0;\n"
                        "ZS_ENTRY zs_u64 entry(void)\n"
                        "{\n"
                        "    switch (which()) {\n"
                        "    case 1: return zs_sha256(b, 1, b + 8, 31);\n"
                        "    case 2: return zs_sha256(b, 1, b + 8, 33);\n"
                        "    case 3: return zs_sha256(b, 9, b + 8, 32);\n"
                        "    case 4: return zs_hmac_sha256(b, 9, b + 60, 1, b + 8);\n"
                        "    case 5: return zs_hmac_sha256(b, 1, b + 39, 1, b + 8);\n"
                        "    case 6: return zs_hmac_sha256(b, 1, b, 1, (void *)null);\n"
                        "    case 7: return zs_hmac_sha256(b, 1, b, 1, (void *)constant);\n"
                        "    case 8: return zs_base64_encode(b, 1, 0, 0, 4);\n"
                        "    case 9: return zs_base64_encode(b, 4, b + 8, 7, 0);\n"
                        "    case 10: return zs_base64_decode_in_place(b, 4, 4);\n"
                        "    case 11: return zs_hex_encode(b, 1, 0, 0, 2);\n"
                        "    case 12: return zs_hex_encode(b, 1, b + 8, 2, ~0ull);\n"
                        "    case 13: return zs_hex_encode(b, 4, b + 8, 7, 0);\n"
                        "    case 14: return zs_hex_encode(b, 4, b + 3, 8, 0);\n"
                        "    case 15: return zs_hex_decode_in_place((char *)constant, 2);\n"
                        "    case 16: return zs_sha256((void *)null, 1, b, 32);\n"
                        "    }\n"
                        "    return 0;\n"
                        "}\n",
                        reasons, COUNT(reasons));
}
