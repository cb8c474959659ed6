/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP/2 connection: the nghttp2 session, its streams, what is received. Streams of ours exist
 * from a complete request head until nghttp2 closes the stream; nghttp2 alone decides when that is.
 *
 * A connection ends in one of two ways. For errors nghttp2 finds it queues a GOAWAY and ignores
 * what follows. For a limit of ours, or when nghttp2 gives up, the session is `broken`: it is not
 * called again, and the GOAWAY is written by hand.
 */
#include "server/h2.h"

#include <assert.h>

#include "server/h2_int.h"

#define PREFACE SPAN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

bool h2_is_preface(struct span bytes, bool *more)
{
    const struct span preface = PREFACE;
    size_t shared = bytes.len < preface.len ? bytes.len : preface.len;
    bool same = shared == 0 || memcmp(bytes.base, preface.base, shared) == 0;
    *more = same && shared < preface.len;
    return same && shared == preface.len;
}

/* ---- streams */

static struct h2_stream *find_any(const struct h2 *h2, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h2->session, id);
}

struct h2_stream *h2_stream_find(const struct h2 *h2, int32_t id)
{
    struct h2_stream *stream = h2->broken ? NULL : find_any(h2, id);
    return stream == NULL || stream->muted || stream->is_over ? NULL : stream;
}

int h2_fail(struct h2 *h2, uint32_t error)
{
    if (h2->error == 0) {
        h2->error = error;
    }
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static struct h2_stream *stream_new(struct h2 *h2, int32_t id)
{
    struct h2_stream *stream = h2_memory_take(h2->memory, sizeof *stream);
    if (stream == NULL) {
        return NULL;
    }
    *stream = (struct h2_stream){.h2 = h2, .id = id, .next = h2->streams};
    if (h2->streams != NULL) {
        h2->streams->previous = stream;
    }
    h2->streams = stream;
    return stream;
}

static void stream_free(struct h2_stream *stream)
{
    struct h2 *h2 = stream->h2;
    if (stream->previous != NULL) {
        stream->previous->next = stream->next;
    } else {
        h2->streams = stream->next;
    }
    if (stream->next != NULL) {
        stream->next->previous = stream->previous;
    }
    h2_memory_give(h2->memory, stream);
}

/* The owner hears `closed`, unless it never took the stream or heard it before. */
static void release(struct h2_stream *stream, uint32_t error)
{
    if (stream->owner != NULL) {
        stream->is_over = true;
        stream->h2->stream_count--;
        stream->h2->handler->closed(stream->owner, error);
        stream->owner = NULL;
    }
}

static void stream_close(struct h2_stream *stream, uint32_t error)
{
    release(stream, error);
    stream_free(stream);
}

/* Resets a stream; `closed` follows when the frame is on its way. */
static int mute(struct h2 *h2, struct h2_stream *stream, uint32_t error)
{
    stream->muted = true;
    return nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, stream->id, error);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    struct h2 *h2 = user;
    struct h2_stream *stream = find_any(h2, id);
    if (stream == NULL) {
        return 0;
    }
    /* What its owner did not give back is lost to the stream, not to the connection. */
    size_t lost = stream->unconsumed;
    stream_close(stream, error);
    return lost == 0 || nghttp2_session_consume_connection(session, lost) == 0
               ? 0
               : h2_fail(h2, H2_INTERNAL_ERROR);
}

/* ---- what is received */

static int glitch(struct h2 *h2)
{
    return h2_guard_glitch(&h2->guard) ? 0 : h2_fail(h2, H2_ENHANCE_YOUR_CALM);
}

/* What nghttp2 overlooks once it ignores priorities of RFC 7540: RFC 9113 6.3. */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *head, void *user)
{
    (void)session;
    bool is_wrong = head->type == NGHTTP2_PRIORITY && head->stream_id == 0;
    return is_wrong ? h2_fail(user, H2_PROTOCOL_ERROR) : 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct h2 *h2 = user;
    bool is_trailer = frame->headers.cat != NGHTTP2_HCAT_REQUEST;
    if (!is_trailer && !h2_guard_stream(&h2->guard, h2->streams_max)) {
        return h2_fail(h2, H2_ENHANCE_YOUR_CALM);
    }
    h2_block_free(h2->memory, h2->block);
    h2->block = h2_block_new(h2->memory, frame->hd.stream_id, is_trailer);
    return h2->block != NULL ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *user)
{
    (void)session, (void)flags;
    struct h2 *h2 = user;
    assert(h2->block != NULL && h2->block->stream_id == frame->hd.stream_id);
    (void)frame;
    return h2_block_add(h2->block, name, value) ? 0 : h2_fail(h2, H2_ENHANCE_YOUR_CALM);
}

