/* SPDX-License-Identifier: Apache-2.0 */
/* Every helper, called by scripts that clang compiled, on both engines: what it gives, how it cuts,
 * what it refuses. A script checks what it can see itself and answers with the line that failed. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "server/version.h"
#include "tests/support/bench.h"
#include "vm/vm.h"

Test(helpers, text_out_is_cut_and_terminated)
{
    bench_expect_ok("ZS_ENTRY zs_u64 entry(void)\n"
                    "{\n"
                    "    char t[64];\n"
                    "    zs_memset(t, 'x', sizeof t);\n"
                    "    CHECK(is(t, zs_req_path(t, 6), \"/abcd\"));\n"
                    "    CHECK(t[6] == 'x');\n"
                    "    CHECK(zs_req_path(t, 5) == 5 && zs_strcmp(t, \"/abc\") == 0);\n"
                    "    CHECK(zs_req_path(t, 1) == 1 && t[0] == 0);\n"
                    "    t[0] = 'x';\n"
                    "    CHECK(zs_req_path(t, 0) == 0 && t[0] == 'x');\n"
                    "    CHECK(zs_req_path((char *)0, 0) == 0);\n"
                    "    CHECK(zs_req_header(TEXT(\"absent\"), t, sizeof t) == 0 && t[0] == 0);\n"
                    "    t[0] = 'x';\n"
                    "    CHECK(zs_req_header(TEXT(\"absent\"), t, 0) == 0 && t[0] == 'x');\n"
                    "    OK();\n"
                    "}\n",
                    "/abcd");
}

Test(helpers, request)
{
    bench_expect_ok(
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    char t[64];\n"
        "    CHECK(is(t, zs_req_method(t, sizeof t), \"GET\"));\n"
        "    CHECK(is(t, zs_req_path(t, sizeof t), \"/admin/x y\"));\n"
        "    CHECK(is(t, zs_req_normalized_path(t, sizeof t), \"/admin/x y\"));\n"
        "    CHECK(is(t, zs_req_raw_path(t, sizeof t), \"/./%61dmin//x%20y\"));\n"
        "    CHECK(is(t, zs_req_query(t, sizeof t), \"a=1&b=2\"));\n"
        "    CHECK(is(t, zs_req_uri(t, sizeof t), \"/./%61dmin//x%20y?a=1&b=2\"));\n"
        "    CHECK(zs_req_uri(t, 19) == 19 && zs_strcmp(t, \"/./%61dmin//x%20y?\") == 0);\n"
        "    CHECK(is(t, zs_req_scheme(t, sizeof t), \"http\"));\n"
        "    CHECK(is(t, zs_req_peer(t, sizeof t), \"192.0.2.7:4711\"));\n"
        "    CHECK(is(t, zs_req_peer_ip(t, sizeof t), \"192.0.2.7\"));\n"
        "    CHECK(is(t, zs_req_client_ip(t, sizeof t), \"192.0.2.7\"));\n"
        "    CHECK(zs_req_proto_major() == 1 && zs_req_proto_minor() == 1);\n"
        "    CHECK(zs_req_is_tls() == 0);\n"
        "    CHECK(is(t, zs_req_header(TEXT(\" HOST\\t\"), t, sizeof t), \"example.test\"));\n"
        "    CHECK(is(t, zs_req_header(TEXT(\"Accept\"), t, sizeof t), \"second\"));\n"
        "    CHECK(zs_req_header(\"\", 0, t, sizeof t) == 0);\n"
        "    OK();\n"
        "}\n",
        "/./%61dmin//x%20y?a=1&b=2");
}

Test(helpers, query_parameters)
{
    bench_expect_ok(
        "#define P(k, want) CHECK(is(t, zs_req_query_param(TEXT(k), t, sizeof t), want))\n"
        "#define M(k, v) zs_req_query_param_matches(TEXT(k), TEXT(v))\n"
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    char t[64];\n"
        "    P(\"a\", \"1\");\n"
        "    P(\" a \", \"1\");\n"
        "    P(\"b c\", \"x y&z\");\n"
        "    P(\"flag\", \"\");\n"
        "    P(\"odd\", \"100%\");\n"
        "    P(\"hex\", \"%g1%2\");\n"
        "    P(\"eq\", \"a=b\");\n"
        "    P(\"none\", \"\");\n"
        "    P(\"A\", \"\");\n"
        "    CHECK(zs_req_query_param(TEXT(\"b c\"), t, 4) == 4);\n"
        "    CHECK(zs_strcmp(t, \"x y\") == 0);\n"
        "    CHECK(M(\"a\", \"1\") == 1 && M(\"a\", \"2\") == 1 && M(\"a\", \"3\") == 0);\n"
        "    CHECK(M(\"a\", \"\") == 0 && M(\"a\", \"11\") == 0);\n"
        "    CHECK(M(\"flag\", \"*\") == 1 && M(\"flag\", \"\") == 1);\n"
        "    CHECK(M(\"none\", \"*\") == 0 && M(\"fla\", \"*\") == 0);\n"
        "    OK();\n"
        "}\n",
        "/?a=1&a=2&&b+c=x%20y%26z&flag&odd=100%&hex=%g1%2&eq=a=b");
}

Test(helpers, request_changes)
{
    bench_expect_ok(
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    char t[64];\n"
        "    CHECK(zs_req_set_method(TEXT(\" POST \")) == 0);\n"
        "    CHECK(is(t, zs_req_method(t, sizeof t), \"POST\"));\n"
        "    CHECK(zs_req_set_uri(TEXT(\"/a/../b%2Ec?q=1\")) == 0);\n"
        "    CHECK(is(t, zs_req_path(t, sizeof t), \"/b.c\"));\n"
        "    CHECK(is(t, zs_req_query(t, sizeof t), \"q=1\"));\n"
        "    CHECK(zs_req_set_header(TEXT(\"ACCEPT\"), TEXT(\" one \")) == 0);\n"
        "    CHECK(is(t, zs_req_header(TEXT(\"accept\"), t, sizeof t), \"one\"));\n"
        "    CHECK(zs_req_append_header(TEXT(\"Accept\"), TEXT(\"two\")) == 0);\n"
        "    CHECK(is(t, zs_req_header(TEXT(\"accept\"), t, sizeof t), \"two\"));\n"
        "    CHECK(zs_req_set_header(TEXT(\"Accept\"), \"\", 0) == 0);\n"
        "    CHECK(zs_req_header(TEXT(\"accept\"), t, sizeof t) == 0);\n"
        "#define SET(n) zs_req_set_header(TEXT(n), TEXT(\"v\"))\n"
        "#define GONE(n) (zs_req_header(TEXT(n), t, sizeof t) == 0)\n"
        "    SET(\"X-One\"); SET(\"X-Two\"); SET(\"Y-One\"); SET(\"Z-Two-Z\"); SET(\"Two\");\n"
        "    CHECK(zs_req_delete_header(TEXT(\"x-one\")) == 0);\n"
        "    CHECK(GONE(\"X-One\") && !GONE(\"Y-One\"));\n"
        "    zs_req_delete_header(TEXT(\"y*\"));\n"
        "    CHECK(GONE(\"Y-One\") && !GONE(\"X-Two\"));\n"
        "    zs_req_delete_header(TEXT(\"*-TWO\"));\n"
        "    CHECK(GONE(\"X-Two\") && !GONE(\"Z-Two-Z\") && !GONE(\"Two\"));\n"
        "    zs_req_delete_header(TEXT(\"*two-*\"));\n"
        "    CHECK(GONE(\"Z-Two-Z\") && !GONE(\"Two\"));\n"
        "    zs_req_delete_header(TEXT(\"*\"));\n"
        "    CHECK(GONE(\"Two\") && GONE(\"Host\"));\n"
        "    OK();\n"
        "}\n",
        "/");
}

Test(helpers, request_changes_refused)
{
    static const char *const reasons[] = {
        "invalid method",
        "invalid method",
        "invalid URI",
        "invalid URI",
        "invalid URI",
        "invalid header name",
        "invalid header name",
        "invalid header value",
        "invalid header value",
        "invalid header pattern",
        "invalid header pattern",
        "not UTF-8",
        "not UTF-8",
        "header field is too long",
    };

    bench_expect_faults(
        "static char big[9000];\n"
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    switch (which()) {\n"
        "    case 1: return zs_req_set_method(\"\", 0);\n"
        "    case 2: return zs_req_set_method(TEXT(\"GE T\"));\n"
        "    case 3: return zs_req_set_uri(TEXT(\"/a b\"));\n"
        "    case 4: return zs_req_set_uri(TEXT(\"relative\"));\n"
        "    case 5: return zs_req_set_uri(TEXT(\"/a\\r\\nx\"));\n"
        "    case 6: return zs_req_set_header(TEXT(\"a b\"), TEXT(\"v\"));\n"
        "    case 7: return zs_req_append_header(\"\", 0, TEXT(\"v\"));\n"
        "    case 8: return zs_req_set_header(TEXT(\"a\"), TEXT(\"v\\r\\nx: y\"));\n"
        "    case 9: return zs_req_append_header(TEXT(\"a\"), TEXT(\"v\\0\"));\n"
        "    case 10: return zs_req_delete_header(\"\", 0);\n"
        "    case 11: return zs_req_delete_header(TEXT(\"a*b\"));\n"
        "    case 12: return zs_req_set_header(TEXT(\"a\"), TEXT(\"\\xc0\\x80\"));\n"
        "    case 13: return zs_req_header(TEXT(\"\\xff\"), big, sizeof big);\n"
        "    case 14:\n"
        "        zs_memset(big, 'v', sizeof big);\n"
        "        return zs_req_set_header(TEXT(\"a\"), big, sizeof big);\n"
        "    }\n"
        "    return 0;\n"
        "}\n",
        reasons, COUNT(reasons));
}

Test(helpers, metadata)
{
    bench_expect_ok(
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    char t[16];\n"
        "    CHECK(zs_meta_get(TEXT(\"k\"), t, sizeof t) == 0 && t[0] == 0);\n"
        "    CHECK(zs_meta_set(TEXT(\" k \"), TEXT(\"v1\")) == 0);\n"
        "    CHECK(is(t, zs_meta_get(TEXT(\"k\"), t, sizeof t), \"v1\"));\n"
        "    zs_meta_set(TEXT(\"K\"), TEXT(\"other\"));\n"
        "    CHECK(is(t, zs_meta_get(TEXT(\"k\"), t, sizeof t), \"v1\"));\n"
        "    zs_meta_set(TEXT(\"k\"), TEXT(\"v2 is longer\"));\n"
        "    CHECK(is(t, zs_meta_get(TEXT(\"\\tk\"), t, sizeof t), \"v2 is longer\"));\n"
        "    CHECK(zs_meta_get(TEXT(\"k\"), t, 3) == 3 && zs_strcmp(t, \"v2\") == 0);\n"
        "    zs_meta_set(TEXT(\"k\"), \"\", 0);\n"
        "    CHECK(zs_meta_get(TEXT(\"k\"), t, sizeof t) == 0);\n"
        "    CHECK(is(t, zs_meta_get(TEXT(\"K\"), t, sizeof t), \"other\"));\n"
        "    OK();\n"
        "}\n",
        "/");
}

Test(helpers, metadata_refused)
{
    static const char *const reasons[] = {
        "empty metadata key", "empty metadata key",   "too many metadata entries",
        "too much metadata",  "invalid header value", "invalid header name",
        "not UTF-8",          "no room for more",     "invalid header name",
    };

    bench_expect_faults(
        "static char big[70000];\n"
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    char t[16];\n"
        "    switch (which()) {\n"
        "    case 1: return zs_meta_set(TEXT(\"  \"), TEXT(\"v\"));\n"
        "    case 2: return zs_meta_get(\"\", 0, t, sizeof t);\n"
        "    case 3:\n"
        "        for (unsigned i = 0; i < 257; i++) {\n"
        "            int n = zs_utoa10(i, t, sizeof t);\n"
        "            zs_meta_set(t, n, TEXT(\"v\"));\n"
        "        }\n"
        "        return 0;\n"
        "    case 4:\n"
        "        zs_memset(big, 'v', sizeof big);\n"
        "        return zs_meta_set(TEXT(\"k\"), big, 65536);\n"
        "    case 5: return zs_meta_set(TEXT(\"zs.response.header.a\"), TEXT(\"x\\ny\"));\n"
        "    case 6: return zs_meta_set(TEXT(\"zs.response.header.\"), TEXT(\"x\"));\n"
        "    case 7: return zs_meta_set(TEXT(\"k\"), TEXT(\"\\xed\\xa0\\x80\"));\n"
        "    case 8:\n"
        "        zs_memset(big, 'v', sizeof big);\n"
        "        for (;;)\n"
        "            zs_meta_set(TEXT(\"k\"), big, 65535);\n"
        "    case 9: return zs_meta_set(TEXT(\"zs.response.header. a\"), TEXT(\"x\"));\n"
        "    }\n"
        "    return 0;\n"
        "}\n",
        reasons, COUNT(reasons));
}

Test(helpers, response)
{
    bench_expect_ok("ZS_ENTRY zs_u64 entry(void)\n"
                    "{\n"
                    "    CHECK(zs_response_pending() == 0);\n"
                    "    CHECK(zs_respond(404, TEXT(\"gone\")) == 0);\n"
                    "    CHECK(zs_response_pending() == 1);\n"
                    "    CHECK(zs_response_clear() == 0);\n"
                    "    CHECK(zs_response_pending() == 0);\n"
                    "    CHECK(zs_response_clear() == 0);\n"
                    "    zs_respond(403, TEXT(\"a longer text\"));\n"
                    "    zs_respond(204, 0, 0);\n"
                    "    OK();\n"
                    "}\n",
                    "/");
}

Test(helpers, response_statuses)
{
    static const struct {
        const char *x_case;
        unsigned status;
    } rows[] = {{"99", 500},  {"200", 200},  {"599", 599},
                {"999", 999}, {"1000", 500}, {"65535", 500}};
    struct bench b;

    bench_begin(&b, "ZS_ENTRY zs_u64 entry(void) { return zs_respond(which(), TEXT(\"b\")); }\n",
                false);
    for (size_t i = 0; i < COUNT(rows); i++) {
        exchange_reset(&b.ex);
        guest_request(&b.ex, "/", rows[i].x_case);
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
        cr_assert_eq(b.ex.status, rows[i].status, "%s: %u", rows[i].x_case, b.ex.status);
        cr_assert(!b.ex.faulted && bench_body_is(&b.ex, "b"));
    }
    bench_end(&b);
}

/* What is known of a constant in one role is not taken for granted in another: run after run each
 * is what it was in the first. */
