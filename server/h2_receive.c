/* SPDX-License-Identifier: Apache-2.0 */
/* Frames as they come, whole or in any pieces. What has to be in one piece (a frame's head, a
 * control frame) is looked at where it lies, or gathered when it is split. The content of DATA is
 * handed on piece by piece; that of header blocks is decoded the same way, a whole one on the
 * stack. */
#include <assert.h>
#include <stdlib.h>

#include "server/h2_int.h"

enum { PART_BYTES_MAX = 1024 }; /* a head and the longest prelude, with room to spare */
_Static_assert(H2_FRAME_HEAD_BYTES + H2_PRIORITY_UPDATE_BYTES_MAX <= PART_BYTES_MAX, "fits");
_Static_assert(H2_FRAME_HEAD_BYTES + LIM_H2_SETTINGS * H2_SETTING_BYTES <= PART_BYTES_MAX, "fits");

static const struct span preface = {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24};

bool h2_is_preface(struct span bytes, bool *more)
{
    size_t shared = bytes.len < preface.len ? bytes.len : preface.len;
    bool same = shared == 0 || memcmp(bytes.base, preface.base, shared) == 0;
    *more = same && shared < preface.len;
    return same && shared == preface.len;
}

static void take_preface(struct h2 *h2, struct span *bytes)
{
    struct span rest = {preface.base + h2->input.preface, preface.len - h2->input.preface};
    struct span came = span_take(bytes, rest.len);
    if (!span_equal(came, (struct span){rest.base, came.len})) {
        h2_fail(h2, H2_PROTOCOL_ERROR);
    }
    h2->input.preface += (uint8_t)came.len;
}

/* The next `bytes` in one piece: where they lie, or gathered. NULL: they have not all come. */
static const uint8_t *in_one_piece(struct h2 *h2, struct span *in, size_t bytes)
{
    struct buffer *part = &h2->input.part;
    size_t held = buffer_bytes(part);
    if (held == 0 && in->len >= bytes) {
        return (const uint8_t *)in->base;
    }
    if (!buffer_append(part, span_take(in, bytes > held ? bytes - held : 0), PART_BYTES_MAX)) {
        h2_fail(h2, H2_INTERNAL_ERROR);
        return NULL;
    }
    return buffer_bytes(part) < bytes ? NULL : (const uint8_t *)buffer_span(part).base;
}

/* They stay where they are until the next ones are asked for. */
static void take_piece(struct h2 *h2, struct span *in, size_t bytes)
{
    if (buffer_bytes(&h2->input.part) > 0) {
        buffer_consume(&h2->input.part, bytes);
    } else {
        (void)span_take(in, bytes);
    }
}

/* HEADERS or DATA came for a stream that is no more. They may have crossed our reset of it. */
static void on_closed(struct h2 *h2, uint32_t id)
{
    switch (h2_past_fate(&h2->past, id)) {
    case H2_SKIPPED: h2_fail(h2, H2_PROTOCOL_ERROR); break; /* RFC 9113 5.1.1 */
    case H2_ENDED: h2_fail(h2, H2_STREAM_CLOSED); break;
    case H2_LEFT: h2_stream_refuse(h2, id, H2_STREAM_CLOSED); break;
    case H2_DISMISSED: break;
    }
}

/* ---- header blocks */

/* The trailers of a stream, or what comes after its end. */
static void continue_stream(struct h2 *h2, uint32_t id, struct h2_block_start *start)
{
    const struct h2_stream *stream = h2_stream_any(h2, id);
    if (stream == NULL) {
        start->kind = H2_IGNORED;
        on_closed(h2, id);
    } else if (stream->muted) {
        start->kind = H2_IGNORED;
    } else if (stream->has_ended) {
        h2_fail(h2, H2_STREAM_CLOSED);
    } else {
        start->kind = H2_TRAILERS;
    }
}

