/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of upstreams, by tables: heads, the framing of bodies, bodies. Each head is also parsed
 * cut at every byte and one byte at a time. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/h1_response.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define OK           "HTTP/1.1 200 OK\r\n"

/* A copy of exactly len bytes, so that a sanitizer sees reads beyond. */
static char *exact(const char *text, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    cr_assert_not_null(copy);
    memcpy(copy, text, len);
    return copy;
}

struct outcome {
    enum h1_result result;
    size_t consumed;
    struct h1_response head;
};

/* Offers the text with growing lengths: `first`, then `step` more each time. The last buffer stays
 * allocated in *buffer, for the head points into it. */
static struct outcome parse_pieces(const char *text, size_t len, const char *method, size_t first,
                                   size_t step, char **buffer)
{
    struct h1_parser parser;
    static struct outcome outcome;
    h1_parser_init(&parser);
    *buffer = NULL;
    for (size_t have = first < len ? first : len;;) {
        free(*buffer);
        *buffer = exact(text, have);
        outcome.result = h1_parse_response(&parser, *buffer, have, span_of(method), &outcome.head,
                                           &outcome.consumed);
        if (outcome.result != H1_MORE || have == len) {
            break;
        }
        have = step < len - have ? have + step : len;
    }
    cr_expect_eq(parser.status, outcome.result == H1_BAD ? 502 : 0);
    cr_expect_eq(parser.reason != NULL, outcome.result == H1_BAD);
    return outcome;
}

static void expect_same(const struct outcome *a, const struct outcome *b, const char *text)
{
    cr_expect_eq(a->result, b->result, "%s", text);
    cr_expect_eq(a->consumed, b->consumed, "%s", text);
    if (a->result != H1_DONE || b->result != H1_DONE) {
        return;
    }
    cr_expect_eq(a->head.minor, b->head.minor);
    cr_expect_eq(a->head.status, b->head.status);
    cr_expect(span_equal(a->head.reason, b->head.reason));
    cr_expect_eq(a->head.keep_alive, b->head.keep_alive);
    cr_expect_eq(a->head.until_close, b->head.until_close);
    cr_expect_eq(a->head.framing, b->head.framing);
    cr_expect_eq(a->head.has_length, b->head.has_length);
    cr_expect_eq(a->head.content_length, b->head.content_length);
    cr_assert_eq(a->head.field_count, b->head.field_count);
    for (unsigned i = 0; i < a->head.field_count; i++) {
        cr_expect(span_equal(a->head.fields[i].name, b->head.fields[i].name));
        cr_expect(span_equal(a->head.fields[i].value, b->head.fields[i].value));
    }
}

/* Whole, then in every cut; the caller frees *buffer. */
static struct outcome parse(const char *text, size_t len, const char *method, char **buffer)
{
    struct outcome whole = parse_pieces(text, len, method, len, len, buffer);
    for (size_t first = 0; first <= len; first++) {
        char *other;
        struct outcome cut = parse_pieces(text, len, method, first, len, &other);
        expect_same(&cut, &whole, text);
        free(other);
    }
    char *other;
    struct outcome bytes = parse_pieces(text, len, method, 0, 1, &other);
    expect_same(&bytes, &whole, text);
    free(other);
    return whole;
}

/* ---- heads */

enum { NONE, CLOSE, CHUNKED }; /* framing; a length is FIVE */
enum { FIVE = 5 };

struct row {
    const char *method, *text;
    unsigned status;
    int framing;
    bool keep_alive;
};

