/* SPDX-License-Identifier: Apache-2.0 */
/* The pool, paths and targets, fields, and what every response has in common. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/chars.h"
#include "server/date.h"
#include "server/exchange.h"
#include "server/limits.h"

/* ---- pool */

Test(pool, keeps_two_small_blocks_for_the_next_request)
{
    struct pool pool;
    pool_init(&pool, 1 << 20);
    char *first = pool_alloc(&pool, 1000);
    char *second = pool_alloc(&pool, 1500);
    cr_assert_not_null(pool_alloc(&pool, 100000));
    pool_reset(&pool);
    cr_expect_eq(pool_alloc(&pool, 1000), (void *)first);
    cr_expect_eq(pool_alloc(&pool, 1500), (void *)second);
    pool_reset(&pool);
    cr_expect_eq(pool_alloc(&pool, 1000), (void *)first);
    cr_assert_not_null(pool_alloc(&pool, 3000)); /* more than the second one has */
    pool_free(&pool);
}

Test(pool, is_bounded_and_aligned)
{
    struct pool pool;
    pool_init(&pool, 100000);
    size_t taken = 0;
    for (size_t bytes = 0;; bytes = (bytes + 7) % 3000) {
        char *memory = pool_alloc(&pool, bytes);
        if (memory == NULL) {
            break;
        }
        cr_assert_eq((uintptr_t)memory % 16, 0);
        memset(memory, 0xaa, bytes);
        taken += bytes;
        cr_assert_leq(taken, 100000);
    }
    cr_expect_gt(taken, 90000);
    cr_expect_null(pool_alloc(&pool, SIZE_MAX));
    cr_expect_null(pool_alloc(&pool, SIZE_MAX - 8));
    pool_reset(&pool);
    cr_expect_eq(pool.used_bytes, 0);
    cr_expect_not_null(pool_alloc(&pool, 100000));
    cr_expect_null(pool_alloc(&pool, 1));
    cr_expect_null(pool_copy(&pool, SPAN("a")).base);
    cr_expect_not_null(pool_copy(&pool, SPAN("")).base);
    cr_expect_null(pool_printf(&pool, "%d", 7).base);
    pool_reset(&pool);
    cr_expect(span_equal(pool_printf(&pool, "%s-%d", "a", 7), SPAN("a-7")));
    pool_free(&pool);
    pool_free(&pool);
}

/* ---- paths */

struct path_row {
    const char *raw;
    const char *path; /* NULL: refused */
};

/* clang-format off */
static const struct path_row path_rows[] = {
    {"/", "/"}, {"//", "/"}, {"///", "/"}, {"/.", "/"}, {"/./", "/"}, {"/a", "/a"}, {"/a/", "/a/"},
    {"/a//b", "/a/b"}, {"//a", "/a"}, {"/a//", "/a/"}, {"/a/.", "/a/"}, {"/a/./", "/a/"},
    {"/a/./b", "/a/b"}, {"/a/..", "/"}, {"/a/../", "/"}, {"/a/b/..", "/a/"}, {"/a/b/../c", "/a/c"},
    {"/a/../b", "/b"}, {"/a/b/../../c", "/c"}, {"/a//../b", "/b"}, {"/a/.//../b", "/b"},
    {"/..", NULL}, {"/../", NULL}, {"/../a", NULL}, {"/./..", NULL}, {"/a/../..", NULL},
    {"/a/../../a", NULL}, {"//..", NULL},
    /* dots that are part of a name */
    {"/...", "/..."}, {"/a..", "/a.."}, {"/..a", "/..a"}, {"/a.", "/a."}, {"/.a", "/.a"},
    {"/.../a", "/.../a"},
    /* escapes */
    {"/%61", "/a"}, {"/%2e", "/"}, {"/%2E%2e", NULL}, {"/a/%2e%2E/b", "/b"}, {"/a/.%2e", "/"},
    {"/%2e%61", "/.a"}, {"/a%20b", "/a b"}, {"/%c3%a9", "/\xc3\xa9"}, {"/a%25b", "/a%b"},
    {"/a%252fb", "/a%2fb"}, {"/%3f%23", "/?#"}, {"/a%5cb", "/a\\b"}, {"/a\\..\\b", "/a\\..\\b"},
    {"/a+b", "/a+b"}, {"/%0d%0a", "/\r\n"},
    {"/%2f", NULL}, {"/a%2Fb", NULL}, {"/%00", NULL}, {"/a%00.html", NULL},
    {"/%", NULL}, {"/%2", NULL}, {"/a%", NULL}, {"/%zz", NULL}, {"/%2z", NULL}, {"/%z2", NULL},
    {"/%/a", NULL}, {"/%2/e", NULL}, {"/%%41", NULL}, {"/%u0041", NULL}, {"/% 41", NULL},
    {"/%+1", NULL},
    /* no path */
    {"", NULL}, {"a", NULL}, {"*", NULL}, {"./a", NULL},
};
/* clang-format on */

