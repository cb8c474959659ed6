/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts that call each other, on both engines: what is passed and returned, what is kept apart,
 * how deep, what a fault does, that all share one budget, that nobody waits for ever. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/support/bench.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEADER                                                                                     \
    "#include <zeroserve.h>\n"                                                                     \
    "#define TEXT(s) s, sizeof s - 1\n"                                                            \
    "#define CALL(s, f, h) zs_call(TEXT(s), TEXT(f), h)\n"                                         \
    "#define CHECK(x) do { if (!(x)) { zs_respond(400 + __LINE__, \"\", 0); return 0; } } "        \
    "while (0)\n"                                                                                  \
    "static ZS_MAYBE_UNUSED zs_s64 num(zs_s64 h)\n"                                                \
    "{ zs_s64 n = -99; zs_json_read_i64(h, &n, 8); return n; }\n"                                  \
    "static ZS_MAYBE_UNUSED zs_s64 make(zs_s64 n)\n"                                               \
    "{ zs_s64 h = zs_json_parse(TEXT(\"0\")); zs_json_set_i64(h, n); return h; }\n"                \
    "#line 1\n"
#define ENTRY "ZS_ENTRY zs_u64 entry(void)\n"
#define OK    "zs_respond(200, TEXT(\"ok\")); return 0;\n"

/* What the others call. */
static const char library[] =
    HEADER "static volatile int calls;\n"
           "ZS_CALL_ENTRY(same, in) { return in; }\n"
           "ZS_CALL_ENTRY(next, in) { zs_json_set_i64(in, num(in) + 1); calls++; return in; }\n"
           "ZS_CALL_ENTRY(count, in) { (void)in; return make(++calls); }\n"
           "ZS_CALL_ENTRY(member, in) { return zs_json_get(in, TEXT(\"k\")); }\n"
           "ZS_CALL_ENTRY(fresh, in) { return make(in * 100 + zs_json_new_array()); }\n"
           "ZS_CALL_ENTRY(minus, in) { (void)in; return -5; }\n"
           "ZS_CALL_ENTRY(zero, in) { (void)in; return 0; }\n"
           "ZS_CALL_ENTRY(bogus, in) { return in + 7; }\n"
           "ZS_CALL_ENTRY(fault, in) { return *(volatile zs_s64 *)8 + in; }\n"
           "ZS_CALL_ENTRY(answer, in)\n"
           "{\n"
           "    if (zs_response_pending()) return -1;\n"
           "    zs_respond(503, TEXT(\"callee\"));\n"
           "    zs_meta_set(TEXT(\"zs.response.header.x-callee\"), TEXT(\"yes\"));\n"
           "    zs_abort();\n"
           "    zs_log(TEXT(\"from the callee\"));\n"
           "    return in;\n"
           "}\n"
           "ZS_CALL_ENTRY(deeper, in)\n"
           "{\n"
           "    zs_s64 n = num(in);\n"
           "    zs_json_set_i64(in, n + 1);\n"
           "    zs_s64 out = CALL(\"library\", \"deeper\", in);\n"
           "    return out < 0 ? in : out;\n"
           "}\n"
           "ZS_CALL_ENTRY(spin, in) { for (int i = 0; i < 200000; i++) zs_now_ms(); return in; }\n"
           "ZS_CALL_ENTRY(forever, in) { for (;;) __asm__ volatile(\"\"); return in; }\n";

static void begin(struct bench *b, const char *caller, bool interpret, uint32_t budget_ms)
{
    static const char *const names[] = {"library", "20-caller"};
    const char *const texts[] = {library, caller};
    struct script_options options = {.interpret = interpret, .budget_ms = budget_ms};

    bench_open(b, names, texts, 2, &options);
    guest_request(&b->ex, "/", NULL);
}

/* The caller answers 200, on both engines. */
static void expect_ok(const char *caller)
{
    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;

        begin(&b, caller, interpret, 2000);
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
        cr_assert_eq(b.ex.status, 200, "engine %d, line %u", interpret, b.ex.status - 400);
        bench_end(&b);
    }
}

