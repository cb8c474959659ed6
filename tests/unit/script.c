/* SPDX-License-Identifier: Apache-2.0 */
/* Script sets and chains: what loads, the order of scripts, when a chain stops, what a fault does
 * to the request, that no script keeps the thread. On both engines where the engine could matter.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/support/bench.h"

#define HEADER     "#include <zeroserve.h>\n"
#define ENTRY      "ZS_ENTRY zs_u64 entry(void)\n"

/* Appends a letter to metadata "trace". */
#define MARK                                                                                       \
    HEADER "static ZS_MAYBE_UNUSED void mark(const char *letter)\n"                                \
           "{\n"                                                                                   \
           "    char text[32];\n"                                                                  \
           "    zs_s64 n = zs_meta_get(\"trace\", 5, text, sizeof text);\n"                        \
           "    text[n] = letter[0];\n"                                                            \
           "    zs_meta_set(\"trace\", 5, text, n + 1);\n"                                         \
           "}\n"

static const char mark_a[] = MARK ENTRY "{ mark(\"a\"); return 0; }\n";
static const char mark_b[] = MARK ENTRY "{ mark(\"b\"); return 7; }\n";
static const char answer[] = MARK ENTRY "{ mark(\"r\"); zs_respond(403, \"no\", 2); return 0; }\n";
static const char endless[] = HEADER ENTRY "{ for (;;) __asm__ volatile(\"\"); }\n";

static struct script_host *make_host(bool interpret, uint32_t budget_ms)
{
    struct script_options options = {.interpret = interpret, .budget_ms = budget_ms};
    char error[256];
    struct script_host *host = script_host_create(&options, error, sizeof error);

    cr_assert_not_null(host, "%s", error);
    return host;
}

static void begin(struct bench *b, const char *const *texts, unsigned count, bool interpret)
{
    static const char *const names[] = {"10-first", "20-second", "30-third"};

    bench_open(b, names, texts, count, &(struct script_options){.interpret = interpret});
    guest_request(&b->ex, "/x", NULL);
}

static bool trace_is(const struct exchange *ex, const char *text)
{
    const struct field *trace = field_find(&ex->meta, SPAN("trace"));

    return trace != NULL && span_equal(trace->value, span_of(text));
}

Test(script, chain_runs_in_order_and_shares_metadata)
{
    const char *const texts[] = {mark_a, mark_b, mark_a};

    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;

        begin(&b, texts, 3, interpret);
        cr_assert_eq(script_set_count(b.set), 3);
        cr_assert_str_eq(script_set_name(b.set, 1), "20-second");
        cr_assert_gt(script_set_code_bytes(b.set, 1), 0);
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_PASS);
        cr_assert(trace_is(&b.ex, "aba"));
        cr_assert_eq(b.ex.status, 0);
        bench_end(&b);
    }
}

Test(script, chain_stops_after_the_script_that_responded)
{
    const char *const texts[] = {mark_a, answer, mark_b};
    struct bench b;

    begin(&b, texts, 3, false);
    cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
    cr_assert(trace_is(&b.ex, "ar"));
    cr_assert_eq(b.ex.status, 403);
    cr_assert(span_equal(b.ex.body.bytes, SPAN("no")));
    cr_assert(!b.ex.faulted);
    bench_end(&b);
}

Test(script, entries_of_one_script_run_by_address)
{
    const char *const texts[] = {MARK "ZS_ENTRY zs_u64 z(void) { mark(\"1\"); return 0; }\n"
                                      "ZS_ENTRY zs_u64 a(void) { mark(\"2\"); return 0; }\n"
                                      "ZS_ENTRY zs_u64 m(void) { mark(\"3\"); return 0; }\n",
                                 mark_b};
    struct bench b;

    begin(&b, texts, 2, false);
    cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_PASS);
    cr_assert(trace_is(&b.ex, "123b"));
    bench_end(&b);
}

Test(script, variables_are_pristine_at_each_invocation)
{
    const char *const texts[] = {HEADER "static volatile int data = 5, bss;\n" ENTRY
                                        "{ return zs_respond(200 + data++ + bss++, \"\", 0); }\n"};

    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;

        begin(&b, texts, 1, interpret);
        for (int i = 0; i < 3; i++) {
            exchange_reset(&b.ex);
            guest_request(&b.ex, "/", NULL);
            cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
            cr_assert_eq(b.ex.status, 205);
        }
        bench_end(&b);
    }
}