static void open_stream(struct h2 *h2, uint32_t id, struct h2_block_start *start)
{
    h2_past_open(&h2->past, id);
    if (!h2_guard_stream(&h2->guard, h2->streams_max)) {
        h2_fail(h2, H2_ENHANCE_YOUR_CALM);
        return;
    }
    if (h2->draining) {
        start->kind = H2_IGNORED; /* the client was told that nothing becomes of it */
        return;
    }
    if (h2->count >= h2->streams_max) { /* RFC 9113 5.1.2 */
        start->kind = H2_IGNORED;
        h2_stream_refuse(h2, id, H2_REFUSED_STREAM);
        h2_glitch(h2);
        return;
    }
    start->kind = H2_REQUEST;
    h2->id_processed = id;
}

static void begin_headers(struct h2 *h2, const struct h2_frame *frame, const uint8_t *payload)
{
    struct h2_input *input = &h2->input;
    uint32_t id = frame->stream;
    input->start = (struct h2_block_start){
        .stream = id,
        .ends_stream = (frame->flags & H2_END_STREAM) != 0,
        .takes_protocol = h2->connect_protocol,
    };
    const uint8_t *priority = payload + ((frame->flags & H2_PADDED) != 0);
    bool depends = (frame->flags & H2_PRIORITIZED) != 0 && h2_number31_read(priority) == id;
    if (id % 2 == 0 || depends) { /* RFC 9113 5.1.1, RFC 7540 5.3.1 */
        h2_fail(h2, H2_PROTOCOL_ERROR);
        return;
    }
    input->in_head = true;
    input->continuations = 0;
    if (id > h2->past.id_last) {
        open_stream(h2, id, &input->start);
    } else {
        continue_stream(h2, id, &input->start);
    }
}

static void on_request(struct h2 *h2, struct h2_block *block)
{
    uint32_t id = block->start.stream;
    h2_block_finish(block);
    if (block->malformed) {
        h2_stream_refuse(h2, id, H2_PROTOCOL_ERROR);
        h2_glitch(h2);
        return;
    }
    struct h2_stream *stream = h2_stream_new(h2, id);
    if (stream == NULL) {
        h2_fail(h2, H2_INTERNAL_ERROR);
        return;
    }
    const struct h2_head *head = &block->head;
    h2->guard.payload += block->list_bytes;
    stream->turn.priority = h2_early_take(h2, block->priority);
    stream->has_ended = block->start.ends_stream;
    stream->is_tunnel = head->protocol.len > 0;
    stream->length_left = head->has_length ? head->content_length : H2_LENGTH_UNKNOWN;
    stream->owner = h2->handler->request(h2->owner, (int32_t)id, head);
    if (stream->owner != NULL) {
        h2->owned++;
    } else {
        h2_stream_mute(h2, stream, H2_REFUSED_STREAM);
    }
}

/* The request is complete. */
static void end_stream(struct h2 *h2, struct h2_stream *stream, const struct field *trailers,
                       unsigned count)
{
    stream->has_ended = true;
    if (stream->length_left != 0 && stream->length_left != H2_LENGTH_UNKNOWN) {
        h2_stream_blame(h2, stream, H2_PROTOCOL_ERROR);
    } else if (stream->is_over) {
        h2_stream_close(h2, stream, H2_NO_ERROR);
    } else {
        h2->handler->body_end(stream->owner, trailers, count);
    }
}

static void on_trailers(struct h2 *h2, const struct h2_block *block)
{
    struct h2_stream *stream = h2_stream_any(h2, block->start.stream);
    if (stream == NULL || stream->muted) {
        return;
    }
    if (block->malformed || !block->start.ends_stream || stream->is_tunnel) {
        h2_stream_blame(h2, stream, H2_PROTOCOL_ERROR);
        h2_glitch(h2);
        return;
    }
    h2->guard.payload += block->list_bytes;
    if (block->head.status != 0) { /* over a limit */
        h2_stream_mute(h2, stream, H2_ENHANCE_YOUR_CALM);
        h2_glitch(h2);
        return;
    }
    end_stream(h2, stream, block->head.fields, block->head.field_count);
}

static void read_block(struct h2 *h2, struct h2_block *block, struct span bytes, bool is_last)
{
    uint32_t error = h2_block_read(block, &h2->decoder, bytes, is_last);
    if (error != H2_NO_ERROR) {
        h2_fail(h2, error);
    } else if (is_last) {
        h2->input.in_head = false;
        if (block->start.kind == H2_REQUEST) {
            on_request(h2, block);
        } else if (block->start.kind == H2_TRAILERS) {
            on_trailers(h2, block);
        }
    }
}

