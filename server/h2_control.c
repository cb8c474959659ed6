/* SPDX-License-Identifier: Apache-2.0 */
/* What control frames do: SETTINGS, WINDOW_UPDATE, RST_STREAM, PING, GOAWAY, PRIORITY_UPDATE, and
 * PRIORITY, which does nothing. Their heads were checked before. Frames about streams that are no
 * more are ignored, as they may have crossed our last ones. */
#include <stdlib.h>

#include "server/h2_int.h"

/* ---- windows for what is sent */

/* False: it would be too large. */
static bool widen(int32_t *window, int64_t more)
{
    int64_t sum = *window + more;
    if (sum > INT32_MAX || sum < INT32_MIN) {
        return false;
    }
    *window = (int32_t)sum;
    return true;
}

static void on_window_update(struct h2 *h2, uint32_t id, uint32_t increment)
{
    struct h2_stream *stream = id != 0 ? h2_stream_any(h2, id) : NULL;
    if (increment == 0 || (id != 0 && h2_is_idle(h2, id))) {
        h2_fail(h2, H2_PROTOCOL_ERROR);
    } else if (id == 0 && !widen(&h2->window, increment)) {
        h2_fail(h2, H2_FLOW_CONTROL_ERROR);
    } else if (stream != NULL && !widen(&stream->window, increment)) {
        h2_fail(h2, H2_FLOW_CONTROL_ERROR); /* who miscounts one is not to be trusted with others */
    } else if (stream != NULL) {
        h2_stream_schedule(h2, stream);
    }
}

/* RFC 9113 6.9.2: those of all streams move along. */
static void set_initial_window(struct h2 *h2, uint32_t value)
{
    int64_t more = (int64_t)value - h2->window_initial;
    h2->window_initial = (int32_t)value;
    for (unsigned i = 0; i < H2_BUCKETS; i++) {
        for (struct h2_stream *stream = h2->buckets[i]; stream != NULL; stream = stream->chain) {
            if (!widen(&stream->window, more)) {
                h2_fail(h2, H2_FLOW_CONTROL_ERROR);
                return;
            }
            h2_stream_schedule(h2, stream);
        }
    }
}

/* ---- settings */

/* Ours are in force from now on: what streams may receive moves along. */
static void on_settings_ack(struct h2 *h2)
{
    if (h2->acknowledged) {
        h2_fail(h2, H2_PROTOCOL_ERROR);
        return;
    }
    int32_t more = (int32_t)h2->stream_max - h2->stream_flow;
    h2->acknowledged = true;
    h2->stream_flow += more;
    for (unsigned i = 0; i < H2_BUCKETS; i++) {
        for (struct h2_stream *stream = h2->buckets[i]; stream != NULL; stream = stream->chain) {
            stream->flow.window += more;
        }
    }
}

static void on_setting(struct h2 *h2, struct h2_setting setting)
{
    uint32_t error = h2_setting_check(setting);
    if (error != H2_NO_ERROR) {
        h2_fail(h2, error);
        return;
    }
    switch (setting.id) {
    case H2_HEADER_TABLE_SIZE: hpack_encoder_resize(&h2->encoder, setting.value); break;
    case H2_INITIAL_WINDOW_SIZE: set_initial_window(h2, setting.value); break;
    case H2_NO_RFC7540_PRIORITIES: /* RFC 9218 2.1: not to be changed */
        if (h2->old_priorities >= 0 && (uint32_t)h2->old_priorities != setting.value) {
            h2_fail(h2, H2_PROTOCOL_ERROR);
        }
        h2->old_priorities = (int8_t)setting.value;
        break;
    default: break;
    }
}

static void on_settings(struct h2 *h2, const struct h2_frame *frame, const uint8_t *payload)
{
    h2->input.has_settings = true;
    if ((frame->flags & H2_ACK) != 0) {
        on_settings_ack(h2);
        return;
    }
    for (uint32_t at = 0; at < frame->length && !h2->broken; at += H2_SETTING_BYTES) {
        on_setting(h2, h2_setting_read(payload + at));
    }
    if (h2->old_priorities < 0) {
        h2->old_priorities = 0;
    }
    if (!h2->broken) {
        h2_queue_ack(h2, H2_SETTINGS, SPAN(""));
    }
}

/* ---- priorities */

