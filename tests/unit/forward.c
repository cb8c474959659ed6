/* SPDX-License-Identifier: Apache-2.0 */
/* What upstreams and clients get of each other's heads: texts in, texts out. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/forward.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define GET          "GET /a?b HTTP/1.1\r\nHost: h.test\r\n"
#define WANT         "GET /a?b HTTP/1.1\r\nhost: h.test\r\n"
#define XFF          "x-forwarded-for: 192.0.2.7\r\n"
#define XFP          "x-forwarded-proto: http\r\n"
#define XFH          "x-forwarded-host: h.test\r\n"
#define VIA          "via: 1.1 zeroserve\r\n"
#define TAIL         XFF XFP XFH VIA

/* The exchange as a connection makes it of a request. */
static void receive(struct exchange *ex, const char *text)
{
    struct h1_parser parser;
    static struct h1_head head;
    size_t used;
    exchange_init(ex);
    h1_parser_init(&parser);
    cr_assert_eq(h1_parse_head(&parser, text, strlen(text), &head, &used), H1_DONE, "%s: %s", text,
                 parser.reason);
    ex->method = pool_copy(&ex->pool, head.method);
    ex->authority = pool_copy(&ex->pool, head.authority);
    ex->scheme = SPAN("http");
    ex->proto_major = 1;
    ex->proto_minor = head.minor;
    ex->request_body.length =
        head.framing == H1_BODY_CHUNKED ? REQUEST_BODY_UNKNOWN : head.content_length;
    ex->request_body.complete = ex->request_body.length == 0;
    struct sockaddr_in *peer = &ex->peer.v4;
    *peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(4711)};
    peer->sin_addr.s_addr = htonl(0xc0000207);
    cr_assert(exchange_set_target(ex, head.target));
    for (unsigned i = 0; i < head.field_count; i++) {
        cr_assert(field_add(ex, &ex->request_fields, head.fields[i].name, head.fields[i].value));
    }
    cr_assert(forward_receive(ex));
}

static void expect_text(struct buffer *out, const char *want)
{
    struct span text = buffer_span(out);
    cr_expect(span_equal(text, span_of(want)), "got:\n%.*s\nwant:\n%s", (int)text.len, text.base,
              want);
    buffer_release(out);
}

static struct upstream_url target_of(const char *url)
{
    struct upstream_url target;
    cr_assert_null(upstream_url_parse(span_of(url), &target));
    return target;
}

/* ---- requests */

enum { TRUSTED = 1, UNDERSCORES = 2, UPGRADE = 4, EXPECT = 8, CLOSE = 16 };

struct row {
    const char *url;
    unsigned how;
    const char *request, *want;
};