static void constants_in_several_roles(bool interpret)
{
    static const struct {
        const char *x_case;
        enum script_verdict verdict;
    } rows[] = {{"1", SCRIPT_PASS},      {"2", SCRIPT_RESPONDED}, {"3", SCRIPT_PASS},
                {"4", SCRIPT_PASS},      {"5", SCRIPT_RESPONDED}, {"6", SCRIPT_PASS},
                {"7", SCRIPT_RESPONDED}, {"8", SCRIPT_PASS},      {"9", SCRIPT_RESPONDED},
                {"10", SCRIPT_PASS},     {"11", SCRIPT_RESPONDED}};
    struct bench b;

    bench_begin(&b,
                "static const char odd[] = \" a b \";\n"
                "static const char prefix[] = \"zs.response.header.\";\n"
                "static const char key[] = \" zs.response.header.x-a\";\n"
                "static const char lines[] = \"a\\r\\nb\";\n"
                "#define IT(t) t, sizeof t - 1\n"
                "ZS_ENTRY zs_u64 entry(void)\n"
                "{\n"
                "    char t[16];\n"
                "    switch (which()) {\n"
                "    case 1: zs_meta_set(TEXT(\"k\"), IT(odd)); return 0;\n"
                "    case 2: zs_req_set_header(IT(odd), TEXT(\"v\")); return 0;\n"
                "    case 3:\n"
                "        zs_meta_set(IT(odd), IT(odd));\n"
                "        CHECK(is(t, zs_meta_get(TEXT(\"a b\"), t, sizeof t), \" a b \"));\n"
                "        return 0;\n"
                "    case 4:\n"
                "        zs_req_set_header(TEXT(\"x\"), IT(odd));\n"
                "        CHECK(is(t, zs_req_header(TEXT(\"x\"), t, sizeof t), \"a b\"));\n"
                "        return 0;\n"
                "    case 5: zs_res_add_header(IT(odd), IT(odd)); return 0;\n"
                "    case 6: zs_req_set_header(IT(prefix), IT(prefix)); return 0;\n"
                "    case 7: zs_meta_set(IT(prefix), IT(prefix)); return 0;\n"
                "    case 8: zs_meta_set(IT(key), IT(key)); zs_req_set_header(IT(key), IT(key));\n"
                "        return 0;\n"
                "    case 9: zs_meta_set(IT(key), IT(lines)); return 0;\n"
                "    case 10: zs_meta_set(IT(lines), IT(lines)); return 0;\n"
                "    case 11: zs_req_append_header(IT(key), IT(lines)); return 0;\n"
                "    }\n"
                "    return 0;\n"
                "}\n",
                interpret);
    for (size_t i = 0; i < 3 * COUNT(rows); i++) {
        const char *x_case = rows[i % COUNT(rows)].x_case;

        exchange_reset(&b.ex);
        guest_request(&b.ex, "/", x_case);
        cr_expect_eq(guest_run(b.host, b.set, &b.ex, NULL), rows[i % COUNT(rows)].verdict,
                     "case %s, the %zuth time", x_case, i / COUNT(rows) + 1);
        cr_expect_eq(b.ex.faulted, rows[i % COUNT(rows)].verdict == SCRIPT_RESPONDED, "%s", x_case);
    }
    bench_end(&b);
}

