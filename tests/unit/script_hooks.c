/* SPDX-License-Identifier: Apache-2.0 */
/* Response hooks on both engines: what they see and change, their order, that a fault is rolled
 * back, that they may be pending, and what they must not do. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/support/bench.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEADER                                                                                     \
    "#include <zeroserve.h>\n"                                                                     \
    "#define TEXT(s) s, sizeof s - 1\n"                                                            \
    "#define HOOK(s, f, h) zs_res_hook(TEXT(s), TEXT(f), h)\n"                                     \
    "static ZS_MAYBE_UNUSED zs_s64 any(void) { return zs_json_parse(TEXT(\"7\")); }\n"             \
    "#line 1\n"
#define ENTRY "ZS_ENTRY zs_u64 entry(void)\n"

/* Hooks that the tests name. */
static const char library[] = HEADER
    "ZS_CALL_ENTRY(mark, in)\n"
    "{\n"
    "    char t[64];\n"
    "    zs_s64 n = zs_meta_get(TEXT(\"zs.response.header.x-trace\"), t, sizeof t);\n"
    "    zs_json_read_string(in, t + n, sizeof t - n);\n"
    "    zs_meta_set(TEXT(\"zs.response.header.x-trace\"), ZS_STR(t));\n"
    "    return in;\n"
    "}\n"
    "ZS_CALL_ENTRY(teapot, in)\n"
    "{\n"
    "    if (zs_res_status() == 404) zs_res_set_status(418);\n"
    "    return in;\n"
    "}\n"
    "ZS_CALL_ENTRY(crash, in)\n"
    "{\n"
    "    zs_res_set_status(299);\n"
    "    zs_meta_set(TEXT(\"zs.response.header.x-trace\"), TEXT(\"crashed\"));\n"
    "    zs_meta_set(TEXT(\"more\"), TEXT(\"crashed\"));\n"
    "    zs_res_add_header(TEXT(\"x-added\"), TEXT(\"crashed\"));\n"
    "    zs_res_delete_header(TEXT(\"content-type\"));\n"
    "    return *(volatile zs_s64 *)8 + in;\n"
    "}\n"
    "ZS_CALL_ENTRY(answer, in)\n"
    "{\n"
    "    if (zs_response_pending()) zs_meta_set(TEXT(\"seen\"), TEXT(\"pending\"));\n"
    "    zs_respond(500, TEXT(\"from the hook\"));\n"
    "    zs_abort();\n"
    "    return in;\n"
    "}\n"
    "ZS_CALL_ENTRY(clear, in) { zs_res_hooks_clear(); return in; }\n"
    "ZS_CALL_ENTRY(again, in) { HOOK(\"\", \"again\", in); zs_res_set_status(zs_res_status() + "
    "1); return in; }\n"
    "ZS_CALL_ENTRY(nested, in) { return zs_call(TEXT(\"library\"), TEXT(\"teapot\"), in); }\n"
    "ZS_CALL_ENTRY(spin, in)\n"
    "{\n"
    "    for (int i = 0; i < 200000; i++) zs_now_ms();\n"
    "    zs_res_set_status(202);\n"
    "    return in;\n"
    "}\n"
    "ZS_CALL_ENTRY(forever, in) { for (;;) __asm__ volatile(\"\"); return in; }\n"
    "#define IS(n, want) (zs_res_header(TEXT(n), t, sizeof t) == sizeof want - 1 && "
    "zs_strcmp(t, want) == 0)\n"
    "ZS_CALL_ENTRY(headers, in)\n"
    "{\n"
    "    char t[32];\n"
    "    if (IS(\"Content-Type\", \"text/plain; charset=utf-8\") && IS(\"none\", \"\") &&\n"
    "        IS(\" X-Meta \", \"meta\") && IS(\"x-added\", \"two\") && IS(\"x-gone\", \"\") &&\n"
    "        zs_res_header(TEXT(\"x-meta\"), t, 3) == 3 && zs_strcmp(t, \"me\") == 0)\n"
    "        zs_res_set_status(290);\n"
    "    return in;\n"
    "}\n"
    "ZS_CALL_ENTRY(bad_status, in) { zs_res_set_status(99); return in; }\n"
    "ZS_CALL_ENTRY(bad_name, in) { char t[4]; zs_res_header(\"\", 0, t, 4); return in; }\n";

static void begin(struct bench *b, const char *caller, bool interpret)
{
    static const char *const names[] = {"library", "20-site"};
    const char *const texts[] = {library, caller};
    struct script_options options = {.interpret = interpret, .budget_ms = 300};

    bench_open(b, names, texts, 2, &options);
    guest_request(&b->ex, "/", NULL);
}

