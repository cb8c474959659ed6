/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts that choose upstreams: what the exchange holds then, what the chain makes of it, what
 * ends the script. */
#include <criterion/criterion.h>

#include "server/upstream_url.h"
#include "tests/support/bench.h"

#define ENTRY "ZS_ENTRY zs_u64 entry(void)\n"

static enum script_verdict run(struct bench *b, const char *x_case)
{
    exchange_reset(&b->ex);
    guest_request(&b->ex, "/path", x_case);
    return guest_run(b->host, b->set, &b->ex, NULL);
}

Test(helpers_proxy, targets)
{
    static const char script[] =
        ENTRY "{\n"
              "    char url[] = \" http://a:81/b , unix//run/x \";\n"
              "    CHECK(zs_reverse_proxy(url, sizeof url - 1) == 0);\n"
              "    zs_memset(url, 'z', sizeof url);\n"
              "    if (which() > 0) CHECK(zs_upstream_hash(TEXT(\"key\")) == 0);\n"
              "    if (which() > 1) CHECK(zs_upstream_hash(0, 0) == 0);\n"
              "    return 0;\n"
              "}\n";
    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;
        bench_begin(&b, script, interpret);
        cr_assert_eq(run(&b, NULL), SCRIPT_PROXY);
        const struct proxy_request *proxy = b.ex.proxy;
        cr_assert_not_null(proxy);
        cr_assert_eq(proxy->target_count, 2);
        cr_expect(span_equal(proxy->targets[0].authority, SPAN("a:81")));
        cr_expect(span_equal(proxy->targets[0].base, SPAN("/b")));
        cr_expect(span_equal(proxy->targets[1].path, SPAN("/run/x")));
        cr_expect_not(proxy->sticky);
        cr_expect_eq(b.ex.status, 0);
        cr_assert_eq(run(&b, "1"), SCRIPT_PROXY);
        cr_expect(b.ex.proxy->sticky);
        cr_expect_eq(b.ex.proxy->hash, upstream_hash(SPAN("key")));
        cr_assert_eq(run(&b, "2"), SCRIPT_PROXY);
        cr_expect_not(b.ex.proxy->sticky);
        bench_end(&b);
    }
}

/* A response counts before an upstream, which an abort drops; a bad target is a 400 all the same.
 */
Test(helpers_proxy, what_counts_more)
{
    static const struct {
        const char *x_case;
        enum script_verdict verdict;
        unsigned status;
    } rows[] = {
        {"1", SCRIPT_RESPONDED, 403}, {"2", SCRIPT_ABORTED, 0},     {"3", SCRIPT_RESPONDED, 400},
        {"4", SCRIPT_PROXY, 0},       {"5", SCRIPT_RESPONDED, 500},
    };
    struct bench b;
    bench_begin(&b,
                ENTRY "{\n"
                      "    zs_reverse_proxy(TEXT(\"http://a\"));\n"
                      "    switch (which()) {\n"
                      "    case 1: return zs_respond(403, TEXT(\"no\"));\n"
                      "    case 2: return zs_abort();\n"
                      "    case 3: return zs_req_set_uri(TEXT(\"/../x\"));\n"
                      "    case 4: zs_respond(403, TEXT(\"no\")); return zs_response_clear();\n"
                      "    case 5: return *(volatile int *)8;\n"
                      "    }\n"
                      "    return 0;\n"
                      "}\n",
                false);
    for (size_t i = 0; i < COUNT(rows); i++) {
        guest_log_begin();
        enum script_verdict verdict = run(&b, rows[i].x_case);
        guest_log_end();
        cr_expect_eq(verdict, rows[i].verdict, "%s", rows[i].x_case);
        cr_expect_eq(b.ex.status, rows[i].status, "%s: %u", rows[i].x_case, b.ex.status);
        cr_expect_eq(b.ex.proxy != NULL, verdict == SCRIPT_PROXY);
    }
    bench_end(&b);
}

Test(helpers_proxy, chain_stops)
{
    static const char *const names[] = {"1", "2"};
    static const char *const texts[] = {
        "#include <zeroserve.h>\n" ENTRY "{ return zs_reverse_proxy(ZS_STR(\"http://a\")); }\n",
        "#include <zeroserve.h>\n" ENTRY "{ return zs_respond(200, ZS_STR(\"late\")); }\n",
    };
    struct script_options options = {.interpret = false};
    struct script_set *set = guest_set(names, texts, 2, false);
    struct script_host *host = script_host_create(&options, NULL, 0);
    struct exchange ex;
    cr_assert_not_null(host);
    exchange_init(&ex);
    guest_request(&ex, "/", NULL);
    cr_expect_eq(guest_run(host, set, &ex, NULL), SCRIPT_PROXY);
    cr_expect_eq(ex.status, 0);
    exchange_free(&ex);
    script_host_forget(host, set);
    script_host_free(host);
    script_set_free(set);
}

Test(helpers_proxy, refused)
{
    static const char *const reasons[] = {
        "empty",
        "empty",
        "want http://, https:// or unix/",
        "malformed host",
        "a response is set already",
        "an upstream is set already",
        "list of upstreams is too long",
        "no upstream is set",
        "not UTF-8",
        "not readable",
    };
    bench_expect_faults(
        "static char big[5000];\n" ENTRY "{\n"
        "    switch (which()) {\n"
        "    case 1: return zs_reverse_proxy(0, 0);\n"
        "    case 2: return zs_reverse_proxy(TEXT(\" \"));\n"
        "    case 3: return zs_reverse_proxy(TEXT(\"example.test\"));\n"
        "    case 4: return zs_reverse_proxy(TEXT(\"http://a\\r\\nb\"));\n"
        "    case 5: zs_respond(200, 0, 0); return zs_reverse_proxy(TEXT(\"http://a\"));\n"
        "    case 6:\n"
        "        zs_reverse_proxy(TEXT(\"http://a\"));\n"
        "        return zs_reverse_proxy(TEXT(\"http://a\"));\n"
        "    case 7:\n"
        "        zs_memset(big, 'a', sizeof big);\n"
        "        return zs_reverse_proxy(big, sizeof big);\n"
        "    case 8: return zs_upstream_hash(TEXT(\"key\"));\n"
        "    case 9: return zs_reverse_proxy(TEXT(\"http://\\xff\"));\n"
        "    case 10: return zs_reverse_proxy((const char *)8, 10);\n"
        "    }\n"
        "    return 0;\n"
        "}\n",
        reasons, COUNT(reasons));
}