Test(helpers, constants_in_several_roles_jit)
{
    constants_in_several_roles(false);
}

Test(helpers, constants_in_several_roles_interp)
{
    constants_in_several_roles(true);
}

Test(helpers, response_refused)
{
    static const char *const reasons[] = {
        "no such status",
        "response body is too large",
        "not readable",
        "invalid header value",
        "invalid header name",
        "too many response headers",
        "response headers are too large",
        "invalid header name",
    };

    bench_expect_faults("static char big[300000];\n"
                        "ZS_ENTRY zs_u64 entry(void)\n"
                        "{\n"
                        "    switch (which()) {\n"
                        "    case 1: return zs_respond(65536, TEXT(\"x\"));\n"
                        "    case 2: return zs_respond(200, big, 256 * 1024 + 1);\n"
                        "    case 3: return zs_respond(200, (void *)8, 1);\n"
                        "    case 4: return zs_res_add_header(TEXT(\"a\"), TEXT(\"x\\r\\ny\"));\n"
                        "    case 5: return zs_res_add_header(TEXT(\"a:\"), TEXT(\"x\"));\n"
                        "    case 6:\n"
                        "        for (;;)\n"
                        "            zs_res_add_header(TEXT(\"a\"), TEXT(\"x\"));\n"
                        "    case 7:\n"
                        "        zs_memset(big, 'v', 8000);\n"
                        "        for (;;)\n"
                        "            zs_res_add_header(TEXT(\"a\"), big, 8000);\n"
                        "    case 8: return zs_res_delete_header(TEXT(\"*\\n*\"));\n"
                        "    }\n"
                        "    return 0;\n"
                        "}\n",
                        reasons, COUNT(reasons));
}

