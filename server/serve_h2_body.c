/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of answers by HTTP/2: where their bytes come from when the protocol has room for them.
 *
 * Bytes of a file are read into the stream's chunk, no more than the client's windows admit, so
 * that a stream it blocks holds little. What an upstream sends is framed at once, from where it was
 * received, as far as the client has room; the rest waits in the chunk. A stream may end by that
 * while its relay is still at work: it is closed with the next step of its connection.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "server/h2.h"
#include "server/log.h"
#include "server/page.h"
#include "server/proxy.h"
#include "server/serve_int.h"
#include "server/tls.h"

enum {
    AWAITED_TURNS = 16, /* of the loop, until what waits in the kernel must be here */
    ROOM_BYTES_MIN = 2 * LIM_H2_FRAME_BYTES, /* less is not worth a receive */
};

/* ---- how much a connection holds ---- */

/* Clients can let a hundred streams begin and then none of them proceed. */
bool serve_h2_hold(struct stream *stream, size_t bytes)
{
    struct conn *conn = stream->conn;
    if (conn->held_bytes > 0 && conn->held_bytes + bytes > LIM_H2_HELD_BYTES) {
        stream->parked = true;
        conn->parked = true;
        return false;
    }
    stream->held_bytes += bytes;
    conn->held_bytes += bytes;
    return true;
}

static void unpark(void *context)
{
    struct stream *stream = context;
    if (stream->parked) {
        stream->parked = false;
        h2_resume(stream->conn->h2, stream->id);
    }
}

void serve_h2_release_held(struct stream *stream)
{
    stream->conn->held_bytes -= stream->held_bytes;
    stream->held_bytes = 0;
}

bool serve_h2_unpark(struct conn *conn)
{
    bool any = conn->parked && conn->held_bytes < LIM_H2_HELD_BYTES / 2;
    if (any) {
        conn->parked = false;
        h2_each(conn->h2, unpark);
    }
    return any;
}

size_t serve_h2_window(const struct stream *stream)
{
    return h2_window(stream->conn->h2, stream->id);
}

/* ---- bodies ---- */

/* Reads what the client's windows admit of the file. */
static void start_read(struct worker *worker, struct stream *stream)
{
    struct conn *conn = stream->conn;
    size_t window = h2_window(conn->h2, stream->id);
    size_t most = worker->options->chunk_bytes;
    size_t bytes = stream_read_bytes(stream, window < most && window > 0 ? window : most);
    if (!serve_h2_hold(stream, bytes)) {
        return;
    }
    if (!buffer_reserve(&stream->chunk, bytes, bytes)) {
        conn->broken = true;
        return;
    }
    stream->reading = true;
    conn->inflight++;
    ring_read(worker->ring, site_fd(stream->epoch->snapshot->site), stream->chunk.base, bytes,
              stream->source.file_offset,
              (struct ring_tag){.op = RING_STREAM_READ, .slot = stream->slot});
}

bool serve_h2_has_trailers(const struct stream *stream)
{
    return stream->exchange.response_trailers.count > 0 && stream->source.streamed &&
           stream->page == NULL;
}

/* What is in memory of the body and comes next. */
static struct span at_hand(const struct stream *stream)
{
    if (stream->passing.len > 0) {
        return stream->passing;
    }
    return stream->source.bytes.len > 0 ? stream->source.bytes : buffer_span(&stream->chunk);
}

static bool is_last(const struct stream *stream, uint64_t bytes)
{
    const struct source *source = &stream->source;
    if (source->streamed) {
        return !source->live && bytes == at_hand(stream).len;
    }
    return bytes == source->bytes.len + source->file_left && source->segments_left == 0;
}

size_t serve_h2_ready(void *context, size_t max, bool *end)
{
    struct stream *stream = context;
    if (stream->page != NULL && buffer_bytes(&stream->chunk) == 0 && !page_pull(stream)) {
        stream->conn->broken = true;
    }
    size_t ready = at_hand(stream).len;
    if (ready == 0 && stream->source.file_left > 0 && !stream->reading) {
        start_read(stream->conn->worker, stream);
    }
    ready = ready < max ? ready : max;
    *end = is_last(stream, ready);
    if (*end && serve_h2_has_trailers(stream) &&
        !h2_trailers(stream->conn->h2, stream->id, &stream->exchange.response_trailers)) {
        stream->conn->broken = true;
    }
    return ready;
}

/* Much of a body is sealed where it lies, which saves a copy. */
static bool put_data(struct conn *conn, struct span head, struct buffer *out, struct span body)
{
    assert(out == &conn->out);
    if (conn->tls != NULL && body.len >= LIM_DIRECT_BYTES) {
        return tls_reserve(conn->tls, LIM_H2_OUT_BYTES) &&
               buffer_append(out, head, SIZE_MAX / 2) && serve_seal(conn->worker, conn, body);
    }
    return buffer_reserve(out, head.len + body.len, SIZE_MAX / 2) &&
           buffer_append(out, head, SIZE_MAX / 2) && buffer_append(out, body, SIZE_MAX / 2);
}

/* Drops from the stream what was framed. */
static void advance(struct stream *stream, size_t bytes)
{
    if (stream->passing.len > 0) {
        (void)span_take(&stream->passing, bytes);
        return;
    }
    if (stream->source.bytes.len == 0) {
        buffer_consume(&stream->chunk, bytes);
        if (buffer_bytes(&stream->chunk) == 0) {
            buffer_trim(&stream->chunk, LIM_BUFFER_SMALL_BYTES);
            serve_h2_release_held(stream);
        }
    }
    if (!stream->source.streamed) {
        source_advance(&stream->source, bytes);
    }
}

