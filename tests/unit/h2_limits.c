/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 against hostile peers: malformed heads by table, and each limit of server/limits.h with a
 * peer that keeps to it and one that does not. Frames are written by hand. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/support/h2_peer.h"

static const struct h2_options defaults;

static struct h2_app *open_app(void)
{
    struct h2_app *app = calloc(1, sizeof *app);
    cr_assert_not_null(app);
    h2_app_open(app, &defaults);
    return app;
}

static void close_app(struct h2_app *app)
{
    h2_free(app->h2);
    cr_expect_eq(app->closed_count, app->request_count);
    free(app);
}

/* Preface, then `frames`, in pieces of that size. */
static struct h2_raw_result play(struct h2_app *app, const struct buffer *frames, size_t piece)
{
    struct buffer bytes = {0};
    h2_raw_hello(&bytes);
    cr_assert(buffer_append(&bytes, buffer_span(frames), SIZE_MAX / 4));
    struct h2_raw_result result = h2_raw_play(app, buffer_span(&bytes), piece, 1000);
    buffer_release(&bytes);
    cr_expect_not(result.broken_frame);
    return result;
}

static struct h2_raw_result play_new(struct buffer *frames)
{
    struct h2_app *app = open_app();
    struct h2_raw_result result = play(app, frames, SIZE_MAX);
    close_app(app);
    buffer_release(frames);
    return result;
}

static void expect_calm(struct h2_raw_result result, int line)
{
    cr_expect(result.ended && result.goaways == 1, "line %d: %u GOAWAYs", line, result.goaways);
    cr_expect_eq(result.goaway, H2_ENHANCE_YOUR_CALM, "line %d: error %u", line, result.goaway);
}

static void expect_open(struct h2_raw_result result, int line)
{
    cr_expect(!result.ended, "line %d: ended", line);
    cr_expect_eq(result.goaways, 0, "line %d: GOAWAY %u", line, result.goaway);
}

#define EXPECT_CALM(result) expect_calm(result, __LINE__)
#define EXPECT_OPEN(result) expect_open(result, __LINE__)

/* ---- heads */

/* "name=value" lines; the pseudo fields of a good GET replace a leading '+'. */
struct head_case {
    const char *fields;
    unsigned status; /* of the request; 0: a good one; 1: reset with PROTOCOL_ERROR */
};

enum { RESET = 1 };

static const struct head_case heads[] = {
    {"+", 0},
    {"+a=b\ncontent-type=\nte=trailers", 0},
    {":method=GET\n:scheme=http\n:path=/\nhost=h", 0},
    {":method=GET\n:scheme=http\n:authority=h:80\n:path=/\nhost=H:80", 0},
    {":method=OPTIONS\n:scheme=http\n:authority=h\n:path=*", 0},
    {":method=M-SEARCH\n:scheme=HTTPS\n:authority=[::1]:8\n:path=/", 0},
    {"+content-length=0", 0},
    {"+expect=100-Continue", 0},
    /* answered */
    {"+host=other", 400},
    {":method=GET\n:scheme=http\n:authority=u@h\n:path=/", 400},
    {":method=GET\n:scheme=http\n:authority=h:x\n:path=/", 400},
    {":method=GET\n:scheme=http\n:authority=h:65536\n:path=/", 400},
    {":method=GET\n:scheme=http\n:path=/\nhost=h:x", 400},
    {":method=GET\n:scheme=http\n:authority=h\n:path=/#", 400},
    {":method=GET\n:scheme=ftp\n:authority=h\n:path=/", 400},
    {":method=CONNECT\n:authority=h:443", 501},
    {"+expect=nothing", 417},
    {"+expect=100-continue\nexpect=100-continue", 417},
    /* malformed, RFC 9113 8.2 and 8.3 */
    {":scheme=http\n:authority=h\n:path=/", RESET},
    {":method=GET\n:authority=h\n:path=/", RESET},
    {":method=GET\n:scheme=http\n:authority=h", RESET},
    {":method=GET\n:scheme=http\n:path=/", RESET},
    {":method=GET\n:scheme=http\n:authority=h\n:path=", RESET},
    {":method=GET\n:scheme=http\n:authority=h\n:path=a", RESET},
    {":method=GET\n:scheme=http\n:authority=h\n:path=*", RESET},
    {":method=GET\n:scheme=http\n:authority=h\n:path=/ b", RESET},
    {":method=\n:scheme=http\n:authority=h\n:path=/", RESET},
    {":method=G T\n:scheme=http\n:authority=h\n:path=/", RESET},
    {":method=GET\n:scheme=\n:authority=h\n:path=/", RESET},
    {":method=GET\n:scheme=http\n:authority=h h\n:path=/", RESET},
    {":method=GET\n:method=GET\n:scheme=http\n:authority=h\n:path=/", RESET},
    {":method=GET\n:scheme=http\n:authority=h\n:authority=h\n:path=/", RESET},
    {":method=GET\n:scheme=http\n:authority=h\n:path=/\n:path=/", RESET},
    {":method=CONNECT\n:scheme=http\n:authority=h\n:path=/", RESET},
    {":method=CONNECT", RESET},
    {":method=CONNECT\n:protocol=websocket\n:scheme=http\n:authority=h\n:path=/", RESET},
    {"+:status=200", RESET},
    {"+:unknown=1", RESET},
    {"a=b\n+", RESET},
    {"+a=b\n:path=/", RESET},
    {"+host=h\nhost=h", RESET},
    {"+host=", RESET},
    {":method=GET\n:scheme=http\n:path=/\nhost=h/", RESET},
    {"+A=b", RESET},
    {"+a b=c", RESET},
    {"+=b", RESET},
    {"+a= b", RESET},
    {"+a=b ", RESET},
    {"+a=b\rc", RESET},
    {"+a=b\001c", RESET},
    {"+a=b\177c", RESET},
    {"+connection=close", RESET},
    {"+proxy-connection=close", RESET},
    {"+keep-alive=5", RESET},
    {"+upgrade=h2c", RESET},
    {"+transfer-encoding=chunked", RESET},
    {"+te=gzip", RESET},
    {"+te=trailers, gzip", RESET},
    {"+content-length=1", RESET}, /* but the request ends here */
    {"+content-length=0\ncontent-length=0", RESET},
    {"+content-length=+0", RESET},
    {"+content-length=0, 0", RESET},
    {"+content-length=99999999999999999999", RESET},
    {"+content-length=", RESET},
};