static unsigned count_fields(const struct exchange *ex, struct span name)
{
    unsigned n = 0;

    for (unsigned i = 0; i < ex->response_fields.count; i++) {
        n += span_equal_nocase(ex->response_fields.items[i].name, name);
    }
    return n;
}

Test(helpers, response_fields_hold_whoever_answers)
{
    struct bench b;

    bench_begin(&b,
                "ZS_ENTRY zs_u64 entry(void)\n"
                "{\n"
                "    zs_res_add_header(TEXT(\"Set-Cookie\"), TEXT(\"a=1\"));\n"
                "    zs_res_add_header(TEXT(\"Set-Cookie\"), TEXT(\"b=2\"));\n"
                "    zs_res_add_header(TEXT(\"X-Gone\"), TEXT(\"1\"));\n"
                "    zs_meta_set(TEXT(\"zs.response.header.x-gone\"), TEXT(\"2\"));\n"
                "    zs_meta_set(TEXT(\"zs.response.header.X-Kept\"), TEXT(\" v \"));\n"
                "    zs_res_delete_header(TEXT(\"x-GONE\"));\n"
                "    zs_res_delete_header(TEXT(\"content-type\"));\n"
                "    zs_res_delete_header(TEXT(\"content-type\"));\n"
                "    zs_respond(200, TEXT(\"never sent\"));\n"
                "    zs_response_clear();\n"
                "    return 0;\n"
                "}\n",
                false);
    guest_request(&b.ex, "/", NULL);
    cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_PASS);
    cr_assert_eq(b.ex.status, 0);
    response_error(&b.ex, 404);
    response_finish(&b.ex);
    cr_assert_eq(count_fields(&b.ex, SPAN("set-cookie")), 2);
    cr_assert_eq(count_fields(&b.ex, SPAN("x-gone")), 0);
    cr_assert_eq(count_fields(&b.ex, SPAN("content-type")), 0);
    cr_assert_eq(count_fields(&b.ex, SPAN("x-kept")), 1);
    cr_assert(span_equal(field_find(&b.ex.response_fields, SPAN("x-kept"))->value, SPAN("v")));
    bench_end(&b);
}