/* clang-format off */
static const struct row rows[] = {
    {"http://u", 0, GET "\r\n", WANT TAIL "\r\n"},
    {"http://u/base/", 0, GET "\r\n",
     "GET /base/a?b HTTP/1.1\r\nhost: h.test\r\n" TAIL "\r\n"},
    {"http://u/base", 0, "GET /%61//./x/..%3f HTTP/1.1\r\nHost: h.test\r\n\r\n",
     "GET /base/%61//./x/..%3f HTTP/1.1\r\nhost: h.test\r\n" TAIL "\r\n"},
    {"http://u", 0, "OPTIONS * HTTP/1.1\r\nHost: h.test\r\n\r\n",
     "OPTIONS * HTTP/1.1\r\nhost: h.test\r\n" TAIL "\r\n"},
    {"http://u/base", 0, "OPTIONS * HTTP/1.1\r\nHost: h.test\r\n\r\n",
     "OPTIONS /base HTTP/1.1\r\nhost: h.test\r\n" TAIL "\r\n"},
    /* Host */
    {"http://u", 0, "GET http://h.test/a?b HTTP/1.1\r\nHost: other\r\n\r\n", WANT TAIL "\r\n"},
    {"http://u:81", 0, "GET / HTTP/1.0\r\n\r\n",
     "GET / HTTP/1.1\r\nhost: u:81\r\n" XFF XFP "via: 1.0 zeroserve\r\n\r\n"},
    {"unix/x", 0, "GET / HTTP/1.0\r\n\r\n",
     "GET / HTTP/1.1\r\nhost: \r\n" XFF XFP "via: 1.0 zeroserve\r\n\r\n"},
    /* fields of a connection */
    {"http://u", 0, GET "A: 1\r\nConnection: x-one , close,,Keep-Alive\r\nX-One: 1\r\nX-Two: 2\r\n"
     "Connection: X-TWO\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nTrailer: t\r\n"
     "Upgrade: websocket\r\nProxy-Authorization: x\r\nHTTP2-Settings: x\r\nB: 2\r\n\r\n",
     WANT "A: 1\r\nB: 2\r\n" TAIL "connection: te\r\nte: trailers\r\n\r\n"},
    {"http://u", 0, GET "TE: deflate;q=0.5, xtrailers\r\n\r\n", WANT TAIL "\r\n"},
    {"http://u", 0, "POST / HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\nTrailer: x-a, X-B\r\n\r\n",
     "POST / HTTP/1.1\r\nhost: h.test\r\n" TAIL "transfer-encoding: chunked\r\ntrailer: x-a, X-B\r\n\r\n"},
    {"http://u", 0, GET "Connection: host, x-forwarded-for, via\r\nVia: 1.0 other\r\n\r\n",
     WANT TAIL "\r\n"},
    {"http://u", CLOSE, GET "\r\n", WANT TAIL "connection: close\r\n\r\n"},
    /* order and repetition */
    {"http://u", 0, GET "Cookie: a\r\nX: 1\r\nCookie: b\r\nx: 2\r\nVia: 1.0 other\r\n\r\n",
     WANT "Cookie: a\r\nX: 1\r\nCookie: b\r\nx: 2\r\nVia: 1.0 other\r\n" TAIL "\r\n"},
    /* names with '_' */
    {"http://u", 0, GET "X_Y: 1\r\nX-Y: 2\r\nContent_Length: 3\r\n\r\n", WANT "X-Y: 2\r\n" TAIL "\r\n"},
    {"http://u", UNDERSCORES, GET "X_Y: 1\r\nX-Y: 2\r\n\r\n", WANT "X_Y: 1\r\nX-Y: 2\r\n" TAIL "\r\n"},
    /* who the client is */
    {"http://u", 0, GET "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: e\r\n"
     "Forwarded: for=1.1.1.1\r\n\r\n", WANT TAIL "\r\n"},
    {"http://u", TRUSTED, GET "X-Forwarded-For: 1.1.1.1,2.2.2.2\r\nx-forwarded-for:\r\n"
     "X-Forwarded-For: ::1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: e\r\nForwarded: for=1.1.1.1\r\n\r\n",
     WANT "Forwarded: for=1.1.1.1\r\nx-forwarded-for: 1.1.1.1,2.2.2.2, ::1, 192.0.2.7\r\n"
     "x-forwarded-proto: https\r\nx-forwarded-host: e\r\n" VIA "\r\n"},
    {"http://u", TRUSTED, GET "X-Forwarded-Proto:\r\n\r\n", WANT TAIL "\r\n"},
    /* bodies */
    {"http://u", 0, "POST / HTTP/1.1\r\nHost: h.test\r\nContent-Length: 007\r\n\r\n",
     "POST / HTTP/1.1\r\nhost: h.test\r\n" TAIL "content-length: 7\r\n\r\n"},
    {"http://u", 0, "POST / HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n",
     "POST / HTTP/1.1\r\nhost: h.test\r\n" TAIL "transfer-encoding: chunked\r\n\r\n"},
    {"http://u", 0, "PUT / HTTP/1.1\r\nHost: h.test\r\n\r\n",
     "PUT / HTTP/1.1\r\nhost: h.test\r\n" TAIL "content-length: 0\r\n\r\n"},
    {"http://u", 0, "DELETE / HTTP/1.1\r\nHost: h.test\r\nContent-Length: 0\r\n\r\n",
     "DELETE / HTTP/1.1\r\nhost: h.test\r\n" TAIL "\r\n"},
    {"http://u", EXPECT, "POST / HTTP/1.1\r\nHost: h.test\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n",
     "POST / HTTP/1.1\r\nhost: h.test\r\n" TAIL "content-length: 7\r\nexpect: 100-continue\r\n\r\n"},
    {"http://u", 0, "POST / HTTP/1.1\r\nHost: h.test\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n",
     "POST / HTTP/1.1\r\nhost: h.test\r\n" TAIL "content-length: 7\r\n\r\n"},
    /* another protocol */
    {"http://u", UPGRADE, GET "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n",
     WANT "Sec-WebSocket-Key: k\r\n" TAIL "connection: upgrade\r\nupgrade: websocket\r\n\r\n"},
};
/* clang-format on */