Test(path, is_normalized)
{
    for (size_t i = 0; i < sizeof path_rows / sizeof path_rows[0]; i++) {
        struct span raw = span_of(path_rows[i].raw);
        char *copy = malloc(raw.len + 1);
        char *out = malloc(raw.len + 1);
        size_t len = 0;
        memcpy(copy, raw.base, raw.len);
        /* A copy without NUL, so that a sanitizer sees reads beyond. */
        char *tight = realloc(copy, raw.len > 0 ? raw.len : 1);
        bool ok = path_normalize((struct span){tight, raw.len}, out, &len);
        cr_expect_eq(ok, path_rows[i].path != NULL, "%s", raw.base);
        if (ok && path_rows[i].path != NULL) {
            cr_expect(span_equal((struct span){out, len}, span_of(path_rows[i].path)),
                      "%s gives %.*s", raw.base, (int)len, out);
        }
        free(tight);
        free(out);
    }
}

/* Of a target it is the same, also where there is nothing to do and the path stays where it is. */
Test(path, of_a_target_is_normalized)
{
    char target[64];
    struct exchange ex;
    exchange_init(&ex);
    for (size_t i = 0; i < sizeof path_rows / sizeof path_rows[0]; i++) {
        const struct path_row *row = &path_rows[i];
        for (int bytes = 0; bytes < 40 && row->raw[0] == '/' && row->path != NULL; bytes++) {
            const char *letters = "/abcdefghijklmnopqrstuvwxyzabcdefghijklmn";
            snprintf(target, sizeof target, "%.*s%s?q", bytes, letters, row->raw);
            cr_assert(exchange_set_target(&ex, span_of(target)), "%s", target);
            struct span path = ex.path;
            cr_assert(exchange_set_target(&ex, span_of(row->raw)), "%s", row->raw);
            cr_expect(span_equal(ex.path, span_of(row->path)), "%s", row->raw);
            size_t before = bytes == 1 ? 0 : (size_t)bytes; /* of "//" one is left */
            path = (struct span){path.base + before, path.len - before};
            cr_expect(span_equal(path, span_of(row->path)), "%s", target);
            exchange_reset(&ex);
        }
        if (row->path == NULL && strcmp(row->raw, "*") != 0) {
            cr_expect_not(exchange_set_target(&ex, span_of(row->raw)), "%s", row->raw);
        }
    }
    exchange_free(&ex);
}

/* What is special is found at every distance from the start. */
Test(path, is_normalized_behind_a_prefix)
{
    char raw[64], path[64], out[64];
    size_t len;
    for (size_t i = 0; i < sizeof path_rows / sizeof path_rows[0]; i++) {
        const struct path_row *row = &path_rows[i];
        for (int bytes = 1; bytes < 20 && row->raw[0] == '/' && row->path != NULL; bytes++) {
            snprintf(raw, sizeof raw, "/%.*s%s", bytes, "abcdefghijklmnopqrst", row->raw);
            snprintf(path, sizeof path, "/%.*s%s", bytes, "abcdefghijklmnopqrst", row->path);
            cr_assert(path_normalize(span_of(raw), out, &len), "%s", raw);
            cr_assert(span_equal((struct span){out, len}, span_of(path)), "%s", raw);
        }
    }
}

Test(path, normalizing_its_result_changes_nothing)
{
    const struct span raw = SPAN("/a//./b/%2e%2e/c%20d/");
    char once[32];
    char twice[32];
    size_t once_len, twice_len;
    cr_assert(path_normalize(raw, once, &once_len));
    cr_assert(path_normalize((struct span){once, once_len}, twice, &twice_len));
    cr_expect(span_equal((struct span){once, once_len}, (struct span){twice, twice_len}));
}

