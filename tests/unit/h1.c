/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1 heads and bodies, by tables. Each head is also parsed cut at every byte, one byte at a
 * time, moved to another buffer between two calls, and pipelined behind a good request. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/date.h"
#include "server/h1.h"

#define OK   "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define HOST "Host: h\r\n"
#define GET  "GET / HTTP/1.1\r\n"

struct outcome {
    enum h1_result result;
    unsigned status;
    size_t consumed;
    struct h1_head head;
};

/* A copy of exactly len bytes, so that a sanitizer sees reads beyond. */
static char *exact(const char *text, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    cr_assert_not_null(copy);
    memcpy(copy, text, len);
    return copy;
}

/* Offers the text with growing lengths: `first`, then `step` more each time. The last buffer stays
 * allocated in *buffer, for the head points into it. */
static struct outcome parse_pieces(const char *text, size_t len, size_t first, size_t step,
                                   char **buffer)
{
    struct h1_parser parser;
    struct outcome outcome = {.result = H1_MORE};
    h1_parser_init(&parser);
    *buffer = NULL;
    for (size_t have = first < len ? first : len;;) {
        free(*buffer);
        *buffer = exact(text, have);
        outcome.result = h1_parse_head(&parser, *buffer, have, &outcome.head, &outcome.consumed);
        if (outcome.result != H1_MORE || have == len) {
            break;
        }
        have = step < len - have ? have + step : len;
    }
    outcome.status = parser.status;
    if (outcome.result == H1_BAD) {
        cr_expect_not_null(parser.reason);
        cr_expect_neq(parser.status, 0);
    }
    return outcome;
}

static bool inside(struct span span, const char *buffer, size_t len)
{
    return span.len == 0 || (span.base >= buffer && span.base + span.len <= buffer + len);
}

static void expect_inside(const struct h1_head *head, const char *buffer, size_t len)
{
    cr_expect(inside(head->method, buffer, len));
    cr_expect(inside(head->target, buffer, len));
    cr_expect(inside(head->authority, buffer, len));
    for (unsigned i = 0; i < head->field_count; i++) {
        cr_expect(inside(head->fields[i].name, buffer, len));
        cr_expect(inside(head->fields[i].value, buffer, len));
    }
}

static void expect_same(const struct outcome *a, const struct outcome *b, const char *text,
                        size_t cut)
{
    cr_expect_eq(a->result, b->result, "cut at %zu: %s", cut, text);
    cr_expect_eq(a->status, b->status, "cut at %zu: %u, whole %u: %s", cut, a->status, b->status,
                 text);
    cr_expect_eq(a->consumed, b->consumed, "cut at %zu: %s", cut, text);
    if (a->result == H1_DONE && b->result == H1_DONE) {
        cr_expect(span_equal(a->head.target, b->head.target));
        cr_expect(span_equal(a->head.authority, b->head.authority));
        cr_expect_eq(a->head.field_count, b->head.field_count);
        cr_expect_eq(a->head.keep_alive, b->head.keep_alive);
        cr_expect_eq(a->head.framing, b->head.framing);
        cr_expect_eq(a->head.content_length, b->head.content_length);
    }
}

/* Whole, then in all the pieces: always the same outcome. */
static struct outcome parse_all_ways(const char *text, size_t len, char **buffer)
{
    struct outcome whole = parse_pieces(text, len, len, 1, buffer);
    if (whole.result == H1_DONE) {
        expect_inside(&whole.head, *buffer, whole.consumed);
    }
    for (size_t cut = 0; cut <= len; cut++) {
        char *other;
        struct outcome outcome = parse_pieces(text, len, cut, len, &other);
        expect_same(&outcome, &whole, text, cut);
        free(other);
        if (len > 400 && cut == 40) { /* long ones: the borders are at their ends */
            cut = len - 40;
        }
    }
    char *other;
    struct outcome bytes = parse_pieces(text, len, 0, 1, &other);
    expect_same(&bytes, &whole, text, 1);
    free(other);
    return whole;
}

/* ---- heads that are refused */

struct bad {
    const char *text;
    unsigned status;
};