Test(forward, request_heads)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct exchange ex;
        struct buffer out = {.base = NULL};
        struct upstream_url target = target_of(rows[i].url);
        struct forward_options options = {
            .target = &target,
            .peer_trusted = rows[i].how & TRUSTED,
            .underscores = rows[i].how & UNDERSCORES,
            .upgrade = rows[i].how & UPGRADE,
            .expect_continue = rows[i].how & EXPECT,
            .close = rows[i].how & CLOSE,
        };
        receive(&ex, rows[i].request);
        cr_expect(forward_request_head(&ex, &options, &out));
        expect_text(&out, rows[i].want);
        exchange_free(&ex);
    }
}

/* Whatever Connection named, a script's fields arrive. */
Test(forward, fields_of_scripts_stay)
{
    struct exchange ex;
    struct buffer out = {.base = NULL};
    struct upstream_url target = target_of("https://[::1]/b");
    receive(&ex, GET "Connection: x-user, close\r\nX-User: root\r\n\r\n");
    cr_expect_null(field_find(&ex.request_fields, SPAN("x-user")));
    cr_assert(field_set(&ex, &ex.request_fields, SPAN("X-User"), SPAN("guest")));
    cr_assert(field_set(&ex, &ex.request_fields, SPAN("host"), SPAN("inner.test")));
    ex.proto_major = 2;
    ex.scheme = SPAN("https");
    ex.peer = (union peer_address){.any.sa_family = AF_UNIX};
    cr_expect(forward_request_head(&ex, &(struct forward_options){.target = &target}, &out));
    expect_text(&out, "GET /b/a?b HTTP/1.1\r\nhost: inner.test\r\nX-User: guest\r\n"
                      "x-forwarded-proto: https\r\n" XFH "via: 2 zeroserve\r\n\r\n");
    exchange_free(&ex);
}