static void write_fields(struct buffer *block, const char *fields)
{
    while (*fields != '\0') {
        if (*fields == '+') {
            h2_raw_pseudo(block, "GET", "/");
            fields++;
            continue;
        }
        const char *equals = strchr(*fields == ':' ? fields + 1 : fields, '=');
        size_t value = strcspn(equals + 1, "\n");
        h2_raw_field(block, (struct span){fields, (size_t)(equals - fields)},
                     (struct span){equals + 1, value});
        fields = equals + 1 + value;
        fields += *fields == '\n';
    }
}

static void write_head(struct buffer *out, uint32_t id, uint8_t flags, struct span block)
{
    h2_raw_frame(out, NGHTTP2_HEADERS, flags | NGHTTP2_FLAG_END_HEADERS, id, block);
}

Test(h2_limits, heads)
{
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        const struct head_case *row = &heads[i];
        struct buffer block = {0};
        struct buffer frames = {0};
        write_fields(&block, row->fields);
        write_head(&frames, 1, NGHTTP2_FLAG_END_STREAM, buffer_span(&block));
        h2_raw_get(&frames, 3, "/"); /* other streams go on */
        struct h2_app *app = open_app();
        struct h2_raw_result result = play(app, &frames, i % 2 == 0 ? SIZE_MAX : 1);
        EXPECT_OPEN(result);
        if (row->status == RESET) {
            cr_expect_eq(app->request_count, 1, "row %zu: %s", i, row->fields);
            cr_expect(result.resets == 1 && result.reset == H2_PROTOCOL_ERROR, "row %zu", i);
        } else {
            cr_expect_eq(app->request_count, 2, "row %zu: %s", i, row->fields);
            cr_expect_eq(app->requests[0].head.status, row->status, "row %zu: %s: %u", i,
                         row->fields, app->requests[0].head.status);
            cr_expect(result.resets == 0 && result.heads == 2, "row %zu", i);
        }
        close_app(app);
        buffer_release(&frames);
        buffer_release(&block);
    }
}

Test(h2_limits, extended_connect_when_taken)
{
    struct h2_app *app = calloc(1, sizeof *app);
    cr_assert_not_null(app);
    h2_app_open(app, &(struct h2_options){.connect_protocol = true});
    app->hold_answers = true;
    struct buffer block = {0};
    struct buffer frames = {0};
    write_fields(&block,
                 ":method=CONNECT\n:protocol=websocket\n:scheme=http\n:authority=h\n:path=/c");
    write_head(&frames, 1, 0, buffer_span(&block));
    struct h2_raw_result result = play(app, &frames, SIZE_MAX);
    EXPECT_OPEN(result);
    cr_assert_eq(app->request_count, 1);
    cr_expect_eq(app->requests[0].head.status, 0);
    cr_expect_eq(app->requests[0].head.protocol.len, strlen("websocket"));
    cr_expect_str_eq(app->requests[0].text, "CONNECT http h /c");
    close_app(app);
    buffer_release(&frames);
    buffer_release(&block);
}