/* The scripts let the request pass and somebody answers 404; then the hooks run. */
static unsigned run_to_end(struct bench *b)
{
    enum script_verdict verdict;
    unsigned pending = 0;

    cr_assert_eq(guest_run(b->host, b->set, &b->ex, NULL), SCRIPT_PASS);
    response_error(&b->ex, 404);
    verdict = script_hooks_start(&b->ex);
    while (verdict == SCRIPT_PENDING) {
        pending++;
        verdict = script_chain_resume(&b->ex);
    }
    cr_assert_eq(verdict, SCRIPT_PASS);
    cr_assert_null(b->ex.chain);
    cr_assert(span_equal(b->ex.body.bytes, SPAN("404 Not Found\n")));
    cr_assert(!b->ex.aborted && !b->ex.faulted);
    response_finish(&b->ex);
    return pending;
}

static struct span response_field(const struct bench *b, const char *name)
{
    const struct field *field = field_find(&b->ex.response_fields, span_of(name));

    return field == NULL ? SPAN("") : field->value;
}

#define EXPECT_FIELD(b, name, want)                                                                \
    cr_expect(span_equal(response_field(b, name), SPAN(want)), "%s: %.*s", name,                   \
              (int)response_field(b, name).len, response_field(b, name).base)

static const char order[] =
    HEADER ENTRY "{\n"
                 "    zs_s64 h = zs_json_parse(TEXT(\"\\\"a\\\"\"));\n"
                 "    HOOK(\"library\", \"mark\", h);\n"
                 "    zs_json_set_string(h, TEXT(\"b\\\\\\\"\"));\n"
                 "    HOOK(\" library.o \", \" mark \", h);\n"
                 "    HOOK(\"\", \"own\", h);\n"
                 "    HOOK(\"library\", \"teapot\", h);\n"
                 "    return 0;\n"
                 "}\n"
                 "ZS_CALL_ENTRY(own, in) { zs_res_add_header(TEXT(\"x-own\"), TEXT(\"1\")); return "
                 "in; }\n";

Test(script_hooks, order_and_input)
{
    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;

        begin(&b, order, interpret);
        (void)run_to_end(&b);
        cr_expect_eq(b.ex.status, 418);
        EXPECT_FIELD(&b, "x-trace", "ab\\\"");
        EXPECT_FIELD(&b, "x-own", "1");
        bench_end(&b);
    }
}

static void expect_status(const char *caller, unsigned status)
{
    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;

        begin(&b, caller, interpret);
        (void)run_to_end(&b);
        cr_expect_eq(b.ex.status, status, "%u, not %u", b.ex.status, status);
        bench_end(&b);
    }
}

Test(script_hooks, headers_as_they_will_be_sent)
{
    expect_status(HEADER ENTRY
                  "{\n"
                  "    zs_meta_set(TEXT(\"zs.response.header.X-Meta\"), TEXT(\"meta\"));\n"
                  "    zs_res_add_header(TEXT(\"x-added\"), TEXT(\"one\"));\n"
                  "    zs_res_add_header(TEXT(\"X-Added\"), TEXT(\"two\"));\n"
                  "    zs_res_delete_header(TEXT(\"x-gone\"));\n"
                  "    return HOOK(\"library\", \"headers\", any());\n"
                  "}\n",
                  290);
}

Test(script_hooks, calls_inside_and_hooks_inside)
{
    expect_status(HEADER ENTRY "{ return HOOK(\"library\", \"nested\", any()); }\n", 418);
    expect_status(HEADER ENTRY "{ return HOOK(\"library\", \"again\", any()); }\n", 405);
}

Test(script_hooks, cleared)
{
    expect_status(HEADER ENTRY "{ HOOK(\"library\", \"teapot\", any()); zs_res_hooks_clear(); "
                               "return 0; }\n",
                  404);
    expect_status(HEADER ENTRY "{ HOOK(\"library\", \"clear\", any()); return HOOK(\"library\", "
                               "\"teapot\", any()); }\n",
                  404);
}

Test(script_hooks, fault_is_rolled_back)
{
    static const char *const bad[] = {"crash", "bad_status", "bad_name", "forever", "missing"};
    static const char *const logs[] = {
        "script 'library': read of 0x8",
        "no such status",
        "invalid header name",
        "budget",
        "response hook 'missing' of script 'library': there is no such function (request 42)",
    };

    for (unsigned i = 0; i < 2 * COUNT(bad); i++) {
        char caller[1024];
        struct bench b;
        const char *log;

        snprintf(caller, sizeof caller,
                 HEADER ENTRY "{\n"
                              "    zs_s64 h = zs_json_parse(TEXT(\"\\\"a\\\"\"));\n"
                              "    zs_meta_set(TEXT(\"more\"), TEXT(\"kept\"));\n"
                              "    HOOK(\"library\", \"mark\", h);\n"
                              "    return HOOK(\"library\", \"%s\", h);\n"
                              "}\n",
                 bad[i / 2]);
        begin(&b, caller, i % 2);
        guest_log_begin();
        (void)run_to_end(&b);
        log = guest_log_end();
        cr_expect_eq(b.ex.status, 404, "%s: %u", bad[i / 2], b.ex.status);
        cr_expect_not_null(strstr(log, logs[i / 2]), "%s: %s", bad[i / 2], log);
        EXPECT_FIELD(&b, "x-trace", "a");
        EXPECT_FIELD(&b, "x-added", "");
        EXPECT_FIELD(&b, "content-type", "text/plain; charset=utf-8");
        cr_expect(span_equal(field_find(&b.ex.meta, SPAN("more"))->value, SPAN("kept")));
        bench_end(&b);
    }
}

