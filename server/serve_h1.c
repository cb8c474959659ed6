/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a connection of HTTP/1 in action.
 *
 * Answers are made in order and collected in `out`; a file's bytes are read behind the head of its
 * answer, one chunk at a time, and the next chunk only after the last one was sent. `out` is not
 * touched while its start is being sent. Small answers to pipelined requests go out together. A
 * request ends when its last byte is in `out`.
 */
#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#include "server/forward.h"
#include "server/h2.h"
#include "server/log.h"
#include "server/proxy.h"
#include "server/request.h"
#include "server/serve_int.h"
#include "server/tls.h"
#include "server/trailers.h"

/* `out` holds at most a chunk before an answer is made, whose head and body come from its pool. */
#define ANSWER_BYTES_MAX (2 * LIM_EXCHANGE_POOL_BYTES)

_Static_assert(LIM_HEAD_BYTES < LIM_PIPELINE_BYTES, "a complete head fits before reading stops");

/* The next chunk of the file, behind what `out` holds. */
static void start_read(struct worker *worker, struct conn *conn)
{
    const struct stream *stream = conn->stream;
    assert(!conn->sending && !conn->reading);
    size_t held = buffer_bytes(&conn->out);
    size_t room = worker->options->chunk_bytes - held;
    size_t most = room > 2 * LIM_SEND_FRAMING_BYTES ? room - LIM_SEND_FRAMING_BYTES : room;
    size_t bytes = stream_read_bytes(stream, most);
    if (!buffer_reserve(&conn->out, bytes, held + bytes)) {
        serve_close(worker, conn);
        return;
    }
    conn->reading = true;
    conn->inflight++;
    ring_read(worker->ring, site_fd(stream->epoch->snapshot->site), conn->out.base + conn->out.end,
              bytes, stream->source.file_offset, serve_tag(conn, RING_READ));
}

/* ---- the request in hand ---- */

static void end_request(struct worker *worker, struct conn *conn)
{
    request_end(worker, conn->stream);
    conn->stream = NULL;
}

/* A whole file that lies in memory, the last of an answer, is sent from there. */
static bool lay_direct(struct conn *conn, struct span bytes)
{
    struct stream *stream = conn->stream;
    const struct hot_piece *hot = stream->hot;
    if (hot == NULL || bytes.base != hot->data || bytes.len != hot->bytes) {
        return false;
    }
    assert(conn->direct.len == 0);
    conn->direct = bytes;
    conn->direct_of = stream->hot;
    stream->hot = NULL; /* held by the connection from now on */
    return true;
}

/* Puts bytes in memory behind `out`. Many are sent or sealed where they lie, which saves a copy. */
static bool append_span(struct worker *worker, struct conn *conn, struct span bytes)
{
    bool many = bytes.len >= LIM_DIRECT_BYTES;
    if (many && conn->tls != NULL) {
        return serve_seal(worker, conn, bytes);
    }
    return (many && lay_direct(conn, bytes)) ||
           buffer_append(&conn->out, bytes, worker->options->chunk_bytes + ANSWER_BYTES_MAX);
}

/* Puts what is in memory of the body into `out`, up to what is to be read from the tar. */
static bool append_bytes(struct worker *worker, struct conn *conn)
{
    struct stream *stream = conn->stream;
    while (stream->source.bytes.len > 0) {
        size_t bytes = stream->source.bytes.len;
        if (!append_span(worker, conn, stream->source.bytes)) {
            return false;
        }
        source_advance(&stream->source, bytes);
        stream->body_sent += bytes;
    }
    return true;
}

/* Puts the head of the answer into `out`. */
static bool append_head(struct worker *worker, struct conn *conn)
{
    return h1_append_head(&conn->stream->exchange, conn->keep_alive, worker_date(worker),
                          &conn->out, worker->options->chunk_bytes + ANSWER_BYTES_MAX);
}

/* What is left of the request's body will come, and is short enough to be read for nothing. */
static bool may_drop_body(const struct conn *conn)
{
    return !conn->body_left || (!conn->expecting && conn->body.left <= LIM_BODY_DRAIN_BYTES);
}