uint8_t h2_early_take(struct h2 *h2, uint8_t priority)
{
    struct h2_early *early = &h2->early;
    unsigned kept = 0;
    for (unsigned i = 0; i < early->count; i++) {
        if (early->hints[i].id == h2->past.id_last) {
            priority = early->hints[i].priority;
        } else if (early->hints[i].id > h2->past.id_last) {
            early->hints[kept++] = early->hints[i];
        }
    }
    early->count = kept;
    if (kept == 0 && early->hints != NULL) {
        free(early->hints);
        *early = (struct h2_early){0};
    }
    return priority;
}

static bool reserve_hint(struct h2_early *early)
{
    enum { FIRST = 8 };
    if (early->count < early->capacity) {
        return true;
    }
    unsigned capacity = early->capacity > 0 ? early->capacity * 2 : FIRST;
    struct h2_hint *hints = realloc(early->hints, capacity * sizeof *hints);
    if (hints == NULL) {
        return false;
    }
    early->hints = hints;
    early->capacity = capacity;
    return true;
}

/* It may come before its stream, but not for more streams than there may be (RFC 9218 7.1). */
static void note_early(struct h2 *h2, uint32_t id, uint8_t priority)
{
    struct h2_early *early = &h2->early;
    (void)h2_early_take(h2, priority); /* drops those of streams that were skipped */
    for (unsigned i = 0; i < early->count; i++) {
        if (early->hints[i].id == id) {
            early->hints[i].priority = priority;
            return;
        }
    }
    if (early->count + h2->count >= h2->streams_max) {
        h2_fail(h2, H2_PROTOCOL_ERROR);
    } else if (!reserve_hint(early)) {
        h2_fail(h2, H2_INTERNAL_ERROR);
    } else {
        early->hints[early->count++] = (struct h2_hint){id, priority};
    }
}

static void on_priority_update(struct h2 *h2, const struct h2_frame *frame, const uint8_t *payload)
{
    uint32_t id = h2_number31_read(payload);
    if (id % 2 == 0) { /* stream 0, or one that we would have pushed */
        h2_fail(h2, H2_PROTOCOL_ERROR);
        return;
    }
    if (frame->length > H2_PRIORITY_UPDATE_BYTES_MAX) {
        h2_glitch(h2);
        return;
    }
    struct span text = {(const char *)payload + H2_NUMBER_BYTES, frame->length - H2_NUMBER_BYTES};
    uint8_t priority = h2_priority_parse(text);
    struct h2_stream *stream = h2_stream_any(h2, id);
    if (stream != NULL) {
        h2_stream_prioritise(h2, stream, priority);
    } else if (id > h2->past.id_last) {
        note_early(h2, id, priority);
    }
}

/* ---- the others */

static void on_reset(struct h2 *h2, uint32_t id, uint32_t error)
{
    if (h2_is_idle(h2, id)) {
        h2_fail(h2, H2_PROTOCOL_ERROR);
        return;
    }
    struct h2_stream *stream = h2_stream_any(h2, id);
    if (stream != NULL) {
        h2_stream_close(h2, stream, error);
        h2_past_close(&h2->past, id, H2_LEFT);
    }
    if (!h2_guard_reset(&h2->guard, &h2->guard.resets_received)) {
        h2_fail(h2, H2_ENHANCE_YOUR_CALM);
    }
}

void h2_control(struct h2 *h2, const struct h2_frame *frame, const uint8_t *payload)
{
    uint32_t id = frame->stream;
    switch (frame->type) {
    case H2_SETTINGS: on_settings(h2, frame, payload); break;
    case H2_WINDOW_UPDATE: on_window_update(h2, id, h2_number31_read(payload)); break;
    case H2_RST_STREAM: on_reset(h2, id, h2_number_read(payload)); break;
    case H2_PING:
        if ((frame->flags & H2_ACK) == 0) {
            h2_queue_ack(h2, H2_PING, (struct span){(const char *)payload, H2_PING_BYTES});
        }
        break;
    case H2_GOAWAY: h2->peer_goes = true; break;
    case H2_PRIORITY:
        if (h2_number31_read(payload) == id) { /* RFC 7540 5.3.1 */
            h2_fail(h2, H2_PROTOCOL_ERROR);
        }
        break;
    case H2_PRIORITY_UPDATE: on_priority_update(h2, frame, payload); break;
    default: break; /* RFC 9113 5.5: unknown ones */
    }
}
