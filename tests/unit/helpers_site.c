/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts reading files of the site, on both engines: names as in the tar, what is missing or
 * malformed, and that the memory of JSON is bounded by the operator. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "server/site.h"
#include "tests/support/bench.h"
#include "tests/support/tarball.h"

#define SCRIPT(checks)                                                                             \
    "#define LOAD(s) zs_load_static_json(TEXT(s))\n"                                               \
    "#define INFO(s) zs_load_file_metadata(TEXT(s))\n"                                             \
    "ZS_ENTRY zs_u64 entry(void)\n"                                                                \
    "{\n"                                                                                          \
    "    ZS_MAYBE_UNUSED char t[64];\n"                                                            \
    "    ZS_MAYBE_UNUSED zs_s64 n = 0;\n" checks "    OK();\n"                                     \
    "}\n"

static struct site *make_site(void)
{
    static char big[100001];
    struct tarball *t = calloc(1, sizeof *t);

    memset(big, ' ', sizeof big - 2);
    big[0] = '[';
    big[sizeof big - 2] = ']';
    tarball_file(t, "data/config.json", "{\"name\":\"Ada\",\"count\":3}\n");
    tarball_file(t, "broken.json", "{\"name\":");
    tarball_file(t, "empty.json", "");
    tarball_file(t, "big.json", big);
    tarball_file(t, ".zeroserve/secret.json", "{}");
    return tarball_site(t);
}

Test(helpers_site, static_json)
{
    struct site *site = make_site();
    struct bench_how how = {.options = {.site = site}};

    bench_expect_ok_how(
        SCRIPT(
            "zs_s64 h = LOAD(\"data/config.json\");\n"
            "CHECK(h == 1 && zs_json_len(h) == 2);\n"
            "CHECK(is(t, zs_json_read_string(zs_json_get(h, TEXT(\"name\")), t, 64), \"Ada\"));\n"
            "zs_json_set_i64(zs_json_get(h, TEXT(\"count\")), 4);\n"
            /* what one load changed the next does not see */
            "zs_s64 again = LOAD(\"data/config.json\");\n"
            "CHECK(zs_json_read_i64(zs_json_get(again, TEXT(\"count\")), &n, 8) == 8 && n == 3);\n"
            "CHECK(LOAD(\"/data/config.json\") == -1 && LOAD(\"data/./config.json\") == -1);\n"
            "CHECK(LOAD(\"data\") == -1 && LOAD(\"none\") == -1 && LOAD(\"\\xff\") == -1);\n"
            "CHECK(LOAD(\"broken.json\") == -1 && LOAD(\"empty.json\") == -1);\n"
            "CHECK(LOAD(\".zeroserve/secret.json\") == -1);\n"
            "CHECK(zs_load_static_json(0, 0) == -1 && LOAD(\"\") == -1);\n"
            "CHECK(zs_json_len(LOAD(\"big.json\")) == 0);\n"),
        "/", &how);
    bench_expect_ok(SCRIPT("CHECK(LOAD(\"data/config.json\") == -1);\n"
                           "CHECK(INFO(\"data/config.json\") == -1);\n"),
                    "/");
    site_free(site);
}

Test(helpers_site, metadata)
{
    struct site *site = make_site();
    struct bench_how how = {.options = {.site = site}};
    char etag[SITE_ETAG_BYTES];
    char script[2048];

    site_file_etag(site_find(site, SPAN("data/config.json")), etag);
    snprintf(script, sizeof script,
             SCRIPT("zs_s64 h = INFO(\"data/config.json\");\n"
                    "CHECK(zs_json_len(h) == 3);\n"
                    "CHECK(zs_json_read_i64(zs_json_get(h, TEXT(\"size\")), &n, 8) == 8);\n"
                    "CHECK(n == 25);\n"
                    "CHECK(zs_json_read_i64(zs_json_get(h, TEXT(\"mtime\")), &n, 8) == 8);\n"
                    "CHECK(n == 1700000000);\n"
                    "zs_s64 e = zs_json_get(h, TEXT(\"etag\"));\n"
                    "CHECK(is(t, zs_json_read_string(e, t, 64), \"%.*s\"));\n"
                    "CHECK(INFO(\"/data/config.json\") == -1 && INFO(\"data\") == -1);\n"
                    "CHECK(zs_json_len(INFO(\"empty.json\")) == 3);\n"
                    "CHECK(INFO(\".zeroserve/secret.json\") == -1 && INFO(\"\") == -1);\n"),
             (int)strlen(etag) - 2, etag + 1);
    bench_expect_ok_how(script, "/", &how);
    site_free(site);
}

Test(helpers_site, faults)
{
    static const char *const reasons[] = {"too much memory for JSON", "too much memory for JSON",
                                          "too many JSON handles", "is not readable"};
    struct site *site = make_site();
    struct bench_how how = {.options = {.site = site, .json_bytes_max = 40000}};

    bench_expect_faults_how("ZS_ENTRY zs_u64 entry(void)\n"
                            "{\n"
                            "    switch (which()) {\n"
                            "    case 1: return zs_load_static_json(TEXT(\"big.json\"));\n"
                            "    case 2: {\n"
                            "        zs_s64 a = zs_json_new_array();\n"
                            "        for (;;) zs_json_array_push(a, a);\n"
                            "    }\n"
                            "    case 3:\n"
                            "        for (;;) zs_load_file_metadata(TEXT(\"empty.json\"));\n"
                            "    case 4: return zs_load_static_json((char *)8, 8);\n"
                            "    }\n"
                            "    return 0;\n"
                            "}\n",
                            reasons, COUNT(reasons), &how);
    site_free(site);
}
