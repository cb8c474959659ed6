/* SPDX-License-Identifier: Apache-2.0 */
/* Every row of sdk/helpers.def on both engines: no helper goes without a check of its normal case,
 * of its edges and of what ends the script.
 *
 * The checks are rows themselves, in tests/helpers/, of C that runs in a script:
 *
 *   NORMAL(helper, expression)                  is true
 *   EDGE(helper, expression)                    the same: of zero lengths, cuts, what is absent,
 *                                               malformed or at a bound
 *   EDGE_BODY(helper, "body", expression)       of a request with that body of unknown length
 *   EDGE_TLS(helper, expression)                of one by HTTP/2 and TLS, from an IPv6 address
 *   NORMAL_THEN(helper, WANT(...), expression)  is true, and that comes of the request
 *   EDGE_THEN(helper, WANT(...), expression)
 *   FAULT(helper, "reason", expression)         ends the script, and the log says so
 *   NONE(helper, EDGE or FAULT, "why")          there can be none
 *
 * What follows from a helper's parameters is made here: each pointer unmapped, at the edge of the
 * memory, read-only or over another argument, each length wrapping or zero, each handle unknown.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "server/site.h"
#include "server/upstream_url.h"
#include "server/version.h"
#include "tests/support/bench.h"
#include "tests/support/tarball.h"
#include "vm/vm.h"

enum kind { NORMAL, EDGE, FAULT, HARMLESS };
enum place { IN_ENTRY, IN_HOOK };

/* What comes of the request. Zero and NULL: not looked at, but for the verdict. */
struct want {
    enum script_verdict verdict;
    unsigned status;
    const char *body;
    const char *name;  /* of a field of the response ... */
    const char *value; /* ... or NULL: there is none of that name */
    const char *log;
    unsigned targets;
    bool sticky;
};

struct check {
    const char *helper;
    enum kind kind;
    enum place place;
    bool none;
    const char *text;     /* what the script does, or why there is nothing to do */
    const char *reason;   /* of a fault */
    const char *argument; /* that it names; or NULL */
    const char *body;     /* of the request; NULL: the usual one */
    bool tls;             /* it comes by HTTP/2 and TLS, from an IPv6 address */
    bool wants;
    struct want want;
};

#define WANT(...) ((struct want){__VA_ARGS__})
#define CHECK(h, k, ...)                                                                           \
    {                                                                                              \
        .helper = #h, .kind = k, .place = PLACE, .text = __VA_ARGS__                               \
    }
#define NORMAL(h, ...)         CHECK(h, NORMAL, #__VA_ARGS__),
#define EDGE(h, ...)           CHECK(h, EDGE, #__VA_ARGS__),
#define EDGE_BODY(h, b, ...)   CHECK(h, EDGE, #__VA_ARGS__, .body = b),
#define EDGE_TLS(h, ...)       CHECK(h, EDGE, #__VA_ARGS__, .tls = true),
#define NORMAL_THEN(h, w, ...) CHECK(h, NORMAL, #__VA_ARGS__, .wants = true, .want = w),
#define EDGE_THEN(h, w, ...)   CHECK(h, EDGE, #__VA_ARGS__, .wants = true, .want = w),
#define FAULT(h, r, ...)       CHECK(h, FAULT, #__VA_ARGS__, .reason = r),
#define NONE(h, k, why)        CHECK(h, k, why, .none = true),

static const struct check written[] = {
#define PLACE IN_ENTRY
#include "tests/helpers/bytes.def"
#include "tests/helpers/json.def"
#include "tests/helpers/request.def"
#include "tests/helpers/response.def"
#include "tests/helpers/server.def"
#undef PLACE
#define PLACE IN_HOOK
#include "tests/helpers/hook.def"
#undef PLACE
};

/* The written ones and those that follow from parameters. */
static struct check checks[2000];
static unsigned check_count;