Test(helpers, abort)
{
    struct bench b;

    bench_begin(&b,
                "ZS_ENTRY zs_u64 entry(void)\n"
                "{\n"
                "    zs_abort();\n"
                "    if (which() == 1)\n"
                "        zs_respond(200, TEXT(\"x\"));\n"
                "    return 0;\n"
                "}\n",
                false);
    guest_request(&b.ex, "/", NULL);
    cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_ABORTED);
    cr_assert(b.ex.aborted);
    exchange_reset(&b.ex);
    guest_request(&b.ex, "/", "1");
    cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
    cr_assert(!b.ex.aborted);
    bench_end(&b);
}

Test(helpers, system)
{
    bench_expect_ok("ZS_ENTRY zs_u64 entry(void)\n"
                    "{\n"
                    "    char t[32];\n"
                    "    zs_u64 r[2] = {0, 0};\n"
                    "    zs_u64 now = zs_now_ms();\n"
                    "    CHECK(now > 1700000000000ull && zs_now_ms() - now < 60000);\n"
                    "    CHECK(is(t, zs_version(t, sizeof t), \"" ZEROSERVE_VERSION "\"));\n"
                    "    CHECK(zs_getrandom(r, 8) == 8 && r[0] != 0 && r[1] == 0);\n"
                    "    CHECK(zs_getrandom(r, 0) == 0);\n"
                    "    OK();\n"
                    "}\n",
                    "/");
}