Test(script_call, values_go_both_ways)
{
    expect_ok(HEADER ENTRY
              "{\n"
              "    CHECK(num(CALL(\"library\", \"next\", make(41))) == 42);\n"
              "    CHECK(num(CALL(\"library.o\", \"next\", make(-2))) == -1);\n"
              "    CHECK(num(zs_call(TEXT(\" library \"), TEXT(\"\\tnext\"), make(1))) == 2);\n"
              "    zs_s64 doc = zs_json_parse(TEXT(\"{\\\"k\\\":[1,{\\\"a\\\":\\\"b\\\"}]}\"));\n"
              "    zs_s64 in = zs_json_get(doc, TEXT(\"k\"));\n"
              "    CHECK(zs_json_len(CALL(\"library\", \"member\", doc)) == 2);\n"
              "    zs_s64 copy = CALL(\"library\", \"same\", in);\n"
              "    CHECK(copy > 0 && copy != in && zs_json_len(copy) == 2);\n"
              "    zs_json_array_push(copy, in);\n"
              "    CHECK(zs_json_len(copy) == 3 && zs_json_len(in) == 2);\n"
              "    CHECK(zs_json_reset(copy) == 0 && zs_json_len(copy) == 3);\n" OK "}\n");
}

Test(script_call, each_call_is_fresh)
{
    expect_ok(HEADER ENTRY "{\n"
                           "    zs_s64 one = make(1);\n"
                           "    for (int i = 0; i < 3; i++) {\n"
                           "        zs_s64 n = CALL(\"library\", \"count\", one);\n"
                           "        CHECK(num(n) == 1);\n"
                           "        zs_object_free(n);\n"
                           "    }\n"
                           "    CHECK(num(CALL(\"library\", \"fresh\", one)) == 102);\n"
                           "    CHECK(num(one) == 1);\n" OK "}\n");
}

Test(script_call, what_cannot_be_done_is_minus_one)
{
    static const char caller[] = HEADER ENTRY
        "{\n"
        "    zs_s64 one = make(1);\n"
        "    CHECK(CALL(\"nobody\", \"next\", one) == -1);\n"
        "    CHECK(CALL(\"library\", \"nothing\", one) == -1);\n"
        "    CHECK(CALL(\"library\", \"\", one) == -1 && CALL(\"\", \"next\", one) == -1);\n"
        "    CHECK(CALL(\"20-caller\", \"entry\", one) == -1);\n"
        "    CHECK(CALL(\"library\", \"minus\", one) == -1);\n"
        "    CHECK(CALL(\"library\", \"zero\", one) == -1);\n"
        "    CHECK(CALL(\"library\", \"bogus\", one) == -1);\n"
        "    CHECK(CALL(\"library\", \"fault\", one) == -1);\n"
        "    static char big[5000];\n"
        "    zs_memset(big, 'x', sizeof big);\n"
        "    CHECK(zs_call(TEXT(\"library\"), big, sizeof big, one) == -1);\n"
        "    CHECK(zs_call(big, sizeof big, TEXT(\"next\"), one) == -1);\n"
        "    CHECK(num(CALL(\"library\", \"next\", one)) == 2);\n" OK "}\n";
    const char *log;

    guest_log_begin();
    expect_ok(caller);
    log = guest_log_end();
    cr_expect_not_null(strstr(log, "script 'library': read of 0x8"), "%s", log);
}

Test(script_call, eight_deep)
{
    expect_ok(HEADER ENTRY "{ CHECK(num(CALL(\"library\", \"deeper\", make(0))) == 8); " OK "}\n");
}

Test(script_call, answers_of_the_callee_are_dropped)
{
    static const char caller[] =
        HEADER ENTRY "{\n"
                     "    char t[8];\n"
                     "    zs_respond(201, TEXT(\"first\"));\n"
                     "    CHECK(num(CALL(\"library\", \"answer\", make(3))) == 3);\n"
                     "    CHECK(zs_response_pending() == 1);\n"
                     "    CHECK(zs_meta_get(TEXT(\"zs.response.header.x-callee\"), t, 8) == 3);\n"
                     "    return 0;\n"
                     "}\n";

    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;
        const char *log;

        begin(&b, caller, interpret, 2000);
        guest_log_begin();
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
        log = guest_log_end();
        cr_expect(b.ex.status == 201 && span_equal(b.ex.body.bytes, SPAN("first")), "%u",
                  b.ex.status);
        cr_expect(!b.ex.aborted);
        cr_expect_not_null(strstr(log, "[user_log] 42: library: from the callee"), "%s", log);
        bench_end(&b);
    }
}

