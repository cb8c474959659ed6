/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks: matching the peer with ranges, and finding the client behind trusted proxies, on both
 * engines. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>

#include "tests/support/bench.h"

#define SCRIPT(checks)                                                                             \
    "#define M(s) zs_req_remote_ip_matches(TEXT(s))\n"                                             \
    "#define CLIENT(s) CHECK(is(t, zs_req_client_ip(t, sizeof t), s))\n"                           \
    "#define FORWARDED(s) CHECK(zs_req_set_header(TEXT(\"x-forwarded-for\"), TEXT(s)) == 0)\n"     \
    "ZS_ENTRY zs_u64 entry(void)\n"                                                                \
    "{\n"                                                                                          \
    "    ZS_MAYBE_UNUSED char t[64];\n" checks "    OK();\n"                                       \
    "}\n"

static void from_v6(struct exchange *ex)
{
    struct sockaddr_in6 peer = {.sin6_family = AF_INET6, .sin6_port = htons(443)};

    inet_pton(AF_INET6, "2001:db8::7", &peer.sin6_addr);
    memcpy(&ex->peer, &peer, sizeof peer);
}

static void from_unix(struct exchange *ex)
{
    ex->peer = (union peer_address){.any.sa_family = AF_UNIX};
}

Test(helpers_address, matches)
{
    static const struct bench_how v6 = {.prepare = from_v6};
    static const struct bench_how local = {.prepare = from_unix};

    bench_expect_ok(SCRIPT("CHECK(M(\"[\\\"192.0.2.7\\\"]\") == 1);\n"
                           "CHECK(M(\" [ \\\"::1\\\" , \\\"192.0.2.0/24\\\" ] \") == 1);\n"
                           "CHECK(M(\"[\\\"192.0.2.8\\\",\\\"::/0\\\"]\") == 0);\n"
                           "CHECK(M(\"[]\") == 0);\n"),
                    "/");
    bench_expect_ok_how(SCRIPT("CHECK(M(\"[\\\"2001:db8::/64\\\"]\") == 1);\n"
                               "CHECK(M(\"[\\\"0.0.0.0/0\\\"]\") == 0);\n"),
                        "/", &v6);
    bench_expect_ok_how(SCRIPT("CHECK(M(\"[\\\"0.0.0.0/0\\\",\\\"::/0\\\"]\") == 0);\n"
                               "CLIENT(\"\"); t[0] = 'x';\n"
                               "CHECK(zs_req_peer_ip(t, 8) == 0 && t[0] == 0);\n"
                               "CHECK(zs_req_peer(t, 8) == 0);\n"),
                        "/", &local);
}

Test(helpers_address, malformed_ranges_end_the_script)
{
    static const char *const reasons[] = {
        "want a JSON array of addresses",
        "want a JSON array of addresses",
        "want a JSON array of addresses",
        "want a JSON array of addresses",
        "want a JSON array of addresses",
        "too much memory for JSON",
        "is not readable",
    };

    bench_expect_faults("static char big[300000];\n"
                        "#define M(s) zs_req_remote_ip_matches(TEXT(s))\n"
                        "ZS_ENTRY zs_u64 entry(void)\n"
                        "{\n"
                        "    switch (which()) {\n"
                        "    case 1: return M(\"\");\n"
                        "    case 2: return M(\"192.0.2.7\");\n"
                        "    case 3: return M(\"[\\\"192.0.2.7\\\", 4]\");\n"
                        "    case 4: return M(\"[\\\"192.0.2.7/33\\\"]\");\n"
                        "    case 5: return M(\"{\\\"a\\\":\\\"192.0.2.7\\\"}\");\n"
                        "    case 6: return zs_req_remote_ip_matches(big, sizeof big);\n"
                        "    case 7: return zs_req_remote_ip_matches((char *)8, 8);\n"
                        "    }\n"
                        "    return 0;\n"
                        "}\n",
                        reasons, COUNT(reasons));
}

Test(helpers_address, client_is_the_peer_unless_it_is_trusted)
{
    static const char *const others[] = {"198.51.100.0/24"};
    static const struct bench_how how = {.options = {.trusted = others, .trusted_count = 1}};
    static const char script[] =
        SCRIPT("FORWARDED(\"203.0.113.1\"); CLIENT(\"192.0.2.7\");\n"
               "CHECK(zs_req_client_ip(t, 4) == 4 && zs_strcmp(t, \"192\") == 0);\n");

    bench_expect_ok(script, "/");
    bench_expect_ok_how(script, "/", &how);
}

