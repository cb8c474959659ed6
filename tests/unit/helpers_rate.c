/* SPDX-License-Identifier: Apache-2.0 */
/* zs_rate_limit and zs_rate_limit_info on both engines; the table itself is tested in rate.c. */
#include <criterion/criterion.h>

#include "tests/support/bench.h"

Test(helpers_rate, windows_and_keys)
{
    bench_expect_ok(
        "#define L(k, s, m, h) zs_rate_limit(TEXT(k), s, m, h)\n"
        "static char big[300];\n"
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    CHECK(L(\"a\", 0, 0, 2) == 0 && L(\"a\", 0, 0, 2) == 0 && L(\"a\", 0, 0, 2) == 3);\n"
        "    CHECK(L(\"b\", 0, 1, 2) == 0 && L(\"b\", 0, 1, 2) == 2);\n"
        "    CHECK(L(\"a \", 0, 0, 1) == 0 && L(\"\\0\", 0, 0, 1) == 0 && L(\"\\xff\", 0, 0, 1) == "
        "0);\n"
        "    for (int i = 0; i < 100; i++) CHECK(L(\"c\", 0, 0, 0) == 0);\n"
        "    CHECK(zs_rate_limit(0, 0, 1, 1, 1) == -1 && L(\"\", 1, 1, 1) == -1);\n"
        "    CHECK(zs_rate_limit(big, 257, 0, 0, 1) == -1);\n"
        "    CHECK(zs_rate_limit(big, 256, 0, 0, 1) == 0 && zs_rate_limit(big, 256, 0, 0, 1) == "
        "3);\n"
        "    OK();\n"
        "}\n",
        "/");
}

Test(helpers_rate, info)
{
    bench_expect_ok("#define INFO(k, w, n) zs_rate_limit_info(TEXT(k), w, n, &i)\n"
                    "ZS_ENTRY zs_u64 entry(void)\n"
                    "{\n"
                    "    struct zs_rate_info i = {7, 7, 7};\n"
                    "    CHECK(INFO(\"a\", 3, 2) == 0);\n"
                    "    CHECK(i.remaining == 2 && i.retry_ms == 0 && i.reset_ms == 0);\n"
                    "    zs_rate_limit(TEXT(\"a\"), 0, 0, 2);\n"
                    "    CHECK(INFO(\"a\", 3, 2) == 0 && i.remaining == 1 && i.retry_ms == 0);\n"
                    "    CHECK(i.reset_ms > 3500000 && i.reset_ms <= 3650000);\n"
                    "    zs_rate_limit(TEXT(\"a\"), 0, 0, 2);\n"
                    "    CHECK(INFO(\"a\", 3, 2) == 0 && i.remaining == 0);\n"
                    "    CHECK(i.retry_ms > 3500000 && i.retry_ms <= 3650000);\n"
                    "    CHECK(i.reset_ms > 3500000 && i.reset_ms <= 3650000);\n"
                    "    CHECK(INFO(\"a\", 1, 2) == 0 && i.remaining == 2);\n"
                    "    CHECK(INFO(\"a\", 0, 2) == -1 && INFO(\"a\", 4, 2) == -1 && INFO(\"a\", "
                    "1, 0) == -1);\n"
                    "    CHECK(INFO(\"\", 1, 1) == -1 && i.remaining == 2);\n"
                    "    OK();\n"
                    "}\n",
                    "/");
}

Test(helpers_rate, faults)
{
    static const char *const reasons[] = {"is not readable", "is not readable", "is not writable",
                                          "is not writable", "overlaps"};

    bench_expect_faults(
        "ZS_ENTRY zs_u64 entry(void)\n"
        "{\n"
        "    static struct zs_rate_info i;\n"
        "    static const struct zs_rate_info constant;\n"
        "    switch (which()) {\n"
        "    case 1: return zs_rate_limit((char *)8, 4, 1, 1, 1);\n"
        "    case 2: return zs_rate_limit((char *)&i, ~0ull, 1, 1, 1);\n"
        "    case 3: return zs_rate_limit_info(TEXT(\"a\"), 1, 1, (struct zs_rate_info *)8);\n"
        "    case 4: return zs_rate_limit_info(TEXT(\"a\"), 1, 1,\n"
        "                                      (struct zs_rate_info *)&constant);\n"
        "    case 5: return zs_rate_limit_info((char *)&i + 8, 4, 1, 1, &i);\n"
        "    }\n"
        "    return 0;\n"
        "}\n",
        reasons, COUNT(reasons));
}

/* A script set loaded again, as a reload does, goes on counting. */
Test(helpers_rate, survives_a_reload)
{
    static const char script[] = "ZS_ENTRY zs_u64 entry(void)\n"
                                 "{ return zs_respond(200 + zs_rate_limit(TEXT(\"k\"), 0, 0, 2), "
                                 "TEXT(\"\")); }\n";
    struct rate_table *rates = rate_table_create(10);
    struct script_options options = {.rates = rates};
    static const char *const name = "unit";
    unsigned statuses[3];
    char error[256];

    for (unsigned i = 0; i < 3; i++) {
        static const char text[] = "#include <zeroserve.h>\n#define TEXT(s) s, sizeof s - 1\n";
        char whole[sizeof text + sizeof script];
        const char *texts[1] = {whole};
        struct script_set *set;
        struct script_host *host = script_host_create(&options, error, sizeof error);
        struct exchange ex;

        snprintf(whole, sizeof whole, "%s%s", text, script);
        set = guest_set_with(&name, texts, 1, &options);
        exchange_init(&ex);
        guest_request(&ex, "/", NULL);
        cr_assert_eq(guest_run(host, set, &ex, NULL), SCRIPT_RESPONDED);
        statuses[i] = ex.status;
        exchange_free(&ex);
        script_host_forget(host, set);
        script_host_free(host);
        script_set_free(set);
    }
    cr_expect(statuses[0] == 200 && statuses[1] == 200 && statuses[2] == 203);
    rate_table_free(rates);
}