static void expect_target(const char *target, const char *raw_path, const char *query,
                          const char *path)
{
    struct exchange ex;
    exchange_init(&ex);
    cr_expect(exchange_set_target(&ex, span_of(target)), "%s", target);
    cr_expect(span_equal(ex.raw_path, span_of(raw_path)), "%s", target);
    cr_expect(span_equal(ex.query, span_of(query)), "%s", target);
    cr_expect(span_equal(ex.path, span_of(path)), "%s", target);
    exchange_free(&ex);
}

Test(exchange, targets_are_split)
{
    expect_target("/", "/", "", "/");
    expect_target("/a?", "/a", "", "/a");
    expect_target("/%61/?b?c=%2f", "/%61/", "b?c=%2f", "/a/");
    expect_target("/?../..", "/", "../..", "/");
    expect_target("?b", "/", "b", "/");
    expect_target("*", "*", "", "/");
    expect_target("//a/../b", "//a/../b", "", "/b");
}

Test(exchange, bad_targets_change_nothing)
{
    static const char *const bad[] = {
        "", "a", "**", "/a b", "/a\r", "/#", "/\x7f", "/\xff", "/..", "/%2f", "http://h/",
    };
    struct exchange ex;
    exchange_init(&ex);
    cr_assert(exchange_set_target(&ex, SPAN("/a?b")));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_not(exchange_set_target(&ex, span_of(bad[i])), "%s", bad[i]);
    }
    cr_expect_not(exchange_set_target(&ex, SPAN("/\0")));
    cr_expect(span_equal(ex.raw_path, SPAN("/a")));
    cr_expect(span_equal(ex.query, SPAN("b")));
    exchange_free(&ex);
}

Test(exchange, reset_keeps_nothing)
{
    struct exchange ex;
    exchange_init(&ex);
    ex.is_tls = true;
    ex.peer.any.sa_family = AF_INET6;
    ex.connection.sni = SPAN("example");
    cr_assert(exchange_set_target(&ex, SPAN("/a?b")));
    response_error(&ex, 404);
    exchange_reset(&ex);
    cr_expect(!ex.is_tls);
    cr_expect_eq(ex.peer.any.sa_family, AF_UNSPEC);
    cr_expect_eq(ex.connection.sni.len, 0);
    cr_expect_eq(ex.status, 0);
    cr_expect_eq(ex.path.len, 0);
    cr_expect_eq(ex.response_fields.count, 0);
    cr_expect_eq(ex.body.kind, BODY_NONE);
    exchange_free(&ex);
}

/* ---- fields */

Test(field, names_and_values)
{
    cr_expect(field_name_valid(SPAN("a-B_1!#$%&'*+.^`|~")));
    static const char *const bad_names[] = {"", " ", "a ", "a:", "a\r", "a\n", "(a)", "\xe9"};
    for (size_t i = 0; i < sizeof bad_names / sizeof bad_names[0]; i++) {
        cr_expect_not(field_name_valid(span_of(bad_names[i])), "%zu", i);
    }
    cr_expect(field_value_valid(SPAN("")));
    cr_expect(field_value_valid(SPAN("a \t\xc3\xa9 ~")));
    static const char *const bad_values[] = {" a",  "a ",    "\ta",  "a\t",  " ",     "a\rb",
                                             "a\n", "\r\na", "\x01", "\x7f", "a\x1bz"};
    for (size_t i = 0; i < sizeof bad_values / sizeof bad_values[0]; i++) {
        cr_expect_not(field_value_valid(span_of(bad_values[i])), "%zu", i);
    }
    cr_expect_not(field_value_valid(SPAN("a\0b")));
}

static void expect_fields(const struct field_list *list, const char *want)
{
    char text[256] = "";
    size_t at = 0;
    for (unsigned i = 0; i < list->count; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%.*s=%.*s;",
                               (int)list->items[i].name.len, list->items[i].name.base,
                               (int)list->items[i].value.len, list->items[i].value.base);
        cr_assert_lt(at, sizeof text);
    }
    cr_expect_str_eq(text, want);
}

