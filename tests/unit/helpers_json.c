/* SPDX-License-Identifier: Apache-2.0 */
/* JSON handles on both engines: reading, building, replacing through several handles, what is
 * malformed, and the bounds on memory, handles and depth. */
#include <criterion/criterion.h>

#include "tests/support/bench.h"

Test(helpers_json, reading)
{
    bench_expect_ok(
        "#define GET(h, k) zs_json_get(h, TEXT(k))\n"
        "static const char doc[] = "
        "\"{\\\"s\\\":\\\"gr\\\\u00fc\\\\u00df\\\",\\\"n\\\":-7,\\\"b\\\":true,\"\n"
        "    "
        "\"\\\"r\\\":1.5,\\\"z\\\":null,\\\"a\\\":[10,{\\\"in\\\":false}],\\\"nul\\\":"
        "\\\"a\\\\u0000b\\\"}\";\n"
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    char t[16];\n"
        "    zs_s64 n = 0;\n"
        "    zs_u8 b = 9;\n"
        "    zs_s64 h = zs_json_parse(TEXT(doc));\n"
        "    CHECK(h == 1 && zs_json_type(h) == ZS_JSON_OBJECT && zs_json_len(h) == 7);\n"
        "    CHECK(is(t, zs_json_read_string(GET(h, \" s \"), t, sizeof t), "
        "\"gr\\xc3\\xbc\\xc3\\x9f\"));\n"
        "    CHECK(zs_json_read_string(GET(h, \"s\"), t, 3) == 3 && zs_strcmp(t, \"gr\") == 0);\n"
        "    CHECK(zs_json_read_string(h, t, sizeof t) == -1 && t[0] == 0);\n"
        "    CHECK(zs_json_read_i64(GET(h, \"n\"), &n, 8) == 8 && n == -7);\n"
        "    CHECK(zs_json_read_i64(GET(h, \"r\"), &n, 8) == -1 && n == -7);\n"
        "    CHECK(zs_json_read_bool(GET(h, \"b\"), &b, 1) == 1 && b == 1);\n"
        "    CHECK(zs_json_read_bool(GET(h, \"n\"), &b, 1) == -1);\n"
        "    CHECK(zs_json_type(GET(h, \"z\")) == ZS_JSON_NULL);\n"
        "    CHECK(zs_json_type(GET(h, \"b\")) == ZS_JSON_BOOL);\n"
        "    CHECK(zs_json_type(GET(h, \"r\")) == ZS_JSON_NUMBER);\n"
        "    CHECK(zs_json_type(GET(h, \"s\")) == ZS_JSON_STRING);\n"
        "    CHECK(zs_json_len(GET(h, \"nul\")) == 3 && zs_json_len(GET(h, \"n\")) == -1);\n"
        "    CHECK(GET(h, \"none\") == -1 && zs_json_get(h, 0, 0) == -1);\n"
        "    zs_s64 a = GET(h, \"a\");\n"
        "    CHECK(zs_json_type(a) == ZS_JSON_ARRAY && zs_json_len(a) == 2);\n"
        "    CHECK(zs_json_array_get(a, 2) == -1 && zs_json_array_get(a, ~0ull) == -1);\n"
        "    CHECK(zs_json_array_get(h, 0) == -1 && GET(a, \"in\") == -1);\n"
        "    zs_s64 in = GET(zs_json_array_get(a, 1), \"in\");\n"
        "    CHECK(zs_object_free(h) == 0 && zs_json_read_bool(in, &b, 1) == 1 && b == 0);\n"
        "    CHECK(zs_json_reset(in) == 0 && zs_json_len(in) == 7);\n"
        "    OK();\n"
        "}\n",
        "/");
}