/* nghttp2 would leave such fields out; RFC 9113 8.2.1 calls the whole request malformed. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags, void *user)
{
    (void)session, (void)frame, (void)name, (void)value, (void)flags, (void)user;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_request(struct h2 *h2, const nghttp2_frame *frame)
{
    int32_t id = frame->hd.stream_id;
    struct h2_head *head = &h2->block->head;
    struct h2_stream *stream = stream_new(h2, id);
    if (stream == NULL) {
        return h2_fail(h2, H2_INTERNAL_ERROR);
    }
    if (nghttp2_session_set_stream_user_data(h2->session, id, stream) != 0) {
        stream_free(stream); /* reset meanwhile */
        return 0;
    }
    head->has_body = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0;
    stream->has_ended = !head->has_body;
    h2_block_finish(h2->block);
    h2->guard.payload += h2->block->list_bytes;
    stream->owner = h2->handler->request(h2->owner, id, head);
    if (stream->owner != NULL) {
        h2->stream_count++;
    } else if (!stream->muted && mute(h2, stream, H2_REFUSED_STREAM) != 0) {
        return h2_fail(h2, H2_INTERNAL_ERROR);
    }
    return 0;
}

static int on_trailers(struct h2 *h2, const nghttp2_frame *frame)
{
    struct h2_stream *stream = h2_stream_find(h2, frame->hd.stream_id);
    h2->guard.payload += h2->block->list_bytes;
    if (stream == NULL) {
        return 0;
    }
    if (h2->block->list_bytes > LIM_TRAILER_BYTES || h2->block->head.status != 0) {
        return mute(h2, stream, H2_ENHANCE_YOUR_CALM) == 0 ? glitch(h2)
                                                           : h2_fail(h2, H2_INTERNAL_ERROR);
    }
    stream->has_ended = true;
    h2->handler->body_end(stream->owner, h2->block->head.fields, h2->block->head.field_count);
    return 0;
}

static int on_headers(struct h2 *h2, const nghttp2_frame *frame)
{
    assert(h2->block != NULL && h2->block->stream_id == frame->hd.stream_id);
    int failed = h2->block->is_trailer ? on_trailers(h2, frame) : on_request(h2, frame);
    h2_block_free(h2->memory, h2->block);
    h2->block = NULL;
    return failed;
}

static int on_data(struct h2 *h2, const nghttp2_frame *frame)
{
    struct h2_stream *stream = h2_stream_find(h2, frame->hd.stream_id);
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) {
        return frame->hd.length > frame->data.padlen ? 0 : glitch(h2);
    }
    if (stream != NULL) {
        stream->has_ended = true;
        h2->handler->body_end(stream->owner, NULL, 0);
    }
    return 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct h2 *h2 = user;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS: return on_headers(h2, frame);
    case NGHTTP2_DATA: return on_data(h2, frame);
    case NGHTTP2_RST_STREAM:
        return h2_guard_reset(&h2->guard, &h2->guard.resets_received)
                   ? 0
                   : h2_fail(h2, H2_ENHANCE_YOUR_CALM);
    case NGHTTP2_PRIORITY_UPDATE: {
        const nghttp2_ext_priority_update *update = frame->ext.payload;
        return update->stream_id != 0 ? 0 : h2_fail(h2, H2_PROTOCOL_ERROR); /* RFC 9218 7.1 */
    }
    default: return 0;
    }
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *user)
{
    (void)session, (void)frame, (void)error;
    return glitch(user);
}

/* Body bytes for nobody. RFC 9113 8.1 would allow to reset the stream as soon as it is answered,
 * but there are clients that then overlook the answer, so some of the body is awaited. */