Test(field, lists_keep_order)
{
    struct exchange ex;
    exchange_init(&ex);
    struct field_list *list = &ex.response_fields;
    cr_expect_null(field_find(list, SPAN("a")));
    cr_expect(field_set(&ex, list, SPAN("a"), SPAN("1")));
    cr_expect(field_add(&ex, list, SPAN("B"), SPAN("2")));
    cr_expect(field_add(&ex, list, SPAN("A"), SPAN("")));
    cr_expect(field_add(&ex, list, SPAN("c"), SPAN("4")));
    expect_fields(list, "a=1;B=2;A=;c=4;");
    cr_expect(span_equal(field_find(list, SPAN("a"))->value, SPAN("")));
    cr_expect(field_set(&ex, list, SPAN("a"), field_find(list, SPAN("C"))->value));
    expect_fields(list, "a=4;B=2;c=4;");
    cr_expect_eq(field_delete(list, SPAN("b")), 1);
    cr_expect_eq(field_delete(list, SPAN("b")), 0);
    expect_fields(list, "a=4;c=4;");
    cr_expect_not(field_add(&ex, list, SPAN("x y"), SPAN("1")));
    cr_expect_not(field_add(&ex, list, SPAN("x"), SPAN("1\r\nset-cookie: a")));
    cr_expect_not(field_set(&ex, list, SPAN("a"), SPAN("1\n")));
    expect_fields(list, "a=4;c=4;");
    exchange_free(&ex);
}

Test(field, values_are_copied)
{
    struct exchange ex;
    exchange_init(&ex);
    char name[] = "a";
    char value[] = "b";
    cr_assert(field_add(&ex, &ex.request_fields, span_of(name), span_of(value)));
    name[0] = value[0] = 'x';
    expect_fields(&ex.request_fields, "a=b;");
    exchange_free(&ex);
}

/* At every place of texts shorter and longer than what is looked at at once. */
Test(field, all_bytes_are_told_apart)
{
    char text[40];
    for (size_t len = 1; len <= sizeof text; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                memset(text, 'a', sizeof text);
                text[at] = (char)byte;
                struct span span = {text, len};
                cr_assert_eq(chars_all_token(span), char_is((char)byte, CHAR_TOKEN));
                cr_assert_eq(chars_all_value(span), char_is((char)byte, CHAR_VALUE));
                cr_assert_eq(chars_any_upper(span), byte >= 'A' && byte <= 'Z');
                cr_assert_eq(chars_all_target(span), char_is((char)byte, CHAR_TARGET));
                cr_assert_eq(chars_token_bytes(span), char_is((char)byte, CHAR_TOKEN) ? len : at);
                cr_assert_eq(chars_plain_path(span), byte != '%' && byte != 0);
                size_t ascii = chars_ascii_prefix(span);
                cr_assert(byte < 128 ? ascii == len : ascii <= at);
            }
        }
    }
}