Test(script, fault_fails_closed_and_says_where)
{
    const char *const texts[] = {
        mark_a,
        HEADER "static __attribute__((noinline)) int check_token(volatile int *p) { return *p; }\n"
               "static int *volatile where;\n" ENTRY
               "{ zs_respond(200, \"fine\", 4); zs_abort(); return check_token(where); }\n",
        mark_b,
    };

    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;
        const char *log;

        begin(&b, texts, 3, interpret);
        guest_log_begin();
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
        log = guest_log_end();
        cr_assert(trace_is(&b.ex, "a"));
        cr_assert(b.ex.status == 500 && b.ex.faulted && !b.ex.aborted);
        cr_assert_eq(b.ex.body.kind, BODY_NONE);
        cr_assert_eq(b.ex.response_fields.count, 0);
        cr_assert_eq(strncmp(log, "script '20-second': read of 0x0 in ", 35), 0, "%s", log);
        cr_assert_not_null(strstr(log, "instruction "), "%s", log);
        cr_assert_not_null(strstr(log, " (request 42)\n"), "%s", log);
        bench_end(&b);
    }
}

Test(script, endless_loop_lets_others_run_and_is_killed)
{
    const char *const texts[] = {endless, mark_a};

    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;
        unsigned pending;
        const char *log;

        begin(&b, texts, 2, interpret);
        guest_log_begin();
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, &pending), SCRIPT_RESPONDED);
        log = guest_log_end();
        cr_assert_geq(pending, 5);
        cr_assert(b.ex.status == 500 && b.ex.faulted);
        cr_assert_not_null(strstr(log, "script '10-first': CPU budget spent"), "%s", log);
        cr_assert_null(field_find(&b.ex.meta, SPAN("trace")));
        bench_end(&b);
    }
}

/* x-case says how many millions of rounds: enough for several ticks on either engine. */
Test(script, preempted_script_goes_on_where_it_was)
{
    static const char *const name = "sum";
    const char *const texts[] = {
        HEADER ENTRY
        "{\n"
        "    char c[2];\n"
        "    zs_u64 sum = 0, rounds;\n"
        "    zs_req_header(\"x-case\", 6, c, sizeof c);\n"
        "    rounds = (zs_u64)(c[0] - '0') * 10000000;\n"
        "    for (zs_u64 i = 0; i < rounds; i++) {\n"
        "        sum += i;\n"
        "        __asm__ volatile(\"\" : \"+r\"(sum));\n"
        "    }\n"
        "    return zs_respond(sum == rounds / 2 * (rounds - 1) ? 200 : 404, \"\", 0);\n"
        "}\n"};

    for (int interpret = 0; interpret < 2; interpret++) {
        struct script_set *set = guest_set(&name, texts, 1, interpret);
        struct script_host *host = make_host(interpret, 60000);
        struct exchange ex;
        unsigned pending;

        exchange_init(&ex);
        guest_request(&ex, "/", interpret ? "1" : "5");
        cr_assert_eq(guest_run(host, set, &ex, &pending), SCRIPT_RESPONDED);
        cr_assert_eq(ex.status, 200);
        cr_assert_gt(pending, 0);
        exchange_free(&ex);
        script_host_forget(host, set);
        script_host_free(host);
        script_set_free(set);
    }
}

Test(script, pending_chain_can_be_cancelled)
{
    const char *const texts[] = {
        HEADER ENTRY "{ zs_log(\"half a line\", 11); for (;;) __asm__ volatile(\"\"); }\n"};

    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;

        begin(&b, texts, 1, interpret);
        guest_log_begin();
        cr_assert_eq(script_chain_start(b.host, b.set, &b.ex), SCRIPT_PENDING);
        cr_assert_eq(script_chain_resume(&b.ex), SCRIPT_PENDING);
        script_chain_cancel(&b.ex);
        cr_assert_str_eq(guest_log_end(), "[user_log] 42: 10-first: half a line\n");
        cr_assert_null(b.ex.chain);
        script_chain_cancel(&b.ex);
        bench_end(&b);
    }
}

