/* SPDX-License-Identifier: Apache-2.0 */
/* An upstream's answers on one connection: interim heads, the head, its body, the next answer.
 * Played whole and in pieces; both must see the same, and nothing outside the bytes. Heads that
 * are taken go on to a client: without what is about the connection, and no line more than they
 * had.
 *
 * Input: the first byte seeds the sizes of the pieces and chooses the method, the rest is what the
 * upstream sends.
 */
#include "fuzz/feed.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/forward.h"
#include "server/h1_response.h"

enum { HEADS_MAX = 16 };

/* What an answer was, apart from where its bytes lay. */
struct seen {
    enum h1_result head;
    enum h1_result body;
    bool keep_alive;
    size_t end; /* offset behind it */
    uint64_t digest;
};

static void forward(const struct h1_response *head)
{
    struct exchange ex;
    exchange_init(&ex);
    if (head->status >= 200 && forward_response(&ex, head)) {
        check(ex.status == head->status && ex.response_fields.count <= head->field_count);
        check(field_find(&ex.response_fields, SPAN("transfer-encoding")) == NULL);
        check(field_find(&ex.response_fields, SPAN("content-length")) == NULL);
        check(field_find(&ex.response_fields, SPAN("connection")) == NULL);
    }
    struct buffer out = {.base = NULL};
    if (head->status < 200 && forward_interim(head, &out, 2 * LIM_UPSTREAM_HEAD_BYTES)) {
        size_t bytes = buffer_bytes(&out);
        size_t lines = 0;
        for (size_t i = 0; i < bytes; i++) {
            lines += out.base[i] == '\n';
        }
        check(lines <= head->field_count * 2 + 2);
        check(memcmp(out.base + bytes - 4, "\r\n\r\n", 4) == 0);
        check(memmem(out.base, bytes - 1, "\r\n\r\n", 4) == NULL);
    }
    buffer_release(&out);
    exchange_free(&ex);
}

static void check_head(const struct feed *feed, const struct h1_response *head, uint64_t *digest)
{
    check(head->status >= 100 && head->status <= 999 && head->minor <= 1);
    check(head->field_count <= LIM_UPSTREAM_FIELDS);
    check(!head->until_close || (head->framing == H1_BODY_NONE && !head->keep_alive));
    check(head->framing != H1_BODY_LENGTH || (head->has_length && head->content_length > 0));
    feed_check_inside(feed, head->reason);
    feed_digest(digest, head->reason);
    for (unsigned i = 0; i < head->field_count; i++) {
        feed_check_inside(feed, head->fields[i].name);
        feed_check_inside(feed, head->fields[i].value);
        check(field_name_valid(head->fields[i].name));
        check(field_value_valid(head->fields[i].value));
        feed_digest(digest, head->fields[i].name);
        feed_digest(digest, head->fields[i].value);
    }
    *digest ^= head->content_length ^ (uint64_t)head->framing << 60 ^ (uint64_t)head->minor << 59 ^
               (uint64_t)head->keep_alive << 58 ^ (uint64_t)head->until_close << 57 ^
               (uint64_t)head->status << 40;
    forward(head);
}

static void play_body(struct feed *feed, const struct h1_response *head, struct seen *seen)
{
    struct h1_response_body body;
    uint64_t bytes = 0;
    h1_response_body_init(&body, head);
    for (;;) {
        size_t consumed;
        struct span content;
        feed_show(feed, seen->end);
        seen->body =
            h1_response_body_next(&body, feed->shown, feed->shown_bytes, &consumed, &content);
        check(consumed <= feed->shown_bytes && content.len <= consumed);
        feed_check_inside(feed, content);
        feed_digest_bytes(&seen->digest, content);
        bytes += content.len;
        if (seen->body == H1_BAD) {
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
    check(!head->until_close || (seen->body == H1_MORE && h1_response_body_complete_at_eof(&body)));
}

/* One head from offset `start` on, and its body. */
static struct seen play_answer(struct feed *feed, size_t start, struct span method)
{
    struct h1_parser parser;
    static struct h1_response head;
    struct seen seen = {.end = start, .digest = FEED_DIGEST_START};
    size_t consumed = 0;
    h1_parser_init(&parser);
    for (;;) {
        feed_show(feed, start);
        seen.head =
            h1_parse_response(&parser, feed->shown, feed->shown_bytes, method, &head, &consumed);
        check(seen.head != H1_MORE || feed->shown_bytes < LIM_UPSTREAM_HEAD_BYTES);
        if (seen.head != H1_MORE || !feed_more(feed)) {
            break;
        }
    }
    check((seen.head == H1_BAD) == (parser.status == 502));
    check(seen.head != H1_BAD || parser.reason != NULL);
    if (seen.head == H1_DONE) {
        check(consumed > 0 && consumed <= feed->have - start);
        check(consumed <= LIM_UPSTREAM_HEAD_BYTES);
        check_head(feed, &head, &seen.digest);
        seen.keep_alive = head.keep_alive;
        seen.end += consumed;
        play_body(feed, &head, &seen);
    }
    return seen;
}

static unsigned play(struct seen *heads, const uint8_t *data, size_t size, bool whole)
{
    struct feed feed = {
        .bytes = (const char *)data + 1, .size = size - 1, .random = data[0], .whole = whole};
    struct span method = data[0] % 4 == 0 ? SPAN("HEAD") : SPAN("GET");
    unsigned count = 0;
    size_t at = 0;
    feed_more(&feed);
    while (count < HEADS_MAX) {
        struct seen seen = play_answer(&feed, at, method);
        heads[count++] = seen;
        if (seen.head != H1_DONE || seen.body != H1_DONE || !seen.keep_alive) {
            break;
        }
        at = seen.end;
    }
    free(feed.shown);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct seen whole[HEADS_MAX];
    struct seen pieces[HEADS_MAX];
    unsigned count = play(whole, data, size, true);
    check(count == play(pieces, data, size, false));
    for (unsigned i = 0; i < count; i++) {
        const struct seen *a = &whole[i];
        const struct seen *b = &pieces[i];
        check(a->head == b->head && a->body == b->body && a->keep_alive == b->keep_alive);
        check(a->body == H1_BAD || a->end == b->end);
        check(a->digest == b->digest);
    }
    return 0;
}