Test(field, numbers_are_digits_up_to_a_largest)
{
    static const struct {
        const char *text;
        uint64_t max;
        uint64_t value; /* UINT64_MAX: it is none */
    } rows[] = {
        {"0", 0, 0},
        {"1", 0, UINT64_MAX},
        {"7", 7, 7},
        {"8", 7, UINT64_MAX},
        {"007", 7, 7},
        {"65535", UINT16_MAX, 65535},
        {"65536", UINT16_MAX, UINT64_MAX},
        {"655350", UINT16_MAX, UINT64_MAX},
        {"9223372036854775807", INT64_MAX, INT64_MAX},
        {"9223372036854775808", INT64_MAX, UINT64_MAX},
        {"18446744073709551614", UINT64_MAX, UINT64_MAX - 1},
        {"18446744073709551616", UINT64_MAX, UINT64_MAX},
        {"99999999999999999999999", UINT64_MAX, UINT64_MAX},
        {"", 9, UINT64_MAX},
        {"-1", 9, UINT64_MAX},
        {"+1", 9, UINT64_MAX},
        {" 1", 9, UINT64_MAX},
        {"1 ", 9, UINT64_MAX},
        {"1a", UINT64_MAX, UINT64_MAX},
        {"/", 99, UINT64_MAX},
        {":", 99, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t value = UINT64_MAX;
        bool number = chars_number(span_of(rows[i].text), rows[i].max, &value);
        cr_expect_eq(number, rows[i].value != UINT64_MAX, "\"%s\"", rows[i].text);
        cr_expect_eq(value, rows[i].value, "\"%s\"", rows[i].text);
    }
    cr_expect_not(chars_number((struct span){NULL, 0}, 9, &(uint64_t){0}));
}

Test(field, lists_are_copied_at_once)
{
    struct exchange ex;
    struct field fields[40];
    char names[40][16];
    exchange_init(&ex);
    for (int i = 0; i < 40; i++) {
        snprintf(names[i], sizeof names[i], "n-%d", i);
        fields[i] = (struct field){span_of(names[i]), i % 3 == 0 ? SPAN("") : span_of(names[i])};
    }
    cr_assert(field_copy_all(&ex, &ex.request_fields, fields, 40));
    memset(names, 0, sizeof names);
    cr_expect_eq(ex.request_fields.count, 40);
    cr_expect(span_equal(ex.request_fields.items[39].name, SPAN("n-39")));
    cr_expect_eq(ex.request_fields.items[39].value.len, 0);
    cr_expect(span_equal(ex.request_fields.items[7].value, SPAN("n-7")));
    cr_expect(field_add(&ex, &ex.request_fields, SPAN("more"), SPAN("")));
    exchange_reset(&ex);
    cr_expect(field_copy_all(&ex, &ex.request_fields, NULL, 0));
    exchange_free(&ex);
}

Test(field, lines_are_copied_at_once)
{
    struct exchange ex;
    char text[] = "Host: a\r\nEmpty:  \r\nLast:\tz \r\n\r\n";
    struct field fields[] = {{{text, 4}, {text + 6, 1}},
                             {{text + 9, 5}, {text + 17, 0}},
                             {{text + 19, 4}, {text + 25, 1}}};
    exchange_init(&ex);
    cr_assert(field_copy_lines(&ex, &ex.request_fields, fields, 3));
    memset(text, 0, sizeof text);
    expect_fields(&ex.request_fields, "Host=a;Empty=;Last=z;");
    cr_expect(field_add(&ex, &ex.request_fields, SPAN("more"), SPAN("")));
    exchange_reset(&ex);
    cr_expect(field_copy_lines(&ex, &ex.request_fields, NULL, 0));
    cr_expect_eq(ex.request_fields.count, 0);
    exchange_free(&ex);
}

Test(field, lists_are_bounded)
{
    struct exchange ex;
    exchange_init(&ex);
    unsigned count = 0;
    while (field_add(&ex, &ex.response_fields, SPAN("a"), SPAN("b"))) {
        count++;
    }
    cr_expect_eq(count, LIM_RESPONSE_FIELDS);
    static char big[LIM_EXCHANGE_POOL_BYTES];
    memset(big, 'a', sizeof big);
    exchange_reset(&ex);
    cr_expect_not(field_add(&ex, &ex.response_fields, SPAN("a"), (struct span){big, sizeof big}));
    cr_expect_eq(ex.response_fields.count, 0);
    exchange_free(&ex);
}

/* ---- responses */

static void set_meta(struct exchange *ex, const char *key, const char *value)
{
    cr_assert(field_add(ex, &ex->meta, span_of(key), span_of(value)));
}

static void refuse_meta(struct exchange *ex, const char *key, const char *value)
{
    cr_assert_not(field_add(ex, &ex->meta, span_of(key), span_of(value)));
}

Test(response, error_drops_what_was_there)
{
    struct exchange ex;
    exchange_init(&ex);
    response_start(&ex, 200);
    cr_assert(field_add(&ex, &ex.response_fields, SPAN("a"), SPAN("b")));
    response_error(&ex, 404);
    cr_expect_eq(ex.status, 404);
    cr_expect(span_equal(ex.body.bytes, SPAN("404 Not Found\n")));
    expect_fields(&ex.response_fields, "content-type=text/plain; charset=utf-8;");
    exchange_free(&ex);
}

Test(response, error_works_without_memory)
{
    struct exchange ex;
    exchange_init(&ex);
    while (pool_alloc(&ex.pool, 16) != NULL) {
    }
    response_error(&ex, 500);
    response_finish(&ex);
    cr_expect_eq(ex.status, 500);
    cr_expect_eq(ex.body.kind, BODY_BYTES);
    cr_expect_eq(ex.response_fields.count, 0);
    exchange_free(&ex);
}

Test(response, finish_applies_what_scripts_asked_for)
{
    struct exchange ex;
    exchange_init(&ex);
    response_start(&ex, 200);
    cr_assert(field_add(&ex, &ex.response_fields, SPAN("x-gone"), SPAN("1")));
    cr_assert(field_add(&ex, &ex.response_fields, SPAN("x-set"), SPAN("2")));
    cr_assert(field_add(&ex, &ex.deleted_fields, SPAN("X-Gone"), SPAN("")));
    cr_assert(field_add(&ex, &ex.added_fields, SPAN("set-cookie"), SPAN("a")));
    cr_assert(field_add(&ex, &ex.added_fields, SPAN("set-cookie"), SPAN("b")));
    cr_assert(field_add(&ex, &ex.added_fields, SPAN("Content-Length"), SPAN("9")));
    set_meta(&ex, "zs.response.header.X-Set", "3");
    set_meta(&ex, "zs.response.header.x-new", "4");
    refuse_meta(&ex, "zs.response.header.", "no name");
    refuse_meta(&ex, "zs.response.header.x y", "bad name");
    refuse_meta(&ex, "zs.response.header.x-bad", "a\r\nb: c");
    set_meta(&ex, "zs.response.header.Transfer-Encoding", "chunked");
    set_meta(&ex, "zs.response.header.connection", "close");
    set_meta(&ex, "zs.response.header.keep-alive", "a");
    set_meta(&ex, "zs.response.header.upgrade", "a");
    set_meta(&ex, "zs.response.header.trailer", "a");
    set_meta(&ex, "zs.response.header.te", "a");
    set_meta(&ex, "title", "a page");
    response_finish(&ex);
    expect_fields(&ex.response_fields, "x-set=3;x-new=4;set-cookie=a;set-cookie=b;");
    exchange_free(&ex);
}

Test(response, some_statuses_have_no_body)
{
    static const struct {
        unsigned status;
        bool body;
        unsigned final;
    } rows[] = {{200, true, 200},  {204, false, 204}, {205, false, 205}, {304, false, 304},
                {404, true, 404},  {999, true, 999},  {100, true, 500},  {101, true, 500},
                {1000, true, 500}, {99, true, 500}};
    struct exchange ex;
    exchange_init(&ex);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        response_start(&ex, rows[i].status);
        ex.body = (struct body){.kind = BODY_BYTES, .bytes = SPAN("a")};
        response_finish(&ex);
        cr_expect_eq(ex.status, rows[i].final);
        cr_expect_eq(ex.body.kind != BODY_NONE, rows[i].body, "%u", rows[i].status);
        exchange_reset(&ex);
    }
    exchange_free(&ex);
    cr_expect_str_eq(status_reason(404), "Not Found");
    cr_expect_str_eq(status_reason(799), "");
}