/* Ends the chunks when all are in `out`. False: out of memory. */
static bool append_end(struct conn *conn)
{
    const struct stream *stream = conn->stream;
    const struct exchange *ex = &stream->exchange;
    if (!conn->chunked || !stream_answer_ended(stream)) {
        return true;
    }
    return forward_chunk_end(&conn->out, trailers_taken(ex) ? &ex->response_trailers : NULL,
                             SIZE_MAX / 2);
}

/* Puts the answer into `out`; of a file only the head. */
static void write_answer(struct worker *worker, struct conn *conn)
{
    struct stream *stream = conn->stream;
    response_finish(&stream->exchange);
    if (!stream->head_only) {
        stream_start_body(stream);
    }
    bool has_length = body_has_length(&stream->exchange.body);
    conn->chunked = !has_length && stream->exchange.proto_minor > 0;
    conn->keep_alive = conn->keep_alive && !serve_is_over(worker, conn) && may_drop_body(conn) &&
                       (has_length || conn->chunked);
    if (!append_head(worker, conn) || !append_bytes(worker, conn) ||
        (!stream->head_only && !append_end(conn))) {
        serve_close(worker, conn);
    } else if (stream_answer_ended(stream)) {
        end_request(worker, conn);
    }
}

void serve_h1_answer(struct worker *worker, struct conn *conn)
{
    if (conn->state != CONN_SEND) {
        conn_set_state(&worker->conns, conn, CONN_SEND);
    }
    if (conn->sending) {
        conn->answer_due = true;
    } else {
        write_answer(worker, conn);
    }
}

void serve_h1_suspended(struct worker *worker, struct conn *conn)
{
    if (conn->state != CONN_RUN) {
        conn_set_state(&worker->conns, conn, CONN_RUN);
    }
}

/* ---- the body of the request in hand ---- */

static bool take_trailers(struct exchange *ex)
{
    struct request_body *body = &ex->request_body;
    return trailers_add_section(ex, &body->trailers, buffer_span(&body->trailer_section));
}

/* Moves octets of the body from `in` to those gathered, as many as may be. False: malformed. */
static bool gather(struct conn *conn)
{
    struct request_body *body = &conn->stream->exchange.request_body;
    while (!request_body_settled(body) && buffer_bytes(&conn->in) > 0) {
        struct span in = buffer_span(&conn->in);
        size_t room = body->gather_max - buffer_bytes(&body->bytes);
        size_t consumed;
        struct span content;
        enum h1_result result =
            h1_body_next(&conn->body, in.base, in.len < room ? in.len : room, &consumed, &content);
        if (result == H1_BAD || !buffer_append(&body->bytes, content, body->gather_max)) {
            return false;
        }
        bool fine = buffer_append(&body->trailer_section, conn->body.trailers, SIZE_MAX / 2);
        buffer_consume(&conn->in, consumed);
        body->received += content.len;
        body->complete = result == H1_DONE;
        conn->body_left = !body->complete;
        if (body->complete && !take_trailers(&conn->stream->exchange)) {
            conn->body.status = 413;
            fine = false;
        }
        if (!fine) {
            return false;
        }
    }
    return true;
}

/* Gathers what arrived since. False: there is no going on with this request. */
static bool gather_more(struct worker *worker, struct conn *conn)
{
    struct request_body *body = &conn->stream->exchange.request_body;
    uint64_t received = body->received;
    if (conn->expecting && conn->stream->relay != NULL && buffer_bytes(&conn->in) > 0) {
        conn->expecting = false; /* it did not wait */
        request_body_arrived(worker, conn->stream);
    }
    if (conn->stream == NULL || body->gather_max == 0 || body->complete) {
        return true;
    }
    if (!gather(conn)) {
        conn->refused = true;
        buffer_release(&conn->in);
        if (conn->stream->answered) {
            serve_close(worker, conn);
        } else {
            request_refuse(worker, conn->stream, conn->body.status != 0 ? conn->body.status : 503);
        }
        return false;
    }
    if (body->complete || body->received > received) {
        request_body_arrived(worker, conn->stream);
    }
    return true;
}

