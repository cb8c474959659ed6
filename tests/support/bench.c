/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/bench.h"

#include <criterion/criterion.h>
#include <stdlib.h>

const char bench_prologue[] =
    "#include <zeroserve.h>\n"
    "static ZS_MAYBE_UNUSED __attribute__((noinline)) void fail_at(int line)\n"
    "{\n"
    "    char text[16];\n"
    "    zs_utoa10((unsigned)line, text, sizeof text);\n"
    "    zs_respond(418, ZS_STR(text));\n"
    "}\n"
    "static ZS_MAYBE_UNUSED __attribute__((noinline)) int is(const char *text, zs_s64 n, const "
    "char *want)\n"
    "{\n"
    "    return n == (zs_s64)zs_strlen(want) && zs_strcmp(text, want) == 0;\n"
    "}\n"
    "#define CHECK(x) do { if (!(x)) { fail_at(__LINE__); return 0; } } while (0)\n"
    "#define OK() do { zs_respond(200, ZS_STR(\"ok\")); return 0; } while (0)\n"
    "#define TEXT(s) s, sizeof s - 1\n"
    "static ZS_MAYBE_UNUSED __attribute__((noinline)) int which(void)\n"
    "{\n"
    "    char text[8];\n"
    "    int n = 0;\n"
    "    zs_req_header(TEXT(\"x-case\"), text, sizeof text);\n"
    "    for (int i = 0; i < 7 && text[i] != 0; i++) n = n * 10 + (text[i] - '0');\n"
    "    return n;\n"
    "}\n"
    "#line 1\n";

static const struct bench_how plain;

void bench_open(struct bench *b, const char *const *names, const char *const *texts, unsigned count,
                const struct script_options *options)
{
    char error[256];

    b->set = guest_set_with(names, texts, count, options);
    b->host = script_host_create(options, error, sizeof error);
    cr_assert_not_null(b->host, "%s", error);
    exchange_init(&b->ex);
}

static void begin(struct bench *b, const char *text, bool interpret, const struct bench_how *how)
{
    static const char *const name = "unit";
    struct script_options options = how->options;
    size_t bytes = strlen(bench_prologue) + strlen(text) + 1;
    char *whole = malloc(bytes);
    const char *texts[1] = {whole};

    options.interpret = interpret;
    snprintf(whole, bytes, "%s%s", bench_prologue, text);
    bench_open(b, &name, texts, 1, &options);
    free(whole);
}

void bench_begin(struct bench *b, const char *text, bool interpret)
{
    begin(b, text, interpret, &plain);
}

static void request(struct bench *b, const char *target, const char *number,
                    const struct bench_how *how)
{
    exchange_reset(&b->ex);
    guest_request(&b->ex, target, number);
    if (how->prepare != NULL) {
        how->prepare(&b->ex);
    }
}

void bench_end(struct bench *b)
{
    script_chain_cancel(&b->ex);
    exchange_free(&b->ex);
    script_host_forget(b->host, b->set);
    script_host_free(b->host);
    script_set_free(b->set);
}

bool bench_body_is(const struct exchange *ex, const char *text)
{
    return ex->body.kind == BODY_BYTES && span_equal(ex->body.bytes, span_of(text));
}

void bench_expect_ok(const char *text, const char *target)
{
    bench_expect_ok_how(text, target, &plain);
}

void bench_expect_ok_how(const char *text, const char *target, const struct bench_how *how)
{
    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;

        begin(&b, text, interpret, how);
        request(&b, target, NULL, how);
        field_add(&b.ex, &b.ex.request_fields, SPAN("Accept"), SPAN("first"));
        field_add(&b.ex, &b.ex.request_fields, SPAN("accept"), SPAN("second"));
        cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
        cr_assert(b.ex.status == 200 && bench_body_is(&b.ex, "ok"),
                  "engine %d: status %u, line %.*s", interpret, b.ex.status,
                  (int)b.ex.body.bytes.len, b.ex.body.bytes.base);
        bench_end(&b);
    }
}

void bench_expect_faults(const char *text, const char *const *reasons, unsigned count)
{
    bench_expect_faults_how(text, reasons, count, &plain);
}

void bench_expect_faults_how(const char *text, const char *const *reasons, unsigned count,
                             const struct bench_how *how)
{
    for (int interpret = 0; interpret < 2; interpret++) {
        struct bench b;

        begin(&b, text, interpret, how);
        for (unsigned i = 0; i < count; i++) {
            char number[12];
            const char *log;

            snprintf(number, sizeof number, "%u", i + 1);
            request(&b, "/", number, how);
            guest_log_begin();
            cr_assert_eq(guest_run(b.host, b.set, &b.ex, NULL), SCRIPT_RESPONDED);
            log = guest_log_end();
            cr_assert(b.ex.status == 500 && b.ex.faulted && b.ex.body.kind == BODY_NONE,
                      "case %u on engine %d: status %u", i + 1, interpret, b.ex.status);
            cr_assert_not_null(strstr(log, reasons[i]), "case %u on engine %d: %s", i + 1,
                               interpret, log);
            cr_assert_not_null(strstr(log, "script 'unit': "), "%s", log);
            cr_assert_not_null(strstr(log, "(request 42)"), "%s", log);
        }
        bench_end(&b);
    }
}