Test(script, chains_wait_for_an_arena)
{
    enum { CHAINS = 66 }; /* more than a thread's arenas */
    const char *const names[] = {"loop", "answer"};
    const char *const texts[] = {endless, answer};
    struct script_set *loops = guest_set(names, texts, 1, false);
    struct script_set *answers = guest_set(names + 1, texts + 1, 1, false);
    struct script_host *host = make_host(false, 10000);
    struct exchange *ex = calloc(CHAINS, sizeof *ex);

    for (unsigned i = 0; i < CHAINS; i++) {
        exchange_init(&ex[i]);
        guest_request(&ex[i], "/", NULL);
        cr_assert_eq(script_chain_start(host, i + 1 == CHAINS ? answers : loops, &ex[i]),
                     SCRIPT_PENDING);
    }
    cr_assert_eq(script_chain_resume(&ex[CHAINS - 1]), SCRIPT_PENDING);
    script_chain_cancel(&ex[0]);
    enum script_verdict verdict = SCRIPT_PENDING;
    for (int goes = 0; goes < 100 && verdict == SCRIPT_PENDING; goes++) { /* ticks may come */
        verdict = script_chain_resume(&ex[CHAINS - 1]);
    }
    cr_assert_eq(verdict, SCRIPT_RESPONDED);
    cr_assert_eq(ex[CHAINS - 1].status, 403);
    for (unsigned i = 0; i < CHAINS; i++) {
        script_chain_cancel(&ex[i]);
        exchange_free(&ex[i]);
    }
    free(ex);
    script_host_forget(host, loops);
    script_host_forget(host, answers);
    script_host_free(host);
    script_set_free(loops);
    script_set_free(answers);
}

#define HELLO "ZS_TLS_ENTRY zs_u64 hello(void) "

Test(script, entries_of_handshakes_judge)
{
    const char *const texts[] = {MARK HELLO "{ mark(\"a\"); return 0; }\n" ENTRY
                                            "{ mark(\"r\"); return 0; }\n",
                                 MARK HELLO "{ mark(\"b\"); return zs_abort(); }\n",
                                 MARK HELLO "{ mark(\"c\"); return 0; }\n"};
    struct bench b;

    begin(&b, texts, 3, false);
    cr_assert(script_set_sees_handshakes(b.set));
    cr_assert_eq(script_handshake_start(b.host, b.set, &b.ex), SCRIPT_ABORTED);
    cr_assert(trace_is(&b.ex, "ab"));
    bench_end(&b);

    begin(&b, texts, 1, false);
    cr_assert_eq(script_handshake_start(b.host, b.set, &b.ex), SCRIPT_PASS);
    cr_assert(trace_is(&b.ex, "a"));
    bench_end(&b);
}

Test(script, empty_set_and_scripts_without_request_entries_pass)
{
    const char *const texts[] = {
        HEADER "ZS_CALL_ENTRY(greet, input) { return input; }\n",
        HEADER "ZS_INIT_ENTRY(setup) { zs_log(\"never\\n\", 6); return 0; }\n",
        HEADER "ZS_TLS_ENTRY zs_u64 hello(void) { zs_log(\"never\\n\", 6); return 0; }\n",
    };
    struct script_options options = {0};
    struct script_set *none;
    char error[128] = "";
    struct bench b;

    begin(&b, texts, 3, false);
    guest_log_begin();
    cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_PASS);
    cr_assert_str_eq(guest_log_end(), "");
    none = script_set_load(NULL, 0, &options, error, sizeof error);
    cr_assert_not_null(none, "%s", error);
    cr_assert_eq(guest_run(b.host, none, &b.ex, NULL), SCRIPT_PASS);
    script_set_free(none);
    bench_end(&b);
}

/* Loads one object; it must be refused with a line that names script, origin and `reason`. */
static void expect_refused(const uint8_t *object, size_t bytes, const char *reason)
{
    struct script_source source = {
        .name = "bad", .object = object, .object_bytes = bytes, .origin = "site.tar"};
    struct script_options options = {0};
    char error[512] = "";

    cr_assert_null(script_set_load(&source, 1, &options, error, sizeof error));
    cr_assert_eq(strncmp(error, "script 'bad' (site.tar): ", 25), 0, "%s", error);
    cr_assert_not_null(strstr(error, reason), "%s", error);
    cr_assert_null(strchr(error, '\n'));
}