/* ---- checks that follow from parameters ---- */

enum { PARAMETERS_MAX = 5 };

struct parameter {
    char text[64];
    char name[32];
    bool pointer;
    bool written;
    bool handle;
    const char *good; /* an argument that is fine */
};

static char *format(const char *how, ...) __attribute__((format(printf, 1, 2)));
static char *format(const char *how, ...)
{
    va_list list;
    char *text;

    va_start(list, how);
    cr_assert_geq(vasprintf(&text, how, list), 0);
    va_end(list);
    return text;
}

static const char *good_argument(const struct vm_helper *helper, unsigned i,
                                 const struct parameter *p)
{
    if (p->pointer) {
        return p->written ? "(void *)t" : "(const void *)in";
    }
    if (helper->kind[i] == VM_ARG_LENGTH) {
        return helper->kind[i - 1] == VM_ARG_READ ? "4" : "32";
    }
    return p->handle ? "h" : strcmp(p->name, "n") == 0 ? "eight" : "0";
}

/* "(const char *msg, zs_u64 len)" */
static unsigned parse_parameters(const struct vm_helper *helper,
                                 struct parameter out[PARAMETERS_MAX])
{
    const char *at = helper->parameters + 1;
    unsigned count = 0;

    while (strcmp(helper->parameters, "(void)") != 0 && *at != '\0') {
        size_t length = strcspn(at, ",)");
        struct parameter *p = &out[count];
        const char *name;

        *p = (struct parameter){.handle = false};
        cr_assert(count < PARAMETERS_MAX && length < sizeof p->text);
        memcpy(p->text, at, length);
        for (name = p->text + length; name > p->text && name[-1] != ' ' && name[-1] != '*';) {
            name--;
        }
        snprintf(p->name, sizeof p->name, "%s", name);
        p->pointer = strchr(p->text, '*') != NULL;
        p->written = p->pointer && strncmp(p->text, "const ", 6) != 0;
        p->handle = strncmp(p->text, "zs_s64 ", 7) == 0 &&
                    (strcmp(name, "handle") == 0 || strcmp(name, "value") == 0);
        p->good = good_argument(helper, count, p);
        count++;
        at += length + 1;
        at += strspn(at, " ");
    }
    return count;
}

static void add(const struct vm_helper *helper, enum kind kind, const char *arguments[],
                unsigned count, const char *reason, const char *argument)
{
    char *call = format("%s(", helper->name);

    for (unsigned i = 0; i < count; i++) {
        char *longer = format("%s%s%s", call, i == 0 ? "" : ", ", arguments[i]);

        free(call);
        call = longer;
    }
    cr_assert_lt(check_count, COUNT(checks));
    checks[check_count++] = (struct check){
        .helper = helper->name,
        .kind = kind,
        .text = format("({ ZS_MAYBE_UNUSED zs_s64 h = zs_json_new_object(); "
                       "(void)%s); 1; })",
                       call),
        .reason = reason,
        .argument = argument,
    };
    free(call);
}

/* The index of the parameter with the bytes that parameter `i` points at; `count`: there is none.
 */
static unsigned length_of(const struct vm_helper *helper, const struct parameter *list,
                          unsigned count, unsigned i)
{
    if (i + 1 < count && helper->kind[i + 1] == VM_ARG_LENGTH) {
        return i + 1;
    }
    return count == 3 && strcmp(list[2].name, "n") == 0 ? 2 : count;
}