/* clang-format off */
static const struct row rows[] = {
    {"GET", OK "Content-Length: 5\r\n\r\n", 200, FIVE, true},
    {"GET", OK "content-length:5\r\n\r\n", 200, FIVE, true},
    {"GET", OK "Content-Length: 005 \t\r\n\r\n", 200, FIVE, true},
    {"GET", OK "Content-Length: 0\r\n\r\n", 200, NONE, true},
    {"GET", OK "\r\n", 200, CLOSE, false},
    {"GET", OK "Transfer-Encoding: chunked\r\n\r\n", 200, CHUNKED, true},
    {"GET", OK "Transfer-Encoding: Chunked\r\nConnection: x, ,Close\r\n\r\n", 200, CHUNKED, false},
    {"POST", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", 200, FIVE, false},
    {"POST", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\n", 200, FIVE, true},
    {"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", 200, CLOSE, false},
    {"GET", OK "Content-Length: 5\r\nConnection: close, keep-alive\r\n\r\n", 200, FIVE, false},
    {"HEAD", OK "Content-Length: 5\r\n\r\n", 200, NONE, true},
    {"HEAD", OK "Transfer-Encoding: chunked\r\n\r\n", 200, NONE, true},
    {"HEAD", OK "\r\n", 200, NONE, true},
    {"head", OK "Content-Length: 5\r\n\r\n", 200, FIVE, true}, /* methods have a case */
    {"CONNECT", OK "Content-Length: 5\r\n\r\n", 200, NONE, true},
    {"CONNECT", "HTTP/1.1 404 \r\nContent-Length: 5\r\n\r\n", 404, FIVE, true},
    {"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, NONE, true},
    {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, NONE, true},
    {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, NONE, false},
    {"GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 204, NONE, false},
    {"GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", 205, NONE, true},
    {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, NONE, true},
    {"GET", "HTTP/1.1 304 Not Modified\r\n\r\n", 304, NONE, true},
    {"GET", "HTTP/1.1 100 Continue\r\n\r\n", 100, NONE, true},
    {"GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 103, NONE, true},
    {"GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 101, NONE, false},
    {"GET", "HTTP/1.1 999\r\nContent-Length: 5\r\n\r\n", 999, FIVE, true},
    {"GET", "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", 200, FIVE, true},
    {"GET", "HTTP/1.1 200 \xc3\xa4 \t \r\nContent-Length: 5\r\n\r\n", 200, FIVE, true},
    {"GET", OK "a:\r\nb: \xff\r\nContent-Length: 5\r\n\r\n", 200, FIVE, true},
};

static const char *const refused[] = {
    "\r\n" OK "\r\n", "\n", " " OK, "x", "SSH-2.0-OpenSSH\r\n", "HTTP/0.9 200 OK\r\n\r\n",
    "HTTP/2 200 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.2 200 OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n",
    "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1\t200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
    "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 +20 OK\r\n\r\n", "HTTP/1.1\r\n\r\n",
    "HTTP/1.1 200\tOK\r\n\r\n", "HTTP/1.1 200 O\x01K\r\n\r\n", "HTTP/1.1 200 O\rK\r\n\r\n", "HTTP/1.1 200 OK\n\r\n",
    OK "\n", OK "a: b\n\r\n", OK "a: b\rc\r\n\r\n", OK "a: b\r\n c\r\n\r\n", OK "a: b\r\n\tc\r\n\r\n",
    OK " a: b\r\n\r\n", OK "a : b\r\n\r\n", OK ": b\r\n\r\n", OK "a\r\n\r\n", OK "a b: c\r\n\r\n",
    OK "a: \x7f\r\n\r\n", OK "a\x80: b\r\n\r\n", OK "a: b\r\r\n\r\n",
    OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    OK "Content-Length: 5, 5\r\n\r\n", OK "Content-Length: +5\r\n\r\n", OK "Content-Length: -1\r\n\r\n",
    OK "Content-Length: 0x5\r\n\r\n", OK "Content-Length: \r\n\r\n", OK "Content-Length: 5 5\r\n\r\n",
    OK "Content-Length: 9223372036854775808\r\n\r\n", OK "Content-Length: 18446744073709551621\r\n\r\n",
    OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    OK "Transfer-Encoding: gzip, chunked\r\n\r\n", OK "Transfer-Encoding: chunked, chunked\r\n\r\n",
    OK "Transfer-Encoding: identity\r\n\r\n", OK "Transfer-Encoding: xchunked\r\n\r\n", OK "Transfer-Encoding:\r\n\r\n",
    OK "Transfer-Encoding: chunked;q=1\r\n\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
};
/* clang-format on */

static void expect_row(const struct row *row, const struct outcome *outcome, size_t len)
{
    const struct h1_response *head = &outcome->head;
    cr_assert_eq(outcome->result, H1_DONE, "%s", row->text);
    cr_expect_eq(outcome->consumed, len, "%s", row->text);
    cr_expect_eq(head->status, row->status, "%s: %u", row->text, head->status);
    cr_expect_eq(head->keep_alive, row->keep_alive, "%s", row->text);
    cr_expect_eq(head->until_close, row->framing == CLOSE, "%s", row->text);
    enum h1_framing framing = row->framing == FIVE      ? H1_BODY_LENGTH
                              : row->framing == CHUNKED ? H1_BODY_CHUNKED
                                                        : H1_BODY_NONE;
    cr_expect_eq(head->framing, framing, "%s", row->text);
    cr_expect_eq(head->has_length, strcasestr(row->text, "content-length") != NULL, "%s",
                 row->text);
    cr_expect_eq(h1_response_interim(head), row->status == 100 || row->status == 103);
}

Test(h1_response, heads)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *buffer;
        size_t len = strlen(rows[i].text);
        struct outcome outcome = parse(rows[i].text, len, rows[i].method, &buffer);
        expect_row(&rows[i], &outcome, len);
        free(buffer);
    }
}

Test(h1_response, refused_heads)
{
    for (size_t i = 0; i < COUNT(refused); i++) {
        char *buffer;
        struct outcome outcome = parse(refused[i], strlen(refused[i]), "GET", &buffer);
        cr_expect_eq(outcome.result, H1_BAD, "%s", refused[i]);
        free(buffer);
    }
    static const char nul[] = OK "a: b\0c\r\n\r\n";
    char *buffer;
    cr_expect_eq(parse(nul, sizeof nul - 1, "GET", &buffer).result, H1_BAD);
    free(buffer);
}

Test(h1_response, of_nothing_there_may_be_more)
{
    struct h1_parser parser;
    struct h1_response head;
    size_t consumed = 1;
    h1_parser_init(&parser);
    cr_expect_eq(h1_parse_response(&parser, NULL, 0, SPAN("GET"), &head, &consumed), H1_MORE);
    cr_expect_eq(consumed, 0);
    cr_expect_eq(
        h1_parse_response(&parser, OK "\r\n", sizeof OK + 1, SPAN("GET"), &head, &consumed),
        H1_DONE);
    cr_expect_eq(consumed, sizeof OK + 1);
}

Test(h1_response, incomplete_heads_wait)
{
    static const char text[] = OK "Content-Length: 5\r\n\r\n";
    for (size_t len = 0; len < sizeof text - 1; len++) {
        char *buffer;
        cr_expect_eq(parse_pieces(text, len, "GET", len, 1, &buffer).result, H1_MORE);
        free(buffer);
    }
}

Test(h1_response, bytes_behind_the_head_are_left)
{
    static const char text[] = OK "Server: x \r\nContent-Length: 5\r\n\r\nhello\n\r\n";
    char *buffer;
    struct outcome outcome = parse(text, sizeof text - 1, "GET", &buffer);
    cr_assert_eq(outcome.result, H1_DONE);
    cr_expect_eq(outcome.consumed, sizeof text - 1 - 8);
    cr_expect(span_equal(outcome.head.reason, SPAN("OK")));
    cr_assert_eq(outcome.head.field_count, 2);
    cr_expect(span_equal(outcome.head.fields[0].name, SPAN("Server")));
    cr_expect(span_equal(outcome.head.fields[0].value, SPAN("x")));
    cr_expect_eq(outcome.head.content_length, 5);
    free(buffer);
}

/* A head of `bytes` bytes, with the empty line. */
static char *head_of(size_t bytes)
{
    char *text = malloc(bytes + 1);
    cr_assert_not_null(text);
    memset(text, 'v', bytes);
    memcpy(text, OK "a: ", sizeof OK + 2);
    memcpy(text + bytes - 4, "\r\n\r\n", 4);
    text[bytes] = '\0';
    return text;
}

Test(h1_response, heads_are_bounded)
{
    for (size_t more = 0; more < 2; more++) {
        size_t len = LIM_UPSTREAM_HEAD_BYTES + more;
        char *text = head_of(len);
        char *buffer;
        enum h1_result wanted = more == 0 ? H1_DONE : H1_BAD;
        cr_expect_eq(parse_pieces(text, len, "GET", len, 1, &buffer).result, wanted);
        free(buffer);
        cr_expect_eq(parse_pieces(text, len, "GET", len / 2, 1000, &buffer).result, wanted);
        free(buffer);
        cr_expect_eq(parse_pieces(text, len, "GET", len - 1, 1, &buffer).result, wanted);
        free(buffer);
        free(text);
    }
    /* A line that never ends is refused when nothing could make it a head any more. */
    char *text = head_of(LIM_UPSTREAM_HEAD_BYTES + 10);
    char *buffer;
    size_t len = LIM_UPSTREAM_HEAD_BYTES;
    cr_expect_eq(parse_pieces(text, len - 1, "GET", len - 1, 1, &buffer).result, H1_MORE);
    free(buffer);
    cr_expect_eq(parse_pieces(text, len, "GET", len, 1, &buffer).result, H1_BAD);
    free(buffer);
    free(text);
}

Test(h1_response, fields_are_bounded)
{
    static char text[sizeof OK + (LIM_UPSTREAM_FIELDS + 1) * 6 + 2];
    for (unsigned count = LIM_UPSTREAM_FIELDS; count <= LIM_UPSTREAM_FIELDS + 1; count++) {
        size_t len = sizeof OK - 1;
        memcpy(text, OK, len);
        for (unsigned i = 0; i < count; i++, len += 6) {
            memcpy(text + len, "a: b\r\n", 6);
        }
        memcpy(text + len, "\r\n", 2);
        char *buffer;
        struct outcome outcome = parse_pieces(text, len + 2, "GET", 100, 7, &buffer);
        cr_expect_eq(outcome.result, count > LIM_UPSTREAM_FIELDS ? H1_BAD : H1_DONE);
        free(buffer);
    }
}

/* ---- bodies */

struct body_row {
    const char *head, *bytes;
    enum h1_result result;
    const char *content;
    size_t left; /* bytes behind the body */
    bool complete_at_eof;
};

#define LENGTH      OK "Content-Length: 5\r\n\r\n"
#define CHUNKS      OK "Transfer-Encoding: chunked\r\n\r\n"
#define UNTIL_CLOSE OK "\r\n"

/* clang-format off */
static const struct body_row bodies[] = {
    {LENGTH, "hello", H1_DONE, "hello", 0, false},
    {LENGTH, "helloHTTP", H1_DONE, "hello", 4, false},
    {LENGTH, "hell", H1_MORE, "hell", 0, false},
    {OK "Content-Length: 0\r\n\r\n", "", H1_DONE, "", 0, false},
    {"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", "HTTP", H1_DONE, "", 4, false},
    {CHUNKS, "5\r\nhello\r\n0\r\n\r\n", H1_DONE, "hello", 0, false},
    {CHUNKS, "2;a=b\r\nhe\r\n003\r\nllo\r\n0\r\nT: v\r\n\r\nx", H1_DONE, "hello", 1, false},
    {CHUNKS, "5\r\nhello\r\n", H1_MORE, "hello", 0, false},
    {CHUNKS, "5\r\nhello\r\n0\r\n\r", H1_MORE, "hello", 0, false},
    {CHUNKS, "5\nhello\r\n0\r\n\r\n", H1_BAD, "", 0, false},
    {CHUNKS, "5\r\nhelloo0\r\n\r\n", H1_BAD, "hello", 0, false},
    {CHUNKS, "-5\r\nhello", H1_BAD, "", 0, false},
    {CHUNKS, "0x5\r\nhello", H1_BAD, "", 0, false},
    {CHUNKS, " 5\r\nhello", H1_BAD, "", 0, false},
    {CHUNKS, "ffffffffffffffff\r\n", H1_BAD, "", 0, false},
    {CHUNKS, "00000000000000005\r\n", H1_BAD, "", 0, false},
    {UNTIL_CLOSE, "hello", H1_MORE, "hello", 0, true},
    {UNTIL_CLOSE, "", H1_MORE, "", 0, true},
};
/* clang-format on */

/* Plays the body with cuts at multiples of `step` after `first`. */
static void expect_body(const struct body_row *row, size_t first, size_t step)
{
    struct h1_parser parser;
    static struct h1_response head;
    struct h1_response_body body;
    size_t used, at = 0, len = strlen(row->bytes), have = first;
    char content[64];
    size_t content_bytes = 0;
    h1_parser_init(&parser);
    cr_assert_eq(
        h1_parse_response(&parser, row->head, strlen(row->head), SPAN("GET"), &head, &used),
        H1_DONE);
    h1_response_body_init(&body, &head);
    enum h1_result result = H1_MORE;
    while (result == H1_MORE) {
        struct span piece;
        char *buffer = exact(row->bytes + at, have - at);
        result = h1_response_body_next(&body, buffer, have - at, &used, &piece);
        cr_assert_leq(used, have - at);
        cr_assert(content_bytes + piece.len <= sizeof content);
        if (piece.len > 0) {
            memcpy(content + content_bytes, piece.base, piece.len);
        }
        content_bytes += piece.len;
        free(buffer);
        at += used;
        if (result == H1_MORE && at == have) {
            if (have == len) {
                break;
            }
            have = step < len - have ? have + step : len;
        }
    }
    cr_expect_eq(result, row->result, "%s cut at %zu", row->bytes, first);
    cr_expect(span_equal((struct span){content, content_bytes}, span_of(row->content)), "%s",
              row->bytes);
    if (result != H1_BAD) {
        cr_expect_eq(len - at, row->left, "%s", row->bytes);
    }
    if (result == H1_MORE) {
        cr_expect_eq(h1_response_body_complete_at_eof(&body), row->complete_at_eof);
    }
}

Test(h1_response, bodies)
{
    for (size_t i = 0; i < COUNT(bodies); i++) {
        size_t len = strlen(bodies[i].bytes);
        for (size_t first = 0; first <= len; first++) {
            expect_body(&bodies[i], first, len + 1);
        }
        expect_body(&bodies[i], 0, 1);
    }
}
