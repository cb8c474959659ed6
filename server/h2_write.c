/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 answers: their heads, coded as they are made and queued, and their bodies frame by frame,
 * which the owner puts into the output itself. */
#include <assert.h>

#include "server/chars.h"
#include "server/date.h"
#include "server/h2_int.h"

/* Of header blocks and of DATA: a frame with its head fills a TLS record. The peer takes that much,
 * whatever its SETTINGS say. */
enum { CONTENT_BYTES_MAX = LIM_H2_FRAME_BYTES - H2_FRAME_HEAD_BYTES };

/* A header list for HPACK, with the text that is nowhere else. */
struct list {
    struct field items[LIM_RESPONSE_FIELDS + 2]; /* date, content-length */
    size_t count;
    size_t bytes_max;   /* coded */
    size_t upper_bytes; /* of names that are not in lower case */
    unsigned status;    /* or 0: they are trailers */
    bool is_dated;
    char length[CHAR_DECIMAL_MAX];
};

/* Not the whole: most of it is an array, filled up to its count. */
static void start(struct list *list, unsigned status)
{
    list->count = 0;
    list->bytes_max = HPACK_START_BYTES_MAX + HPACK_STATUS_BYTES_MAX;
    list->upper_bytes = 0;
    list->status = status;
    list->is_dated = false;
}

static void put(struct list *list, struct span name, struct span value)
{
    assert(list->count < sizeof list->items / sizeof list->items[0]);
    list->items[list->count++] = (struct field){name, value};
    list->bytes_max += HPACK_FIELD_BYTES_MAX + name.len + value.len;
}

static void put_length(struct list *list, uint64_t length)
{
    char *end = list->length + sizeof list->length;
    char *first = char_decimal(end, length);
    put(list, SPAN("content-length"), (struct span){first, (size_t)(end - first)});
}

static void put_fields(struct list *list, const struct field_list *fields)
{
    assert(fields->count <= LIM_RESPONSE_FIELDS);
    for (unsigned i = 0; i < fields->known; i++) {
        put(list, fields->items[i].name, fields->items[i].value);
    }
    list->is_dated = fields->known_dated;
    for (unsigned i = fields->known; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (h2_connection_specific(field->name)) {
            continue;
        }
        list->upper_bytes += chars_any_upper(field->name) ? field->name.len : 0;
        put(list, field->name, field->value);
        list->is_dated |= field->name.len == 4 && span_equal_nocase(field->name, SPAN("date"));
    }
}

/* Names in lower case: copies at `at`, which has room for upper_bytes. */
static void lower_names(struct list *list, uint8_t *at)
{
    for (size_t i = 0; i < list->count && list->upper_bytes > 0; i++) {
        struct span *name = &list->items[i].name;
        if (!chars_any_upper(*name)) {
            continue;
        }
        char *lower = (char *)at;
        at = (uint8_t *)span_put_lower(lower, *name);
        name->base = lower;
        list->upper_bytes -= name->len;
    }
}

/* Returns the place behind the block. */
static uint8_t *encode(struct hpack_encoder *encoder, uint8_t *out, const struct list *list)
{
    out = hpack_encode_start(encoder, out);
    if (list->status != 0) {
        out = hpack_encode_status(encoder, out, list->status);
    }
    for (size_t i = 0; i < list->count; i++) {
        out = hpack_encode(encoder, out, list->items[i].name, list->items[i].value);
    }
    return out;
}

/* Makes frames of a block that has room for a head before it and, if it is longer than a frame, for
 * as many behind it as it needs. Returns how many there are. */
static unsigned put_heads(uint8_t *at, size_t bytes, struct h2_frame frame)
{
    unsigned frames = 1;
    uint8_t *content = at + H2_FRAME_HEAD_BYTES;
    uint8_t ends_stream = frame.flags;
    for (; bytes > CONTENT_BYTES_MAX; frames++) {
        frame.length = CONTENT_BYTES_MAX;
        h2_frame_write(content - H2_FRAME_HEAD_BYTES, &frame);
        frame.type = H2_CONTINUATION;
        frame.flags = 0;
        ends_stream = 0;
        content += CONTENT_BYTES_MAX;
        bytes -= CONTENT_BYTES_MAX;
        memmove(content + H2_FRAME_HEAD_BYTES, content, bytes);
        content += H2_FRAME_HEAD_BYTES;
    }
    frame.length = (uint32_t)bytes;
    frame.flags = ends_stream | H2_END_HEADERS;
    h2_frame_write(content - H2_FRAME_HEAD_BYTES, &frame);
    return frames;
}