static void add_pointers(const struct vm_helper *helper, const struct parameter *list,
                         unsigned count, unsigned i)
{
    /* Not mapped: the first page, between data and stack, functions' addresses, the last pages. The
     * stack ends at 0x2020000. */
    static const char *const bad[] = {
        "(void *)0",          "(void *)8",          "(void *)0x1f00000",  "(void *)0x201ffff",
        "(void *)0xc0000000", "(void *)0xffff0000", "(void *)0xffffffff", "(void *)constant"};
    const char *reason = list[i].written ? "is not writable" : "is not readable";
    const char *named = format("argument %u (%s): ", i + 1, list[i].name);
    unsigned length = length_of(helper, list, count, i);
    const char *arguments[PARAMETERS_MAX];

    for (unsigned k = 0; k < count; k++) {
        arguments[k] = list[k].good;
    }
    for (unsigned k = 0; k < COUNT(bad) - !list[i].written; k++) {
        arguments[i] = bad[k];
        add(helper, FAULT, arguments, count, reason, named);
    }
    if (length < count) {
        arguments[i] = list[i].good;
        arguments[length] = "~0ull";
        add(helper, FAULT, arguments, count, list[0].written && i > 0 ? "is not" : reason, NULL);
        arguments[length] = "none";
        arguments[i] = "(void *)8";
        add(helper, HARMLESS, arguments, count, NULL, NULL);
    }
    for (unsigned k = 0; k < count; k++) {
        arguments[k] = list[k].pointer ? "(void *)t" : list[k].good;
    }
    for (unsigned k = 0; k < count; k++) {
        if (k != i && list[k].pointer && helper->kind[i] == VM_ARG_WRITE) {
            add(helper, FAULT, arguments, count, "overlaps another argument", named);
        }
    }
}

static void add_handles(const struct vm_helper *helper, const struct parameter *list,
                        unsigned count, unsigned i)
{
    static const char *const bad[] = {"0", "-1", "h + 1", "1ll << 32 | h", "freed()"};
    const char *arguments[PARAMETERS_MAX];

    for (unsigned k = 0; k < count; k++) {
        arguments[k] = list[k].good;
    }
    for (unsigned k = 0; k < COUNT(bad); k++) {
        arguments[i] = bad[k];
        add(helper, FAULT, arguments, count, "no such JSON handle", NULL);
    }
}

static void add_all(void)
{
    uint32_t count;
    const struct vm_helper *table = script_helpers(&count);

    memcpy(checks, written, sizeof written);
    check_count = COUNT(written);
    for (uint32_t i = 0; i < count; i++) {
        struct parameter list[PARAMETERS_MAX];
        unsigned parameters = parse_parameters(&table[i], list);

        for (unsigned k = 0; k < parameters; k++) {
            if (list[k].pointer) {
                add_pointers(&table[i], list, parameters, k);
            } else if (list[k].handle) {
                add_handles(&table[i], list, parameters, k);
            }
        }
    }
}

/* ---- the scripts ---- */

static const char library[] = "#include <zeroserve.h>\n"
                              "ZS_CALL_ENTRY(next, in)\n"
                              "{\n"
                              "    zs_s64 n = 0;\n"
                              "    zs_json_read_i64(in, &n, 8);\n"
                              "    zs_json_set_i64(in, n + 1);\n"
                              "    return in;\n"
                              "}\n"
                              "ZS_CALL_ENTRY(minus, in) { return -in; }\n"
                              "ZS_CALL_ENTRY(crash, in) { return *(volatile zs_s64 *)8 + in; }\n"
                              "ZS_CALL_ENTRY(teapot, in) { zs_res_set_status(418); return in; }\n";

