/* SPDX-License-Identifier: Apache-2.0 */
/* zs_env_get gives what the operator named, as it was at the load, and nothing else. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/support/guest.h"

static const char script[] =
    "#include <zeroserve.h>\n"
    "ZS_ENTRY zs_u64 entry(void)\n"
    "{\n"
    "    char t[32];\n"
    "    char all[64];\n"
    "    char *end = all;\n"
    "    const char *names[] = {\" ZS_TEST_GIVEN \", \"ZS_TEST_HIDDEN\", \"ZS_TEST_GIVE\",\n"
    "                           \"ZS_TEST_GIVEN=v\", \"ZS_TEST_UNSET\", \"\"};\n"
    "    if (zs_env_get(ZS_STR(\"ZS_TEST_GIVEN\"), t, 4) != 4 || zs_strcmp(t, \"val\") != 0)\n"
    "        return zs_respond(418, ZS_STR(\"cut\"));\n"
    "    if (zs_env_get(ZS_STR(\"ZS_TEST_GIVEN\"), t, 0) != 0)\n"
    "        return zs_respond(418, ZS_STR(\"no room\"));\n"
    "    for (int i = 0; i < 6; i++) {\n"
    "        if (zs_env_get(ZS_STR(names[i]), t, sizeof t) != (zs_s64)zs_strlen(t))\n"
    "            return zs_respond(418, ZS_STR(\"length\"));\n"
    "        end = zs_stpcpy(end, t);\n"
    "        end = zs_stpcpy(end, \",\");\n"
    "    }\n"
    "    return zs_respond(200, all, end - all);\n"
    "}\n";

static void run(bool interpret)
{
    static const char *const names[] = {"ZS_TEST_GIVEN", "ZS_TEST_UNSET"};
    struct script_options options = {.interpret = interpret, .env = names, .env_count = 2};
    struct script_source source = {.name = "env", .origin = "test"};
    char error[256];
    uint8_t *object = guest_compile(script, &source.object_bytes);
    struct script_host *host = script_host_create(&options, error, sizeof error);
    struct script_set *set;
    struct exchange ex;

    setenv("ZS_TEST_GIVEN", "value = 1", 1);
    setenv("ZS_TEST_HIDDEN", "secret", 1);
    unsetenv("ZS_TEST_UNSET");
    source.object = object;
    set = script_set_load(&source, 1, &options, error, sizeof error);
    cr_assert(set != NULL && host != NULL, "%s", error);
    setenv("ZS_TEST_GIVEN", "changed", 1);
    exchange_init(&ex);
    guest_request(&ex, "/", NULL);
    cr_assert_eq(guest_run(host, set, &ex, NULL), SCRIPT_RESPONDED);
    cr_assert(ex.status == 200 && span_equal(ex.body.bytes, SPAN("value = 1,,,,,,")), "%u %.*s",
              ex.status, (int)ex.body.bytes.len, ex.body.bytes.base);
    exchange_free(&ex);
    script_host_forget(host, set);
    script_host_free(host);
    script_set_free(set);
    free(object);
}

Test(helpers_env, only_named_variables)
{
    run(false);
    run(true);
}
