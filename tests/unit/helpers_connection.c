/* SPDX-License-Identifier: Apache-2.0 */
/* What scripts see of the connection, on both engines. */
#include <criterion/criterion.h>

#include "tests/support/bench.h"

#define SCRIPT(checks)                                                                             \
    "#define GET(h, k) zs_json_get(h, TEXT(k))\n"                                                  \
    "#define IS(h, want) is(t, zs_json_read_string(h, t, sizeof t), want)\n"                       \
    "#define NONE(h) (zs_json_type(h) == ZS_JSON_NULL)\n"                                          \
    "static int yes(zs_s64 h) { zs_u8 b = 9; return zs_json_read_bool(h, &b, 1) == 1 ? b : -1; "   \
    "}\n"                                                                                          \
    "ZS_ENTRY zs_u64 entry(void)\n"                                                                \
    "{\n"                                                                                          \
    "    ZS_MAYBE_UNUSED char t[64];\n"                                                            \
    "    zs_s64 c = zs_connection_info();\n"                                                       \
    "    CHECK(zs_json_len(c) == 9);\n" checks "    OK();\n"                                       \
    "}\n"

static void make_tls(struct exchange *ex)
{
    ex->is_tls = true;
    ex->connection = (struct connection_info){
        .handshake_complete = true,
        .sni = SPAN("example.test"),
        .alpn = SPAN("h2"),
        .version = SPAN("TLSv1.3"),
        .cipher = SPAN("TLS_AES_128_GCM_SHA256"),
        .ja4 = SPAN("t13d1516h2_8daaf6152771_e5627efa2ab1"),
    };
}

Test(helpers_connection, plain)
{
    bench_expect_ok(SCRIPT("CHECK(yes(GET(c, \"tls\")) == 0);\n"
                           "CHECK(yes(GET(c, \"tls_handshake_complete\")) == 0);\n"
                           "CHECK(zs_req_tls_handshake_complete() == 0);\n"
                           "CHECK(NONE(GET(c, \"alpn\")) && NONE(GET(c, \"ech\")));\n"
                           "CHECK(NONE(GET(GET(c, \"sni\"), \"inner\")));\n"
                           "CHECK(NONE(GET(GET(c, \"fingerprint\"), \"ja4\")));\n"),
                    "/");
}

Test(helpers_connection, tls)
{
    static const struct bench_how how = {.prepare = make_tls};

    bench_expect_ok_how(
        SCRIPT("CHECK(yes(GET(c, \"tls\")) == 1);\n"
               "CHECK(yes(GET(c, \"tls_handshake_complete\")) == 1);\n"
               "CHECK(zs_req_tls_handshake_complete() == 1 && zs_req_is_tls() == 1);\n"
               "CHECK(IS(GET(c, \"alpn\"), \"h2\"));\n"
               "CHECK(IS(GET(GET(c, \"sni\"), \"inner\"), \"example.test\"));\n"
               "CHECK(NONE(GET(GET(c, \"sni\"), \"outer\")) && NONE(GET(c, \"ech\")));\n"
               "CHECK(IS(GET(GET(c, \"fingerprint\"), \"ja4\"), "
               "\"t13d1516h2_8daaf6152771_e5627efa2ab1\"));\n"
               "zs_s64 client = GET(c, \"tls_client\");\n"
               "CHECK(NONE(GET(client, \"certificate\")));\n"
               "CHECK(zs_json_len(GET(client, \"chain_fingerprints_sha256\")) == 0);\n"
               "CHECK(IS(GET(c, \"version\"), \"TLSv1.3\"));\n"
               "CHECK(IS(GET(c, \"cipher\"), \"TLS_AES_128_GCM_SHA256\"));\n"),
        "/", &how);
}

Test(helpers_connection, faults)
{
    static const char *const reasons[] = {"too many JSON handles"};

    bench_expect_faults("ZS_ENTRY zs_u64 entry(void) { for (;;) zs_connection_info(); }\n", reasons,
                        COUNT(reasons));
}