Test(script, refusals_name_script_and_reason)
{
    static const char *const rows[][2] = {
        {HEADER "zs_u64 entry(void) { return 0; }\n", "no entry"},
        {HEADER "ZS_SECTION(\"xdp\") zs_u64 entry(void) { return 0; }\n", "no entry"},
        {HEADER "extern zs_s64 zs_no_such(void);\n" ENTRY "{ return zs_no_such(); }\n",
         "zs_no_such"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t bytes;
        uint8_t *object = guest_compile(rows[i][0], &bytes);

        expect_refused(object, bytes, rows[i][1]);
        free(object);
    }
    expect_refused((const uint8_t *)"not an object", 13, "");
    expect_refused((const uint8_t *)"", 0, "");
}

Test(script, one_bad_script_refuses_the_set)
{
    size_t bytes;
    uint8_t *object = guest_compile(mark_a, &bytes);
    struct script_source sources[] = {
        {.name = "good", .object = object, .object_bytes = bytes, .origin = "x"},
        {.name = "cut", .object = object, .object_bytes = bytes / 2, .origin = "x"},
    };
    struct script_options options = {0};
    char error[512] = "";

    cr_assert_null(script_set_load(sources, 2, &options, error, sizeof error));
    cr_assert_not_null(strstr(error, "'cut'"), "%s", error);
    free(object);
}

/* ---- offline ---- */

static enum script_offline offline(const char *text, const char *request, char *out,
                                   size_t out_bytes, char *error)
{
    struct script_options options = {0};
    struct script_source source = {.name = "s", .origin = "s.o"};
    uint8_t *object = guest_compile(text, &source.object_bytes);
    FILE *file = fmemopen(out, out_bytes, "w");
    enum script_offline result;

    source.object = object;
    result = script_run_offline(&source, &options, request, strlen(request), file, error, 256);
    fclose(file);
    free(object);
    return result;
}

Test(script, offline_prints_the_response)
{
    static const char text[] =
        HEADER ENTRY "{\n"
                     "    char text[64];\n"
                     "    zs_s64 n = zs_req_header(\"x-a\", 3, text, sizeof text);\n"
                     "    zs_res_add_header(\"X-B\", 3, \"1\", 1);\n"
                     "    if (n > 0) zs_respond(201, text, n);\n"
                     "    if (text[0] == '!') return *(volatile int *)8;\n"
                     "    return 0;\n"
                     "}\n";
    char out[512] = "";
    char error[256] = "";

    cr_assert_eq(offline(text, "GET / HTTP/1.1\nHost: a\nX-A: hello", out, sizeof out, error),
                 SCRIPT_OFFLINE_ENDED, "%s", error);
    cr_assert_str_eq(out, "HTTP/1.1 201 Created\nX-B: 1\n\nhello");
    cr_assert_eq(offline(text, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", out, sizeof out, error),
                 SCRIPT_OFFLINE_ENDED, "%s", error);
    cr_assert_str_eq(out, "HTTP/1.1 0 passed\nX-B: 1\n\n");
    guest_log_begin();
    cr_assert_eq(offline(text, "GET / HTTP/1.0\nX-A: !\n\n", out, sizeof out, error),
                 SCRIPT_OFFLINE_FAULTED, "%s", error);
    cr_assert_not_null(strstr(guest_log_end(), "script 's': read of 0x8"));
    cr_assert_eq(strncmp(out, "HTTP/1.1 500 ", 13), 0);
}

Test(script, offline_authority_of_an_absolute_target_is_the_host)
{
    static const char text[] = HEADER ENTRY
        "{\n"
        "    char text[64];\n"
        "    return zs_respond(200, text, zs_req_header(\"host\", 4, text, sizeof text));\n"
        "}\n";
    char out[512] = "";
    char error[256] = "";

    cr_assert_eq(offline(text, "GET http://real.test/ HTTP/1.1\nHost: fake.test\n\n", out,
                         sizeof out, error),
                 SCRIPT_OFFLINE_ENDED, "%s", error);
    cr_assert_str_eq(out, "HTTP/1.1 200 OK\n\nreal.test");
}

Test(script, offline_refuses_what_is_no_request)
{
    char out[512] = "";
    char error[256] = "";

    cr_assert_eq(offline(mark_a, "GET /\n\n", out, sizeof out, error), SCRIPT_OFFLINE_REFUSED);
    cr_assert_str_neq(error, "");
    cr_assert_eq(offline(mark_a, "GET /../x HTTP/1.1\nHost: a\n\n", out, sizeof out, error),
                 SCRIPT_OFFLINE_REFUSED);
    cr_assert_not_null(strstr(error, "malformed"), "%s", error);
    cr_assert_eq(offline(mark_a, "", out, sizeof out, error), SCRIPT_OFFLINE_REFUSED);
}
