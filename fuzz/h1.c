/* SPDX-License-Identifier: Apache-2.0 */
/* Requests as one connection would send them: heads, bodies, pipelined, until one is bad or the
 * bytes end. Played whole and in pieces; both must see the same, and nothing outside the bytes.
 * What was taken is also answered, so response heads meet the same field values.
 *
 * Input: the first byte seeds the sizes of the pieces, the rest is what the client sends.
 */
#include "fuzz/fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/h1.h"

enum { REQUESTS_MAX = 16 };

static void check(bool property)
{
    if (!property) {
        abort();
    }
}

/* What a request was, apart from where its bytes lay. */
struct seen {
    enum h1_result head;
    enum h1_result body;
    unsigned status;
    size_t end; /* offset behind it; of a refused request where it began */
    uint64_t digest;
};

struct transcript {
    struct seen requests[REQUESTS_MAX];
    unsigned count;
};

/* FNV-1a, and the length so that borders count. */
static void digest_add(uint64_t *digest, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        *digest = (*digest ^ (uint8_t)text.base[i]) * 0x100000001b3u;
    }
    *digest = (*digest ^ text.len) * 0x100000001b3u;
}

/* The client: how much of its bytes has arrived. */
struct feed {
    const char *bytes;
    size_t size;
    size_t have;
    size_t start; /* of what the parser is shown */
    char *shown;  /* copy of bytes[start..have), so that reads outside are seen */
    uint32_t random;
    bool whole;
};

static void feed_show(struct feed *feed, size_t start)
{
    size_t bytes = feed->have - start;
    free(feed->shown);
    feed->shown = malloc(bytes > 0 ? bytes : 1);
    check(feed->shown != NULL);
    memcpy(feed->shown, feed->bytes + start, bytes);
    feed->start = start;
}

/* More bytes; false when there are none. */
static bool feed_more(struct feed *feed)
{
    if (feed->have == feed->size) {
        return false;
    }
    feed->random = feed->random * 1664525u + 1013904223u;
    size_t left = feed->size - feed->have;
    size_t bytes = (feed->random >> 16) % ((feed->random >> 30) == 0 ? 64 : 5) + 1;
    feed->have += feed->whole || bytes > left ? left : bytes;
    return true;
}

static void check_inside(const struct feed *feed, struct span span)
{
    size_t bytes = feed->have - feed->start;
    check(span.len == 0 || (span.base >= feed->shown && span.len <= bytes &&
                            span.base - feed->shown <= (ptrdiff_t)(bytes - span.len)));
}

/* Builds an exchange of the head and answers it: nothing may end a line early. */
static void answer(const struct h1_head *head, uint64_t *digest)
{
    static char out[LIM_HEAD_BYTES * 2];
    struct exchange ex;
    exchange_init(&ex);
    ex.proto_major = 1;
    ex.proto_minor = head->minor;
    bool routed = exchange_set_target(&ex, head->target);
    if (routed) {
        check(ex.path.len > 0 && ex.path.base[0] == '/');
        check(memmem(ex.path.base, ex.path.len, "//", 2) == NULL);
        check(memmem(ex.path.base, ex.path.len, "/../", 4) == NULL);
        check(memchr(ex.path.base, '\0', ex.path.len) == NULL);
        digest_add(digest, ex.path);
        digest_add(digest, ex.query);
    }
    response_error(&ex, routed ? 404 : 400);
    for (unsigned i = 0; i < head->field_count; i++) {
        check(field_add(&ex, &ex.response_fields, head->fields[i].name, head->fields[i].value));
    }
    /* status, content-type, content-length, the empty line; Date unless the fields have one;
     * keep-alive for 1.0 */
    size_t lines = 4 + head->field_count;
    lines += field_find(&ex.response_fields, SPAN("date")) == NULL;
    lines += head->minor == 0;
    const char date[] = "Sun, 06 Nov 1994 08:49:37 GMT";
    size_t bytes = h1_write_head(&ex, true, (struct span){date, sizeof date - 1}, out, sizeof out);
    check(bytes > 4 && bytes <= h1_head_bytes(&ex));
    check(memcmp(out + bytes - 4, "\r\n\r\n", 4) == 0);
    for (size_t i = 0; i < bytes; i++) {
        lines -= out[i] == '\n';
    }
    check(lines == 0);
    exchange_free(&ex);
}