/* The status of a request with a block that is cut into frames. */
static unsigned status_of(const struct buffer *block)
{
    struct buffer frames = {0};
    struct span rest = buffer_span(block);
    uint8_t type = NGHTTP2_HEADERS;
    uint8_t flags = NGHTTP2_FLAG_END_STREAM;
    do {
        size_t n = rest.len < 16384 ? rest.len : 16384;
        flags |= n == rest.len ? NGHTTP2_FLAG_END_HEADERS : 0;
        h2_raw_frame(&frames, type, flags, 1, (struct span){rest.base, n});
        rest.base += n;
        rest.len -= n;
        type = NGHTTP2_CONTINUATION;
        flags = 0;
    } while (rest.len > 0);
    struct h2_app *app = open_app();
    EXPECT_OPEN(play(app, &frames, 4096));
    cr_assert_eq(app->request_count, 1);
    unsigned status = app->requests[0].head.status;
    close_app(app);
    buffer_release(&frames);
    return status;
}

static char filler[60000];

static unsigned status_with(const char *path, unsigned fields, size_t value_bytes, const char *name)
{
    struct buffer block = {0};
    memset(filler, 'v', sizeof filler);
    h2_raw_pseudo(&block, "GET", path);
    for (unsigned i = 0; i < fields; i++) {
        h2_raw_field(&block, span_of(name), (struct span){filler, value_bytes});
    }
    unsigned status = status_of(&block);
    buffer_release(&block);
    return status;
}

Test(h2_limits, sizes_of_heads)
{
    static char path[LIM_REQUEST_LINE_BYTES + 2];
    static char endless[sizeof filler];
    memset(path, '/', LIM_REQUEST_LINE_BYTES);
    cr_expect_eq(status_with(path, 0, 0, "x"), 0);
    path[LIM_REQUEST_LINE_BYTES] = '/';
    cr_expect_eq(status_with(path, 0, 0, "x"), 414);
    cr_expect_eq(status_with("/", LIM_FIELD_COUNT, 10, "x"), 0);
    cr_expect_eq(status_with("/", LIM_FIELD_COUNT + 1, 10, "x"), 431);
    cr_expect_eq(status_with("/", 1, LIM_FIELD_BYTES - 1, "x"), 0);
    cr_expect_eq(status_with("/", 1, LIM_FIELD_BYTES, "x"), 431);
    cr_expect_eq(status_with("/", 4, 8000, "x"), 0);
    cr_expect_eq(status_with("/", 5, 8000, "x"), 431);
    cr_expect_eq(status_with("/", 150, 10, "cookie"), 0, "one field, in the end");
    cr_expect_eq(status_with("/", 1, sizeof filler, "x"), 431, "more than there is room for");
    memset(endless, '/', sizeof endless - 1);
    cr_expect_eq(status_with(endless, 0, 0, "x"), 431, "the same of a path");
    cr_expect_eq(status_with("/", 3, 3000, "cookie"), 431);
}

/* A 4 KiB entry of the HPACK table, then one byte for each further copy of it. */
Test(h2_limits, hpack_bomb)
{
    struct buffer block = {0};
    struct buffer frames = {0};
    h2_raw_pseudo(&block, "GET", "/");
    memset(filler, 'v', sizeof filler);
    struct buffer entry = {0};
    h2_raw_field(&entry, SPAN("x"), (struct span){filler, 4000});
    entry.base[0] = 0x40; /* with indexing */
    cr_assert(buffer_append(&block, buffer_span(&entry), SIZE_MAX / 4));
    char copies[4096];
    memset(copies, 0x80 | 62, sizeof copies);
    cr_assert(buffer_append(&block, (struct span){copies, sizeof copies}, SIZE_MAX / 4));
    write_head(&frames, 1, NGHTTP2_FLAG_END_STREAM, buffer_span(&block));
    EXPECT_CALM(play_new(&frames));
    buffer_release(&entry);
    buffer_release(&block);
}

/* ---- bodies */

static void write_post(struct buffer *frames, uint32_t id, const char *length)
{
    struct buffer block = {0};
    h2_raw_pseudo(&block, "POST", "/");
    h2_raw_field(&block, SPAN("content-length"), span_of(length));
    write_head(frames, id, 0, buffer_span(&block));
    buffer_release(&block);
}