static const char before[] =
    "#define VERSION \"" ZEROSERVE_VERSION "\"\n"
    "#define FUNCTION static ZS_MAYBE_UNUSED __attribute__((noinline))\n"
    "static char t[80], big[300000];\n"
    "static char in[16] = \"0123456789abcde\";\n"
    "static const char constant[64] = {1};\n"
    "static volatile zs_u64 eight = 8, none = 0;\n"
    "#define FOREVER(call) ({ while (eight) call; 0; })\n"
    "FUNCTION void fill(int c) { zs_memset(big, c, sizeof big); }\n"
    "FUNCTION zs_s64 freed(void) { zs_s64 h = zs_json_new_array(); zs_object_free(h); return h; }\n"
    "FUNCTION int hex_is(const char *bytes, const char *want)\n"
    "{\n"
    "    char hex[16];\n"
    "    zs_hex_encode(bytes, 8, hex, 16, ZS_HEX_LOWERCASE);\n"
    "    return zs_memcmp(hex, want, 16) == 0;\n"
    "}\n"
    "/* Text out as the contract has it, with room for n bytes in t, which was full of x. */\n"
    "FUNCTION int cut(zs_s64 result, zs_u64 n, const char *want)\n"
    "{\n"
    "    zs_u64 length = zs_strlen(want), kept = n == 0 ? 0 : ZS_MIN(length, n - 1);\n"
    "    return result == (zs_s64)ZS_MIN(length, n) && zs_memcmp(t, want, kept) == 0 &&\n"
    "           (n == 0 || t[kept] == 0) && t[kept + (n > 0)] == 'x';\n"
    "}\n"
    "#define CUTS(want, call) ({ int good = 1; for (zs_u64 n = 0; n < sizeof want + 2; n++) {\\\n"
    "    zs_memset(t, 'x', sizeof t); good = good && cut(call, n, want); } good; })\n";

static const char after[] =
    "ZS_CALL_ENTRY(check, input)\n"
    "{\n"
    "    if (run(which())) zs_meta_set(TEXT(\"check\"), TEXT(\"ok\"));\n"
    "    return input;\n"
    "}\n"
    "ZS_ENTRY zs_u64 entry(void)\n"
    "{\n"
    "    int n = which();\n"
    "    if (in_hook(n)) return zs_res_hook(\"\", 0, TEXT(\"check\"), zs_json_new_object());\n"
    "    if (run(n)) zs_meta_set(TEXT(\"check\"), TEXT(\"ok\"));\n"
    "    return 0;\n"
    "}\n";

static char *write_script(void)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    cr_assert_not_null(out);
    fprintf(out, "%s%s", bench_prologue, before);
    for (unsigned i = 0; i < check_count; i++) {
        if (!checks[i].none) {
            fprintf(out, "FUNCTION int check_%u(void) { return %s; }\n", i, checks[i].text);
        }
    }
    fprintf(out, "FUNCTION int run(int n)\n{\n    switch (n) {\n");
    for (unsigned i = 0; i < check_count; i++) {
        if (!checks[i].none) {
            fprintf(out, "    case %u: return check_%u();\n", i, i);
        }
    }
    fprintf(out, "    }\n    return 0;\n}\nFUNCTION int in_hook(int n)\n{\n    switch (n) {\n");
    for (unsigned i = 0; i < check_count; i++) {
        if (checks[i].place == IN_HOOK) {
            fprintf(out, "    case %u: return 1;\n", i);
        }
    }
    fprintf(out, "    }\n    return 0;\n}\n%s", after);
    cr_assert_eq(fclose(out), 0);
    return text;
}

/* ---- running them ---- */

static struct site *make_site(void)
{
    static char large[100001];
    struct tarball *t = calloc(1, sizeof *t);

    memset(large, ' ', sizeof large - 1);
    tarball_file(t, "data.json", "{\"n\":7}");
    tarball_file(t, "broken.json", "{");
    tarball_file(t, "empty.json", "");
    tarball_file(t, "large.json", large);
    tarball_file(t, ".zeroserve/hidden.json", "{}");
    return tarball_site(t);
}

static void make_tls(struct exchange *ex)
{
    struct sockaddr_in6 peer = {.sin6_family = AF_INET6, .sin6_port = htons(443)};

    inet_pton(AF_INET6, "2001:db8::7", &peer.sin6_addr);
    memcpy(&ex->peer, &peer, sizeof peer);
    ex->proto_major = 2;
    ex->proto_minor = 0;
    ex->scheme = SPAN("https");
    ex->is_tls = true;
    ex->connection = (struct connection_info){.handshake_complete = true, .alpn = SPAN("h2")};
}