static void check_head(const struct feed *feed, const struct h1_head *head, uint64_t *digest)
{
    check_inside(feed, head->method);
    check_inside(feed, head->target);
    check_inside(feed, head->authority);
    check(head->method.len > 0 && head->target.len > 0);
    check(head->authority.len > 0 || head->minor == 0);
    check(head->field_count <= LIM_FIELD_COUNT);
    digest_add(digest, head->method);
    digest_add(digest, head->target);
    digest_add(digest, head->authority);
    for (unsigned i = 0; i < head->field_count; i++) {
        check_inside(feed, head->fields[i].name);
        check_inside(feed, head->fields[i].value);
        check(field_name_valid(head->fields[i].name));
        check(field_value_valid(head->fields[i].value));
        digest_add(digest, head->fields[i].name);
        digest_add(digest, head->fields[i].value);
    }
    *digest ^= head->content_length ^ (uint64_t)head->framing << 60 ^ (uint64_t)head->minor << 59 ^
               (uint64_t)head->keep_alive << 58 ^ (uint64_t)head->expect_continue << 57;
    answer(head, digest);
}

static void play_body(struct feed *feed, const struct h1_head *head, struct seen *seen)
{
    struct h1_body body;
    h1_body_init(&body, head);
    uint64_t bytes = 0;
    for (;;) {
        size_t consumed;
        struct span content;
        size_t shown = feed->have - seen->end;
        feed_show(feed, seen->end);
        seen->body = h1_body_next(&body, feed->shown, shown, &consumed, &content);
        check(consumed <= shown);
        check_inside(feed, content);
        check(content.len <= consumed);
        for (size_t i = 0; i < content.len; i++) {
            seen->digest = (seen->digest ^ (uint8_t)content.base[i]) * 0x100000001b3u;
        }
        bytes += content.len;
        if (seen->body == H1_BAD) {
            check(body.status == 400 || body.status == 413);
            seen->status = body.status;
            return; /* where it was noticed depends on the pieces */
        }
        seen->end += consumed;
        check(seen->body == H1_DONE || consumed > 0 || shown == 0);
        if (seen->body == H1_DONE || (seen->end == feed->have && !feed_more(feed))) {
            break;
        }
    }
    check(head->framing != H1_BODY_LENGTH || seen->body != H1_DONE ||
          bytes == head->content_length);
}

/* One request from offset `start` on. */
static struct seen play_request(struct feed *feed, size_t start)
{
    struct h1_parser parser;
    static struct h1_head head;
    struct seen seen = {.end = start, .digest = 0xcbf29ce484222325u};
    size_t consumed = 0;
    h1_parser_init(&parser);
    for (;;) {
        size_t shown = feed->have - start;
        feed_show(feed, start);
        seen.head = h1_parse_head(&parser, feed->shown, shown, &head, &consumed);
        check(seen.head != H1_MORE || shown < LIM_HEAD_BYTES);
        if (seen.head != H1_MORE || !feed_more(feed)) {
            break;
        }
    }
    seen.status = parser.status;
    check((seen.head == H1_BAD) == (parser.status != 0));
    check(seen.head != H1_BAD || parser.reason != NULL);
    if (seen.head == H1_DONE) {
        check(consumed > 0 && consumed <= feed->have - start && consumed <= LIM_HEAD_BYTES);
        check_head(feed, &head, &seen.digest);
        seen.end += consumed;
        play_body(feed, &head, &seen);
    }
    return seen;
}

static void play(struct transcript *transcript, const char *bytes, size_t size, uint8_t seed,
                 bool whole)
{
    struct feed feed = {.bytes = bytes, .size = size, .random = seed, .whole = whole};
    size_t at = 0;
    feed_more(&feed);
    while (transcript->count < REQUESTS_MAX) {
        struct seen seen = play_request(&feed, at);
        transcript->requests[transcript->count++] = seen;
        if (seen.head != H1_DONE || seen.body != H1_DONE) {
            break;
        }
        at = seen.end;
    }
    free(feed.shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct transcript whole = {.count = 0};
    struct transcript pieces = {.count = 0};
    play(&whole, (const char *)data + 1, size - 1, 0, true);
    play(&pieces, (const char *)data + 1, size - 1, data[0], false);
    check(whole.count == pieces.count);
    for (unsigned i = 0; i < whole.count; i++) {
        const struct seen *a = &whole.requests[i];
        const struct seen *b = &pieces.requests[i];
        check(a->head == b->head && a->body == b->body && a->status == b->status);
        check(a->body == H1_BAD || a->end == b->end);
        check(a->digest == b->digest);
    }
    return 0;
}