/* ---- dates */

Test(date, formats_and_parses)
{
    char text[DATE_BYTES + 1];
    int64_t seconds = 0;
    date_format(784111777, text);
    cr_expect_str_eq(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    date_format(951782400, text);
    cr_expect_str_eq(text, "Tue, 29 Feb 2000 00:00:00 GMT");
    date_format(INT64_MIN, text);
    cr_expect_str_eq(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    date_format(INT64_MAX, text);
    cr_expect_str_eq(text, "Fri, 31 Dec 9999 23:59:59 GMT");
    for (int64_t time = 0; time < 253402300799; time += 86400 * 17 + 12345) {
        date_format(time, text);
        cr_assert(date_parse(span_of(text), &seconds), "%s", text);
        cr_assert_eq(seconds, time, "%s", text);
    }
    cr_expect(date_parse(SPAN("Sunday, 06-Nov-94 08:49:37 GMT"), &seconds));
    cr_expect_eq(seconds, 784111777);
    cr_expect(date_parse(SPAN("Sun Nov  6 08:49:37 1994"), &seconds));
    cr_expect_eq(seconds, 784111777);
    cr_expect(date_parse(SPAN("Sun Nov 16 08:49:37 1994"), &seconds));
    cr_expect_eq(seconds, 784111777 + 10 * 86400);
}

Test(date, refuses_what_is_none)
{
    static const char *const bad[] = {
        "",
        "0",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
    };
    int64_t seconds = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_not(date_parse(span_of(bad[i]), &seconds), "%s", bad[i]);
    }
    cr_expect_eq(seconds, 7);
}