static void make_request(struct exchange *ex, unsigned number)
{
    const char *text = checks[number].body == NULL ? "{\"a\":1}" : checks[number].body;
    struct request_body *body = &ex->request_body;
    char digits[24];

    snprintf(digits, sizeof digits, "%u", number);
    exchange_reset(ex);
    guest_request(ex, "/%61/./b%20c?a=1&a=2&b+c=x%20y&flag", digits);
    ex->method = SPAN("POST");
    if (checks[number].tls) {
        make_tls(ex);
    }
    field_add(ex, &ex->request_fields, SPAN("X-Twice"), SPAN("first"));
    field_add(ex, &ex->request_fields, SPAN("x-twice"), SPAN("second"));
    if (checks[number].body == NULL) {
        snprintf(digits, sizeof digits, "%zu", strlen(text));
        field_add(ex, &ex->request_fields, SPAN("content-length"), span_of(digits));
    }
    cr_assert(*text == '\0' || buffer_append(&body->bytes, span_of(text), strlen(text)));
    body->received = strlen(text);
    body->length = checks[number].body == NULL ? body->received : REQUEST_BODY_UNKNOWN;
    body->complete = true;
}

/* The chain, somebody's 404 when no script answers, the hooks. */
static enum script_verdict run_request(struct bench *b)
{
    enum script_verdict verdict = guest_run(b->host, b->set, &b->ex, NULL);

    if (verdict == SCRIPT_PASS) {
        response_error(&b->ex, 404);
    }
    if (verdict == SCRIPT_PASS || verdict == SCRIPT_RESPONDED) {
        enum script_verdict hooks = script_hooks_start(&b->ex);

        while (hooks == SCRIPT_PENDING) {
            hooks = script_chain_resume(&b->ex);
        }
        response_finish(&b->ex);
    }
    return verdict;
}