static int drop_data(struct h2 *h2, int32_t id, size_t bytes)
{
    struct h2_stream *stream = find_any(h2, id);
    int failed = nghttp2_session_consume(h2->session, id, bytes);
    if (failed != 0 || stream == NULL || stream->muted) {
        return failed;
    }
    stream->dropped += (uint32_t)bytes; /* the limit and a window at most */
    return stream->dropped > LIM_BODY_DRAIN_BYTES ? mute(h2, stream, H2_NO_ERROR) : 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t bytes, void *user)
{
    (void)session, (void)flags;
    struct h2 *h2 = user;
    struct h2_stream *stream = h2_stream_find(h2, id);
    h2->guard.payload += bytes;
    if (stream == NULL) { /* reset or answered, and the client does not know yet */
        return drop_data(h2, id, bytes) == 0 ? 0 : h2_fail(h2, H2_INTERNAL_ERROR);
    }
    stream->unconsumed += (uint32_t)bytes; /* a window at most */
    h2->handler->body(stream->owner, (struct span){(const char *)data, bytes});
    return 0;
}

/* ---- what is sent */

/* A complete answer to a request that is still coming in: its owner is done with it. */
static int on_answered(struct h2 *h2, struct h2_stream *stream)
{
    if (stream == NULL || stream->muted || stream->is_over || stream->has_ended) {
        return 0;
    }
    int32_t id = stream->id;
    size_t bytes = stream->unconsumed;
    stream->unconsumed = 0;
    release(stream, H2_NO_ERROR);
    return drop_data(h2, id, bytes) == 0 ? 0 : h2_fail(h2, H2_INTERNAL_ERROR);
}

static int on_reset_sent(struct h2 *h2, const nghttp2_frame *frame)
{
    struct h2_stream *stream = find_any(h2, frame->hd.stream_id);
    if (stream != NULL && stream->muted) {
        return 0; /* it was us */
    }
    /* RFC 9113 6.9.2 wants the whole connection to end when settings make a window too large;
     * nghttp2 resets the stream. Who miscounts one window is not to be trusted with others. */
    if (frame->rst_stream.error_code == H2_FLOW_CONTROL_ERROR) {
        return h2_fail(h2, H2_FLOW_CONTROL_ERROR);
    }
    return h2_guard_reset(&h2->guard, &h2->guard.resets_caused) ? 0
                                                                : h2_fail(h2, H2_ENHANCE_YOUR_CALM);
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct h2 *h2 = user;
    bool is_last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS: return is_last ? on_answered(h2, find_any(h2, frame->hd.stream_id)) : 0;
    case NGHTTP2_DATA: return is_last ? on_answered(h2, h2->framed) : 0;
    case NGHTTP2_RST_STREAM: return on_reset_sent(h2, frame);
    default: return 0;
    }
}

/* An answer whose head does not fit a header block, if not one that a reset has overtaken. */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *user)
{
    (void)session;
    struct h2 *h2 = user;
    struct h2_stream *stream = h2_stream_find(h2, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_HEADERS && stream != NULL &&
        error != NGHTTP2_ERR_STREAM_CLOSING && error != NGHTTP2_ERR_STREAM_CLOSED) {
        return mute(h2, stream, H2_INTERNAL_ERROR) == 0 ? 0 : h2_fail(h2, H2_INTERNAL_ERROR);
    }
    return 0;
}

static uint8_t *put_u32(uint8_t *at, uint32_t value)
{
    for (unsigned shift = 32; shift > 0; shift -= 8) {
        *at++ = (uint8_t)(value >> (shift - 8));
    }
    return at;
}

static void say_goodbye(struct h2 *h2, struct buffer *out)
{
    /* RFC 9113 3.4: the first frame is SETTINGS, here without entries. */
    static const char settings[H2_FRAME_HEAD_BYTES] = {0, 0, 0, NGHTTP2_SETTINGS};
    if (!h2->has_sent) {
        (void)buffer_append(out, (struct span){settings, sizeof settings},
                            buffer_bytes(out) + sizeof settings);
    }
    uint8_t frame[H2_FRAME_HEAD_BYTES + 8] = {0, 0, 8, NGHTTP2_GOAWAY};
    uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(h2->session);
    put_u32(put_u32(frame + H2_FRAME_HEAD_BYTES, last), h2->error);
    struct span bytes = {(const char *)frame, sizeof frame};
    (void)buffer_append(out, bytes, buffer_bytes(out) + sizeof frame); /* else without a word */
    h2->said_goodbye = true;
}

static void breaks(struct h2 *h2, uint32_t error)
{
    h2->error = h2->error != 0 ? h2->error : error;
    h2->broken = true;
}