Test(helpers_address, client_behind_trusted_proxies)
{
    static const char *const proxies[] = {"192.0.2.0/24", "2001:db8::/32"};
    static const struct bench_how how = {.options = {.trusted = proxies, .trusted_count = 2}};

    bench_expect_ok_how(
        SCRIPT("CLIENT(\"192.0.2.7\");\n"
               "FORWARDED(\"203.0.113.1\"); CLIENT(\"203.0.113.1\");\n"
               /* what the client wrote itself does not count */
               "FORWARDED(\"10.9.9.9, 203.0.113.1\"); CLIENT(\"203.0.113.1\");\n"
               "FORWARDED(\"203.0.113.1 ,192.0.2.9,\\t192.0.2.8\"); CLIENT(\"203.0.113.1\");\n"
               "FORWARDED(\"198.51.100.3:4711, [2001:db8::5]:80\"); CLIENT(\"198.51.100.3\");\n"
               "FORWARDED(\"[2001:db9::1], 2001:db8::5\"); CLIENT(\"2001:db9::1\");\n"
               "FORWARDED(\"::ffff:203.0.113.5\"); CLIENT(\"203.0.113.5\");\n"
               /* all are proxies: the farthest of them */
               "FORWARDED(\"192.0.2.9, 192.0.2.8\"); CLIENT(\"192.0.2.9\");\n"
               /* what cannot be read ends the search at who wrote it */
               "FORWARDED(\"203.0.113.1, unknown, 192.0.2.8\"); CLIENT(\"192.0.2.8\");\n"
               "FORWARDED(\"203.0.113.1,\"); CLIENT(\"192.0.2.7\");\n"
               "FORWARDED(\"203.0.113.1, [::1\"); CLIENT(\"192.0.2.7\");\n"
               "FORWARDED(\",\"); CLIENT(\"192.0.2.7\");\n"
               /* several fields are one list */
               "FORWARDED(\"10.9.9.9, 203.0.113.1\");\n"
               "CHECK(zs_req_append_header(TEXT(\"X-Forwarded-For\"), TEXT(\"192.0.2.8\")) == 0);\n"
               "CLIENT(\"203.0.113.1\");\n"),
        "/", &how);
}

Test(helpers_address, body_limit)
{
    bench_expect_ok(
        SCRIPT("CHECK(zs_req_body_limit(0) == 0);\n"
               "zs_req_set_header(TEXT(\"content-length\"), TEXT(\"100\"));\n"
               "CHECK(zs_req_body_limit(100) == 0 && zs_req_body_limit(99) == 1);\n"
               "CHECK(zs_req_body_limit(~0ull) == 0);\n"
               "zs_req_set_header(TEXT(\"content-length\"), TEXT(\"99999999999999999999\"));\n"
               "CHECK(zs_req_body_limit(1ull << 40) == 1);\n"
               "zs_req_set_header(TEXT(\"content-length\"), TEXT(\"12x\"));\n"
               "CHECK(zs_req_body_limit(1) == 0);\n"),
        "/");
}

Test(helpers_address, lowest_body_limit_holds)
{
    struct bench b;

    bench_begin(&b,
                "ZS_ENTRY zs_u64 entry(void) { zs_req_body_limit(500); zs_req_body_limit(70);\n"
                "    zs_req_body_limit(900); return 0; }\n",
                false);
    guest_request(&b.ex, "/", NULL);
    cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_PASS);
    cr_expect(b.ex.body_limited && b.ex.body_limit == 70);
    exchange_reset(&b.ex);
    cr_expect(!b.ex.body_limited);
    bench_end(&b);
}

static void with_body(struct exchange *ex)
{
    struct request_body *body = &ex->request_body;

    cr_assert(buffer_append(&body->bytes, SPAN("0123456789"), 100));
    body->length = 10;
    body->received = 10;
    body->complete = true;
}

/* The operator's bound on what scripts read, and the script's own below it. */
Test(helpers_address, body_is_bounded_by_the_operator)
{
    static const struct bench_how nine = {.options = {.body_bytes_max = 9}, .prepare = with_body};
    static const struct bench_how ten = {.options = {.body_bytes_max = 10}, .prepare = with_body};

    bench_expect_ok_how(SCRIPT("CHECK(zs_req_body(t, 64) == -1);\n"), "/", &nine);
    bench_expect_ok_how(SCRIPT("CHECK(zs_req_body(t, 64) == 10);\n"
                               "zs_req_body_limit(9);\n"
                               "CHECK(zs_req_body(t, 64) == -1);\n"),
                        "/", &ten);
}
