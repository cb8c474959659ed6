/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP/2 connection: its life and what the owner calls about it as a whole.
 *
 * It ends in one of two ways: by agreement, when there are no streams after a GOAWAY of either
 * side; or by an error, when it is `broken`: what was queued is dropped, and a GOAWAY is all that
 * is still said.
 */
#include "server/h2.h"

#include <assert.h>
#include <stdlib.h>

#include "server/h2_int.h"

void h2_fail(struct h2 *h2, uint32_t error)
{
    h2->error = h2->error != H2_NO_ERROR ? h2->error : error;
    h2->broken = true;
}

void h2_glitch(struct h2 *h2)
{
    if (!h2_guard_glitch(&h2->guard)) {
        h2_fail(h2, H2_ENHANCE_YOUR_CALM);
    }
}

/* ---- beginning and end */

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value != 0 ? value : fallback;
}

/* Neither end says how large its table is to be. */
_Static_assert(LIM_H2_TABLE_BYTES == 4096, "what RFC 9113 6.5.2 has without SETTINGS");

static void introduce(struct h2 *h2, uint32_t connection_window)
{
    const struct h2_setting settings[] = {
        {H2_MAX_CONCURRENT_STREAMS, h2->streams_max},
        {H2_INITIAL_WINDOW_SIZE, h2->stream_max},
        {H2_MAX_HEADER_LIST_SIZE, LIM_HEAD_FIELDS_BYTES},
        {H2_NO_RFC7540_PRIORITIES, 1},
        {H2_ENABLE_CONNECT_PROTOCOL, 1},
    };
    unsigned count = sizeof settings / sizeof settings[0];
    h2_queue_settings(h2, settings, h2->connect_protocol ? count : count - 1);
    h2->flow = (struct h2_flow){.window = H2_WINDOW_DEFAULT, .max = connection_window};
    uint32_t grant = h2_flow_grant(&h2->flow, true);
    if (grant > 0) {
        h2->flow.window += (int32_t)grant;
        h2_queue_window(h2, 0, grant);
    }
}