#define EXPECT(what, ...)                                                                          \
    cr_expect(what, "engine %d, %s(...): %s: " #what " %s", interpret, c->helper, c->text, log)

static void look_at_outcome(const struct check *c, const struct exchange *ex,
                            enum script_verdict verdict, const char *log, int interpret)
{
    const struct want *want = &c->want;

    EXPECT(verdict == want->verdict);
    EXPECT(want->status == 0 || ex->status == want->status);
    EXPECT(want->body == NULL || span_equal(ex->body.bytes, span_of(want->body)));
    EXPECT(want->log == NULL || strstr(log, want->log) != NULL);
    EXPECT(want->targets == (ex->proxy == NULL ? 0 : ex->proxy->target_count));
    EXPECT(ex->proxy == NULL || want->sticky == ex->proxy->sticky);
    if (want->name != NULL) {
        const struct field *field = field_find(&ex->response_fields, span_of(want->name));

        EXPECT((field == NULL) == (want->value == NULL));
        EXPECT(field == NULL || span_equal(field->value, span_of(want->value)));
    }
}

static void run_check(struct bench *b, unsigned number, int interpret)
{
    const struct check *c = &checks[number];
    enum script_verdict verdict;
    const struct field *mark;
    const char *log;
    char *fault = format("script 'unit': %s: ", c->helper);

    make_request(&b->ex, number);
    guest_log_begin();
    verdict = run_request(b);
    log = guest_log_end();
    mark = field_find(&b->ex.meta, SPAN("check"));
    if (c->kind == HARMLESS) {
        EXPECT(strstr(log, "is not readable") == NULL && strstr(log, "is not writable") == NULL);
    } else if (c->kind == FAULT) {
        EXPECT(mark == NULL && b->ex.faulted == (c->place == IN_ENTRY));
        EXPECT(b->ex.status == (c->place == IN_ENTRY ? 500 : 404));
        EXPECT(strstr(log, fault) != NULL && strstr(log, c->reason) != NULL);
        EXPECT(c->argument == NULL || strstr(log, c->argument) != NULL);
    } else {
        EXPECT(mark != NULL && !b->ex.faulted);
        if (c->wants) {
            look_at_outcome(c, &b->ex, verdict, log, interpret);
        }
    }
    free(fault);
}

static struct script_set *load(uint8_t *const objects[2], const size_t bytes[2],
                               const struct script_options *options)
{
    const struct script_source sources[2] = {
        {.name = "lib", .object = objects[0], .object_bytes = bytes[0], .origin = "test"},
        {.name = "unit", .object = objects[1], .object_bytes = bytes[1], .origin = "test"},
    };
    char error[256];
    struct script_set *set = script_set_load(sources, 2, options, error, sizeof error);

    cr_assert_not_null(set, "%s", error);
    return set;
}

Test(helper_rows, each_check_on_both_engines)
{
    static const char *const env[] = {"ZS_TEST_GIVEN", "ZS_TEST_UNSET"};
    struct site *site = make_site();
    uint8_t *objects[2];
    size_t bytes[2];
    char *text;

    setenv("ZS_TEST_GIVEN", "value = 1", 1);
    setenv("ZS_TEST_HIDDEN", "secret", 1);
    add_all();
    text = write_script();
    objects[0] = guest_compile(library, &bytes[0]);
    objects[1] = guest_compile(text, &bytes[1]);
    for (int interpret = 0; interpret < 2; interpret++) {
        const struct script_options options = {.interpret = interpret,
                                               .budget_ms = 10000, /* however slow the build */
                                               .env = env,
                                               .env_count = 2,
                                               .site = site,
                                               .json_bytes_max = 90000};
        struct bench b = {.set = load(objects, bytes, &options)};
        char error[256];

        b.host = script_host_create(&options, error, sizeof error);
        cr_assert_not_null(b.host, "%s", error);
        exchange_init(&b.ex);
        for (unsigned i = 0; i < check_count; i++) {
            if (!checks[i].none) {
                run_check(&b, i, interpret);
            }
        }
        bench_end(&b);
    }
    site_free(site);
    free(text);
    free(objects[0]);
    free(objects[1]);
}

/* ---- that none is missing ---- */

Test(helper_rows, each_row_has_checks)
{
    uint32_t count;
    const struct vm_helper *table = script_helpers(&count);

    add_all();
    for (uint32_t i = 0; i < count; i++) {
        unsigned found[HARMLESS + 1] = {0};
        bool none[HARMLESS + 1] = {false};

        for (unsigned k = 0; k < check_count; k++) {
            if (strcmp(checks[k].helper, table[i].name) == 0) {
                found[checks[k].kind] += !checks[k].none;
                none[checks[k].kind] = none[checks[k].kind] || checks[k].none;
            }
        }
        cr_expect_geq(found[NORMAL], 1, "%s has no check of its normal case", table[i].name);
        for (enum kind kind = EDGE; kind <= FAULT; kind++) {
            cr_expect_eq(found[kind] == 0, none[kind], "%s: %u checks of its %s", table[i].name,
                         found[kind], kind == EDGE ? "edges" : "faults");
        }
    }
}

/* A check calls the helper that it is said to check. */
Test(helper_rows, each_check_calls_its_helper)
{
    uint32_t count;
    const struct vm_helper *table = script_helpers(&count);

    for (unsigned i = 0; i < COUNT(written); i++) {
        char *call = format("%s(", written[i].helper);
        bool known = false;

        for (uint32_t k = 0; k < count; k++) {
            known = known || strcmp(table[k].name, written[i].helper) == 0;
        }
        cr_expect(known, "there is no helper %s", written[i].helper);
        cr_expect(written[i].none || strstr(written[i].text, call) != NULL, "%s: %s",
                  written[i].helper, written[i].text);
        free(call);
    }
}
