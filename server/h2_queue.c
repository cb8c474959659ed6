/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that wait to be sent, all but DATA, in the order in which they were made: so header blocks
 * leave in the order in which HPACK coded them. What a peer that does not read can pile up is
 * bounded: by frames, by octets, and more tightly by acknowledgements, which cost it least. */
#include "server/h2_int.h"

enum { QUEUE_BYTES_MAX = 2 * LIM_H2_QUEUED_BYTES };

uint8_t *h2_queue_reserve(struct h2 *h2, size_t bytes)
{
    struct buffer *buffer = &h2->queue.bytes;
    if (!buffer_reserve(buffer, bytes, QUEUE_BYTES_MAX)) {
        h2_fail(h2, H2_INTERNAL_ERROR);
        return NULL;
    }
    return (uint8_t *)buffer->base + buffer->end;
}

void h2_queue_put(struct h2 *h2, size_t bytes, unsigned frames)
{
    h2->queue.bytes.end += bytes;
    h2->queue.frames += frames;
}

/* Room for a frame, with its head in it. Returns the place of the payload, or NULL. */
static uint8_t *start(struct h2 *h2, struct h2_frame frame)
{
    uint8_t *at = h2_queue_reserve(h2, H2_FRAME_HEAD_BYTES + frame.length);
    if (at == NULL) {
        return NULL;
    }
    h2_queue_put(h2, H2_FRAME_HEAD_BYTES + frame.length, 1);
    return h2_frame_write(at, &frame);
}

void h2_queue_reset(struct h2 *h2, uint32_t id, uint32_t error)
{
    struct h2_frame frame = {.type = H2_RST_STREAM, .length = H2_NUMBER_BYTES, .stream = id};
    uint8_t *at = start(h2, frame);
    if (at != NULL) {
        h2_number_write(at, error);
    }
}

void h2_queue_window(struct h2 *h2, uint32_t id, uint32_t increment)
{
    struct h2_frame frame = {.type = H2_WINDOW_UPDATE, .length = H2_NUMBER_BYTES, .stream = id};
    uint8_t *at = start(h2, frame);
    if (at != NULL) {
        h2_number_write(at, increment);
    }
}

void h2_queue_goaway(struct h2 *h2, uint32_t last, uint32_t error)
{
    uint8_t *at = start(h2, (struct h2_frame){.type = H2_GOAWAY, .length = H2_GOAWAY_BYTES});
    if (at != NULL) {
        h2_number_write(h2_number_write(at, last), error);
    }
}

void h2_queue_settings(struct h2 *h2, const struct h2_setting *settings, unsigned count)
{
    uint8_t *at =
        start(h2, (struct h2_frame){.type = H2_SETTINGS, .length = count * H2_SETTING_BYTES});
    for (unsigned i = 0; i < count && at != NULL; i++) {
        at = h2_setting_write(at, settings[i]);
    }
}

void h2_queue_ack(struct h2 *h2, enum h2_frame_type type, struct span payload)
{
    if (h2->queue.acks == LIM_H2_ACKS) {
        h2_fail(h2, H2_ENHANCE_YOUR_CALM);
        return;
    }
    struct h2_frame frame = {
        .type = (uint8_t)type, .flags = H2_ACK, .length = (uint32_t)payload.len};
    uint8_t *at = start(h2, frame);
    if (at != NULL) {
        (void)span_put((char *)at, payload);
        h2->queue.acks++;
    }
}

static bool move(struct h2 *h2, size_t bytes)
{
    struct buffer *queued = &h2->queue.bytes;
    struct span piece = {queued->base + queued->start, bytes};
    if (!buffer_append(h2->out, piece, h2_out_limit(h2))) {
        h2_fail(h2, H2_INTERNAL_ERROR);
        return false;
    }
    buffer_consume(queued, bytes);
    buffer_trim(queued, LIM_BUFFER_KEPT_BYTES);
    h2->out_bytes += bytes;
    h2->has_sent = true;
    return true;
}

static bool move_first(struct h2 *h2)
{
    const struct buffer *queued = &h2->queue.bytes;
    struct h2_frame frame = h2_frame_read((const uint8_t *)queued->base + queued->start);
    bool is_ack = (frame.type == H2_SETTINGS || frame.type == H2_PING) && frame.flags == H2_ACK;
    h2->queue.frames--;
    h2->queue.acks -= is_ack;
    return move(h2, H2_FRAME_HEAD_BYTES + frame.length);
}

bool h2_queue_flush(struct h2 *h2)
{
    size_t bytes = buffer_bytes(&h2->queue.bytes);
    if (bytes > 0 && h2->out_bytes < h2->out_max && bytes <= h2->out_max - h2->out_bytes) {
        h2->queue.frames = 0;
        h2->queue.acks = 0;
        return move(h2, bytes);
    }
    while (buffer_bytes(&h2->queue.bytes) > 0) {
        if (h2->out_bytes >= h2->out_max || !move_first(h2)) {
            return false;
        }
    }
    return true;
}

bool h2_queue_is_long(const struct h2_queue *queue)
{
    return queue->frames > LIM_H2_QUEUED_FRAMES ||
           buffer_bytes(&queue->bytes) > LIM_H2_QUEUED_BYTES;
}