/* On the stack; its frame is large. */
static __attribute__((noinline)) void read_whole_block(struct h2 *h2, struct span bytes)
{
    struct h2_block block;
    h2_block_begin(&block, &h2->input.start);
    read_block(h2, &block, bytes, true);
}

static void on_fragment(struct h2 *h2, struct span bytes, bool is_last)
{
    struct h2_input *input = &h2->input;
    if (input->block == NULL && is_last) {
        read_whole_block(h2, bytes);
        return;
    }
    if (input->block == NULL) {
        input->block = malloc(sizeof *input->block);
        if (input->block == NULL) {
            h2_fail(h2, H2_INTERNAL_ERROR);
            return;
        }
        h2_block_begin(input->block, &input->start);
    }
    read_block(h2, input->block, bytes, is_last);
    if (is_last) {
        free(input->block);
        input->block = NULL;
    }
}

/* ---- bodies */

static void begin_data(struct h2 *h2, const struct h2_frame *frame)
{
    const struct h2_stream *stream = h2_stream_any(h2, frame->stream);
    bool is_open = stream != NULL && !stream->muted;
    if (h2_is_idle(h2, frame->stream)) {
        h2_fail(h2, H2_PROTOCOL_ERROR);
    } else if (is_open && stream->has_ended) {
        h2_fail(h2, H2_STREAM_CLOSED);
    } else if ((int64_t)frame->length > h2->flow.window ||
               (is_open && (int64_t)frame->length > stream->flow.window)) {
        h2_fail(h2, H2_FLOW_CONTROL_ERROR);
    } else if (stream == NULL) {
        on_closed(h2, frame->stream);
    }
}

static struct h2_stream *open_stream_of(const struct h2 *h2)
{
    struct h2_stream *stream = h2_stream_any(h2, h2->input.frame.stream);
    return stream != NULL && !stream->muted ? stream : NULL;
}

/* Octets that use up the windows and mean nothing. */
static void on_padding(struct h2 *h2, size_t bytes)
{
    struct h2_stream *stream = open_stream_of(h2);
    h2->flow.window -= (int32_t)bytes;
    if (stream != NULL) {
        stream->flow.window -= (int32_t)bytes;
    }
    h2_window_open(h2, stream);
}

static void on_data(struct h2 *h2, struct span bytes)
{
    struct h2_stream *stream = open_stream_of(h2);
    uint32_t count = (uint32_t)bytes.len; /* a frame at most */
    h2->flow.window -= (int32_t)count;
    if (stream == NULL) { /* reset, and the client does not know yet */
        h2_window_open(h2, NULL);
        return;
    }
    h2->guard.payload += count;
    stream->flow.window -= (int32_t)count;
    if (stream->length_left != H2_LENGTH_UNKNOWN) {
        if (count > stream->length_left) {
            h2_stream_blame(h2, stream, H2_PROTOCOL_ERROR);
            h2_window_open(h2, NULL);
            return;
        }
        stream->length_left -= count;
    }
    if (stream->is_over) {
        h2_stream_drop(h2, stream, count);
        return;
    }
    h2->flow.held += count;
    stream->flow.held += count;
    h2->handler->body(stream->owner, bytes);
}

static void end_data(struct h2 *h2)
{
    const struct h2_input *input = &h2->input;
    struct h2_stream *stream = open_stream_of(h2);
    size_t around = (input->frame.flags & H2_PADDED) != 0 ? 1u + input->pad : 0;
    if (stream == NULL) {
        return;
    }
    if ((input->frame.flags & H2_END_STREAM) != 0) {
        end_stream(h2, stream, NULL, 0);
    } else if (input->frame.length == around) {
        h2_glitch(h2);
    }
}

/* ---- frames */

/* Which frames may come now. */
static uint32_t check_order(const struct h2 *h2, const struct h2_frame *frame)
{
    const struct h2_input *input = &h2->input;
    bool continues = frame->type == H2_CONTINUATION;
    if (continues != input->in_head || (continues && frame->stream != input->start.stream)) {
        return H2_PROTOCOL_ERROR;
    }
    if (!input->has_settings && (frame->type != H2_SETTINGS || (frame->flags & H2_ACK) != 0)) {
        return H2_PROTOCOL_ERROR;
    }
    bool is_long = frame->type == H2_SETTINGS && frame->length > LIM_H2_SETTINGS * H2_SETTING_BYTES;
    return is_long ? H2_ENHANCE_YOUR_CALM : H2_NO_ERROR;
}