Test(helpers_json, malformed)
{
    bench_expect_ok(
        "static char deep[200];\n"
        "#define BAD(s) (zs_json_parse(TEXT(s)) == -1)\n"
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    CHECK(BAD(\"\") && BAD(\"{\") && BAD(\"[1,]\") && BAD(\"[1] x\") && BAD(\"nul\"));\n"
        "    CHECK(BAD(\"[99999999999999999999]\") && BAD(\"[1e999]\") && BAD(\"[01]\"));\n"
        "    CHECK(BAD(\"[\\\"\\xff\\\"]\") && BAD(\"[\\\"\\\\ud800\\\"]\") && "
        "BAD(\"{\\\"a\\\\u0000\\\":1}\"));\n"
        "    CHECK(zs_json_parse(0, 0) == -1 && BAD(\"[\\\"\\\\\") && BAD(\"\\0\"));\n"
        "    zs_memset(deep, '[', 65);\n"
        "    zs_memset(deep + 65, ']', 65);\n"
        "    CHECK(zs_json_parse(deep, 130) == -1);\n"
        "    zs_s64 h = zs_json_parse(deep + 1, 128);\n"
        "    CHECK(h == 1 && zs_json_clone(h) == 2 && zs_json_respond(200, h) == 0);\n"
        "    CHECK(zs_object_free(h) == 0 && zs_json_type(zs_json_parse(TEXT(\" 12 \"))) == 2);\n"
        "    OK();\n"
        "}\n",
        "/");
}

Test(helpers_json, building_and_replacing)
{
    bench_expect_ok(
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    char t[8];\n"
        "    zs_s64 n;\n"
        "    zs_s64 o = zs_json_new_object();\n"
        "    zs_s64 a = zs_json_new_array();\n"
        "    zs_s64 v = zs_json_parse(TEXT(\"null\"));\n"
        "    CHECK(zs_json_array_push(a, v) == 1 && zs_json_array_push(a, v) == 2);\n"
        "    CHECK(zs_json_array_push(o, v) == -1 && zs_json_set(a, TEXT(\"k\"), v) == -1);\n"
        "    CHECK(zs_json_array_set(a, 2, v) == -1 && zs_json_array_set(o, 0, v) == -1);\n"
        "    CHECK(zs_json_set_i64(v, -5) == 0 && zs_json_array_set(a, 0, v) == 0);\n"
        "    CHECK(zs_json_set(o, TEXT(\"list\"), a) == 0 && zs_json_set(o, TEXT(\"me\"), o) == "
        "0);\n"
        "    CHECK(zs_json_len(o) == 2);\n"
        "    zs_s64 list = zs_json_get(o, TEXT(\"list\"));\n"
        "    zs_s64 x = zs_json_array_get(list, 1), y = zs_json_array_get(list, 1);\n"
        "    zs_s64 first = zs_json_array_get(list, 0);\n"
        "    CHECK(zs_json_set_string(x, TEXT(\"hi\")) == 0);\n"
        "    CHECK(is(t, zs_json_read_string(y, t, sizeof t), \"hi\"));\n"
        "    CHECK(zs_json_set_bool(y, 2) == 0 && zs_json_type(x) == ZS_JSON_BOOL);\n"
        "    CHECK(zs_json_read_i64(first, &n, 8) == 8 && n == -5);\n"
        "    CHECK(zs_json_array_get(a, 1) > 0 && zs_json_type(zs_json_array_get(a, 1)) == 0);\n"
        "    CHECK(zs_json_remove(o, TEXT(\"me\")) == 0 && zs_json_remove(o, TEXT(\"me\")) == "
        "-1);\n"
        "    CHECK(zs_json_set_null(list) == 0 && zs_json_set_i64(x, 1) == 0);\n"
        "    CHECK(zs_json_type(zs_json_get(o, TEXT(\"list\"))) == ZS_JSON_NULL);\n"
        "    zs_s64 same = zs_json_get(o, TEXT(\"list\"));\n"
        "    CHECK(zs_json_reset(same) == 0 && zs_json_set_i64(o, 3) == 0);\n"
        "    CHECK(zs_json_read_i64(same, &n, 8) == 8 && n == 3);\n"
        "    for (int i = 0; i < 1000; i++)\n"
        "        if (zs_object_free(zs_json_parse(TEXT(\"[[1,2],\\\"x\\\"]\"))) != 0) return 0;\n"
        "    OK();\n"
        "}\n",
        "/");
}

Test(helpers_json, respond)
{
    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;
        const struct field *type;

        bench_begin(&b,
                    "ZS_ENTRY zs_u64 entry(void)\n"
                    "{\n"
                    "    zs_s64 h = zs_json_parse(TEXT(\"{ \\\"a\\\" : [1, \\\"\\\\n\\\"] }\"));\n"
                    "    zs_respond(500, TEXT(\"never sent\"));\n"
                    "    return zs_json_respond(201, h);\n"
                    "}\n",
                    interpret);
        guest_request(&b.ex, "/", NULL);
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
        cr_assert_eq(b.ex.status, 201);
        cr_assert(bench_body_is(&b.ex, "{\"a\":[1,\"\\n\"]}"));
        type = field_find(&b.ex.response_fields, SPAN("content-type"));
        cr_assert(type != NULL && span_equal(type->value, SPAN("application/json")));
        bench_end(&b);
    }
}

Test(helpers_json, refused)
{
    static const char *const reasons[] = {
        "no such JSON handle",
        "no such JSON handle",
        "no such JSON handle",
        "no such JSON handle",
        "too many JSON handles",
        "too much memory for JSON",
        "too much memory for JSON",
        "too much memory for JSON",
        "JSON is nested too deeply",
        "a number has 8 bytes",
        "a bool has 1 byte",
        "no such status",
        "not readable",
        "no such JSON handle",
    };

    bench_expect_faults(
        "static char big[300000];\n"
        "static volatile zs_u64 null = 0;\n"
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    int n = which();\n"
        "    if (n == 1) return zs_json_type(1);\n"
        "    zs_s64 h = zs_json_new_array();\n"
        "    switch (n) {\n"
        "    case 2: zs_object_free(h); zs_json_new_array(); return zs_json_len(h);\n"
        "    case 3: return zs_json_get(0, TEXT(\"a\"));\n"
        "    case 4: return zs_object_free(-1);\n"
        "    case 5: for (;;) zs_json_clone(h);\n"
        "    case 6: for (;;) zs_json_array_push(h, h);\n"
        "    case 7: zs_memset(big, ' ', sizeof big); return zs_json_parse(big, sizeof big);\n"
        "    case 8: zs_memset(big, 'x', sizeof big); return zs_json_set_string(h, big, sizeof "
        "big);\n"
        "    case 9:\n"
        "        for (;;) {\n"
        "            zs_s64 o = zs_json_new_array();\n"
        "            zs_json_array_push(o, h);\n"
        "            zs_object_free(h);\n"
        "            h = o;\n"
        "        }\n"
        "    case 10: return zs_json_read_i64(h, big, 4);\n"
        "    case 11: return zs_json_read_bool(h, big, 0);\n"
        "    case 12: return zs_json_respond(65536, h);\n"
        "    case 13: return zs_json_parse((void *)null, 1);\n"
        "    case 14: return zs_json_array_push(h, h + 1);\n"
        "    }\n"
        "    return 0;\n"
        "}\n",
        reasons, COUNT(reasons));
}

Test(helpers_json, many_parses_fit_because_freeing_credits)
{
    struct bench b;

    bench_begin(&b,
                "static char text[60000];\n"
                "ZS_ENTRY zs_u64 entry(void)\n"
                "{\n"
                "    zs_memset(text, 'x', sizeof text);\n"
                "    text[0] = text[sizeof text - 1] = '\"';\n"
                "    zs_s64 kept = zs_json_parse(text, 1000);\n"
                "    for (int i = 0; i < 20; i++)\n"
                "        zs_object_free(zs_json_parse(text, sizeof text));\n"
                "    CHECK(kept == -1 && zs_json_parse(text, sizeof text) == 21);\n"
                "    OK();\n"
                "}\n",
                false);
    guest_request(&b.ex, "/", NULL);
    cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
    cr_assert(bench_body_is(&b.ex, "ok"), "%.*s", (int)b.ex.body.bytes.len, b.ex.body.bytes.base);
    bench_end(&b);
}

Test(helpers_json, cancelled_chain_leaves_nothing)
{
    struct bench b;

    bench_begin(&b,
                "ZS_ENTRY zs_u64 entry(void)\n"
                "{\n"
                "    zs_json_parse(TEXT(\"[1,[2,\\\"three\\\"]]\"));\n"
                "    for (;;) zs_now_ms();\n"
                "}\n",
                false);
    guest_request(&b.ex, "/", NULL);
    cr_assert_eq(script_chain_start(b.host, b.set, &b.ex), SCRIPT_PENDING);
    script_chain_cancel(&b.ex);
    bench_end(&b); /* the address sanitizer says what is left */
}