Test(helpers, memory)
{
    bench_expect_ok("static volatile zs_u64 n16 = 16, n0 = 0;\n"
                    "ZS_ENTRY zs_u64 entry(void)\n"
                    "{\n"
                    "    char a[64], b[64];\n"
                    "    CHECK(zs_memset(a, 0x101, n16) == a && a[0] == 1 && a[15] == 1);\n"
                    "    for (int i = 0; i < 32; i++) a[i] = (char)i;\n"
                    "    CHECK(zs_memcpy(b, a, n16) == b && b[15] == 15);\n"
                    "    CHECK(zs_memcmp(a, b, n16) == 0);\n"
                    "    b[3] = (char)0xff;\n"
                    "    CHECK(zs_memcmp(a, b, n16) < 0 && zs_memcmp(b, a, n16) > 0);\n"
                    "    CHECK(zs_memcmp(a, b, 3 * (n16 / 16)) == 0);\n"
                    "    CHECK(memmove(a + 1, a, n16) == a + 1 && a[1] == 0 && a[16] == 15);\n"
                    "    CHECK(memmove(a, a + 1, n16) == a && a[15] == 15);\n"
                    "    memcpy(b, a, n16);\n"
                    "    CHECK(memcmp(a, b, n16) == 0);\n"
                    "    memset(b, 0, n16);\n"
                    "    CHECK(b[7] == 0);\n"
                    "    CHECK(zs_memcpy(a, a + n16, n16) == a);\n"
                    "    CHECK(zs_memcpy((void *)n0, (void *)n0, n0) == (void *)n0);\n"
                    "    CHECK(zs_memcmp((void *)n0, a, n0) == 0);\n"
                    "    OK();\n"
                    "}\n",
                    "/");
}