Test(h2_limits, bodies_have_the_length_they_claim)
{
    static const struct {
        const char *length;
        bool good;
    } rows[] = {{"5", true}, {"4", false}, {"6", false}, {"0", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct h2_app *app = open_app();
        app->hold_answers = true;
        struct buffer frames = {0};
        write_post(&frames, 1, rows[i].length);
        h2_raw_frame(&frames, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, SPAN("12345"));
        struct h2_raw_result result = play(app, &frames, SIZE_MAX);
        EXPECT_OPEN(result);
        cr_expect_eq(app->requests[0].body_ended, rows[i].good, "row %zu", i);
        cr_expect_eq(result.resets, rows[i].good ? 0 : 1, "row %zu", i);
        cr_expect_eq(app->requests[0].closed, !rows[i].good, "row %zu", i);
        close_app(app);
        buffer_release(&frames);
    }
}

Test(h2_limits, trailers)
{
    static const struct {
        size_t value_bytes;
        uint8_t flags;
        unsigned resets;
        bool ended;
    } rows[] = {
        {10, NGHTTP2_FLAG_END_STREAM, 0, true},
        {LIM_TRAILER_BYTES, NGHTTP2_FLAG_END_STREAM, 1, false},
        {10, 0, 1, false}, /* trailers end the stream */
    };
    memset(filler, 'v', sizeof filler);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct h2_app *app = open_app();
        app->hold_answers = true;
        struct buffer frames = {0};
        struct buffer block = {0};
        write_post(&frames, 1, "5");
        h2_raw_frame(&frames, NGHTTP2_DATA, 0, 1, SPAN("12345"));
        h2_raw_field(&block, SPAN("x-sum"), (struct span){filler, rows[i].value_bytes});
        write_head(&frames, 1, rows[i].flags, buffer_span(&block));
        struct h2_raw_result result = play(app, &frames, SIZE_MAX);
        EXPECT_OPEN(result);
        cr_expect_eq(result.resets, rows[i].resets, "row %zu", i);
        cr_expect_eq(app->requests[0].body_ended, rows[i].ended, "row %zu", i);
        cr_expect_eq(app->requests[0].closed, !rows[i].ended, "row %zu", i);
        close_app(app);
        buffer_release(&block);
        buffer_release(&frames);
    }
}

/* ---- rules of frames */

static void write_reset(struct buffer *frames, uint32_t id)
{
    h2_raw_frame(frames, NGHTTP2_RST_STREAM, 0, id, SPAN("\0\0\0\010"));
}

struct frame_case {
    uint8_t type;
    uint32_t stream;
    struct span payload;
    uint32_t error; /* of the connection */
};

/* After a request that is not answered; its window is 65535. */
static const struct frame_case frame_cases[] = {
    {NGHTTP2_PRIORITY, 0, {"\0\0\0\1\20", 5}, H2_PROTOCOL_ERROR},
    {NGHTTP2_PRIORITY_UPDATE, 0, {"\0\0\0\0u=1", 7}, H2_PROTOCOL_ERROR},
    {NGHTTP2_PRIORITY, 3, {"\200\0\0\3\20", 5}, H2_PROTOCOL_ERROR}, /* on itself */
    {NGHTTP2_PRIORITY_UPDATE, 0, {"\0\0\0\2u=1", 7}, H2_PROTOCOL_ERROR}, /* never pushed */
    {NGHTTP2_WINDOW_UPDATE, 1, {"\177\377\377\377", 4}, H2_FLOW_CONTROL_ERROR},
    {NGHTTP2_WINDOW_UPDATE, 1, {"\200\0\0\0", 4}, H2_PROTOCOL_ERROR},
    {NGHTTP2_WINDOW_UPDATE, 3, {"\0\0\0\1", 4}, H2_PROTOCOL_ERROR}, /* idle */
    {NGHTTP2_DATA, 1, {"x", 1}, H2_STREAM_CLOSED},
    {NGHTTP2_DATA, 3, {"x", 1}, H2_PROTOCOL_ERROR},
    {NGHTTP2_HEADERS, 1, {"", 0}, H2_STREAM_CLOSED},
    {NGHTTP2_HEADERS, 2, {"", 0}, H2_PROTOCOL_ERROR},
    {NGHTTP2_RST_STREAM, 3, {"\0\0\0\0", 4}, H2_PROTOCOL_ERROR},
    {NGHTTP2_SETTINGS, 0, {"\0\11\0\0\0\1", 6}, H2_PROTOCOL_ERROR}, /* 0 before */
    {NGHTTP2_CONTINUATION, 1, {"", 0}, H2_PROTOCOL_ERROR},
    {NGHTTP2_PUSH_PROMISE, 1, {"\0\0\0\2", 4}, H2_PROTOCOL_ERROR},
};

