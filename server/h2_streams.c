/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of a connection: found by id, closed when both sides have ended or one has reset. An
 * owner hears `closed` at once when the peer resets, else from within h2_send: what it resets or
 * answers itself waits in a ring until then, so that nothing vanishes under its hands.
 *
 * Ids are spread over a fixed number of chains. They ascend, so chains are of equal length; a
 * client that skips ids to have one long chain makes it as long as the streams it may have at a
 * time.
 */
#include <assert.h>
#include <stdlib.h>

#include "server/h2_int.h"

_Static_assert(offsetof(struct h2_stream, turn) == 0, "a turn is its stream");

/* ---- the table */

/* Ids of clients are odd. */
static unsigned bucket_of(uint32_t id)
{
    return id / 2 % H2_BUCKETS;
}

struct h2_stream *h2_stream_any(const struct h2 *h2, uint32_t id)
{
    struct h2_stream *stream = h2->buckets[bucket_of(id)];
    while (stream != NULL && stream->turn.id != id) {
        stream = stream->chain;
    }
    return stream;
}

struct h2_stream *h2_stream_find(const struct h2 *h2, int32_t id)
{
    struct h2_stream *stream = h2->broken ? NULL : h2_stream_any(h2, (uint32_t)id);
    return stream == NULL || stream->muted || stream->is_over ? NULL : stream;
}

/* One that was closed, or a new one. NULL: out of memory. */
static struct h2_stream *take_spare(struct h2 *h2)
{
    struct h2_stream *stream = h2->spares;
    if (stream == NULL) {
        return malloc(sizeof *stream);
    }
    h2->spares = stream->chain;
    h2->spare_count--;
    return stream;
}

static void keep_spare(struct h2 *h2, struct h2_stream *stream)
{
    if (h2->spare_count == H2_SPARES) {
        free(stream);
        return;
    }
    stream->chain = h2->spares;
    h2->spares = stream;
    h2->spare_count++;
}

void h2_streams_trim(struct h2 *h2)
{
    while (h2->spares != NULL) {
        free(take_spare(h2));
    }
}

struct h2_stream *h2_stream_new(struct h2 *h2, uint32_t id)
{
    struct h2_stream *stream = take_spare(h2);
    if (stream == NULL) {
        return NULL;
    }
    struct h2_stream **bucket = &h2->buckets[bucket_of(id)];
    *stream = (struct h2_stream){
        .turn = {.id = id, .priority = H2_PRIORITY_DEFAULT},
        .chain = *bucket,
        .flow = {.window = h2->stream_flow, .max = h2->stream_max},
        .length_left = H2_LENGTH_UNKNOWN,
        .window = h2->window_initial,
    };
    *bucket = stream;
    h2->count++;
    return stream;
}

static void leave(struct h2 *h2, struct h2_stream *stream)
{
    if (stream->place == H2_SCHEDULED) {
        h2_schedule_remove(&h2->schedule, &stream->turn);
    } else if (stream->place == H2_CLOSING) {
        h2_ring_remove(&h2->closing, &stream->turn);
    }
    stream->place = H2_NOWHERE;
}

static void forget(struct h2 *h2, struct h2_stream *stream)
{
    struct h2_stream **link = &h2->buckets[bucket_of(stream->turn.id)];
    while (*link != stream) {
        link = &(*link)->chain;
    }
    *link = stream->chain;
    leave(h2, stream);
    h2_past_close(&h2->past, stream->turn.id, stream->muted ? H2_DISMISSED : H2_ENDED);
    keep_spare(h2, stream);
    h2->count--;
}

/* ---- their ends */

/* The owner hears `closed`, unless it never took the stream or heard it before. What it did not
 * give back is lost to the stream, not to the connection. */
static void release(struct h2 *h2, struct h2_stream *stream, uint32_t error)
{
    void *owner = stream->owner;
    h2->flow.held -= stream->flow.held;
    stream->flow.held = 0;
    stream->sends = false;
    stream->is_over = true;
    stream->owner = NULL;
    if (owner != NULL) {
        h2->owned--;
        h2->handler->closed(owner, error);
    }
}

void h2_stream_close(struct h2 *h2, struct h2_stream *stream, uint32_t error)
{
    bool held = stream->flow.held > 0;
    release(h2, stream, error);
    forget(h2, stream);
    if (held) {
        h2_window_open(h2, NULL);
    }
}

static void close_soon(struct h2 *h2, struct h2_stream *stream)
{
    if (stream->place != H2_CLOSING) {
        leave(h2, stream);
        h2_ring_add(&h2->closing, &stream->turn);
        stream->place = H2_CLOSING;
    }
}