Test(helpers, memory_refused)
{
    static const char *const reasons[] = {
        "memory overlaps", "memory overlaps", "not writable", "not readable",
        "not writable",    "not readable",    "not writable", "overlaps another argument",
        "not writable",    "not readable",    "not writable",
    };

    bench_expect_faults("static char data[64];\n"
                        "static const char constant[64] = {1};\n"
                        "static volatile zs_u64 n16 = 16, null = 0, huge = ~0ull;\n"
                        "ZS_ENTRY zs_u64 entry(void)\n"
                        "{\n"
                        "    switch (which()) {\n"
                        "    case 1: zs_memcpy(data, data + 15, n16); break;\n"
                        "    case 2: memcpy(data + 15, data, n16); break;\n"
                        "    case 3: zs_memcpy((void *)constant, data, n16); break;\n"
                        "    case 4: zs_memcpy(data, (void *)null, n16); break;\n"
                        "    case 5: zs_memset((void *)null, 0, n16); break;\n"
                        "    case 6: return zs_memcmp(data, (void *)null, n16);\n"
                        "    case 7: zs_memset(data, 0, huge); break;\n"
                        "    case 8: return zs_req_header(data, n16, data + 8, n16);\n"
                        "    case 9: return zs_req_path((char *)constant, sizeof constant);\n"
                        "    case 10: return zs_log((char *)null, 1);\n"
                        "    case 11: return zs_getrandom((void *)0x100000000ull, 8);\n"
                        "    }\n"
                        "    return 0;\n"
                        "}\n",
                        reasons, COUNT(reasons));
}

Test(helpers, log_lines)
{
    static const char want[] = "[user_log] 42: unit: one two\n"
                               "[user_log] 42: unit: a?b?c????\n"
                               "[user_log] 42: unit: gr\xc3\xbc\xc3\x9f\n"
                               "[user_log] 42: unit: \n"
                               "[user_log] 42: unit: ";

    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;
        const char *log;

        bench_begin(&b,
                    "ZS_ENTRY zs_u64 entry(void)\n"
                    "{\n"
                    "    static char big[513];\n"
                    "    zs_log(TEXT(\"one \"));\n"
                    "    zs_log(\"\", 0);\n"
                    "    zs_log(TEXT(\"two\\na\\x1b\" "
                    "\"b\\0c\\xc2\\x9b\\xff\\r\\ngr\\xc3\\xbc\\xc3\\x9f\\n\\n\"));\n"
                    "    zs_memset(big, 'z', sizeof big);\n"
                    "    zs_log(big, sizeof big);\n"
                    "    zs_log(TEXT(\"end\"));\n"
                    "    return 0;\n"
                    "}\n",
                    interpret);
        guest_request(&b.ex, "/", NULL);
        guest_log_begin();
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_PASS);
        log = guest_log_end();
        cr_assert_eq(strncmp(log, want, sizeof want - 1), 0, "%s", log);
        log += sizeof want - 1;
        cr_assert_eq(strspn(log, "z"), 512);
        cr_assert_str_eq(log + 512, "\n[user_log] 42: unit: zend\n");
        bench_end(&b);
    }
}