Test(h2_limits, frames_that_end_the_connection)
{
    for (size_t i = 0; i < sizeof frame_cases / sizeof frame_cases[0]; i++) {
        const struct frame_case *row = &frame_cases[i];
        struct h2_app *app = open_app();
        app->hold_answers = true;
        struct buffer frames = {0};
        h2_raw_get(&frames, 1, "/");
        h2_raw_frame(&frames, row->type, 0, row->stream, row->payload);
        struct h2_raw_result result = play(app, &frames, SIZE_MAX);
        cr_expect(result.ended && result.goaways == 1, "row %zu", i);
        cr_expect_eq(result.goaway, row->error, "row %zu: %u", i, result.goaway);
        close_app(app);
        buffer_release(&frames);
    }
}

static void write_priority(struct buffer *frames, uint32_t id)
{
    char payload[] = {(char)(id >> 24), (char)(id >> 16), (char)(id >> 8), (char)id, 'u', '=', '1'};
    h2_raw_frame(frames, NGHTTP2_PRIORITY_UPDATE, 0, 0, (struct span){payload, sizeof payload});
}

/* RFC 9218 7.1: with the streams that are open, for no more than there may be at a time. */
Test(h2_limits, priorities_of_streams_to_come)
{
    struct h2_app *app = open_app();
    app->hold_answers = true;
    struct buffer frames = {0};
    h2_raw_get(&frames, 1, "/");
    for (uint32_t i = 0; i < 500; i++) { /* most of them again and again */
        write_priority(&frames, 3 + 2 * (i % (LIM_H2_STREAMS - 1)));
    }
    h2_raw_get(&frames, 1001, "/"); /* all streams below are closed */
    for (uint32_t i = 0; i < LIM_H2_STREAMS - 2; i++) {
        write_priority(&frames, 1003 + 2 * i);
    }
    EXPECT_OPEN(play(app, &frames, 1000));
    buffer_consume(&frames, buffer_bytes(&frames));
    write_priority(&frames, 2001);
    struct h2_raw_result result = h2_raw_play(app, buffer_span(&frames), SIZE_MAX, 1000);
    cr_expect(result.ended && result.goaway == H2_PROTOCOL_ERROR, "%u", result.goaway);
    close_app(app);
    buffer_release(&frames);
}

Test(h2_limits, settings_are_acknowledged_once)
{
    for (unsigned acks = 1; acks <= 2; acks++) {
        struct buffer frames = {0};
        for (unsigned i = 0; i < acks; i++) {
            h2_raw_frame(&frames, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, SPAN(""));
        }
        struct h2_raw_result result = play_new(&frames);
        cr_expect_eq(result.ended, acks == 2);
        cr_expect_eq(result.goaway, acks == 2 ? H2_PROTOCOL_ERROR : H2_NO_ERROR);
    }
}

/* A window that our SETTINGS make smaller counts once they are acknowledged (RFC 9113 6.5.3). */
Test(h2_limits, bodies_keep_to_their_windows)
{
    static char body[1000];
    for (unsigned acknowledged = 0; acknowledged < 2; acknowledged++) {
        struct h2_app *app = calloc(1, sizeof *app);
        cr_assert_not_null(app);
        h2_app_open(app, &(struct h2_options){.stream_window = 500});
        app->hold_answers = app->hold_bodies = true;
        struct buffer frames = {0};
        write_post(&frames, 1, "1000");
        if (acknowledged != 0) {
            h2_raw_frame(&frames, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, SPAN(""));
        }
        h2_raw_frame(&frames, NGHTTP2_DATA, 0, 1, (struct span){body, 500});
        h2_raw_frame(&frames, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, (struct span){body, 500});
        struct h2_raw_result result = play(app, &frames, SIZE_MAX);
        cr_expect_eq(result.goaway, acknowledged != 0 ? H2_FLOW_CONTROL_ERROR : H2_NO_ERROR);
        cr_expect_eq(app->requests[0].body_bytes, acknowledged != 0 ? 500 : 1000);
        close_app(app);
        buffer_release(&frames);
    }
}

/* The answer is a burst of heads that nobody takes. */
Test(h2_limits, a_queue_that_nobody_empties)
{
    struct h2_app *app = open_app();
    struct buffer bytes = {0};
    h2_raw_hello(&bytes);
    bool good = true;
    unsigned streams = 0;
    while (good && streams < 2 * LIM_H2_QUEUED_FRAMES) {
        app->request_count = app->closed_count = 0; /* it need not remember them */
        h2_raw_get(&bytes, 2 * streams + 1, "/");
        write_reset(&bytes, 2 * streams + 1);
        good = h2_receive(app->h2, buffer_span(&bytes), 1000 + 100 * streams);
        buffer_consume(&bytes, buffer_bytes(&bytes));
        streams++;
    }
    cr_expect_not(good);
    cr_expect(streams > LIM_H2_QUEUED_FRAMES / 2 && streams <= LIM_H2_QUEUED_FRAMES, "%u", streams);
    close_app(app);
    buffer_release(&bytes);
}