bool serve_h2_take(void *context, struct span head, struct buffer *out, size_t bytes)
{
    struct stream *stream = context;
    struct conn *conn = stream->conn;
    if (!put_data(conn, head, out, (struct span){at_hand(stream).base, bytes})) {
        return false;
    }
    advance(stream, bytes);
    stream->body_sent += bytes;
    stream->moved_ms = conn->worker->conns.now_ms;
    conn->framed_ms = stream->moved_ms;
    if (stream->source.streamed && conn->passing != stream) {
        serve_taken(stream);
    }
    return true;
}

/* Whether nothing of the body waits that would have to go first. */
static bool may_pass(const struct stream *stream)
{
    return stream->answered && !stream->held && stream->source.streamed && stream->page == NULL &&
           buffer_bytes(&stream->chunk) == 0;
}

size_t serve_h2_pass(struct worker *worker, struct stream *stream, struct span bytes)
{
    struct conn *conn = stream->conn;
    bool untouched = conn->tls != NULL || !conn->sending; /* `out` is not the kernel's */
    if (!may_pass(stream) || !untouched || bytes.len < LIM_DIRECT_BYTES || h2_is_busy(conn->h2)) {
        return 0;
    }
    stream->passing = bytes;
    conn->passing = stream;
    h2_resume(conn->h2, stream->id);
    conn->refused = !serve_h2_frame(conn) || conn->refused;
    conn->passing = NULL;
    size_t taken = bytes.len - stream->passing.len;
    stream->passing = SPAN("");
    worker->turn_bytes += taken;
    worker_touch(worker, conn);
    return taken;
}

/* Framed, or about to be, and not being sent. What should have come long ago does not count. */
static size_t pending(const struct worker *worker, const struct conn *conn)
{
    bool soon = worker->turns - conn->awaited_turn <= AWAITED_TURNS;
    const struct buffer *made = conn->tls != NULL ? tls_output(conn->tls) : &conn->out;
    return (soon ? conn->awaited_bytes : 0) + buffer_bytes(made);
}

static bool has_room(const struct worker *worker, const struct conn *conn)
{
    return pending(worker, conn) + ROOM_BYTES_MIN <= LIM_H2_OUT_BYTES;
}

static void await(const struct worker *worker, struct stream *stream, size_t bytes)
{
    stream->awaited_bytes = (uint32_t)bytes;
    stream->conn->awaited_bytes += (uint32_t)bytes;
    stream->conn->awaited_turn = worker->turns;
}

void serve_h2_release_awaited(struct stream *stream)
{
    stream->conn->awaited_bytes -= stream->awaited_bytes;
    stream->awaited_bytes = 0;
}

/* So many of those that wait, if not all then whole frames. */
static size_t share(const struct worker *worker, const struct conn *conn, size_t window,
                    size_t waiting)
{
    const size_t frame = LIM_H2_FRAME_BYTES - H2_FRAME_HEAD_BYTES;
    size_t room = LIM_H2_OUT_BYTES - pending(worker, conn);
    size_t bytes = window < room ? window : room;
    if (waiting <= bytes && waiting < LIM_LINK_BUFFER_BYTES) {
        return waiting;
    }
    bytes = bytes < waiting ? bytes : waiting;
    return bytes > frame ? bytes - bytes % frame : bytes;
}

size_t serve_h2_room(struct worker *worker, struct stream *stream, size_t waiting)
{
    struct conn *conn = stream->conn;
    size_t window = serve_h2_window(stream);
    serve_h2_release_awaited(stream);
    if (buffer_bytes(&stream->chunk) > 0 || stream->closed) {
        return 0;
    }
    if (window < LIM_RECV_BUFFER_BYTES) { /* so that there is something to send when it opens */
        return serve_is_shut(stream) ? LIM_LINK_SHUT_BYTES : LIM_LINK_FIRST_BYTES;
    }
    if (waiting == 0) {
        return LIM_RECV_BUFFER_BYTES;
    }
    if (has_room(worker, conn)) {
        await(worker, stream, share(worker, conn, window, waiting));
    } else if (!stream->roomless) {
        stream->roomless = true;
        stream_chain(&conn->roomless, stream);
    }
    return stream->awaited_bytes;
}

void serve_h2_refill(struct worker *worker, struct conn *conn)
{
    while (conn->roomless != NULL && has_room(worker, conn)) {
        struct stream *stream = conn->roomless;
        conn->roomless = stream->sibling;
        stream->roomless = false;
        proxy_resume(stream);
    }
}

void serve_h2_read_done(struct stream *stream, int result)
{
    struct conn *conn = stream->conn;
    if (result > 0) {
        stream_was_read(stream, (struct span){stream->chunk.base, (size_t)result});
        stream->chunk.end += (size_t)result;
    } else if (result != -EINTR && result != -EAGAIN) {
        log_line("request %llu: %s", (unsigned long long)stream->exchange.id,
                 result == 0 ? "the site's tar is shorter than it was" : strerror(-result));
        h2_reset(conn->h2, stream->id, H2_INTERNAL_ERROR);
        return;
    }
    h2_resume(conn->h2, stream->id);
}