static bool send_all(struct h2 *h2)
{
    struct buffer *out = h2->out;
    while (h2->out_bytes < h2->out_max) {
        const uint8_t *data;
        ssize_t bytes = nghttp2_session_mem_send(h2->session, &data);
        if (bytes == 0) {
            break;
        }
        if (bytes < 0 || !buffer_append(out, (struct span){(const char *)data, (size_t)bytes},
                                        h2_out_limit(h2))) {
            return false;
        }
        h2->out_bytes += (size_t)bytes;
        h2->has_sent = true;
    }
    return true;
}

bool h2_send(struct h2 *h2, struct buffer *out, size_t out_max)
{
    assert(!h2_is_busy(h2));
    h2->out = out;
    h2->out_bytes = buffer_bytes(out);
    h2->out_max = out_max;
    if (!h2->broken && !send_all(h2)) {
        breaks(h2, H2_INTERNAL_ERROR);
    }
    h2->out = NULL;
    if (h2->broken && !h2->said_goodbye) {
        say_goodbye(h2, out);
    }
    return !h2->broken;
}

bool h2_is_busy(const struct h2 *h2)
{
    return h2->out != NULL || h2->receiving;
}

/* ---- the connection */

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return NULL;
    }
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, h2_data_length);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, h2_data_send);
    return callbacks;
}

static nghttp2_option *option_new(void)
{
    nghttp2_option *option;
    if (nghttp2_option_new(&option) != 0) {
        return NULL;
    }
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1); /* kept for RFC 7540 priorities only */
    nghttp2_option_set_builtin_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
    nghttp2_option_set_max_deflate_dynamic_table_size(option, LIM_H2_TABLE_BYTES);
    nghttp2_option_set_max_outbound_ack(option, LIM_H2_ACKS);
    nghttp2_option_set_max_settings(option, LIM_H2_SETTINGS);
    nghttp2_option_set_max_continuations(option, LIM_H2_CONTINUATIONS);
    /* The guard counts resets, by the clock it is given; nghttp2 has one of its own. */
    nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX, UINT64_MAX);
    return option;
}

static bool session_open(struct h2 *h2)
{
    nghttp2_session_callbacks *callbacks = callbacks_new();
    nghttp2_option *option = option_new();
    h2_room_open(&h2->room, h2->memory);
    nghttp2_mem functions = h2_room_functions(&h2->room);
    bool good = callbacks != NULL && option != NULL &&
                nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &functions) == 0;
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return good;
}

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value != 0 ? value : fallback;
}

static bool submit_settings(struct h2 *h2, const struct h2_options *options)
{
    nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h2->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
         or_default(options->stream_window, LIM_H2_STREAM_WINDOW)},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LIM_HEAD_FIELDS_BYTES},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
    };
    size_t count = sizeof entries / sizeof entries[0] - (options->connect_protocol ? 0 : 1);
    uint32_t window = or_default(options->connection_window, LIM_H2_CONNECTION_WINDOW);
    return nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, entries, count) == 0 &&
           nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                 (int32_t)window) == 0;
}

struct h2 *h2_open(const struct h2_options *options, const struct h2_handler *handler, void *owner)
{
    struct h2 *h2 = h2_memory_take(options->memory, sizeof *h2);
    if (h2 == NULL) {
        return NULL;
    }
    assert(options->stream_window <= INT32_MAX && options->connection_window <= INT32_MAX);
    *h2 = (struct h2){.handler = handler, .owner = owner, .memory = options->memory};
    h2->streams_max = or_default(options->max_streams, LIM_H2_STREAMS);
    h2_guard_init(&h2->guard, or_default(options->total_streams, LIM_H2_STREAMS_TOTAL));
    if (!session_open(h2) || !submit_settings(h2, options)) {
        h2_free(h2);
        return NULL;
    }
    return h2;
}

void h2_free(struct h2 *h2)
{
    if (h2 == NULL) {
        return;
    }
    h2->broken = true; /* whatever `closed` calls now does nothing */
    while (h2->streams != NULL) {
        stream_close(h2->streams, H2_CANCEL);
    }
    h2_block_free(h2->memory, h2->block);
    nghttp2_session_del(h2->session);
    h2_room_close(&h2->room);
    h2_memory_give(h2->memory, h2);
}

static uint32_t error_of(ssize_t failure)
{
    switch (failure) {
    case NGHTTP2_ERR_FLOODED:
    case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS: return H2_ENHANCE_YOUR_CALM;
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC: return H2_PROTOCOL_ERROR;
    default: return H2_INTERNAL_ERROR;
    }
}