/* RFC 9113 6.8: what crosses the last GOAWAY is ignored, but for HPACK and the connection's window. */
Test(h2_limits, streams_beyond_the_last)
{
    static char body[16384];
    struct h2_app *app = open_app();
    app->hold_answers = true;
    struct buffer frames = {0};
    h2_raw_get(&frames, 1, "/");
    EXPECT_OPEN(play(app, &frames, SIZE_MAX));
    h2_drain(app->h2, true);
    for (unsigned i = 0; i < 100; i++) { /* more than the window, in all */
        buffer_consume(&frames, buffer_bytes(&frames));
        write_post(&frames, 3 + 2 * i, "5");
        h2_raw_frame(&frames, NGHTTP2_DATA, 0, 3 + 2 * i, (struct span){body, sizeof body});
        h2_raw_frame(&frames, NGHTTP2_WINDOW_UPDATE, 0, 3 + 2 * i, SPAN("\0\0\0\1"));
        struct h2_raw_result result = h2_raw_play(app, buffer_span(&frames), SIZE_MAX, 1000);
        cr_assert(!result.ended && result.resets == 0, "stream %u", 3 + 2 * i);
        cr_expect(result.goaways == (i == 0) && (i > 0 || result.goaway_last == 1));
    }
    cr_expect_eq(app->request_count, 1);
    h2_app_answer(&app->requests[0]);
    struct h2_raw_result result = h2_raw_play(app, SPAN("\0\0\0\4\0\0\0\0\0"), SIZE_MAX, 1000);
    cr_expect(result.ended && result.heads == 1 && result.goaways == 0);
    close_app(app);
    buffer_release(&frames);
}

/* RFC 9113 6.9.2: a window beyond 2^31-1 by way of SETTINGS. */
Test(h2_limits, settings_make_a_window_too_large)
{
    struct h2_app *app = open_app();
    app->hold_answers = true;
    struct buffer frames = {0};
    h2_raw_get(&frames, 1, "/");
    h2_raw_frame(&frames, NGHTTP2_WINDOW_UPDATE, 0, 1, SPAN("\0\0\0\1"));
    h2_raw_frame(&frames, NGHTTP2_SETTINGS, 0, 0, SPAN("\0\4\177\377\377\377"));
    struct h2_raw_result result = play(app, &frames, SIZE_MAX);
    cr_expect(result.ended && result.goaway == H2_FLOW_CONTROL_ERROR, "%u", result.goaway);
    close_app(app);
    buffer_release(&frames);
}

/* ---- floods */

Test(h2_limits, not_http2)
{
    struct h2_app *app = open_app();
    struct h2_raw_result result = h2_raw_play(app, SPAN("GET / HTTP/1.1\r\n\r\n"), SIZE_MAX, 1);
    cr_expect(result.ended && result.goaway == H2_PROTOCOL_ERROR);
    close_app(app);
}

Test(h2_limits, streams_at_a_time)
{
    struct h2_app *app = open_app();
    app->hold_answers = true;
    struct buffer frames = {0};
    for (uint32_t i = 0; i < LIM_H2_STREAMS + 10; i++) {
        h2_raw_get(&frames, 2 * i + 1, "/");
    }
    struct h2_raw_result result = play(app, &frames, SIZE_MAX);
    EXPECT_OPEN(result);
    cr_expect_eq(app->request_count, LIM_H2_STREAMS);
    cr_expect(result.resets == 10 && result.reset == H2_REFUSED_STREAM);
    close_app(app);
    buffer_release(&frames);
}

/* Requests that are reset at once, with each piece of bytes its own read. */
static struct h2_raw_result reset_streams(uint32_t first, uint32_t count, struct h2_app *app,
                                          size_t piece, uint64_t now_ms)
{
    struct buffer bytes = {0};
    if (first == 0) {
        h2_raw_hello(&bytes);
    }
    for (uint32_t i = first; i < first + count; i++) {
        h2_raw_get(&bytes, 2 * i + 1, "/");
        write_reset(&bytes, 2 * i + 1);
    }
    struct h2_raw_result result = h2_raw_play(app, buffer_span(&bytes), piece, now_ms);
    buffer_release(&bytes);
    return result;
}

