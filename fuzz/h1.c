/* SPDX-License-Identifier: Apache-2.0 */
/* Requests as one connection would send them: heads, bodies, pipelined, until one is bad or the
 * bytes end. Played whole and in pieces; both must see the same, and nothing outside the bytes.
 * What was taken is also answered, so response heads meet the same field values.
 *
 * Input: the first byte seeds the sizes of the pieces, the rest is what the client sends.
 */
#include "fuzz/feed.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/h1.h"

enum { REQUESTS_MAX = 16 };

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

/* Builds an exchange of the head and answers it: nothing may end a line early. */
static void answer(const struct h1_head *head, uint64_t *digest)
{
    struct buffer out = {0};
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
        feed_digest(digest, ex.path);
        feed_digest(digest, ex.query);
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
    check(h1_append_head(&ex, true, (struct span){date, sizeof date - 1}, &out,
                         LIM_HEAD_BYTES * 2));
    check(out.end > 4 && memcmp(out.base + out.end - 4, "\r\n\r\n", 4) == 0);
    for (size_t i = 0; i < out.end; i++) {
        lines -= out.base[i] == '\n';
    }
    check(lines == 0);
    buffer_release(&out);
    exchange_free(&ex);
}

static void check_head(const struct feed *feed, const struct h1_head *head, uint64_t *digest)
{
    feed_check_inside(feed, head->method);
    feed_check_inside(feed, head->target);
    feed_check_inside(feed, head->authority);
    check(head->method.len > 0 && head->target.len > 0);
    check(head->authority.len > 0 || head->minor == 0);
    check(head->field_count <= LIM_FIELD_COUNT);
    feed_digest(digest, head->method);
    feed_digest(digest, head->target);
    feed_digest(digest, head->authority);
    for (unsigned i = 0; i < head->field_count; i++) {
        feed_check_inside(feed, head->fields[i].name);
        feed_check_inside(feed, head->fields[i].value);
        check(field_name_valid(head->fields[i].name));
        check(field_value_valid(head->fields[i].value));
        feed_digest(digest, head->fields[i].name);
        feed_digest(digest, head->fields[i].value);
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
        feed_show(feed, seen->end);
        seen->body = h1_body_next(&body, feed->shown, feed->shown_bytes, &consumed, &content);
        check(consumed <= feed->shown_bytes);
        feed_check_inside(feed, content);
        check(content.len <= consumed);
        feed_digest_bytes(&seen->digest, content);
        bytes += content.len;
        if (seen->body == H1_BAD) {
            check(body.status == 400 || body.status == 413);
            seen->status = body.status;
            return; /* where it was noticed depends on the pieces */
        }
        seen->end += consumed;
        check(seen->body == H1_DONE || consumed > 0 || feed->shown_bytes == 0);
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
    struct seen seen = {.end = start, .digest = FEED_DIGEST_START};
    size_t consumed = 0;
    h1_parser_init(&parser);
    for (;;) {
        feed_show(feed, start);
        seen.head = h1_parse_head(&parser, feed->shown, feed->shown_bytes, &head, &consumed);
        check(seen.head != H1_MORE || feed->shown_bytes < LIM_HEAD_BYTES);
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