bool h2_receive(struct h2 *h2, struct span bytes, uint64_t now_ms)
{
    if (h2->broken || bytes.len == 0) {
        return !h2->broken;
    }
    if (!h2_guard_read(&h2->guard, bytes.len, now_ms)) {
        breaks(h2, H2_ENHANCE_YOUR_CALM);
        return false;
    }
    assert(!h2_is_busy(h2));
    h2->receiving = true;
    ssize_t taken = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.base, bytes.len);
    h2->receiving = false;
    if (taken < 0) {
        breaks(h2, error_of(taken));
    } else if (nghttp2_session_get_outbound_queue_size(h2->session) > LIM_H2_QUEUED_FRAMES) {
        breaks(h2, H2_ENHANCE_YOUR_CALM);
    } else if (h2_guard_wants_drain(&h2->guard)) {
        bool ignored = h2->guard.streams - h2->streams_notified > h2->streams_max;
        h2_drain(h2, h2->notified && ignored);
    }
    return !h2->broken;
}

void h2_drain(struct h2 *h2, bool final)
{
    if (h2->broken || h2->draining || (!final && h2->notified)) {
        return;
    }
    int failed;
    if (final) {
        int32_t last = nghttp2_session_get_last_proc_stream_id(h2->session);
        failed = nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, last, H2_NO_ERROR, NULL, 0);
    } else {
        failed = nghttp2_submit_shutdown_notice(h2->session);
        h2->streams_notified = h2->guard.streams;
    }
    h2->notified = true;
    h2->draining = final;
    if (failed != 0) {
        breaks(h2, H2_INTERNAL_ERROR);
    }
}

void h2_resume(struct h2 *h2, int32_t id)
{
    if (h2_stream_find(h2, id) != NULL) {
        (void)nghttp2_session_resume_data(h2->session, id); /* fails when it does not rest */
    }
}

void h2_reset(struct h2 *h2, int32_t id, uint32_t error)
{
    struct h2_stream *stream = h2_stream_find(h2, id);
    if (stream != NULL && mute(h2, stream, error) != 0) {
        breaks(h2, H2_INTERNAL_ERROR);
    }
}

void h2_consumed(struct h2 *h2, int32_t id, size_t bytes)
{
    struct h2_stream *stream = h2_stream_find(h2, id);
    if (stream == NULL) {
        return; /* the connection has its bytes back when the stream closes */
    }
    assert(bytes <= stream->unconsumed);
    stream->unconsumed -= (uint32_t)bytes;
    if (nghttp2_session_consume(h2->session, id, bytes) != 0) {
        breaks(h2, H2_INTERNAL_ERROR);
    }
}

size_t h2_window(const struct h2 *h2, int32_t id)
{
    int32_t stream = nghttp2_session_get_stream_remote_window_size(h2->session, id);
    int32_t connection = nghttp2_session_get_remote_window_size(h2->session);
    int32_t least = stream < connection ? stream : connection;
    return least > 0 ? (size_t)least : 0;
}

size_t h2_stream_window(const struct h2 *h2, int32_t id)
{
    int32_t window = nghttp2_session_get_stream_remote_window_size(h2->session, id);
    return window > 0 ? (size_t)window : 0;
}

void h2_widen(struct h2 *h2, int32_t id, uint32_t window)
{
    assert(window <= INT32_MAX);
    if (h2_stream_find(h2, id) != NULL &&
        nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, id,
                                              (int32_t)window) != 0) {
        breaks(h2, H2_INTERNAL_ERROR);
    }
}

bool h2_is_ending(const struct h2 *h2)
{
    return h2->notified;
}

bool h2_in_head(const struct h2 *h2)
{
    return h2->block != NULL;
}

void h2_each(struct h2 *h2, void (*visit)(void *stream))
{
    struct h2_stream *next;
    for (struct h2_stream *stream = h2->streams; stream != NULL; stream = next) {
        next = stream->next;
        if (stream->owner != NULL && !stream->muted) {
            visit(stream->owner);
        }
    }
}

unsigned h2_streams(const struct h2 *h2)
{
    return h2->stream_count;
}

void h2_rest(struct h2 *h2)
{
    if (!h2->broken && h2->streams == NULL && nghttp2_session_want_write(h2->session) == 0) {
        h2_room_rest(&h2->room);
    }
}

bool h2_finished(const struct h2 *h2)
{
    if (h2->broken) {
        return h2->said_goodbye;
    }
    return nghttp2_session_want_read(h2->session) == 0 &&
           nghttp2_session_want_write(h2->session) == 0;
}