struct h2 *h2_open(const struct h2_options *options, const struct h2_handler *handler, void *owner)
{
    struct h2 *h2 = malloc(sizeof *h2);
    if (h2 == NULL) {
        return NULL;
    }
    assert(options->stream_window <= INT32_MAX && options->connection_window <= INT32_MAX);
    *h2 = (struct h2){
        .handler = handler,
        .owner = owner,
        .streams_max = or_default(options->max_streams, LIM_H2_STREAMS),
        .stream_max = or_default(options->stream_window, LIM_H2_STREAM_WINDOW),
        .stream_flow = H2_WINDOW_DEFAULT,
        .window = H2_WINDOW_DEFAULT,
        .window_initial = H2_WINDOW_DEFAULT,
        .old_priorities = -1,
        .connect_protocol = options->connect_protocol,
    };
    h2_guard_init(&h2->guard, or_default(options->total_streams, LIM_H2_STREAMS_TOTAL));
    hpack_decoder_init(&h2->decoder, LIM_H2_TABLE_BYTES);
    hpack_encoder_init(&h2->encoder);
    introduce(h2, or_default(options->connection_window, LIM_H2_CONNECTION_WINDOW));
    if (h2->broken) {
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
    for (unsigned i = 0; i < H2_BUCKETS; i++) {
        while (h2->buckets[i] != NULL) {
            h2_stream_close(h2, h2->buckets[i], H2_CANCEL);
        }
    }
    h2_streams_trim(h2);
    free(h2->input.block);
    free(h2->early.hints);
    buffer_release(&h2->input.part);
    buffer_release(&h2->queue.bytes);
    hpack_decoder_release(&h2->decoder);
    hpack_encoder_release(&h2->encoder);
    free(h2);
}

/* ---- bytes in, bytes out */

bool h2_receive(struct h2 *h2, struct span bytes, uint64_t now_ms)
{
    if (bytes.len == 0 || h2->broken || h2_finished(h2)) { /* who has ended begins nothing */
        return !h2->broken;
    }
    if (!h2_guard_read(&h2->guard, bytes.len, now_ms)) {
        h2_fail(h2, H2_ENHANCE_YOUR_CALM);
        return false;
    }
    assert(!h2_is_busy(h2));
    h2->receiving = true;
    h2_read(h2, bytes);
    h2->receiving = false;
    if (h2_queue_is_long(&h2->queue)) {
        h2_fail(h2, H2_ENHANCE_YOUR_CALM);
    } else if (h2_guard_wants_drain(&h2->guard)) {
        bool ignored = h2->guard.streams - h2->streams_notified > h2->streams_max;
        h2_drain(h2, h2->notified && ignored);
    }
    return !h2->broken;
}

static void say_goodbye(struct h2 *h2)
{
    h2->queue.frames = h2->queue.acks = 0;
    buffer_release(&h2->queue.bytes);
    if (!h2->has_sent) { /* RFC 9113 3.4: the first frame is SETTINGS, here without entries. */
        h2_queue_settings(h2, NULL, 0);
    }
    h2_queue_goaway(h2, h2->id_processed, h2->error);
    h2->out_max = SIZE_MAX / 4;
    (void)h2_queue_flush(h2); /* else without a word */
    h2->said_goodbye = true;
}

static bool send_all(struct h2 *h2)
{
    for (;;) {
        h2_streams_close(h2);
        if (h2->broken || !h2_queue_flush(h2) || h2->out_bytes >= h2->out_max || h2->window <= 0) {
            return !h2->broken;
        }
        struct h2_turn *turn = h2_schedule_next(&h2->schedule);
        if (turn == NULL) {
            return true;
        }
        if (!h2_write_data(h2, (struct h2_stream *)turn)) {
            return false;
        }
    }
}

bool h2_send(struct h2 *h2, struct buffer *out, size_t out_max)
{
    assert(!h2_is_busy(h2));
    h2->out = out;
    h2->out_bytes = buffer_bytes(out);
    h2->out_max = out_max;
    if (!h2->broken && !send_all(h2)) {
        h2_fail(h2, H2_INTERNAL_ERROR);
    }
    if (h2->broken && !h2->said_goodbye) {
        say_goodbye(h2);
    }
    h2->out = NULL;
    return !h2->broken;
}

bool h2_is_busy(const struct h2 *h2)
{
    return h2->out != NULL || h2->receiving;
}

void h2_drain(struct h2 *h2, bool final)
{
    if (h2->broken || h2->draining || (!final && h2->notified)) {
        return;
    }
    if (!final) {
        h2->streams_notified = h2->guard.streams;
    }
    h2->notified = true;
    h2->draining = final;
    h2_queue_goaway(h2, final ? h2->id_processed : INT32_MAX, H2_NO_ERROR);
}

/* ---- streams */

void h2_reset(struct h2 *h2, int32_t id, uint32_t error)
{
    struct h2_stream *stream = h2_stream_find(h2, id);
    if (stream != NULL) {
        h2_stream_mute(h2, stream, error);
    }
}

size_t h2_stream_window(const struct h2 *h2, int32_t id)
{
    const struct h2_stream *stream = h2_stream_any(h2, (uint32_t)id);
    return stream != NULL && stream->window > 0 ? (size_t)stream->window : 0;
}

size_t h2_window(const struct h2 *h2, int32_t id)
{
    size_t connection = h2->window > 0 ? (size_t)h2->window : 0;
    size_t stream = h2_stream_window(h2, id);
    return stream < connection ? stream : connection;
}

void h2_each(struct h2 *h2, void (*visit)(void *stream))
{
    for (unsigned i = 0; i < H2_BUCKETS; i++) {
        struct h2_stream *next;
        for (struct h2_stream *stream = h2->buckets[i]; stream != NULL; stream = next) {
            next = stream->chain;
            if (stream->owner != NULL && !stream->muted) {
                visit(stream->owner);
            }
        }
    }
}

/* ---- the connection */

bool h2_is_ending(const struct h2 *h2)
{
    return h2->notified;
}

bool h2_in_head(const struct h2 *h2)
{
    return h2->input.in_head;
}

unsigned h2_streams(const struct h2 *h2)
{
    return h2->owned;
}

void h2_rest(struct h2 *h2)
{
    h2_streams_trim(h2);
    if (buffer_bytes(&h2->queue.bytes) == 0) {
        buffer_release(&h2->queue.bytes);
    }
    if (buffer_bytes(&h2->input.part) == 0) {
        buffer_release(&h2->input.part);
    }
}

bool h2_finished(const struct h2 *h2)
{
    if (h2->broken) {
        return h2->said_goodbye;
    }
    bool going = h2->draining || h2->peer_goes;
    return going && h2->count == 0 && buffer_bytes(&h2->queue.bytes) == 0;
}