Test(forward, length_of_a_body_that_is_here)
{
    struct exchange ex;
    uint64_t length;
    receive(&ex, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    cr_expect_eq(forward_request_framing(&ex, &length), H1_BODY_CHUNKED);
    ex.request_body.complete = true;
    ex.request_body.received = 9;
    cr_expect_eq(forward_request_framing(&ex, &length), H1_BODY_LENGTH);
    cr_expect_eq(length, 9);
    ex.request_body.received = 0;
    cr_expect_eq(forward_request_framing(&ex, &length), H1_BODY_NONE);
    exchange_free(&ex);
}

Test(forward, refused_requests)
{
    struct exchange ex;
    struct buffer out = {.base = NULL};
    struct upstream_url target = target_of("http://u");
    struct forward_options options = {.target = &target};
    receive(&ex, GET "\r\n");
    ex.method = SPAN("CONNECT");
    cr_expect_not(forward_request_head(&ex, &options, &out));
    ex.method = SPAN("GET");
    static char list[2 * (LIM_CONNECTION_OPTIONS + 1)];
    for (size_t i = 0; i < sizeof list; i += 2) {
        memcpy(list + i, "a,", 2);
    }
    struct span named = {list, sizeof list - 2};
    cr_assert(field_set(&ex, &ex.request_fields, SPAN("Connection"), named));
    cr_expect(forward_request_head(&ex, &options, &out));
    cr_expect(forward_receive(&ex));
    named.len += 2;
    cr_assert(field_set(&ex, &ex.request_fields, SPAN("Connection"), named));
    cr_expect_not(forward_request_head(&ex, &options, &out));
    cr_expect_not(forward_receive(&ex));
    buffer_release(&out);
    exchange_free(&ex);
}

/* ---- chunks */

Test(forward, chunks)
{
    struct buffer out = {.base = NULL};
    static char big[70000];
    memset(big, 'x', sizeof big);
    cr_expect(forward_chunk(&out, SPAN("hello"), 100));
    cr_expect(forward_chunk(&out, SPAN(""), 100));
    cr_expect(forward_chunk_end(&out, NULL, 100));
    expect_text(&out, "5\r\nhello\r\n0\r\n\r\n");
    struct field trailer = {SPAN("digest"), SPAN("x")};
    cr_expect(forward_chunk_end(&out, &(struct field_list){.items = &trailer, .count = 1}, 100));
    expect_text(&out, "0\r\ndigest: x\r\n\r\n");
    cr_expect_not(forward_chunk(&out, (struct span){big, sizeof big}, sizeof big));
    buffer_release(&out);
    cr_expect(forward_chunk(&out, (struct span){big, sizeof big}, sizeof big + 20));
    cr_expect_eq(memcmp(buffer_span(&out).base, "11170\r\nx", 8), 0);
    buffer_release(&out);
}

/* ---- responses */

static struct h1_response *answer_of(const char *text)
{
    static struct h1_response head;
    struct h1_parser parser;
    size_t used;
    h1_parser_init(&parser);
    cr_assert_eq(h1_parse_response(&parser, text, strlen(text), SPAN("GET"), &head, &used),
                 H1_DONE);
    return &head;
}

static void expect_fields(const struct field_list *list, const char *want)
{
    struct buffer out = {.base = NULL};
    for (unsigned i = 0; i < list->count; i++) {
        cr_assert(buffer_append(&out, list->items[i].name, 10000));
        cr_assert(buffer_append(&out, SPAN("="), 10000));
        cr_assert(buffer_append(&out, list->items[i].value, 10000));
        cr_assert(buffer_append(&out, SPAN(";"), 10000));
    }
    expect_text(&out, want);
}

#define ANSWER                                                                                     \
    "HTTP/1.1 404 Gone Fishing\r\nServer: s\r\nContent-Length: 5\r\nConnection: x-gone, close\r\n" \
    "X-Gone: 1\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\nTrailer: t\r\nProxy-Authenticate: x\r\n"        \
    "Set-Cookie: a=1\r\nset-cookie: b=2\r\nDate: d\r\nEmpty:\r\n\r\n"

Test(forward, responses)
{
    struct exchange ex;
    exchange_init(&ex);
    response_error(&ex, 500);
    struct h1_response *head = answer_of(ANSWER);
    cr_expect(forward_response(&ex, head));
    cr_expect_eq(ex.status, 404);
    cr_expect_eq(ex.body.kind, BODY_NONE);
    expect_fields(&ex.response_fields, "Server=s;Set-Cookie=a=1;set-cookie=b=2;Date=d;Empty=;");
    unsigned passed = 0;
    for (unsigned i = 0; i < head->field_count; i++) {
        passed += forward_field_passes(head, i);
    }
    cr_expect_eq(passed, 5);
    exchange_free(&ex);
}

Test(forward, largest_response_fits)
{
    static char text[LIM_UPSTREAM_HEAD_BYTES + 1];
    size_t at = (size_t)snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n");
    for (unsigned i = 0; i < LIM_UPSTREAM_FIELDS; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "x-field-%03u: %0300u\r\n", i, i);
    }
    snprintf(text + at, sizeof text - at, "\r\n");
    struct exchange ex;
    exchange_init(&ex);
    cr_expect(forward_response(&ex, answer_of(text)));
    cr_expect_eq(ex.response_fields.count, LIM_UPSTREAM_FIELDS);
    exchange_free(&ex);
}