void serve_h1_want_body(struct worker *worker, struct conn *conn)
{
    if (conn->expecting && buffer_bytes(&conn->in) == 0 &&
        !buffer_append(&conn->out, SPAN("HTTP/1.1 100 Continue\r\n\r\n"),
                       worker->options->chunk_bytes + ANSWER_BYTES_MAX)) {
        conn->broken = true;
    }
    conn->expecting = false;
    worker_touch(worker, conn);
}

/* The same part of a copy of the text. */
static struct span copied(struct span part, struct span text, const char *copy)
{
    return (struct span){copy + (part.base - text.base), part.len};
}

/* Copies `text`, for it goes, and refers to the parts that the head was found to have. */
static bool refer(struct stream *stream, const struct h1_head *head, struct span text)
{
    struct exchange *ex = &stream->exchange;
    const char *copy =
        field_copy_text(ex, &ex->request_fields, head->fields, head->field_count, text);
    if (copy == NULL) {
        return false;
    }
    struct span authority = head->authority; /* a part of the text, if there is one */
    request_refer(stream, copied(head->method, text, copy), copied(head->target, text, copy),
                  authority.len > 0 ? copied(authority, text, copy) : SPAN(""));
    return true;
}

/* The head was parsed from `text`. */
static bool fill(struct stream *stream, const struct h1_head *head, struct span text)
{
    struct exchange *ex = &stream->exchange;
    ex->proto_major = 1;
    ex->proto_minor = head->minor;
    ex->request_body.length =
        head->framing == H1_BODY_CHUNKED ? REQUEST_BODY_UNKNOWN : head->content_length;
    ex->request_body.complete = ex->request_body.length == 0;
    return refer(stream, head, text);
}

/* worker->head was parsed from the first `consumed` bytes of `in`. */
static void begin_request(struct worker *worker, struct conn *conn, size_t consumed)
{
    const struct h1_head *head = &worker->head;
    conn->keep_alive = head->keep_alive;
    conn->body_left = head->framing == H1_BODY_CHUNKED || head->content_length > 0;
    conn->expecting = conn->body_left && head->expect_continue;
    conn->body_bytes = 0;
    if (conn->body_left) {
        h1_body_init(&conn->body, head);
    }
    bool filled = fill(conn->stream, head, (struct span){buffer_span(&conn->in).base, consumed});
    buffer_consume(&conn->in, consumed);
    h1_parser_init(&conn->parser);
    if (filled) {
        request_start(worker, conn->stream);
    } else {
        request_refuse(worker, conn->stream, 503);
    }
}

/* Answers `status` to a head that is none, and looks at nothing that follows. */
static void refuse_head(struct worker *worker, struct conn *conn, unsigned status)
{
    conn->refused = true;
    buffer_release(&conn->in);
    request_refuse(worker, conn->stream, status);
}

/* False: too many requests are in hand; the connection is closed. */
static bool open_stream(struct worker *worker, struct conn *conn)
{
    assert(conn->stream == NULL);
    conn->stream = request_open(worker, conn);
    if (conn->stream == NULL) {
        serve_close(worker, conn);
    }
    return conn->stream != NULL;
}

/* Starts the next request if its head is complete, or answers that it is none. */
static bool next_request(struct worker *worker, struct conn *conn)
{
    struct span in = buffer_span(&conn->in);
    size_t consumed = 0;
    if (in.len == 0) {
        return false;
    }
    enum h1_result result = h1_parse_head(&conn->parser, in.base, in.len, &worker->head, &consumed);
    if (result == H1_MORE) {
        return false;
    }
    if (conn->state != CONN_SEND) {
        conn_set_state(&worker->conns, conn, CONN_SEND); /* as most are answered at once */
    }
    conn->turn_requests++;
    if (open_stream(worker, conn)) {
        if (result == H1_DONE) {
            begin_request(worker, conn, consumed);
        } else {
            refuse_head(worker, conn, conn->parser.status);
        }
    }
    return true;
}

