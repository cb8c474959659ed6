/* SPDX-License-Identifier: Apache-2.0 */
/* A client of HTTP/2 for tests; aborts when it cannot go on. */
#include "tests/support/h2_peer.h"

#include <stdio.h>
#include <stdlib.h>

static void check(bool property)
{
    if (!property) {
        abort();
    }
}

/* ---- nghttp2's client */

struct h2_answer *h2_peer_answer(struct h2_peer *peer, int32_t id)
{
    for (unsigned i = 0; i < peer->answer_count; i++) {
        if (peer->answers[i].id == id) {
            return &peer->answers[i];
        }
    }
    check(peer->answer_count < H2_APP_REQUESTS);
    peer->answers[peer->answer_count] = (struct h2_answer){.id = id};
    return &peer->answers[peer->answer_count++];
}

struct h2_app_request *h2_peer_seen(struct h2_peer *peer, int32_t id)
{
    for (unsigned i = 0; i < peer->app.request_count; i++) {
        if (peer->app.requests[i].id == id) {
            return &peer->app.requests[i];
        }
    }
    return NULL;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_bytes, const uint8_t *value, size_t value_bytes, uint8_t flags,
                     void *user)
{
    (void)session, (void)flags;
    struct h2_answer *answer = h2_peer_answer(user, frame->hd.stream_id);
    struct span text = {(const char *)name, name_bytes};
    if (span_equal(text, SPAN(":status"))) {
        unsigned status = (unsigned)atoi((const char *)value);
        if (status < 200) {
            answer->interim = status;
        } else {
            answer->status = status;
        }
        return 0;
    }
    bool is_trailer =
        frame->headers.cat == NGHTTP2_HCAT_HEADERS && answer->status != 0 && answer->body_bytes > 0;
    char *to = is_trailer ? answer->trailers : answer->fields;
    size_t room = is_trailer ? sizeof answer->trailers : sizeof answer->fields;
    size_t used = strlen(to);
    snprintf(to + used, room - used, "%.*s: %.*s\n", (int)name_bytes, (const char *)name,
             (int)value_bytes, (const char *)value);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t bytes, void *user)
{
    (void)session, (void)flags;
    struct h2_answer *answer = h2_peer_answer(user, id);
    for (size_t i = 0; i < bytes; i++) {
        answer->body_wrong |= (char)data[i] != h2_app_byte(answer->body_bytes++);
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct h2_peer *peer = user;
    if (frame->hd.length + 9 > peer->max_frame) {
        peer->max_frame = (uint32_t)frame->hd.length + 9;
    }
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        peer->goaways++;
        peer->goaway_error = frame->goaway.error_code;
        peer->goaway_last = frame->goaway.last_stream_id;
    } else if (frame->hd.type == NGHTTP2_DATA &&
               peer->order_count < sizeof peer->order / sizeof peer->order[0]) {
        peer->order[peer->order_count++] = frame->hd.stream_id;
    }
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    (void)session;
    struct h2_answer *answer = h2_peer_answer(user, id);
    answer->closed = true;
    answer->error = error;
    return 0;
}

struct h2_peer *h2_peer_new(void)
{
    struct h2_peer *peer = calloc(1, sizeof *peer);
    check(peer != NULL);
    peer->out_max = 80 << 10;
    peer->now_ms = 1000;
    return peer;
}