Test(script_hooks, own_answers_are_dropped)
{
    struct bench b;

    begin(&b, HEADER ENTRY "{ return HOOK(\"library\", \"answer\", any()); }\n", false);
    (void)run_to_end(&b);
    cr_expect_eq(b.ex.status, 404);
    cr_expect_null(field_find(&b.ex.meta, SPAN("seen")));
    bench_end(&b);
}

/* The answer of a script, in memory that a hook must not write over. */
Test(script_hooks, after_a_script_that_answered)
{
    static const char caller[] =
        HEADER ENTRY "{\n"
                     "    HOOK(\"library\", \"answer\", any());\n"
                     "    HOOK(\"library\", \"teapot\", any());\n"
                     "    return zs_respond(404, TEXT(\"of the script, and long\"));\n"
                     "}\n";

    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;

        begin(&b, caller, interpret);
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
        cr_assert_eq(script_hooks_start(&b.ex), SCRIPT_PASS);
        cr_expect_eq(b.ex.status, 418);
        cr_expect(span_equal(b.ex.body.bytes, SPAN("of the script, and long")));
        cr_expect_eq(script_hooks_start(&b.ex), SCRIPT_PASS, "they run once");
        bench_end(&b);
    }
}

Test(script_hooks, pending_and_cancelled)
{
    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;

        begin(&b, HEADER ENTRY "{ return HOOK(\"library\", \"spin\", any()); }\n", interpret);
        cr_expect_gt(run_to_end(&b), 0);
        cr_expect_eq(b.ex.status, 202);
        exchange_reset(&b.ex);
        guest_request(&b.ex, "/", NULL);
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_PASS);
        response_error(&b.ex, 404);
        cr_assert_eq(script_hooks_start(&b.ex), SCRIPT_PENDING);
        script_chain_cancel(&b.ex);
        cr_expect(b.ex.status == 404 && b.ex.body.kind == BODY_BYTES, "%u", b.ex.status);
        bench_end(&b);
    }
}

Test(script_hooks, none_after_a_fault_and_without_scripts)
{
    static const char caller[] =
        HEADER ENTRY "{ HOOK(\"library\", \"teapot\", any()); return *(volatile zs_u64 *)8; }\n";
    struct script_set *empty;
    struct bench b;

    begin(&b, caller, false);
    guest_log_begin();
    cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
    (void)guest_log_end();
    b.ex.status = 404;
    cr_assert_eq(script_hooks_start(&b.ex), SCRIPT_PASS);
    cr_expect_eq(b.ex.status, 404);
    exchange_reset(&b.ex);
    guest_request(&b.ex, "/", NULL);
    empty = guest_set(NULL, NULL, 0, false);
    cr_assert_eq(guest_run(b.host, empty, &b.ex, NULL), SCRIPT_PASS);
    response_error(&b.ex, 404);
    cr_assert_eq(script_hooks_start(&b.ex), SCRIPT_PASS);
    script_set_free(empty);
    bench_end(&b);
}

Test(script_hooks, refused_where_they_are_set)
{
    static const char *const reasons[] = {
        "a response hook has a function",
        "no such JSON handle",
        "too many response hooks",
        "there is no response yet",
        "there is no response yet",
        "there is no response yet",
        "not UTF-8",
    };
    static const char caller[] =
        HEADER ENTRY "{\n"
                     "    char t[8];\n"
                     "    zs_s64 h = any();\n"
                     "    zs_req_header(TEXT(\"x-case\"), t, 8);\n"
                     "    switch (t[0] - '0') {\n"
                     "    case 1: return HOOK(\"library\", \" \", h);\n"
                     "    case 2: return HOOK(\"library\", \"mark\", 5);\n"
                     "    case 3: for (;;) HOOK(\"library\", \"mark\", h);\n"
                     "    case 4: return zs_res_status();\n"
                     "    case 5: return zs_res_set_status(200);\n"
                     "    case 6: return zs_res_header(TEXT(\"a\"), t, 8);\n"
                     "    case 7: return HOOK(\"\\xff\", \"mark\", h);\n"
                     "    }\n"
                     "    return 0;\n"
                     "}\n";

    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;

        begin(&b, caller, interpret);
        for (unsigned i = 0; i < COUNT(reasons); i++) {
            char number[4] = {(char)('1' + i)};
            const char *log;

            exchange_reset(&b.ex);
            guest_request(&b.ex, "/", number);
            guest_log_begin();
            cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
            log = guest_log_end();
            cr_expect(b.ex.status == 500 && b.ex.faulted, "case %u", i + 1);
            cr_expect_not_null(strstr(log, reasons[i]), "case %u: %s", i + 1, log);
        }
        bench_end(&b);
    }
}