Test(h2_limits, rapid_reset)
{
    struct h2_app *app = open_app();
    EXPECT_OPEN(reset_streams(0, LIM_H2_RESETS_BURST, app, 1000, 50));
    EXPECT_CALM(reset_streams(LIM_H2_RESETS_BURST, 1, app, 1000, 50));
    close_app(app);
    app = open_app();
    EXPECT_OPEN(reset_streams(0, LIM_H2_RESETS_BURST, app, 1000, 50));
    EXPECT_OPEN(reset_streams(1000, LIM_H2_RESETS_PER_SECOND, app, 1000, 1050));
    EXPECT_CALM(reset_streams(1033, 1, app, 1000, 1050));
    close_app(app);
}

Test(h2_limits, streams_in_one_read)
{
    struct h2_app *app = open_app();
    EXPECT_OPEN(reset_streams(0, LIM_H2_STREAMS_PER_READ * LIM_H2_STREAMS, app, SIZE_MAX, 5));
    EXPECT_CALM(reset_streams(200, LIM_H2_STREAMS_PER_READ * LIM_H2_STREAMS + 1, app, SIZE_MAX, 5));
    close_app(app);
}

/* Streams of which each makes the server reset it, until the connection ends or that many came. */
static struct h2_raw_result cause_resets(struct h2_app *app, unsigned count,
                                         void (*write)(struct buffer *frames, uint32_t id))
{
    struct buffer bytes = {0};
    h2_raw_hello(&bytes);
    struct h2_raw_result result = {.ended = false};
    struct h2_raw_result sum = {.ended = false};
    for (unsigned i = 0; i < count && !result.ended; i++) {
        write(&bytes, 2 * i + 1);
        app->request_count = app->closed_count = 0; /* it need not remember them */
        result = h2_raw_play(app, buffer_span(&bytes), SIZE_MAX, 1000);
        buffer_consume(&bytes, buffer_bytes(&bytes));
        sum.resets += result.resets;
        sum.goaways += result.goaways;
        sum.goaway = result.goaways > 0 ? result.goaway : sum.goaway;
    }
    sum.ended = result.ended;
    buffer_release(&bytes);
    return sum;
}

static void write_too_long(struct buffer *frames, uint32_t id)
{
    write_post(frames, id, "1");
    h2_raw_frame(frames, NGHTTP2_DATA, 0, id, SPAN("12345"));
}

static void write_malformed(struct buffer *frames, uint32_t id)
{
    struct buffer block = {0};
    write_fields(&block, "+connection=close");
    write_head(frames, id, NGHTTP2_FLAG_END_STREAM, buffer_span(&block));
    buffer_release(&block);
}

/* CVE-2025-8671: resets the client asks for by breaking rules. */
Test(h2_limits, made_you_reset)
{
    struct h2_app *app = open_app();
    app->hold_answers = true;
    struct h2_raw_result result = cause_resets(app, LIM_H2_RESETS_BURST, write_too_long);
    EXPECT_OPEN(result);
    cr_expect_eq(result.resets, LIM_H2_RESETS_BURST);
    close_app(app);
    app = open_app();
    app->hold_answers = true;
    EXPECT_CALM(cause_resets(app, LIM_H2_RESETS_BURST + 1, write_too_long));
    close_app(app);
    app = open_app();
    app->answer_bytes = 1; /* answers do not hide them */
    app->defer_bodies = true;
    EXPECT_CALM(cause_resets(app, LIM_H2_RESETS_BURST + 1, write_too_long));
    close_app(app);
}

/* Bad messages count as glitches: first the client is asked to go, then it is not listened to. */
Test(h2_limits, bad_messages_are_glitches)
{
    struct h2_app *app = open_app();
    app->hold_answers = true;
    struct h2_raw_result result = cause_resets(app, LIM_H2_RESETS_BURST, write_malformed);
    cr_expect(result.ended && result.goaways == 2 && result.goaway == H2_NO_ERROR);
    cr_expect_eq(result.resets, LIM_H2_GLITCHES / 4 * 3 + LIM_H2_STREAMS + 2);
    close_app(app);
}

Test(h2_limits, continuations)
{
    for (unsigned extra = 0; extra < 2; extra++) {
        struct buffer frames = {0};
        struct buffer block = {0};
        h2_raw_pseudo(&block, "GET", "/");
        h2_raw_frame(&frames, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, buffer_span(&block));
        for (unsigned i = 1; i < LIM_H2_CONTINUATIONS + extra; i++) {
            h2_raw_frame(&frames, NGHTTP2_CONTINUATION, 0, 1, SPAN(""));
        }
        h2_raw_frame(&frames, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, SPAN(""));
        struct h2_raw_result result = play_new(&frames);
        if (extra == 0) {
            EXPECT_OPEN(result);
            cr_expect_eq(result.heads, 1);
        } else {
            EXPECT_CALM(result);
        }
        buffer_release(&block);
    }
}