/* clang-format off */
static const struct bad bad_heads[] = {
    /* line ends */
    {"GET / HTTP/1.1\nHost: h\r\n\r\n", 400},
    {GET "Host: h\n\r\n", 400},
    {GET HOST "\n", 400},
    {GET HOST "a: b\rc: d\r\n\r\n", 400},
    {GET "Host: h\r\r\n\r\n", 400},
    {"GET /\r HTTP/1.1\r\n" HOST "\r\n", 400},
    {"\n" OK, 400},
    {"\r\n\r\n\r\n" OK, 400},
    {"\r\r\n" OK, 400},
    /* request line */
    {" GET / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /  HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1 \r\n" HOST "\r\n", 400},
    {"GET\t/\tHTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /\r\n\r\n", 400},
    {"GET\r\n\r\n", 400},
    {"GET / \r\n\r\n", 400},
    {"GET  HTTP/1.1\r\n" HOST "\r\n", 400},
    {"/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"G(T / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"G\xc3\x89T / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"\x16\x03\x01\x02", 400}, /* TLS on a port without: refused before any line end */
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n" HOST "\r\n", 501},
    {"CONNECT h:443 HTTP/1.1\r\n" HOST "\r\n", 501},
    {"CONNECT / HTTP/1.1\r\n" HOST "\r\n", 501},
    /* version */
    {"GET / HTTP/2.0\r\n" HOST "\r\n", 505},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", 505},
    {"GET / HTTP/1.9\r\n" HOST "\r\n", 505},
    {"GET / HTTP/0.9\r\n" HOST "\r\n", 505},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"GET / HTTP/1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.10\r\n" HOST "\r\n", 400},
    {"GET / HTTP/11.1\r\n" HOST "\r\n", 400},
    {"GET / http/1.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1,1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/-1.1\r\n" HOST "\r\n", 400},
    {"GET / FTP/1.1\r\n" HOST "\r\n", 400},
    /* target */
    {"GET * HTTP/1.1\r\n" HOST "\r\n", 400},
    {"OPTIONS *a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET ?a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET h:80 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /\x01 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /\x7f HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET ftp://h/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET http:///a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET http:/h/a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET http://u@h/a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET http://h:port/a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET http://h/a HTTP/1.1\r\n\r\n", 400},
    {"GET http://h/a HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    /* fields */
    {GET " Host: h\r\n\r\n", 400},
    {GET "\tHost: h\r\n\r\n", 400},
    {GET HOST " folded\r\n\r\n", 400},
    {GET HOST "a: b\r\n\tfolded\r\n\r\n", 400},
    {GET "Host : h\r\n\r\n", 400},
    {GET HOST "a\t: b\r\n\r\n", 400},
    {GET HOST ": b\r\n\r\n", 400},
    {GET HOST "a\r\n\r\n", 400},
    {GET HOST "a b: c\r\n\r\n", 400},
    {GET HOST "a[]: c\r\n\r\n", 400},
    {GET HOST "\xc3\xa9: c\r\n\r\n", 400},
    {GET HOST "a: b\x01\r\n\r\n", 400},
    {GET HOST "a: b\x7f\r\n\r\n", 400},
    {GET HOST "a: b\x0b\r\n\r\n", 400},
    /* Host */
    {GET "\r\n", 400},
    {GET HOST HOST "\r\n", 400},
    {"GET / HTTP/1.0\r\n" HOST "host: h\r\n\r\n", 400},
    {GET "Host:\r\n\r\n", 400},
    {GET "Host: \r\n\r\n", 400},
    {GET "Host: :80\r\n\r\n", 400},
    {GET "Host: u@h\r\n\r\n", 400},
    {GET "Host: h/a\r\n\r\n", 400},
    {GET "Host: http://h\r\n\r\n", 400},
    {GET "Host: h?a\r\n\r\n", 400},
    {GET "Host: h#a\r\n\r\n", 400},
    {GET "Host: a b\r\n\r\n", 400},
    {GET "Host: a\\b\r\n\r\n", 400},
    {GET "Host: h\xc3\xa9\r\n\r\n", 400},
    {GET "Host: h%4\r\n\r\n", 400},
    {GET "Host: h:80:80\r\n\r\n", 400},
    {GET "Host: h:65536\r\n\r\n", 400},
    {GET "Host: h:+80\r\n\r\n", 400},
    {GET "Host: [::1\r\n\r\n", 400},
    {GET "Host: [::1]a\r\n\r\n", 400},
    {GET "Host: [::g]\r\n\r\n", 400},
    {GET "Host: []\r\n\r\n", 400},
    {GET "Host: [1.2.3.4]\r\n\r\n", 400},
    {GET "Host: ::1\r\n\r\n", 400},
    /* Content-Length */
    {GET HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
    {GET HOST "Content-Length: 1, 1\r\n\r\n", 400},
    {GET HOST "Content-Length: +1\r\n\r\n", 400},
    {GET HOST "Content-Length: -1\r\n\r\n", 400},
    {GET HOST "Content-Length: 1 1\r\n\r\n", 400},
    {GET HOST "Content-Length: 0x1\r\n\r\n", 400},
    {GET HOST "Content-Length: 1a\r\n\r\n", 400},
    {GET HOST "Content-Length:\r\n\r\n", 400},
    {GET HOST "Content-Length: 9223372036854775808\r\n\r\n", 400},
    {GET HOST "Content-Length: 18446744073709551617\r\n\r\n", 400},
    {GET HOST "Content-Length: 99999999999999999999999999\r\n\r\n", 400},
    /* Transfer-Encoding */
    {GET HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {GET HOST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
    {GET HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {GET HOST "Transfer-Encoding: chunked, chunked\r\n\r\n", 501},
    {GET HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {GET HOST "Transfer-Encoding: chunked, gzip\r\n\r\n", 400},
    {GET HOST "Transfer-Encoding: identity\r\n\r\n", 400},
    {GET HOST "Transfer-Encoding: xchunked\r\n\r\n", 400},
    {GET HOST "Transfer-Encoding: chunkedx\r\n\r\n", 400},
    {GET HOST "Transfer-Encoding: chunked;q=1\r\n\r\n", 400},
    {GET HOST "Transfer-Encoding: \"chunked\"\r\n\r\n", 400},
    {GET HOST "Transfer-Encoding:\r\n\r\n", 400},
    {GET HOST "Transfer-Encoding: \x0b" "chunked\r\n\r\n", 400},
    {GET HOST "Transfer-Encoding : chunked\r\n\r\n", 400},
    {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    /* Expect */
    {GET HOST "Expect: 200-ok\r\n\r\n", 417},
    {GET HOST "Expect:\r\n\r\n", 417},
    {GET HOST "Expect: 100-continue, 100-continue\r\n\r\n", 417},
};
/* clang-format on */

static void expect_bad(const char *text, size_t len, unsigned status)
{
    char *buffer;
    struct outcome outcome = parse_all_ways(text, len, &buffer);
    cr_expect_eq(outcome.result, H1_BAD, "%s", text);
    cr_expect_eq(outcome.status, status, "%u, want %u: %s", outcome.status, status, text);
    free(buffer);
}

Test(h1, bad_heads_are_refused)
{
    for (size_t i = 0; i < sizeof bad_heads / sizeof bad_heads[0]; i++) {
        expect_bad(bad_heads[i].text, strlen(bad_heads[i].text), bad_heads[i].status);
    }
}

Test(h1, nul_is_refused_anywhere)
{
    const char text[] = "GET /ab HTTP/1.1\r\nHost: h\r\nab: cd\r\n\r\n";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        char *copy = exact(text, sizeof text - 1);
        copy[i] = '\0';
        char *buffer;
        struct outcome outcome = parse_pieces(copy, sizeof text - 1, sizeof text - 1, 1, &buffer);
        /* A NUL in place of the final LF leaves a head that is not complete. */
        cr_expect_eq(outcome.result, i == sizeof text - 2 ? H1_MORE : H1_BAD, "at %zu", i);
        free(buffer);
        free(copy);
    }
}

Test(h1, bad_head_behind_a_good_one)
{
    for (size_t i = 0; i < sizeof bad_heads / sizeof bad_heads[0]; i++) {
        char both[1024];
        int len = snprintf(both, sizeof both, "%s%s", OK, bad_heads[i].text);
        struct h1_parser parser;
        struct h1_head head;
        size_t consumed;
        h1_parser_init(&parser);
        cr_assert_eq(h1_parse_head(&parser, both, (size_t)len, &head, &consumed), H1_DONE);
        cr_assert_eq(consumed, strlen(OK));
        h1_parser_init(&parser);
        cr_expect_eq(
            h1_parse_head(&parser, both + consumed, (size_t)len - consumed, &head, &consumed),
            H1_BAD, "%s", bad_heads[i].text);
        cr_expect_eq(parser.status, bad_heads[i].status);
    }
}

/* ---- heads that are taken */

struct good {
    const char *text;
    const char *target;
    const char *authority;
    enum h1_framing framing;
    uint64_t content_length;
    bool keep_alive;
    bool expect_continue;
};

static const struct good good_heads[] = {
    {OK, "/", "h", H1_BODY_NONE, 0, true, false},
    {"\r\n" OK, "/", "h", H1_BODY_NONE, 0, true, false},
    {"\r\n\r\n" OK, "/", "h", H1_BODY_NONE, 0, true, false},
    {"GET /a%20b?c=\"d\"|{}^`\\<> HTTP/1.1\r\n" HOST "\r\n", "/a%20b?c=\"d\"|{}^`\\<>", "h",
     H1_BODY_NONE, 0, true, false},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "*", "h", H1_BODY_NONE, 0, true, false},
    {"abc-DEF_1 / HTTP/1.1\r\n" HOST "\r\n", "/", "h", H1_BODY_NONE, 0, true, false},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\n" HOST "\r\n", "/", "h", H1_BODY_NONE, 0, true,
     false},
    /* absolute-form */
    {"GET http://a.b:81/c?d HTTP/1.1\r\n" HOST "\r\n", "/c?d", "a.b:81", H1_BODY_NONE, 0, true,
     false},
    {"GET HTTPS://a HTTP/1.1\r\n" HOST "\r\n", "/", "a", H1_BODY_NONE, 0, true, false},
    {"GET http://a?b/c HTTP/1.1\r\n" HOST "\r\n", "?b/c", "a", H1_BODY_NONE, 0, true, false},
    {"GET http://a/ HTTP/1.0\r\n\r\n", "/", "a", H1_BODY_NONE, 0, false, false},
    /* Host */
    {"GET / HTTP/1.0\r\n\r\n", "/", "", H1_BODY_NONE, 0, false, false},
    {GET "hOST:\th:8080 \t\r\n\r\n", "/", "h:8080", H1_BODY_NONE, 0, true, false},
    {GET "Host: [2001:db8::1]:443\r\n\r\n", "/", "[2001:db8::1]:443", H1_BODY_NONE, 0, true, false},
    {GET "Host: [::ffff:1.2.3.4]\r\n\r\n", "/", "[::ffff:1.2.3.4]", H1_BODY_NONE, 0, true, false},
    {GET "Host: h:\r\n\r\n", "/", "h:", H1_BODY_NONE, 0, true, false},
    {GET "Host: a-b_c.d~e%20f\r\n\r\n", "/", "a-b_c.d~e%20f", H1_BODY_NONE, 0, true, false},
    /* Connection */
    {GET HOST "Connection: close\r\n\r\n", "/", "h", H1_BODY_NONE, 0, false, false},
    {GET HOST "Connection: x , CLOSE,\r\n\r\n", "/", "h", H1_BODY_NONE, 0, false, false},
    {GET HOST "Connection: keep-alive\r\nConnection: close\r\n\r\n", "/", "h", H1_BODY_NONE, 0,
     false, false},
    {GET HOST "Connection: closed, xclose\r\n\r\n", "/", "h", H1_BODY_NONE, 0, true, false},
    {GET HOST "Connection:\r\n\r\n", "/", "h", H1_BODY_NONE, 0, true, false},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", "", H1_BODY_NONE, 0, true, false},
    {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "/", "", H1_BODY_NONE, 0, false,
     false},
    /* framing */
    {GET HOST "Content-Length: 0\r\n\r\n", "/", "h", H1_BODY_NONE, 0, true, false},
    {GET HOST "content-length:12\r\n\r\n", "/", "h", H1_BODY_LENGTH, 12, true, false},
    {GET HOST "Content-Length: 0000000000000000000000007\r\n\r\n", "/", "h", H1_BODY_LENGTH, 7,
     true, false},
    {GET HOST "Content-Length: 9223372036854775807\r\n\r\n", "/", "h", H1_BODY_LENGTH, INT64_MAX,
     true, false},
    {GET HOST "Transfer-Encoding: Chunked\r\n\r\n", "/", "h", H1_BODY_CHUNKED, 0, true, false},
    /* Expect */
    {GET HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", "/", "h", H1_BODY_LENGTH, 1,
     true, true},
    {GET HOST "Expect: 100-continue\r\n\r\n", "/", "h", H1_BODY_NONE, 0, true, false},
    {"GET / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", "/", "", H1_BODY_LENGTH,
     1, false, false},
    /* values */
    {GET HOST "a:\r\nb: \r\nc: \xc3\xa9\t \"x\"\r\n!#$%&'*+-.^_`|~9: d\r\n\r\n", "/", "h",
     H1_BODY_NONE, 0, true, false},
};

Test(h1, good_heads_are_taken)
{
    for (size_t i = 0; i < sizeof good_heads / sizeof good_heads[0]; i++) {
        const struct good *row = &good_heads[i];
        char more[512];
        int len = snprintf(more, sizeof more, "%s%s", row->text, "GET /next");
        char *buffer;
        struct outcome outcome = parse_all_ways(more, (size_t)len, &buffer);
        cr_assert_eq(outcome.result, H1_DONE, "%u: %s", outcome.status, row->text);
        cr_expect_eq(outcome.consumed, strlen(row->text), "%s", row->text);
        cr_expect(span_equal(outcome.head.target, span_of(row->target)), "%s", row->text);
        cr_expect(span_equal(outcome.head.authority, span_of(row->authority)), "%s", row->text);
        cr_expect_eq(outcome.head.framing, row->framing, "%s", row->text);
        cr_expect_eq(outcome.head.content_length, row->content_length, "%s", row->text);
        cr_expect_eq(outcome.head.keep_alive, row->keep_alive, "%s", row->text);
        cr_expect_eq(outcome.head.expect_continue, row->expect_continue, "%s", row->text);
        free(buffer);
    }
}

Test(h1, fields_are_trimmed_and_in_order)
{
    const char text[] = "POST /a HTTP/1.1\r\nHost: h\r\nA: \t b  c \t\r\na:\r\nB:d\r\n\r\n";
    char *buffer;
    struct outcome outcome = parse_all_ways(text, sizeof text - 1, &buffer);
    cr_assert_eq(outcome.result, H1_DONE);
    cr_assert_eq(outcome.head.field_count, 4);
    cr_expect(span_equal(outcome.head.method, SPAN("POST")));
    cr_expect_eq(outcome.head.minor, 1);
    cr_expect(span_equal(outcome.head.fields[1].name, SPAN("A")));
    cr_expect(span_equal(outcome.head.fields[1].value, SPAN("b  c")));
    cr_expect(span_equal(outcome.head.fields[2].value, SPAN("")));
    cr_expect(span_equal(outcome.head.fields[3].value, SPAN("d")));
    free(buffer);
}

/* ---- limits, at their border and one beyond */

struct text {
    char *bytes;
    size_t len;
};

static void append(struct text *text, const char *bytes, size_t len)
{
    text->bytes = realloc(text->bytes, text->len + len);
    cr_assert_not_null(text->bytes);
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
}

static void append_fill(struct text *text, size_t len)
{
    while (len-- > 0) {
        append(text, "a", 1);
    }
}

/* Parses and frees; also without the last `cut` bytes, that is, not complete. */
static void expect_limit(struct text text, size_t cut, enum h1_result result, unsigned status)
{
    char *buffer;
    struct outcome outcome = parse_pieces(text.bytes, text.len - cut, text.len, 1, &buffer);
    cr_expect_eq(outcome.result, result);
    cr_expect_eq(outcome.status, status);
    free(buffer);
    outcome = parse_pieces(text.bytes, text.len - cut, 0, 1000, &buffer);
    cr_expect_eq(outcome.result, result);
    cr_expect_eq(outcome.status, status);
    free(buffer);
    free(text.bytes);
}

static struct text line_of(const char *prefix, const char *suffix, size_t line_bytes)
{
    struct text text = {NULL, 0};
    append(&text, prefix, strlen(prefix));
    append_fill(&text, line_bytes - strlen(prefix) - strlen(suffix));
    append(&text, suffix, strlen(suffix));
    return text;
}

Test(h1, long_request_line)
{
    const char *end = " HTTP/1.1\r\n";
    struct text text = line_of("GET /", end, LIM_REQUEST_LINE_BYTES);
    append(&text, HOST "\r\n", strlen(HOST "\r\n"));
    expect_limit(text, 0, H1_DONE, 0);
    expect_limit(line_of("GET /", end, LIM_REQUEST_LINE_BYTES + 1), 0, H1_BAD, 414);
    expect_limit(line_of("GET /", end, LIM_REQUEST_LINE_BYTES + 1), 1, H1_BAD, 414);
    expect_limit(line_of("GET /", "", LIM_REQUEST_LINE_BYTES), 0, H1_BAD, 414);
    expect_limit(line_of("GET /", "", LIM_REQUEST_LINE_BYTES - 1), 0, H1_MORE, 0);
}

static struct text head_with_field(size_t field_bytes, const char *suffix)
{
    struct text text = {NULL, 0};
    struct text field = line_of("a: ", suffix, field_bytes);
    append(&text, GET HOST, strlen(GET HOST));
    append(&text, field.bytes, field.len);
    free(field.bytes);
    return text;
}

Test(h1, long_field)
{
    struct text text = head_with_field(LIM_FIELD_BYTES, "\r\n");
    append(&text, "\r\n", 2);
    expect_limit(text, 0, H1_DONE, 0);
    expect_limit(head_with_field(LIM_FIELD_BYTES + 1, "\r\n"), 0, H1_BAD, 431);
    expect_limit(head_with_field(LIM_FIELD_BYTES, ""), 0, H1_BAD, 431);
    expect_limit(head_with_field(LIM_FIELD_BYTES - 1, ""), 0, H1_MORE, 0);
}

/* Fields of `bytes` altogether, with the empty line. */
static struct text head_with_fields(size_t bytes)
{
    struct text text = {NULL, 0};
    append(&text, GET HOST, strlen(GET HOST));
    for (size_t left = bytes - strlen(HOST) - 2; left > 0;) {
        size_t line_bytes = left > 5000 ? 4000 : left;
        struct text field = line_of("a: ", "\r\n", line_bytes);
        append(&text, field.bytes, field.len);
        free(field.bytes);
        left -= line_bytes;
    }
    append(&text, "\r\n", 2);
    return text;
}

Test(h1, long_field_section)
{
    expect_limit(head_with_fields(LIM_HEAD_FIELDS_BYTES), 0, H1_DONE, 0);
    expect_limit(head_with_fields(LIM_HEAD_FIELDS_BYTES), 1, H1_MORE, 0);
    expect_limit(head_with_fields(LIM_HEAD_FIELDS_BYTES + 1), 0, H1_BAD, 431);
    expect_limit(head_with_fields(LIM_HEAD_FIELDS_BYTES + 1), 1, H1_BAD, 431);
}

static struct text head_with_count(unsigned count)
{
    struct text text = {NULL, 0};
    append(&text, GET HOST, strlen(GET HOST));
    for (unsigned i = 1; i < count; i++) {
        append(&text, "a:\r\n", 4);
    }
    append(&text, "\r\n", 2);
    return text;
}

Test(h1, many_fields)
{
    expect_limit(head_with_count(LIM_FIELD_COUNT), 0, H1_DONE, 0);
    expect_limit(head_with_count(LIM_FIELD_COUNT + 1), 0, H1_BAD, 431);
    expect_limit(head_with_count(LIM_FIELD_COUNT + 1), 2, H1_BAD, 431);
}

/* ---- bodies */

struct decoded {
    enum h1_result result;
    unsigned status;
    size_t consumed;
    struct text content;
    size_t trailer_bytes;
};

/* Decodes text offered in pieces of `first` and then `step` bytes. */
static struct decoded decode(const struct h1_head *head, const char *text, size_t len, size_t first,
                             size_t step)
{
    struct h1_body body;
    struct decoded decoded = {.result = H1_MORE};
    h1_body_init(&body, head);
    size_t have = first < len ? first : len;
    for (;;) {
        size_t consumed;
        struct span content;
        char *piece = exact(text + decoded.consumed, have - decoded.consumed);
        decoded.result = h1_body_next(&body, piece, have - decoded.consumed, &consumed, &content);
        cr_assert_leq(consumed, have - decoded.consumed);
        cr_assert(inside(content, piece, consumed));
        if (content.len > 0) {
            append(&decoded.content, content.base, content.len);
        }
        if (body.trailers.len > 0) {
            cr_assert(inside(body.trailers, piece, consumed));
            decoded.trailer_bytes += body.trailers.len;
        }
        decoded.consumed += consumed;
        free(piece);
        if (decoded.result != H1_MORE || (decoded.consumed == have && have == len)) {
            break;
        }
        cr_assert(consumed > 0 || have == decoded.consumed);
        if (decoded.consumed == have) {
            have = step < len - have ? have + step : len;
        }
    }
    decoded.status = body.status;
    return decoded;
}

static struct h1_head framed(enum h1_framing framing, uint64_t length)
{
    struct h1_head head = {.framing = framing, .content_length = length};
    return head;
}

/* Every cut gives what the whole gives. Frees nothing of the result. */
static struct decoded decode_all_ways(const struct h1_head *head, const char *text, size_t len)
{
    struct decoded whole = decode(head, text, len, len, 1);
    for (size_t cut = 0; cut <= len; cut++) {
        struct decoded other =
            cut == 0 ? decode(head, text, len, 0, 1) : decode(head, text, len, cut, len);
        cr_expect_eq(other.result, whole.result, "cut at %zu: %s", cut, text);
        cr_expect_eq(other.status, whole.status, "cut at %zu: %s", cut, text);
        if (whole.result != H1_BAD) {
            cr_expect_eq(other.consumed, whole.consumed, "cut at %zu: %s", cut, text);
            cr_expect_eq(other.trailer_bytes, whole.trailer_bytes, "cut at %zu: %s", cut, text);
        }
        cr_expect(span_equal((struct span){other.content.bytes, other.content.len},
                             (struct span){whole.content.bytes, whole.content.len}),
                  "cut at %zu: %s", cut, text);
        free(other.content.bytes);
    }
    return whole;
}

struct chunked {
    const char *text;
    const char *content;
    enum h1_result result;
    size_t rest; /* bytes of text behind the body */
    unsigned status;
};

/* clang-format off */
static const struct chunked chunked_bodies[] = {
    {"0\r\n\r\n", "", H1_DONE, 0, 0},
    {"3\r\nabc\r\n0\r\n\r\nGET /", "abc", H1_DONE, 5, 0},
    {"3\r\nabc\r\n00a\r\n0123456789\r\n0\r\n\r\n", "abc0123456789", H1_DONE, 0, 0},
    {"A\r\n0123456789\r\n000\r\n\r\n", "0123456789", H1_DONE, 0, 0},
    {"0000000000000001\r\na\r\n0\r\n\r\n", "a", H1_DONE, 0, 0},
    {"1;a=b;c=\"d e\"\r\nx\r\n0;z\r\n\r\n", "x", H1_DONE, 0, 0},
    {"1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", "\r\n", H1_DONE, 0, 0},
    {"0\r\na: b\r\nc:\r\n\r\n.", "", H1_DONE, 1, 0},
    {"3\r\nab", "ab", H1_MORE, 0, 0},
    {"0\r\n", "", H1_MORE, 0, 0},
    {"0\r\n\r", "", H1_MORE, 0, 0},
    {"", "", H1_MORE, 0, 0},
    {"\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {";a\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {"+1\r\na\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {"-1\r\na\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {"0x1\r\na\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {" 1\r\na\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {"1 \r\na\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {"1 ;a\r\na\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {"1_0\r\na\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {"g\r\na\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {"00000000000000001\r\na\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {"8000000000000000\r\na", "", H1_BAD, 0, 413},
    {"1\na\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {"1\ra\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {"1;a\nb\r\na\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {"1;a\x01\r\na\r\n0\r\n\r\n", "", H1_BAD, 0, 400},
    {"1\r\nab\r\n0\r\n\r\n", "a", H1_BAD, 0, 400},
    {"1\r\na\n0\r\n\r\n", "a", H1_BAD, 0, 400},
    {"1\r\na\r0\r\n\r\n", "a", H1_BAD, 0, 400},
    {"1\r\na0\r\n\r\n", "a", H1_BAD, 0, 400},
    {"0\r\na\r\n\r\n", "", H1_BAD, 0, 400},
    {"0\r\n: a\r\n\r\n", "", H1_BAD, 0, 400},
    {"0\r\na : b\r\n\r\n", "", H1_BAD, 0, 400},
    {"0\r\n a: b\r\n\r\n", "", H1_BAD, 0, 400},
    {"0\r\na: b\n\r\n", "", H1_BAD, 0, 400},
    {"0\r\na: b\x7f\r\n\r\n", "", H1_BAD, 0, 400},
    {"0\r\n\n", "", H1_BAD, 0, 400},
    {"0\r\n\r\r", "", H1_BAD, 0, 400},
};
/* clang-format on */

Test(h1, chunked_bodies)
{
    struct h1_head head = framed(H1_BODY_CHUNKED, 0);
    for (size_t i = 0; i < sizeof chunked_bodies / sizeof chunked_bodies[0]; i++) {
        const struct chunked *row = &chunked_bodies[i];
        struct decoded decoded = decode_all_ways(&head, row->text, strlen(row->text));
        cr_expect_eq(decoded.result, row->result, "%s", row->text);
        cr_expect_eq(decoded.status, row->status, "%s", row->text);
        cr_expect(span_equal((struct span){decoded.content.bytes, decoded.content.len},
                             span_of(row->content)),
                  "%s", row->text);
        if (row->result != H1_BAD) {
            cr_expect_eq(decoded.consumed, strlen(row->text) - row->rest, "%s", row->text);
        }
        free(decoded.content.bytes);
    }
}

static void expect_chunk_limit(struct text text, enum h1_result result, unsigned status)
{
    struct h1_head head = framed(H1_BODY_CHUNKED, 0);
    struct decoded decoded = decode(&head, text.bytes, text.len, text.len, 1);
    cr_expect_eq(decoded.result, result);
    cr_expect_eq(decoded.status, status);
    free(decoded.content.bytes);
    free(text.bytes);
}

static struct text chunks_with_extensions(unsigned count, size_t line_bytes)
{
    struct text text = {NULL, 0};
    for (unsigned i = 0; i < count; i++) {
        append(&text, "1;", 2);
        append_fill(&text, line_bytes - 2);
        append(&text, "\r\na\r\n", 5);
    }
    return text;
}

Test(h1, chunk_extensions_and_trailers_are_bounded)
{
    expect_chunk_limit(chunks_with_extensions(1, LIM_CHUNK_LINE_BYTES), H1_MORE, 0);
    expect_chunk_limit(chunks_with_extensions(1, LIM_CHUNK_LINE_BYTES + 1), H1_BAD, 413);
    expect_chunk_limit(chunks_with_extensions(64, 200), H1_MORE, 0);
    expect_chunk_limit(chunks_with_extensions(100, 200), H1_BAD, 413);
    for (unsigned many = 0; many < 2; many++) {
        struct text text = {NULL, 0};
        append(&text, "0\r\n", 3);
        for (unsigned i = 0; i < (many ? LIM_TRAILER_BYTES / 100 + 1 : 10); i++) {
            append(&text, "a:", 2);
            append_fill(&text, 96);
            append(&text, "\r\n", 2);
        }
        expect_chunk_limit(text, many ? H1_BAD : H1_MORE, many ? 413 : 0);
    }
}

Test(h1, bodies_with_a_length)
{
    struct h1_head head = framed(H1_BODY_LENGTH, 5);
    struct decoded decoded = decode_all_ways(&head, "helloGET", 8);
    cr_expect_eq(decoded.result, H1_DONE);
    cr_expect_eq(decoded.consumed, 5);
    cr_expect(span_equal((struct span){decoded.content.bytes, decoded.content.len}, SPAN("hello")));
    free(decoded.content.bytes);
    decoded = decode_all_ways(&head, "hell", 4);
    cr_expect_eq(decoded.result, H1_MORE);
    free(decoded.content.bytes);
    head = framed(H1_BODY_NONE, 0);
    decoded = decode_all_ways(&head, "GET", 3);
    cr_expect_eq(decoded.result, H1_DONE);
    cr_expect_eq(decoded.consumed, 0);
}

Test(h1, trailers)
{
    struct h1_head head = framed(H1_BODY_CHUNKED, 0);
    const char text[] = "2\r\nab\r\n0\r\nX-A: 1\r\nx-b:\r\n\r\nGET";
    struct decoded decoded = decode_all_ways(&head, text, sizeof text - 1);
    cr_expect_eq(decoded.result, H1_DONE);
    cr_expect_eq(decoded.trailer_bytes, strlen("X-A: 1\r\nx-b:\r\n\r\n"));
    free(decoded.content.bytes);
    struct span section = SPAN("X-A: 1\r\nx-b:\r\n\r\n");
    struct field field;
    cr_expect(h1_trailer_next(&section, &field));
    cr_expect(span_equal(field.name, SPAN("X-A")) && span_equal(field.value, SPAN("1")));
    cr_expect(h1_trailer_next(&section, &field));
    cr_expect(span_equal(field.name, SPAN("x-b")) && field.value.len == 0);
    cr_expect_not(h1_trailer_next(&section, &field));
}

/* ---- response heads */

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"

static void expect_head(struct exchange *ex, bool keep_alive, const char *want)
{
    struct buffer out = {0};
    cr_assert(buffer_append(&out, SPAN("before "), SIZE_MAX / 2));
    cr_expect_not(h1_append_head(ex, keep_alive, SPAN(DATE), &out, 20));
    cr_assert(h1_append_head(ex, keep_alive, SPAN(DATE), &out, SIZE_MAX / 2));
    buffer_consume(&out, strlen("before "));
    struct span head = buffer_span(&out);
    cr_expect(span_equal(head, span_of(want)), "%.*s", (int)head.len, head.base);
    buffer_release(&out);
}

Test(h1, response_heads)
{
    struct exchange ex;
    exchange_init(&ex);
    ex.proto_major = 1;
    ex.proto_minor = 1;
    response_start(&ex, 200);
    cr_assert(field_add(&ex, &ex.response_fields, SPAN("a"), SPAN("b c")));
    ex.body = (struct body){.kind = BODY_BYTES, .bytes = SPAN("hello")};
    expect_head(&ex, true,
                "HTTP/1.1 200 OK\r\na: b c\r\ndate: " DATE "\r\ncontent-length: 5\r\n\r\n");
    expect_head(&ex, false,
                "HTTP/1.1 200 OK\r\na: b c\r\ndate: " DATE
                "\r\ncontent-length: 5\r\nconnection: close\r\n\r\n");
    ex.proto_minor = 0;
    ex.body = (struct body){.kind = BODY_FILE, .file_bytes = UINT64_MAX};
    expect_head(&ex, true,
                "HTTP/1.1 200 OK\r\na: b c\r\ndate: " DATE
                "\r\ncontent-length: 18446744073709551615\r\nconnection: keep-alive\r\n\r\n");
    ex.proto_minor = 1;
    response_start(&ex, 304);
    expect_head(&ex, true, "HTTP/1.1 304 Not Modified\r\ndate: " DATE "\r\n\r\n");
    response_start(&ex, 204);
    expect_head(&ex, true, "HTTP/1.1 204 No Content\r\ndate: " DATE "\r\n\r\n");
    response_start(&ex, 799);
    cr_assert(field_add(&ex, &ex.response_fields, SPAN("Date"), SPAN("now")));
    expect_head(&ex, true, "HTTP/1.1 799 \r\nDate: now\r\ncontent-length: 0\r\n\r\n");
    exchange_free(&ex);
}