void serve_h1_head_expired(struct worker *worker, struct conn *conn)
{
    if (open_stream(worker, conn)) {
        refuse_head(worker, conn, 408);
        worker_touch(worker, conn);
    }
}

/* ---- steps: true when the state changed and may be able to go on ---- */

/* Drops what is here of the body of the last request, which is not all consumed. */
static enum h1_result drop_body_left(struct conn *conn)
{
    while (conn->body_left) {
        struct span in = buffer_span(&conn->in);
        struct span content;
        size_t consumed = 0;
        enum h1_result result = h1_body_next(&conn->body, in.base, in.len, &consumed, &content);
        buffer_consume(&conn->in, consumed);
        conn->body_bytes += (uint32_t)consumed;
        if (result == H1_BAD || conn->body_bytes > LIM_BODY_DRAIN_BYTES) {
            conn->keep_alive = false;
            return H1_BAD;
        }
        conn->body_left = result == H1_MORE;
        if (result == H1_MORE && (consumed == 0 || buffer_bytes(&conn->in) == 0)) {
            return H1_MORE;
        }
    }
    return H1_DONE;
}

/* The same if there is any. After H1_BAD the connection ends. */
static enum h1_result drop_body(struct conn *conn)
{
    return conn->body_left ? drop_body_left(conn) : H1_DONE;
}

static bool enter_linger(struct worker *worker, struct conn *conn)
{
    serve_linger(worker, conn);
    return true;
}

/* All is answered and sent: waits for the next request. */
static bool enter_next(struct worker *worker, struct conn *conn)
{
    if (buffer_bytes(&conn->in) > 0) {
        conn_set_state(&worker->conns, conn, CONN_HEAD);
        return true;
    }
    conn_set_state(&worker->conns, conn, CONN_IDLE);
    serve_rest(worker, conn);
    return conn->eof || worker->draining;
}

/* The first octets of a connection may be those of HTTP/2 (RFC 9113 3.3). */
static bool begins_h2(struct worker *worker, struct conn *conn)
{
    bool more;
    if (h2_is_preface(buffer_span(&conn->in), &more)) {
        serve_h2_begin(worker, conn);
        return true;
    }
    conn->fresh = more && !conn->eof;
    return false;
}

bool serve_h1_head(struct worker *worker, struct conn *conn)
{
    if (conn->fresh && begins_h2(worker, conn)) {
        return true;
    }
    if (!conn->fresh && next_request(worker, conn)) {
        return true;
    }
    if (conn->eof) {
        serve_close(worker, conn);
    }
    return false;
}

/* Most heads come in one piece: their connection is never in HEAD. */
bool serve_h1_idle(struct worker *worker, struct conn *conn)
{
    if (buffer_bytes(&conn->in) > 0) {
        if (serve_h1_head(worker, conn)) {
            return true;
        }
        if (conn->state == CONN_IDLE) {
            conn_set_state(&worker->conns, conn, CONN_HEAD);
        }
    } else if (conn->eof || worker->draining) {
        serve_close(worker, conn);
    }
    return false;
}

/* Octets of answers that wait to be sent. */
static size_t unsent(const struct conn *conn)
{
    return buffer_bytes(&conn->out) + conn->direct.len +
           (conn->tls != NULL ? buffer_bytes(tls_output(conn->tls)) : 0);
}

/* Every answer is complete in `out` or sent: goes on to the next request, or sends. */
static bool step_answered(struct worker *worker, struct conn *conn)
{
    enum h1_result body = conn->keep_alive ? drop_body(conn) : H1_BAD;
    if (body == H1_DONE && buffer_bytes(&conn->in) > 0 &&
        conn->turn_requests < LIM_REQUESTS_PER_TURN && conn->direct.len == 0 &&
        unsent(conn) < worker->options->chunk_bytes && next_request(worker, conn)) {
        return true;
    }
    if (body == H1_BAD && conn->tls != NULL && serve_seal(worker, conn, (struct span){NULL, 0})) {
        tls_close(conn->tls);
    }
    if (buffer_bytes(&conn->out) + conn->direct.len > 0 || serve_has_records(conn)) {
        serve_flush(worker, conn);
        return false;
    }
    switch (body) {
    case H1_DONE: return enter_next(worker, conn);
    case H1_MORE: conn_set_state(&worker->conns, conn, CONN_BODY); return true;
    case H1_BAD: break;
    }
    return enter_linger(worker, conn);
}