void h2_peer_open(struct h2_peer *peer, const struct h2_options *options)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    check(nghttp2_session_callbacks_new(&callbacks) == 0);
    check(nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_option_set_no_http_messaging(option, 1); /* so that it sends what is malformed */
    check(nghttp2_session_client_new2(&peer->session, callbacks, peer, option) == 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    nghttp2_settings_entry no_push = {NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    check(nghttp2_submit_settings(peer->session, NGHTTP2_FLAG_NONE, &no_push, 1) == 0);
    h2_app_open(&peer->app, options);
}

void h2_peer_free(struct h2_peer *peer)
{
    h2_free(peer->app.h2);
    check(peer->app.closed_count == peer->app.request_count);
    nghttp2_session_del(peer->session);
    free(peer);
}

void h2_peer_run(struct h2_peer *peer)
{
    struct h2 *h2 = peer->app.h2;
    struct buffer out = {0};
    bool moved = true;
    while (moved && !peer->server_done) {
        const uint8_t *data;
        ssize_t bytes = nghttp2_session_mem_send(peer->session, &data);
        check(bytes >= 0);
        moved = bytes > 0;
        bool good = h2_receive(h2, (struct span){(const char *)data, (size_t)bytes}, peer->now_ms);
        good = h2_send(h2, &out, peer->out_max) && good;
        struct span answer = buffer_span(&out);
        check(answer.len <= peer->out_max + LIM_H2_FRAME_BYTES + 9);
        moved |= answer.len > 0;
        check(nghttp2_session_mem_recv(peer->session, (const uint8_t *)answer.base, answer.len) ==
              (ssize_t)answer.len);
        buffer_consume(&out, answer.len);
        peer->server_done = !good || h2_finished(h2);
    }
    buffer_release(&out);
}

#define NV(name, value, length)                                                                    \
    {                                                                                              \
        (uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, length, NGHTTP2_NV_FLAG_NONE      \
    }

static ssize_t read_upload(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t bytes,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session, (void)id, (void)user;
    uint64_t *left = source->ptr;
    size_t n = *left < bytes ? (size_t)*left : bytes;
    memset(buffer, 'u', n);
    *left -= n;
    if (*left == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static int32_t request(struct h2_peer *peer, const char *method, const char *path,
                       const nghttp2_nv *fields, size_t count, bool with_body)
{
    nghttp2_nv list[160] = {
        NV(":method", method, strlen(method)),
        NV(":scheme", "https", 5),
        NV(":authority", "h.example", 9),
        NV(":path", path, strlen(path)),
    };
    check(count <= sizeof list / sizeof list[0] - 4);
    if (count > 0) {
        memcpy(list + 4, fields, count * sizeof *fields);
    }
    nghttp2_data_provider upload = {.source = {.ptr = &peer->upload_bytes},
                                    .read_callback = read_upload};
    int32_t id = nghttp2_submit_request(peer->session, NULL, list, count + 4,
                                        with_body ? &upload : NULL, NULL);
    check(id > 0);
    return id;
}

int32_t h2_peer_request(struct h2_peer *peer, const char *method, const char *path,
                        const nghttp2_nv *fields, size_t count)
{
    return request(peer, method, path, fields, count, false);
}

int32_t h2_peer_upload(struct h2_peer *peer, const char *path, const nghttp2_nv *fields,
                       size_t count)
{
    return request(peer, "POST", path, fields, count, true);
}

/* ---- by hand */

static void append(struct buffer *out, struct span bytes)
{
    check(buffer_append(out, bytes, SIZE_MAX / 4));
}

static void append_byte(struct buffer *out, unsigned byte)
{
    char c = (char)byte;
    append(out, (struct span){&c, 1});
}

void h2_raw_frame(struct buffer *out, uint8_t type, uint8_t flags, uint32_t id, struct span payload)
{
    for (int shift = 16; shift >= 0; shift -= 8) {
        append_byte(out, payload.len >> shift & 0xff);
    }
    append_byte(out, type);
    append_byte(out, flags);
    for (int shift = 24; shift >= 0; shift -= 8) {
        append_byte(out, id >> shift & 0xff);
    }
    append(out, payload);
}

/* RFC 7541 5.1, a prefix of 7 bits, and 5.2 without Huffman codes. */
static void append_text(struct buffer *out, struct span text)
{
    size_t length = text.len;
    if (length < 127) {
        append_byte(out, (unsigned)length);
    } else {
        append_byte(out, 127);
        for (length -= 127; length >= 128; length >>= 7) {
            append_byte(out, (length & 127) | 128);
        }
        append_byte(out, (unsigned)length);
    }
    append(out, text);
}

void h2_raw_field(struct buffer *out, struct span name, struct span value)
{
    append_byte(out, 0); /* literal, not indexed, new name: RFC 7541 6.2.2 */
    append_text(out, name);
    append_text(out, value);
}

void h2_raw_hello(struct buffer *out)
{
    append(out, SPAN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    h2_raw_frame(out, NGHTTP2_SETTINGS, 0, 0, SPAN(""));
}

void h2_raw_pseudo(struct buffer *out, const char *method, const char *path)
{
    h2_raw_field(out, SPAN(":method"), span_of(method));
    h2_raw_field(out, SPAN(":scheme"), SPAN("http"));
    h2_raw_field(out, SPAN(":authority"), SPAN("h"));
    h2_raw_field(out, SPAN(":path"), span_of(path));
}

void h2_raw_get(struct buffer *out, uint32_t id, const char *path)
{
    struct buffer block = {0};
    h2_raw_pseudo(&block, "GET", path);
    h2_raw_frame(out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM | NGHTTP2_FLAG_END_HEADERS, id,
                 buffer_span(&block));
    buffer_release(&block);
}

static uint32_t u32_at(const char *at)
{
    const uint8_t *byte = (const uint8_t *)at;
    return (uint32_t)byte[0] << 24 | (uint32_t)byte[1] << 16 | (uint32_t)byte[2] << 8 | byte[3];
}

/* h2 never leaves part of a frame, so `bytes` are whole frames. */
static void read_answers(struct h2_raw_result *result, struct span bytes)
{
    while (bytes.len >= 9) {
        size_t length = u32_at(bytes.base) >> 8;
        uint8_t type = (uint8_t)bytes.base[3];
        const char *payload = bytes.base + 9;
        if (bytes.len - 9 < length) {
            break;
        }
        if (type == NGHTTP2_GOAWAY && length >= 8) {
            result->goaways++;
            result->goaway_last = u32_at(payload);
            result->goaway = u32_at(payload + 4);
        } else if (type == NGHTTP2_RST_STREAM && length == 4) {
            result->resets++;
            result->reset = u32_at(payload);
        } else if (type == NGHTTP2_HEADERS) {
            result->heads++;
        } else if (type == NGHTTP2_PING) {
            result->pings++;
        }
        bytes.base += 9 + length;
        bytes.len -= 9 + length;
    }
    result->broken_frame |= bytes.len != 0;
}

struct h2_raw_result h2_raw_play(struct h2_app *app, struct span bytes, size_t piece,
                                 uint64_t now_ms)
{
    struct h2_raw_result result = {.ended = false};
    struct buffer out = {0};
    while (bytes.len > 0 && !result.ended) {
        size_t n = bytes.len < piece ? bytes.len : piece;
        char *copy = malloc(n); /* so that a sanitizer sees reads beyond */
        check(copy != NULL);
        memcpy(copy, bytes.base, n);
        bool good = h2_receive(app->h2, (struct span){copy, n}, now_ms);
        free(copy);
        do {
            buffer_consume(&out, buffer_bytes(&out));
            good = h2_send(app->h2, &out, 32 << 10) && good;
            read_answers(&result, buffer_span(&out));
        } while (good && buffer_bytes(&out) > 0);
        buffer_consume(&out, buffer_bytes(&out));
        result.ended = !good || h2_finished(app->h2);
        bytes.base += n;
        bytes.len -= n;
    }
    buffer_release(&out);
    return result;
}