Test(h2_limits, settings_entries)
{
    static const char entry[6] = {0, 4, 0, 0, 100, 0};
    for (unsigned extra = 0; extra < 2; extra++) {
        struct buffer payload = {0};
        struct buffer frames = {0};
        for (unsigned i = 0; i < LIM_H2_SETTINGS + extra; i++) {
            cr_assert(buffer_append(&payload, (struct span){entry, sizeof entry}, 1 << 20));
        }
        h2_raw_frame(&frames, NGHTTP2_SETTINGS, 0, 0, buffer_span(&payload));
        struct h2_raw_result result = play_new(&frames);
        if (extra == 0) {
            EXPECT_OPEN(result);
        } else {
            EXPECT_CALM(result);
        }
        buffer_release(&payload);
    }
}

/* Nothing is sent between: the peer does not read. */
Test(h2_limits, acknowledgements_nobody_reads)
{
    struct buffer frames = {0};
    for (unsigned i = 0; i < LIM_H2_ACKS + 10; i++) {
        h2_raw_frame(&frames, NGHTTP2_PING, 0, 0, SPAN("12345678"));
    }
    struct h2_raw_result result = play_new(&frames);
    EXPECT_CALM(result);
    cr_expect_eq(result.pings, 0);
}

Test(h2_limits, pings_are_answered_until_they_are_all_there_is)
{
    struct h2_app *app = open_app();
    struct buffer frames = {0};
    /* 17 bytes each, nothing of it content */
    const unsigned allowed = LIM_H2_OVERHEAD_RATIO * LIM_H2_OVERHEAD_BYTES / 17;
    for (unsigned i = 0; i < allowed + 2000; i++) {
        h2_raw_frame(&frames, NGHTTP2_PING, 0, 0, SPAN("12345678"));
    }
    struct h2_raw_result result = play(app, &frames, 8000);
    EXPECT_CALM(result);
    cr_expect(result.pings > allowed - 1000 && result.pings < allowed + 1000);
    close_app(app);
    buffer_release(&frames);
}

Test(h2_limits, empty_data_is_a_glitch)
{
    for (unsigned extra = 0; extra < 2; extra++) {
        struct h2_app *app = open_app();
        app->hold_answers = true;
        struct buffer frames = {0};
        write_post(&frames, 1, "5");
        for (unsigned n = 0; n < LIM_H2_GLITCHES + extra; n++) {
            h2_raw_frame(&frames, NGHTTP2_DATA, 0, 1, SPAN(""));
        }
        struct h2_raw_result result = play(app, &frames, 100);
        if (extra == 0) {
            cr_expect(!result.ended && result.goaways == 1, "the graceful one");
            cr_expect(result.goaway == H2_NO_ERROR && result.goaway_last == INT32_MAX);
        } else {
            cr_expect(result.ended && result.goaway == H2_ENHANCE_YOUR_CALM);
        }
        close_app(app);
        buffer_release(&frames);
    }
}

/* Requests one after the other: in the end the connection is closed, and none was lost. */
Test(h2_limits, streams_in_total)
{
    struct h2_app *app = open_app();
    struct buffer bytes = {0};
    h2_raw_hello(&bytes);
    unsigned served = 0;
    struct h2_raw_result result = h2_raw_play(app, buffer_span(&bytes), SIZE_MAX, 1);
    while (!result.ended && served <= LIM_H2_STREAMS_TOTAL + LIM_H2_STREAMS) {
        buffer_consume(&bytes, buffer_bytes(&bytes));
        h2_raw_get(&bytes, 2 * served + 1, "/");
        app->request_count = app->closed_count = 0; /* it need not remember them */
        result = h2_raw_play(app, buffer_span(&bytes), SIZE_MAX, 1);
        served++;
        cr_assert_eq(result.heads, 1, "stream %u", served);
        if (served == LIM_H2_STREAMS_TOTAL) {
            cr_expect(result.goaways == 1 && result.goaway_last == INT32_MAX && !result.ended);
        }
    }
    cr_expect(result.ended && result.goaway == H2_NO_ERROR);
    cr_expect_eq(served, LIM_H2_STREAMS_TOTAL + LIM_H2_STREAMS + 1);
    cr_expect_eq(result.goaway_last, 2 * served - 1);
    close_app(app);
    buffer_release(&bytes);
}