/* Has `put` take octets of a body, as a chunk if nothing else tells where it ends. False: out of
 * memory. */
static bool put_content(struct worker *worker, struct conn *conn, struct span bytes,
                        bool (*put)(struct worker *, struct conn *, struct span))
{
    if (!conn->chunked) {
        return put(worker, conn, bytes);
    }
    return forward_chunk_begin(&conn->out, bytes.len, SIZE_MAX / 2) && put(worker, conn, bytes) &&
           buffer_append(&conn->out, FORWARD_CHUNK_TAIL, SIZE_MAX / 2);
}

/* False: out of memory. */
static bool move_chunk(struct worker *worker, struct conn *conn, struct buffer *chunk)
{
    size_t bytes = buffer_bytes(chunk);
    if (conn->tls == NULL && !conn->chunked && buffer_bytes(&conn->out) == 0) {
        struct buffer empty = conn->out;
        conn->out = *chunk;
        *chunk = empty;
        return true;
    }
    bool fine = put_content(worker, conn, buffer_span(chunk), append_span);
    buffer_consume(chunk, bytes);
    return fine;
}

/* Moves octets of the chunk to `out`, framed. False: out of memory. */
static bool append_chunk(struct worker *worker, struct conn *conn)
{
    struct stream *stream = conn->stream;
    size_t bytes = buffer_bytes(&stream->chunk);
    bool fine = true;
    if (bytes > 0) {
        fine = move_chunk(worker, conn, &stream->chunk);
        stream->body_sent += bytes;
        serve_taken(stream);
    }
    return fine && append_end(conn);
}

/* So much is on its way that a body is not passed on. */
static bool is_full(const struct conn *conn)
{
    return conn->tls == NULL ? conn->sending : unsent(conn) >= 2 * LIM_LINK_BUFFER_BYTES;
}

size_t serve_h1_room(struct conn *conn)
{
    struct stream *stream = conn->stream;
    size_t held = buffer_bytes(&stream->chunk);
    stream->roomless = held == 0 && is_full(conn);
    return stream->roomless || held >= LIM_LINK_BYTES ? 0 : LIM_LINK_BUFFER_BYTES;
}

size_t serve_h1_pass(struct worker *worker, struct conn *conn, struct span bytes)
{
    struct stream *stream = conn->stream;
    bool next = stream->source.streamed && buffer_bytes(&stream->chunk) == 0;
    if (!next || is_full(conn) || bytes.len < LIM_DIRECT_BYTES) {
        return 0;
    }
    conn->broken = conn->broken || !put_content(worker, conn, bytes, serve_send_now);
    stream->body_sent += bytes.len;
    worker_touch(worker, conn);
    return bytes.len;
}

/* An upstream's answer goes out while it comes in, and while the request's body may still go in. */
static bool step_streamed(struct worker *worker, struct conn *conn)
{
    bool has_room = buffer_bytes(&conn->wire) == 0 && buffer_bytes(&conn->out) < LIM_LINK_BYTES;
    if ((has_room && !append_chunk(worker, conn)) || conn->broken) {
        serve_close(worker, conn);
        return false;
    }
    if (has_room && stream_answer_ended(conn->stream)) { /* its end is in `out`, too */
        end_request(worker, conn);
        return true;
    }
    bool awaits = unsent(conn) < LIM_DIRECT_BYTES && proxy_more_waits(conn->stream);
    if (!awaits && (buffer_bytes(&conn->out) > 0 || serve_has_records(conn))) {
        serve_flush(worker, conn);
    }
    if (conn->stream != NULL && conn->stream->roomless) {
        proxy_resume(conn->stream);
    }
    return false;
}