Test(forward, interim_answers)
{
    struct buffer out = {.base = NULL};
    const struct h1_response *head = answer_of(
        "HTTP/1.1 103 hints\r\nLink: </a>\r\nConnection: x\r\nX: 1\r\nLink: </b>\r\n\r\n");
    cr_expect(forward_interim(head, &out, 1000));
    expect_text(&out, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n");
    cr_expect_not(forward_interim(head, &out, 20));
    buffer_release(&out);
    cr_expect(forward_interim(answer_of("HTTP/1.1 199 \r\n\r\n"), &out, 1000));
    expect_text(&out, "HTTP/1.1 199 \r\n\r\n");
    cr_expect(forward_interim(answer_of("HTTP/1.1 101 x\r\nSec-WebSocket-Accept: k\r\n"
                                        "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
                              &out, 1000));
    expect_text(&out, "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: k\r\n"
                      "connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
}

Test(forward, too_many_options)
{
    static char text[1000];
    size_t at = (size_t)snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n");
    for (unsigned i = 0; i < LIM_CONNECTION_OPTIONS + 1; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "Connection: a\r\n");
    }
    snprintf(text + at, sizeof text - at, "\r\n");
    struct exchange ex;
    exchange_init(&ex);
    cr_expect_not(forward_response(&ex, answer_of(text)));
    cr_expect_not(forward_field_passes(answer_of(text), 0));
    exchange_free(&ex);
}

/* ---- changes of protocol */

#define WS GET "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"

Test(forward, upgrades_wanted)
{
    static const struct {
        const char *request;
        bool wanted;
    } cases[] = {
        {WS, true},
        {GET "Connection: upgrade\r\nUpgrade: WebSocket/13, spdy/3.1\r\n\r\n", true},
        {GET "Connection: upgrade\r\n\r\n", false},
        {GET "Upgrade: websocket\r\n\r\n", false},
        {GET "Connection: upgrade\r\nUpgrade:\r\n\r\n", false},
        {GET "Connection: upgrade\r\nUpgrade: ,\r\n\r\n", false},
        {GET "Connection: upgrade\r\nUpgrade: a b\r\n\r\n", false},
        {GET "Connection: upgrade\r\nUpgrade: a/\r\n\r\n", false},
        {GET "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", false},
        {GET "Connection: upgrade, HTTP2-Settings\r\nUpgrade: websocket, H2C\r\n\r\n", false},
        {GET "Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n\r\n", false},
        {GET "Connection: upgrade\r\nUpgrade: TLS/1.2\r\n\r\n", false},
        {GET "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: x\r\n\r\n", false},
        {GET "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n", false},
        {GET "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n",
         false},
        {"POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct exchange ex;
        receive(&ex, cases[i].request);
        cr_expect_eq(forward_upgrade_wanted(&ex), cases[i].wanted, "%s", cases[i].request);
        ex.proto_major = 2;
        cr_expect_not(forward_upgrade_wanted(&ex));
        exchange_free(&ex);
    }
}

Test(forward, upgrades_matched)
{
    static const struct {
        const char *request, *answer;
        bool matches;
    } cases[] = {
        {WS, "HTTP/1.1 101 x\r\nConnection: x, upgrade\r\nUpgrade: WebSocket\r\n\r\n", true},
        {WS, "HTTP/1.1 200 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", false},
        {WS, "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", false},
        {WS, "HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\n", false},
        {WS, "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade:\r\n\r\n", false},
        {WS, "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", false},
        {WS, "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket, x\r\n\r\n", false},
        {WS, "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nUpgrade: x\r\n\r\n",
         false},
        {GET "\r\n", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", false},
        {GET "Connection: upgrade\r\nUpgrade: a, b/2\r\n\r\n",
         "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: b/2\r\n\r\n", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct exchange ex;
        receive(&ex, cases[i].request);
        cr_expect_eq(forward_upgrade_matches(&ex, answer_of(cases[i].answer)), cases[i].matches,
                     "%s%s", cases[i].request, cases[i].answer);
        exchange_free(&ex);
    }
}

#define WS_ANSWER "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-Y: 1\r\n"

Test(forward, extended_connect)
{
    const char *key = "dGhlIHNhbXBsZSBub25jZQ==";
    struct exchange ex;
    struct upstream_url target;
    struct buffer out = {.base = NULL};
    receive(&ex,
            GET "Connection: upgrade\r\nUpgrade: websocket\r\nsec-websocket-key: mine\r\n\r\n");
    ex.proto_major = 2;
    ex.by_connect = true;
    cr_assert(forward_upgrade_wanted(&ex));
    cr_assert_null(upstream_url_parse(SPAN("http://u"), &target));
    struct forward_options options = {
        .target = &target, .upgrade = true, .websocket_key = span_of(key)};
    cr_expect(forward_request_head(&ex, &options, &out));
    expect_text(&out,
                WANT XFF XFP XFH "via: 2 zeroserve\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                                 "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    cr_expect(forward_connect(
        &ex, answer_of(WS_ANSWER "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
        key));
    cr_expect_eq(ex.status, 200);
    expect_fields(&ex.response_fields, "X-Y=1;");
    cr_expect_not(
        forward_connect(&ex, answer_of(WS_ANSWER "Sec-WebSocket-Accept: x\r\n\r\n"), key));
    cr_expect_not(forward_connect(&ex, answer_of(WS_ANSWER "\r\n"), key));
    exchange_free(&ex);
}
