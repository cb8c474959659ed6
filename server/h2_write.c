/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 answers: their heads as lists of fields, their bodies frame by frame, which the owner puts
 * into the output itself. */
#include <assert.h>

#include "server/chars.h"
#include "server/date.h"
#include "server/h2_int.h"

enum { STATUS_DIGITS = 3 };

/* A header list for nghttp2, with the texts that are nowhere else. */
struct list {
    nghttp2_nv items[LIM_RESPONSE_FIELDS + 3]; /* :status, date, content-length */
    size_t count;
    bool is_dated;
    char status[STATUS_DIGITS];
    char length[CHAR_DECIMAL_MAX];
};

/* Not the whole: most of it is an array, filled up to its count. */
static void start(struct list *list)
{
    list->count = 0;
    list->is_dated = false;
}

static void put(struct list *list, struct span name, struct span value, uint8_t flags)
{
    assert(list->count < sizeof list->items / sizeof list->items[0]);
    list->items[list->count++] = (nghttp2_nv){
        .name = (uint8_t *)name.base,
        .namelen = name.len,
        .value = (uint8_t *)(value.len > 0 ? value.base : ""),
        .valuelen = value.len,
        .flags = flags,
    };
}

/* A field of our own: the name is a literal in lower case, the value is copied. */
static void put_own(struct list *list, struct span name, struct span value)
{
    put(list, name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME);
}

static void put_status(struct list *list, unsigned status)
{
    list->status[0] = (char)('0' + status / 100);
    list->status[1] = (char)('0' + status / 10 % 10);
    list->status[2] = (char)('0' + status % 10);
    put_own(list, SPAN(":status"), (struct span){list->status, sizeof list->status});
}

static void put_length(struct list *list, uint64_t length)
{
    char *end = list->length + sizeof list->length;
    char *first = char_decimal(end, length);
    put_own(list, SPAN("content-length"), (struct span){first, (size_t)(end - first)});
}

/* RFC 9113 8.2.2: what HTTP/1 says about its connection has no place here. */
static bool is_connection_specific(struct span name)
{
    switch (name.len) {
    case 7: return span_equal_nocase(name, SPAN("upgrade"));
    case 10:
        return span_equal_nocase(name, SPAN("connection")) ||
               span_equal_nocase(name, SPAN("keep-alive"));
    case 16: return span_equal_nocase(name, SPAN("proxy-connection"));
    case 17: return span_equal_nocase(name, SPAN("transfer-encoding"));
    default: return false;
    }
}

/* nghttp2 makes names lower case when it copies them, and only then. What is borrowed it does not
 * look at any more once the stream is closed. */
static void put_fields(struct list *list, const struct field_list *fields, bool borrowed)
{
    assert(fields->count <= LIM_RESPONSE_FIELDS);
    const uint8_t no_copy = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
    unsigned own = borrowed ? fields->own : 0;
    for (unsigned i = 0; i < own; i++) {
        put(list, fields->items[i].name, fields->items[i].value, no_copy);
    }
    for (unsigned i = own; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (is_connection_specific(field->name)) {
            continue;
        }
        uint8_t flags = borrowed ? NGHTTP2_NV_FLAG_NO_COPY_VALUE : NGHTTP2_NV_FLAG_NONE;
        if (borrowed && !chars_any_upper(field->name)) {
            flags |= NGHTTP2_NV_FLAG_NO_COPY_NAME;
        }
        put(list, field->name, field->value, flags);
        list->is_dated |= span_equal_nocase(field->name, SPAN("date"));
    }
}

static ssize_t data_read(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t max,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session, (void)id, (void)buffer;
    const struct h2 *h2 = user;
    struct h2_stream *stream = source->ptr;
    bool end = false;
    size_t bytes = stream->muted ? 0 : h2->handler->ready(stream->owner, max, &end);
    assert(bytes <= max);
    if (stream->muted || (bytes == 0 && !end)) {
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (end) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    if (stream->has_trailers) {
        assert(end);
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
    return (ssize_t)bytes;
}

ssize_t h2_data_length(nghttp2_session *session, uint8_t frame_type, int32_t stream_id,
                       int32_t session_window, int32_t stream_window, uint32_t frame_max,
                       void *user)
{
    (void)session, (void)frame_type, (void)stream_id, (void)frame_max, (void)user;
    (void)session_window, (void)stream_window; /* nghttp2 takes the smallest of all these */
    return LIM_H2_FRAME_BYTES - H2_FRAME_HEAD_BYTES;
}

int h2_data_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_head,
                 size_t bytes, nghttp2_data_source *source, void *user)
{
    (void)session;
    struct h2 *h2 = user;
    struct h2_stream *stream = source->ptr;
    struct span head = {(const char *)frame_head, H2_FRAME_HEAD_BYTES};
    assert(frame->data.padlen == 0); /* we never pad */
    (void)frame;
    bool fine = bytes > 0 ? h2->handler->take(stream->owner, head, h2->out, bytes)
                          : buffer_append(h2->out, head, h2_out_limit(h2));
    if (!fine) {
        return h2_fail(h2, H2_INTERNAL_ERROR);
    }
    h2->out_bytes += head.len + bytes;
    h2->guard.payload += bytes;
    h2->framed = stream;
    return h2->out_bytes < h2->out_max ? 0 : NGHTTP2_ERR_PAUSE;
}

bool h2_inform(struct h2 *h2, int32_t id, unsigned status, const struct field_list *fields)
{
    assert(status >= 100 && status <= 199 && status != 101); /* RFC 9113 8.6 has no 101 */
    struct h2_stream *stream = h2_stream_find(h2, id);
    if (stream == NULL || stream->responded) {
        return false;
    }
    struct list list;
    start(&list);
    put_status(&list, status);
    if (fields != NULL) {
        put_fields(&list, fields, false);
    }
    return nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, id, NULL, list.items, list.count,
                                  NULL) == 0;
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
    start(&list);
    put_status(&list, ex->status);
    put_fields(&list, &ex->response_fields, true);
    if (!list.is_dated) {
        put_own(&list, SPAN("date"), date);
    }
    if (ex->status != 204 && ex->status != 304 && body_has_length(&ex->body)) {
        put_length(&list, body_length(&ex->body));
    }
    nghttp2_data_provider provider = {.source = {.ptr = stream}, .read_callback = data_read};
    stream->responded = nghttp2_submit_response(h2->session, id, list.items, list.count,
                                                with_body ? &provider : NULL) == 0;
    return stream->responded;
}

bool h2_trailers(struct h2 *h2, int32_t id, const struct field_list *fields)
{
    struct h2_stream *stream = h2_stream_find(h2, id);
    if (stream == NULL) {
        return false;
    }
    assert(stream->responded && !stream->has_trailers);
    struct list list;
    start(&list);
    put_fields(&list, fields, false);
    if (list.count == 0) {
        return true; /* the body ends the stream as well */
    }
    stream->has_trailers = nghttp2_submit_trailer(h2->session, id, list.items, list.count) == 0;
    return stream->has_trailers;
}