Test(helpers, many_log_lines_let_others_run)
{
    struct bench b;
    unsigned pending;
    const char *log;
    unsigned lines = 0;

    bench_begin(&b,
                "static char newlines[300];\n"
                "ZS_ENTRY zs_u64 entry(void)\n"
                "{\n"
                "    zs_memset(newlines, '\\n', sizeof newlines);\n"
                "    return zs_log(newlines, sizeof newlines);\n"
                "}\n",
                false);
    guest_request(&b.ex, "/", NULL);
    guest_log_begin();
    cr_assert_eq(guest_run(b.host, b.set, &b.ex, &pending), SCRIPT_PASS);
    log = guest_log_end();
    while ((log = strchr(log, '\n')) != NULL) {
        log++;
        lines++;
    }
    cr_assert_eq(lines, 300);
    cr_assert_geq(pending, 4);
    bench_end(&b);
}

Test(helpers, peer_addresses)
{
    static const struct {
        const char *ip;
        const char *peer;
        const char *peer_ip;
    } rows[] = {
        {"2001:db8::1", "[2001:db8::1]:80", "2001:db8::1"},
        {"::ffff:192.0.2.1", "192.0.2.1:80", "192.0.2.1"},
    };
    struct bench b;

    bench_begin(
        &b,
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    char t[64];\n"
        "    zs_s64 n = which() == 1 ? zs_req_peer(t, sizeof t) : zs_req_peer_ip(t, sizeof t);\n"
        "    return zs_respond(200, t, n);\n"
        "}\n",
        false);
    for (size_t i = 0; i < 2 * COUNT(rows); i++) {
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)};

        exchange_reset(&b.ex);
        guest_request(&b.ex, "/", i % 2 == 0 ? "1" : "2");
        inet_pton(AF_INET6, rows[i / 2].ip, &v6.sin6_addr);
        memcpy(&b.ex.peer, &v6, sizeof v6);
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
        cr_assert(bench_body_is(&b.ex, i % 2 == 0 ? rows[i / 2].peer : rows[i / 2].peer_ip),
                  "%s: %.*s", rows[i / 2].ip, (int)b.ex.body.bytes.len, b.ex.body.bytes.base);
    }
    bench_end(&b);
}

Test(helpers, bad_target_is_answered_400_after_the_chain)
{
    static const struct {
        const char *x_case;
        enum script_verdict verdict;
        unsigned status;
        const char *path;
    } rows[] = {
        {"1", SCRIPT_RESPONDED, 400, "/old"},
        {"2", SCRIPT_PASS, 0, "/good"},
        {"3", SCRIPT_RESPONDED, 200, "/old"},
        {"4", SCRIPT_RESPONDED, 400, "/good"},
    };
    struct bench b;

    bench_begin(&b,
                "ZS_ENTRY zs_u64 entry(void)\n"
                "{\n"
                "    int n = which();\n"
                "    if (n == 4) zs_req_set_uri(TEXT(\"/good\"));\n"
                "    zs_req_set_uri(TEXT(\"/../up\"));\n"
                "    if (n == 2) zs_req_set_uri(TEXT(\"/good\"));\n"
                "    if (n == 3) zs_respond(200, TEXT(\"x\"));\n"
                "    return 0;\n"
                "}\n",
                false);
    for (size_t i = 0; i < COUNT(rows); i++) {
        exchange_reset(&b.ex);
        guest_request(&b.ex, "/old", rows[i].x_case);
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), rows[i].verdict, "%s", rows[i].x_case);
        cr_assert_eq(b.ex.status, rows[i].status);
        cr_assert(span_equal(b.ex.path, span_of(rows[i].path)));
        cr_assert_eq(b.ex.uri_changed, strcmp(rows[i].path, "/good") == 0);
    }
    bench_end(&b);
}

Test(helpers, table_is_the_list)
{
    uint32_t count;
    const struct vm_helper *table = script_helpers(&count);

    cr_assert_geq(count, 40);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_not_null(table[i].fn, "%s", table[i].name);
        for (uint32_t j = 0; j < i; j++) {
            cr_assert_str_neq(table[i].name, table[j].name);
        }
    }
}