Test(script_call, faults)
{
    static const char *const reasons[] = {
        "no such JSON handle",       "no such JSON handle", "not UTF-8",
        "is not readable",           "too many JSON",       "too much memory",
        "no processor time is left",
    };
    static const char caller[] =
        HEADER ENTRY "{\n"
                     "    char t[8];\n"
                     "    zs_req_header(TEXT(\"x-case\"), t, 8);\n"
                     "    zs_s64 one = make(1);\n"
                     "    switch (t[0] - '0') {\n"
                     "    case 1: return CALL(\"library\", \"next\", 99);\n"
                     "    case 2: return CALL(\"nobody\", \"next\", 0);\n"
                     "    case 3: return CALL(\"\\xff\", \"next\", one);\n"
                     "    case 4: return zs_call((char *)8, 4, TEXT(\"next\"), one);\n"
                     "    case 5: for (;;) CALL(\"library\", \"next\", one);\n"
                     "    case 6:\n"
                     "        one = zs_json_new_array();\n"
                     "        for (int i = 0; i < 10; i++) zs_json_array_push(one, one);\n"
                     "        for (;;) CALL(\"library\", \"same\", one);\n"
                     "    case 7: for (;;) zs_object_free(CALL(\"library\", \"next\", one));\n"
                     "    }\n"
                     "    return 0;\n"
                     "}\n";

    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;

        begin(&b, caller, interpret, 100);
        for (unsigned i = 0; i < COUNT(reasons); i++) {
            char number[4] = {(char)('1' + i)};
            const char *log;

            exchange_reset(&b.ex);
            guest_request(&b.ex, "/", number);
            guest_log_begin();
            cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
            log = guest_log_end();
            cr_expect(b.ex.status == 500 && b.ex.faulted, "case %u", i + 1);
            /* The last may also be ended by a tick. */
            cr_expect(strstr(log, reasons[i]) != NULL ||
                          (i + 1 == COUNT(reasons) && strstr(log, "budget") != NULL),
                      "case %u on engine %d: %s", i + 1, interpret, log);
        }
        bench_end(&b);
    }
}

Test(script_call, callee_yields_and_may_be_cancelled)
{
    static const char caller[] =
        HEADER ENTRY "{ CHECK(num(CALL(\"library\", \"spin\", make(7))) == 7); " OK "}\n";

    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;
        unsigned pending;

        begin(&b, caller, interpret, 20000);
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, &pending), SCRIPT_RESPONDED);
        cr_expect_eq(b.ex.status, 200);
        cr_expect_gt(pending, 0);
        exchange_reset(&b.ex);
        guest_request(&b.ex, "/", NULL);
        cr_assert_eq(script_chain_start(b.host, b.set, &b.ex), SCRIPT_PENDING);
        script_chain_cancel(&b.ex);
        cr_expect(b.ex.chain == NULL && b.ex.status == 0);
        bench_end(&b);
    }
}

Test(script_call, callee_has_the_budget_of_the_request)
{
    static const char caller[] =
        HEADER ENTRY "{ for (;;) CALL(\"library\", \"forever\", make(7)); }\n";

    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;
        const char *log;

        begin(&b, caller, interpret, 30);
        guest_log_begin();
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
        log = guest_log_end();
        cr_expect(b.ex.status == 500 && b.ex.faulted);
        cr_expect_not_null(strstr(log, "script 'library': "), "%s", log);
        cr_expect_not_null(strstr(log, "script '20-caller': "), "%s", log);
        bench_end(&b);
    }
}

/* As many requests as there are arenas, each with a call to make: some calls are refused, and all
 * requests end. */