bool serve_h1_send(struct worker *worker, struct conn *conn)
{
    if (conn->stream != NULL && conn->stream->relay != NULL) {
        if (!gather_more(worker, conn)) {
            return false;
        }
        if (conn->eof && conn->stream != NULL && conn->stream->relay != NULL) {
            serve_close(worker, conn); /* the client left; so may the upstream */
            return false;
        }
    }
    if (conn->sending || conn->reading) {
        return false;
    }
    if (conn->answer_due) {
        conn->answer_due = false;
        write_answer(worker, conn);
        return true;
    }
    if (conn->stream == NULL) {
        return step_answered(worker, conn);
    }
    if (conn->stream->source.streamed) {
        return step_streamed(worker, conn);
    }
    if (buffer_bytes(&conn->wire) == 0 && buffer_bytes(&conn->out) < worker->options->chunk_bytes) {
        start_read(worker, conn);
    } else {
        serve_flush(worker, conn);
    }
    return false;
}

bool serve_h1_body(struct worker *worker, struct conn *conn)
{
    if (conn->sending || serve_has_records(conn)) {
        return false; /* TLS had something to say; until it is sent, leaving would cut it off */
    }
    switch (drop_body(conn)) {
    case H1_DONE: return enter_next(worker, conn);
    case H1_BAD: return enter_linger(worker, conn);
    case H1_MORE: break;
    }
    if (conn->eof) {
        serve_close(worker, conn);
    }
    return false;
}

bool serve_h1_run(struct worker *worker, struct conn *conn)
{
    if (!gather_more(worker, conn) || conn->state != CONN_RUN) {
        return true;
    }
    if (conn->eof) {
        serve_close(worker, conn);
    } else if (buffer_bytes(&conn->out) > 0 && !conn->sending) {
        serve_flush(worker, conn);
    }
    return false;
}

void serve_h1_begin_tunnel(struct worker *worker, struct conn *conn)
{
    conn->keep_alive = false;
    conn->chunked = false;
    conn_set_state(&worker->conns, conn, CONN_TUNNEL);
}

/* The upstream has ended its half. */
static void shut_half(struct conn *conn)
{
    conn->shut = true;
    if (conn->tls != NULL) {
        tls_close(conn->tls);
    } else {
        shutdown(conn->fd, SHUT_WR);
    }
}

bool serve_h1_tunnel(struct worker *worker, struct conn *conn)
{
    struct stream *stream = conn->stream;
    if (!proxy_is_tunnel(stream)) {
        serve_close(worker, conn);
        return false;
    }
    proxy_tunnel_up(stream, &conn->in, conn->eof);
    if (conn->sending) {
        return false;
    }
    if (buffer_bytes(&stream->chunk) > 0 && buffer_bytes(&conn->out) < LIM_LINK_BYTES &&
        !append_chunk(worker, conn)) {
        serve_close(worker, conn);
        return false;
    }
    bool ended = proxy_is_tunnel(stream) && proxy_tunnel_ended(stream);
    if (buffer_bytes(&conn->out) > 0 || serve_has_records(conn)) {
        serve_flush(worker, conn);
    } else if (ended && proxy_tunnel_finished(stream)) {
        serve_close(worker, conn);
    } else if (ended && !conn->shut) {
        shut_half(conn);
        return true;
    }
    return false;
}

void serve_h1_read_done(struct worker *worker, struct conn *conn, int result)
{
    struct stream *stream = conn->stream;
    if (conn->state != CONN_SEND || result == -EINTR || result == -EAGAIN) {
        return;
    }
    if (result <= 0) {
        log_line("request %llu: %s", (unsigned long long)stream->exchange.id,
                 result == 0 ? "the site's tar is shorter than it was" : strerror(-result));
        conn->broken = true;
        return;
    }
    stream_was_read(stream, (struct span){conn->out.base + conn->out.end, (size_t)result});
    conn->out.end += (size_t)result;
    source_advance(&stream->source, (unsigned)result);
    stream->body_sent += (unsigned)result;
    if (!append_bytes(worker, conn)) {
        conn->broken = true;
    } else if (source_ended(&stream->source)) {
        end_request(worker, conn);
    }
}