/* A stream whose head would be too long is reset. False: out of memory. */
static bool queue_head(struct h2 *h2, struct h2_stream *stream, struct list *list, bool ends_stream)
{
    size_t bound = list->bytes_max;
    if (bound > LIM_H2_ANSWER_BYTES) {
        h2_stream_mute(h2, stream, H2_INTERNAL_ERROR);
        return true;
    }
    size_t heads = (bound / CONTENT_BYTES_MAX + 1) * H2_FRAME_HEAD_BYTES;
    uint8_t *at = h2_queue_reserve(h2, heads + bound + list->upper_bytes);
    if (at == NULL) {
        return false;
    }
    lower_names(list, at + heads + bound);
    uint8_t *content = at + H2_FRAME_HEAD_BYTES;
    size_t bytes = (size_t)(encode(&h2->encoder, content, list) - content);
    struct h2_frame frame = {
        .type = H2_HEADERS, .flags = ends_stream ? H2_END_STREAM : 0, .stream = stream->turn.id};
    unsigned frames = put_heads(at, bytes, frame);
    h2_queue_put(h2, bytes + (size_t)frames * H2_FRAME_HEAD_BYTES, frames);
    return true;
}

bool h2_inform(struct h2 *h2, int32_t id, unsigned status, const struct field_list *fields)
{
    assert(status >= 100 && status <= 199 && status != 101); /* RFC 9113 8.6 has no 101 */
    struct h2_stream *stream = h2_stream_find(h2, id);
    if (stream == NULL || stream->responded) {
        return false;
    }
    struct list list;
    start(&list, status);
    if (fields != NULL) {
        put_fields(&list, fields);
    }
    return queue_head(h2, stream, &list, false);
}

bool h2_respond(struct h2 *h2, int32_t id, const struct exchange *ex, struct span date,
                bool with_body)
{
    assert(ex->status >= 200 && ex->status <= 999);
    assert(date.len == DATE_BYTES);
    struct h2_stream *stream = h2_stream_find(h2, id);
    if (stream == NULL) {
        return false;
    }
    assert(!stream->responded);
    struct list list;
    start(&list, ex->status);
    put_fields(&list, &ex->response_fields);
    if (!list.is_dated) {
        put(&list, SPAN("date"), date);
    }
    if (ex->status != 204 && ex->status != 304 && body_has_length(&ex->body)) {
        put_length(&list, body_length(&ex->body));
    }
    stream->responded = queue_head(h2, stream, &list, !with_body);
    if (!stream->responded || stream->muted) {
        return stream->responded;
    }
    if (with_body) {
        stream->sends = true;
        h2_stream_schedule(h2, stream);
    } else {
        h2_stream_answered_soon(h2, stream);
    }
    return true;
}

bool h2_trailers(struct h2 *h2, int32_t id, const struct field_list *fields)
{
    struct h2_stream *stream = h2_stream_find(h2, id);
    if (stream == NULL) {
        return false;
    }
    assert(stream->sends && !stream->has_trailers);
    struct list list;
    start(&list, 0);
    put_fields(&list, fields);
    if (list.count == 0) {
        return true; /* the body ends the stream as well */
    }
    stream->has_trailers = queue_head(h2, stream, &list, true);
    return stream->has_trailers;
}

void h2_resume(struct h2 *h2, int32_t id)
{
    struct h2_stream *stream = h2_stream_find(h2, id);
    if (stream != NULL) {
        stream->rests = false;
        h2_stream_schedule(h2, stream);
    }
}

static bool put_data(struct h2 *h2, struct h2_stream *stream, size_t bytes, bool ends_stream)
{
    struct h2_frame frame = {.type = H2_DATA,
                             .flags = ends_stream ? H2_END_STREAM : 0,
                             .length = (uint32_t)bytes,
                             .stream = stream->turn.id};
    uint8_t head[H2_FRAME_HEAD_BYTES];
    h2_frame_write(head, &frame);
    struct span head_text = {(const char *)head, sizeof head};
    bool fine = bytes > 0 ? h2->handler->take(stream->owner, head_text, h2->out, bytes)
                          : buffer_append(h2->out, head_text, h2_out_limit(h2));
    if (!fine) {
        return false;
    }
    h2->out_bytes += sizeof head + bytes;
    h2->guard.payload += bytes;
    h2->window -= (int32_t)bytes;
    stream->window -= (int32_t)bytes;
    return true;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

bool h2_write_data(struct h2 *h2, struct h2_stream *stream)
{
    assert(h2->window > 0 && stream->window > 0 && stream->owner != NULL);
    size_t max = least(CONTENT_BYTES_MAX, least((size_t)h2->window, (size_t)stream->window));
    bool end = false;
    size_t bytes = h2->handler->ready(stream->owner, max, &end);
    assert(bytes <= max);
    if (stream->muted) {
        return true;
    }
    bool has_trailers = stream->has_trailers;
    bool ends_here = end && !has_trailers;
    assert(end || !has_trailers);
    if ((bytes > 0 || ends_here) && !put_data(h2, stream, bytes, ends_here)) {
        return false;
    }
    if (end) {
        /* Behind trailers, which are queued, its owner has nothing to do either. */
        h2_stream_answered(h2, stream);
        return true;
    }
    stream->rests = bytes == 0;
    if (stream->place == H2_SCHEDULED) {
        h2_schedule_sent(&h2->schedule, &stream->turn);
        h2_stream_schedule(h2, stream);
    }
    return true;
}