Test(script_call, nobody_waits_for_ever)
{
    enum { REQUESTS = 70 };
    static const char caller[] = HEADER ENTRY
        "{\n"
        "    for (int i = 0; i < 200000; i++) zs_now_ms();\n"
        "    zs_respond(CALL(\"library\", \"next\", make(1)) > 0 ? 200 : 503, \"\", 0);\n"
        "    return 0;\n"
        "}\n";
    struct exchange *all = calloc(REQUESTS, sizeof *all);
    unsigned answers[2] = {0};
    unsigned left = REQUESTS;
    struct bench b;

    begin(&b, caller, false, 60000);
    for (unsigned i = 0; i < REQUESTS; i++) {
        exchange_init(&all[i]);
        guest_request(&all[i], "/", NULL);
        left -= script_chain_start(b.host, b.set, &all[i]) != SCRIPT_PENDING;
    }
    cr_assert_gt(left, 0);
    for (unsigned round = 0; left > 0; round++) {
        cr_assert_lt(round, 100000);
        for (unsigned i = 0; i < REQUESTS; i++) {
            left -= all[i].chain != NULL && script_chain_resume(&all[i]) != SCRIPT_PENDING;
        }
    }
    for (unsigned i = 0; i < REQUESTS; i++) {
        cr_expect(all[i].status == 200 || all[i].status == 503, "%u", all[i].status);
        answers[all[i].status == 200]++;
        exchange_free(&all[i]);
    }
    cr_expect_gt(answers[1], 0);
    free(all);
    bench_end(&b);
}

/* ---- init ---- */

static bool init(const char *const *texts, unsigned count, bool interpret, char error[256])
{
    static const char *const names[] = {"10-a", "20-b"};
    struct script_options options = {.interpret = interpret, .budget_ms = 50};
    struct script_set *set = guest_set_with(names, texts, count, &options);
    bool fine = script_set_init(set, &options, error, 256);

    script_set_free(set);
    return fine;
}

Test(script_call, init_runs_in_order_of_names)
{
    const char *const texts[] = {
        HEADER "ZS_INIT_ENTRY(z) { zs_log(TEXT(\"z\\n\")); return zs_json_new_object(); }\n"
               "ZS_INIT_ENTRY(b) { zs_log(TEXT(\"b\\n\")); return -3; }\n" ENTRY
               "{ zs_log(TEXT(\"never\\n\")); return 0; }\n",
        HEADER "ZS_CALL_ENTRY(f, in) { zs_log(TEXT(\"called\\n\")); return in; }\n"
               "ZS_INIT_ENTRY(a)\n"
               "{\n"
               "    char t[8] = \"x\";\n"
               "    zs_s64 n = zs_req_path(t, 8) + zs_req_body(t, 8) + zs_req_peer(t, 8);\n"
               "    if (n == 0 && CALL(\"20-b\", \"f\", make(1)) > 0) zs_log(TEXT(\"a\\n\"));\n"
               "    zs_respond(500, TEXT(\"nobody asked\"));\n"
               "    return 0;\n"
               "}\n"};

    for (int interpret = 0; interpret < 2; interpret++) {
        char error[256] = "";
        const char *log;
        bool fine;

        guest_log_begin();
        fine = init(texts, 2, interpret, error);
        log = guest_log_end();
        cr_expect(fine, "%s", error);
        cr_expect_str_eq(log, "[user_log] 0: 10-a: b\n"
                              "script '10-a': zeroserve.init.b returned -3\n"
                              "[user_log] 0: 10-a: z\n"
                              "[user_log] 0: 20-b: called\n"
                              "[user_log] 0: 20-b: a\n");
    }
}

Test(script_call, init_that_faults_is_told_in_one_line)
{
    static const char *const bad[] = {
        HEADER "ZS_INIT_ENTRY(setup) { return *(volatile zs_s64 *)8; }\n",
        HEADER "ZS_INIT_ENTRY(setup) { for (;;) __asm__ volatile(\"\"); return 0; }\n",
        HEADER "ZS_INIT_ENTRY(setup) { return zs_json_type(5); }\n",
    };
    static const char *const reasons[] = {"read of 0x8 in ", "budget", "no such JSON handle"};

    for (unsigned i = 0; i < 2 * COUNT(bad); i++) {
        char error[256] = "";
        const char *log;
        bool fine;

        guest_log_begin();
        fine = init(&bad[i / 2], 1, i % 2, error);
        log = guest_log_end();
        cr_expect(!fine);
        cr_expect_str_eq(log, "");
        cr_expect_not_null(strstr(error, "script '10-a': zeroserve.init.setup: "), "%s", error);
        cr_expect_not_null(strstr(error, reasons[i / 2]), "%s", error);
        cr_expect_null(strchr(error, '\n'));
    }
}