void h2_stream_mute(struct h2 *h2, struct h2_stream *stream, uint32_t error)
{
    if (stream->muted) {
        return;
    }
    stream->muted = true;
    stream->error = error;
    close_soon(h2, stream);
    h2_queue_reset(h2, stream->turn.id, error);
}

static bool may_blame(struct h2 *h2)
{
    bool may = h2_guard_reset(&h2->guard, &h2->guard.resets_caused);
    if (!may) {
        h2_fail(h2, H2_ENHANCE_YOUR_CALM);
    }
    return may;
}

void h2_stream_blame(struct h2 *h2, struct h2_stream *stream, uint32_t error)
{
    if (may_blame(h2)) {
        h2_stream_mute(h2, stream, error);
    }
}

void h2_stream_refuse(struct h2 *h2, uint32_t id, uint32_t error)
{
    if (may_blame(h2)) {
        h2_queue_reset(h2, id, error);
    }
}

/* A complete answer to a request that is still coming in: its owner is done with it. */
void h2_stream_answered(struct h2 *h2, struct h2_stream *stream)
{
    if (stream->muted || stream->has_ended) {
        h2_stream_close(h2, stream, stream->muted ? stream->error : H2_NO_ERROR);
        return;
    }
    uint32_t held = stream->flow.held;
    leave(h2, stream);
    release(h2, stream, H2_NO_ERROR);
    h2_stream_drop(h2, stream, held);
}

void h2_stream_answered_soon(struct h2 *h2, struct h2_stream *stream)
{
    stream->sends = false;
    close_soon(h2, stream);
}

void h2_streams_close(struct h2 *h2)
{
    while (h2->closing != NULL) {
        h2_stream_answered(h2, (struct h2_stream *)h2->closing);
    }
}

/* ---- turns */

void h2_stream_schedule(struct h2 *h2, struct h2_stream *stream)
{
    bool can_send = stream->sends && !stream->rests && stream->window > 0;
    if (can_send && stream->place == H2_NOWHERE) {
        h2_schedule_add(&h2->schedule, &stream->turn);
        stream->place = H2_SCHEDULED;
    } else if (!can_send && stream->place == H2_SCHEDULED) {
        leave(h2, stream);
    }
}

void h2_stream_prioritise(struct h2 *h2, struct h2_stream *stream, uint8_t priority)
{
    bool was_scheduled = stream->place == H2_SCHEDULED;
    if (was_scheduled) {
        leave(h2, stream);
    }
    stream->turn.priority = priority;
    if (was_scheduled) {
        h2_stream_schedule(h2, stream);
    }
}

/* ---- windows for what comes */

static void open_window(struct h2 *h2, uint32_t id, struct h2_flow *flow, bool at_once)
{
    uint32_t grant = h2_flow_grant(flow, at_once);
    if (grant > 0) {
        flow->window += (int32_t)grant;
        h2_queue_window(h2, id, grant);
    }
}

void h2_window_open(struct h2 *h2, struct h2_stream *stream)
{
    open_window(h2, 0, &h2->flow, false);
    if (stream != NULL && !stream->muted && !stream->has_ended) {
        open_window(h2, stream->turn.id, &stream->flow, false);
    }
}

/* Body bytes for nobody. RFC 9113 8.1 would allow to reset the stream as soon as it is answered,
 * but there are clients that then overlook the answer, so some of the body is awaited. */
void h2_stream_drop(struct h2 *h2, struct h2_stream *stream, uint32_t bytes)
{
    stream->dropped += bytes; /* the limit and a window at most */
    if (stream->dropped > LIM_BODY_DRAIN_BYTES) {
        h2_stream_mute(h2, stream, H2_NO_ERROR);
    }
    h2_window_open(h2, stream);
}

void h2_widen(struct h2 *h2, int32_t id, uint32_t window)
{
    assert(window <= INT32_MAX);
    struct h2_stream *stream = h2_stream_find(h2, id);
    if (stream != NULL && !stream->has_ended) {
        stream->flow.max = window;
        open_window(h2, stream->turn.id, &stream->flow, true);
    }
}

void h2_consumed(struct h2 *h2, int32_t id, size_t bytes)
{
    struct h2_stream *stream = h2_stream_find(h2, id);
    if (stream == NULL) {
        return; /* the connection has its bytes back when the stream closes */
    }
    assert(bytes <= stream->flow.held);
    stream->flow.held -= (uint32_t)bytes;
    h2->flow.held -= (uint32_t)bytes;
    h2_window_open(h2, stream);
}