static void begin_frame(struct h2 *h2, const uint8_t *payload)
{
    struct h2_input *input = &h2->input;
    const struct h2_frame *frame = &input->frame;
    input->pad = 0;
    bool may_pad = frame->type == H2_DATA || frame->type == H2_HEADERS;
    if (may_pad && (frame->flags & H2_PADDED) != 0) {
        input->pad = payload[0];
        if (input->pad > input->left) { /* RFC 9113 6.1 */
            h2_fail(h2, H2_PROTOCOL_ERROR);
            return;
        }
    }
    switch (frame->type) {
    case H2_DATA:
        begin_data(h2, frame);
        if (!h2->broken && (frame->flags & H2_PADDED) != 0) {
            on_padding(h2, 1);
        }
        break;
    case H2_HEADERS: begin_headers(h2, frame, payload); break;
    case H2_CONTINUATION:
        if (++input->continuations > LIM_H2_CONTINUATIONS) {
            h2_fail(h2, H2_ENHANCE_YOUR_CALM);
        }
        break;
    default: h2_control(h2, frame, payload); break;
    }
}

static bool is_block(const struct h2_frame *frame)
{
    return frame->type == H2_HEADERS || frame->type == H2_CONTINUATION;
}

static void end_frame(struct h2 *h2)
{
    const struct h2_frame *frame = &h2->input.frame;
    if (frame->type == H2_DATA) {
        end_data(h2);
    } else if (is_block(frame) && h2->input.in_head && (frame->flags & H2_END_HEADERS) != 0) {
        on_fragment(h2, SPAN(""), true); /* the frame had none */
    }
}

/* The start of a frame. False: it has not all come. */
static bool read_start(struct h2 *h2, struct span *in)
{
    struct h2_input *input = &h2->input;
    const uint8_t *start = in_one_piece(h2, in, H2_FRAME_HEAD_BYTES);
    if (start == NULL) {
        return false;
    }
    input->frame = h2_frame_read(start);
    uint32_t error = check_order(h2, &input->frame);
    error = error != H2_NO_ERROR ? error : h2_frame_check(&input->frame);
    if (error != H2_NO_ERROR) {
        h2_fail(h2, error);
        return false;
    }
    size_t prelude = h2_frame_prelude(&input->frame);
    start = in_one_piece(h2, in, H2_FRAME_HEAD_BYTES + prelude);
    if (start == NULL) {
        return false;
    }
    take_piece(h2, in, H2_FRAME_HEAD_BYTES + prelude);
    input->left = input->frame.length - (uint32_t)prelude;
    begin_frame(h2, start + H2_FRAME_HEAD_BYTES);
    return true;
}

/* Some of what follows the start. */
static void read_content(struct h2 *h2, struct span *in)
{
    struct h2_input *input = &h2->input;
    const struct h2_frame *frame = &input->frame;
    bool is_content = input->left > input->pad;
    struct span piece = span_take(in, is_content ? input->left - input->pad : input->left);
    input->left -= (uint32_t)piece.len;
    if (frame->type == H2_DATA && is_content) {
        on_data(h2, piece);
    } else if (frame->type == H2_DATA) {
        on_padding(h2, piece.len);
    } else if (is_block(frame) && is_content) {
        bool is_last = input->left == input->pad && (frame->flags & H2_END_HEADERS) != 0;
        on_fragment(h2, piece, is_last);
    }
}

void h2_read(struct h2 *h2, struct span bytes)
{
    struct h2_input *input = &h2->input;
    if (input->preface < preface.len) {
        take_preface(h2, &bytes);
    }
    while (!h2->broken && bytes.len > 0) {
        if (input->left > 0) {
            read_content(h2, &bytes);
        } else if (!read_start(h2, &bytes)) {
            return;
        }
        if (input->left == 0 && !h2->broken) {
            end_frame(h2);
        }
    }
}
