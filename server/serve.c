/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a connection in action.
 *
 * Answers are made in order and collected in `out`; a file's bytes are read behind the head of its
 * answer, one chunk at a time, and the next chunk only after the last one was sent. At most one
 * send is in flight, and `out` is not touched while it is. Small answers to pipelined requests go
 * out together. A request ends when its last byte is in `out`: then it is logged and its memory is
 * reset.
 *
 * With TLS, `out` becomes records when it would be sent; these wait in tls_output until nothing is
 * in flight and go out by way of `wire`. What TLS has to say by itself goes the same way.
 */
#include "server/serve.h"

#include <assert.h>
#include <errno.h>
#include <linux/tcp.h>
#include <time.h>

#include "server/log.h"
#include "server/script.h"
#include "server/tls.h"

/* What can arrive after the order to stop: every buffer of the ring. */
#define IN_BYTES_MAX (LIM_PIPELINE_BYTES + LIM_RECV_BUFFERS * LIM_RECV_BUFFER_BYTES)

/* TLS keeps up to a record back, and wants room to write before it says how much it has. */
#define IN_PLAIN_BYTES_MAX (IN_BYTES_MAX + (32u << 10))

/* `out` holds at most a chunk before an answer is made, whose head and body come from its pool. */
#define ANSWER_BYTES_MAX (2 * LIM_EXCHANGE_POOL_BYTES)

_Static_assert(LIM_HEAD_BYTES < LIM_PIPELINE_BYTES, "a complete head fits before reading stops");

static struct ring_tag tag_of(const struct conn *conn, enum ring_op op)
{
    return (struct ring_tag){op, conn->generation, conn->slot};
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- operations ---- */

static bool has_records(const struct conn *conn)
{
    return conn->tls != NULL && buffer_bytes(&conn->wire) + buffer_bytes(tls_output(conn->tls)) > 0;
}

/* Sends what TLS has ready. */
static void send_records(struct worker *worker, struct conn *conn)
{
    struct buffer *output = tls_output(conn->tls);
    assert(!conn->sending);
    if (buffer_bytes(&conn->wire) == 0) {
        struct buffer sent = conn->wire;
        conn->wire = *output;
        *output = sent;
    }
    conn->sending = true;
    conn->inflight++;
    ring_send(worker->ring, conn->fd, buffer_span(&conn->wire), tag_of(conn, RING_SEND));
}

/* Makes records of `out`. */
static bool seal(struct conn *conn)
{
    size_t bytes = buffer_bytes(&conn->out);
    if (!tls_send(conn->tls, buffer_span(&conn->out))) {
        return false;
    }
    buffer_consume(&conn->out, bytes);
    return true;
}

static void start_send(struct worker *worker, struct conn *conn)
{
    assert(!conn->sending && !conn->reading);
    if (conn->tls != NULL) {
        if (seal(conn)) {
            send_records(worker, conn);
        } else {
            serve_close(worker, conn);
        }
        return;
    }
    assert(buffer_bytes(&conn->out) > 0);
    conn->sending = true;
    conn->inflight++;
    ring_send(worker->ring, conn->fd, buffer_span(&conn->out), tag_of(conn, RING_SEND));
}

/* The next chunk of the file, behind what `out` holds. */
static void start_read(struct worker *worker, struct conn *conn)
{
    assert(!conn->sending && !conn->reading);
    size_t room = worker->options->chunk_bytes - buffer_bytes(&conn->out);
    size_t bytes = conn->request.file_left < room ? (size_t)conn->request.file_left : room;
    if (!buffer_reserve(&conn->out, bytes, worker->options->chunk_bytes)) {
        serve_close(worker, conn);
        return;
    }
    conn->reading = true;
    conn->inflight++;
    ring_read(worker->ring, site_fd(worker->snapshot->site), conn->out.base + conn->out.end, bytes,
              conn->request.file_offset, tag_of(conn, RING_READ));
}

/* Receives while there is room for what may come, and only then. */
static void update_receive(struct worker *worker, struct conn *conn)
{
    bool wanted = !conn->eof && buffer_bytes(&conn->in) < LIM_PIPELINE_BYTES;
    if (wanted && !conn->receiving) {
        conn->receiving = true;
        conn->inflight++;
        ring_recv(worker->ring, conn->fd, tag_of(conn, RING_RECV));
    } else if (!wanted && conn->receiving && !conn->cancelling) {
        conn->cancelling = true;
        conn->inflight++;
        ring_cancel(worker->ring, tag_of(conn, RING_RECV), tag_of(conn, RING_CANCEL));
    }
}

/* ---- the request in hand ---- */

static void log_request(struct worker *worker, const struct conn *conn)
{
    const struct conn_request *request = &conn->request;
    if (worker->access == NULL) {
        return;
    }
    access_add(worker->access, &(struct access_entry){
                                   .peer = &conn->peer.any,
                                   .method = request->method,
                                   .target = request->target,
                                   .minor = conn->exchange.proto_minor,
                                   .status = conn->exchange.status,
                                   .body_bytes = request->body_sent,
                                   .microseconds = now_us() - request->started_us,
                               });
}

static void end_request(struct worker *worker, struct conn *conn)
{
    assert(conn->request.active);
    script_chain_cancel(&conn->exchange);
    log_request(worker, conn);
    conn->request = (struct conn_request){0};
    exchange_reset(&conn->exchange);
}

/* Puts segments of the body into `out` up to the next bytes that are to be read from the tar. */
static bool next_segments(struct worker *worker, struct conn *conn)
{
    const struct body *body = &conn->exchange.body;
    struct conn_request *request = &conn->request;
    while (request->file_left == 0 && request->segments_left > 0) {
        const struct body_segment *segment =
            &body->segments[body->segment_count - request->segments_left--];
        if (!buffer_append(&conn->out, segment->bytes,
                           worker->options->chunk_bytes + ANSWER_BYTES_MAX)) {
            return false;
        }
        request->body_sent += segment->bytes.len;
        request->file_offset = segment->file_offset;
        request->file_left = segment->file_bytes;
    }
    return true;
}

/* Puts the answer into `out`; of a file only the head. */
static void write_answer(struct worker *worker, struct conn *conn)
{
    struct exchange *ex = &conn->exchange;
    response_finish(ex);
    bool keep_alive = conn->keep_alive && !worker->draining;
    bool with_body = !conn->request.head_only;
    struct span bytes =
        with_body && ex->body.kind == BODY_BYTES ? ex->body.bytes : (struct span){0};
    size_t head_max = h1_head_bytes(ex);
    if (!buffer_reserve(&conn->out, head_max + bytes.len,
                        worker->options->chunk_bytes + ANSWER_BYTES_MAX)) {
        serve_close(worker, conn);
        return;
    }
    size_t head = h1_write_head(ex, keep_alive, worker_date(worker), conn->out.base + conn->out.end,
                                head_max);
    assert(head > 0 && head <= head_max);
    conn->out.end += head;
    conn->keep_alive = keep_alive;
    if (bytes.len > 0) {
        memcpy(conn->out.base + conn->out.end, bytes.base, bytes.len);
        conn->out.end += bytes.len;
        conn->request.body_sent = bytes.len;
    }
    if (with_body && ex->body.kind == BODY_FILE) {
        conn->request.file_offset = ex->body.file_offset;
        conn->request.file_left = ex->body.file_bytes;
    } else if (with_body && ex->body.kind == BODY_SEGMENTS) {
        conn->request.segments_left = ex->body.segment_count;
    }
    if (!next_segments(worker, conn)) {
        serve_close(worker, conn);
        return;
    }
    if (conn->request.file_left == 0) {
        end_request(worker, conn);
    }
}

static void start_answer(struct worker *worker, struct conn *conn)
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

static void conclude(struct worker *worker, struct conn *conn, enum script_verdict verdict)
{
    switch (verdict) {
    case SCRIPT_PENDING:
        if (conn->state != CONN_RUN) {
            conn_set_state(&worker->conns, conn, CONN_RUN);
            if (buffer_bytes(&conn->out) > 0) {
                start_send(worker, conn);
            }
        }
        return;
    case SCRIPT_ABORTED: serve_close(worker, conn); return;
    case SCRIPT_PASS:
        static_answer(&conn->exchange, worker->snapshot->site, &worker->static_options);
        break;
    case SCRIPT_RESPONDED: break;
    }
    start_answer(worker, conn);
}

/* Answers `status` and closes; the scripts do not see the request. */
static void refuse(struct worker *worker, struct conn *conn, unsigned status)
{
    conn->keep_alive = false;
    response_error(&conn->exchange, status);
    start_answer(worker, conn);
}

/* Copies the head: the bytes it was parsed from go. */
static bool fill_exchange(struct worker *worker, struct conn *conn)
{
    const struct h1_head *head = &worker->head;
    struct exchange *ex = &conn->exchange;
    ex->id = worker->requests++ * worker->count + worker->index + 1;
    ex->is_tls = conn->tls != NULL;
    ex->scheme = ex->is_tls ? SPAN("https") : SPAN("http");
    ex->proto_major = 1;
    ex->proto_minor = head->minor;
    memcpy(&ex->peer, &conn->peer, sizeof(conn->peer));
    ex->method = pool_copy(&ex->pool, head->method);
    ex->authority = pool_copy(&ex->pool, head->authority);
    conn->request.method = ex->method;
    conn->request.target = pool_copy(&ex->pool, head->target);
    conn->request.head_only = span_equal(head->method, SPAN("HEAD"));
    if (ex->method.base == NULL || conn->request.target.base == NULL ||
        (ex->authority.base == NULL && head->authority.len > 0)) {
        conn->request.method.len = 0;
        return false;
    }
    for (unsigned i = 0; i < head->field_count; i++) {
        if (!field_add(ex, &ex->request_fields, head->fields[i].name, head->fields[i].value)) {
            return false;
        }
    }
    return true;
}

static void start_request(struct conn *conn)
{
    conn->request = (struct conn_request){.active = true, .started_us = now_us()};
}

/* worker->head was parsed from the first `consumed` bytes of `in`. */
static void begin_request(struct worker *worker, struct conn *conn, size_t consumed)
{
    const struct h1_head *head = &worker->head;
    bool has_body = head->framing != H1_BODY_NONE;
    start_request(conn);
    conn->keep_alive = head->keep_alive && !(has_body && head->expect_continue) &&
                       head->content_length <= LIM_BODY_DRAIN_BYTES;
    conn->body_left = has_body;
    conn->body_bytes = 0;
    h1_body_init(&conn->body, head);
    bool copied = fill_exchange(worker, conn);
    buffer_consume(&conn->in, consumed);
    h1_parser_init(&conn->parser);
    if (!copied) {
        refuse(worker, conn, 503);
    } else if (!exchange_set_target(&conn->exchange, conn->request.target)) {
        refuse(worker, conn, 400);
    } else {
        conclude(worker, conn,
                 script_chain_start(worker->host, worker->snapshot->scripts, &conn->exchange));
    }
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
    if (conn->state != CONN_HEAD) {
        conn_set_state(&worker->conns, conn, CONN_HEAD);
    }
    conn->turn_requests++;
    if (result == H1_DONE) {
        begin_request(worker, conn, consumed);
        return true;
    }
    start_request(conn);
    conn->refused = true;
    buffer_release(&conn->in);
    refuse(worker, conn, conn->parser.status);
    return true;
}

/* ---- steps: true when the state changed and may be able to go on ---- */

/* Drops what is here of the body of the last request. After H1_BAD the connection ends. */
static enum h1_result drop_body(struct conn *conn)
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

/* The last words of TLS: an alert, or that nothing follows. If they do not leave at once they are
 * not worth waiting for. */
static void say_last_words(struct conn *conn, bool close)
{
    if (conn->tls == NULL || conn->sending) {
        return;
    }
    if (close) {
        tls_close(conn->tls);
    }
    struct span words = buffer_span(tls_output(conn->tls));
    if (buffer_bytes(&conn->wire) == 0 && words.len > 0) {
        send(conn->fd, words.base, words.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static bool enter_linger(struct worker *worker, struct conn *conn)
{
    say_last_words(conn, true);
    shutdown(conn->fd, SHUT_WR);
    conn_set_state(&worker->conns, conn, CONN_LINGER);
    conn->refused = true;
    conn->body_bytes = 0;
    buffer_release(&conn->in);
    buffer_release(&conn->out);
    buffer_release(&conn->wire);
    return true;
}

/* Memory for records is needed only while there are any. */
static void release_records(struct conn *conn)
{
    if (conn->tls != NULL && !conn->sending && !has_records(conn)) {
        buffer_release(&conn->wire);
        buffer_release(tls_output(conn->tls));
    }
}

/* All is answered and sent: waits for the next request, holding no memory for it. */
static bool enter_next(struct worker *worker, struct conn *conn)
{
    if (buffer_bytes(&conn->in) > 0) {
        conn_set_state(&worker->conns, conn, CONN_HEAD);
    } else {
        buffer_release(&conn->in);
        buffer_release(&conn->out);
        release_records(conn);
        conn_set_state(&worker->conns, conn, CONN_IDLE);
    }
    return true;
}

static bool step_tls(struct worker *worker, struct conn *conn)
{
    if (tls_established(conn->tls)) {
        conn_set_state(&worker->conns, conn, CONN_IDLE);
        return true;
    }
    if (conn->eof) {
        serve_close(worker, conn);
    }
    return false;
}

static bool step_idle(struct worker *worker, struct conn *conn)
{
    if (buffer_bytes(&conn->in) > 0) {
        conn_set_state(&worker->conns, conn, CONN_HEAD);
        return true;
    }
    if (conn->eof || worker->draining) {
        serve_close(worker, conn);
    }
    return false;
}

static bool step_head(struct worker *worker, struct conn *conn)
{
    if (next_request(worker, conn)) {
        return true;
    }
    if (conn->eof) {
        serve_close(worker, conn);
    }
    return false;
}

/* Every answer is complete in `out` or sent: goes on to the next request, or sends. */
static bool step_answered(struct worker *worker, struct conn *conn)
{
    enum h1_result body = conn->keep_alive ? drop_body(conn) : H1_BAD;
    if (body == H1_DONE && conn->turn_requests < LIM_REQUESTS_PER_TURN &&
        buffer_bytes(&conn->out) < worker->options->chunk_bytes && next_request(worker, conn)) {
        return true;
    }
    if (body == H1_BAD && conn->tls != NULL && seal(conn)) {
        tls_close(conn->tls);
    }
    if (buffer_bytes(&conn->out) > 0 || has_records(conn)) {
        start_send(worker, conn);
        return false;
    }
    switch (body) {
    case H1_DONE: return enter_next(worker, conn);
    case H1_MORE: conn_set_state(&worker->conns, conn, CONN_BODY); return true;
    case H1_BAD: break;
    }
    return enter_linger(worker, conn);
}

static bool step_send(struct worker *worker, struct conn *conn)
{
    if (conn->sending || conn->reading) {
        return false;
    }
    if (conn->answer_due) {
        conn->answer_due = false;
        write_answer(worker, conn);
        return true;
    }
    if (conn->request.file_left == 0) {
        return step_answered(worker, conn);
    }
    if (buffer_bytes(&conn->wire) == 0 && buffer_bytes(&conn->out) < worker->options->chunk_bytes) {
        start_read(worker, conn);
    } else {
        start_send(worker, conn);
    }
    return false;
}

static bool step_body(struct worker *worker, struct conn *conn)
{
    if (conn->sending || has_records(conn)) {
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

static bool step_linger(struct worker *worker, struct conn *conn)
{
    if (conn->eof || conn->body_bytes > LIM_BODY_DRAIN_BYTES) {
        serve_close(worker, conn);
    }
    return false;
}

static bool step_run(struct worker *worker, struct conn *conn)
{
    if (conn->eof) {
        serve_close(worker, conn);
    }
    return false;
}

static bool step(struct worker *worker, struct conn *conn)
{
    switch (conn->state) {
    case CONN_TLS: return step_tls(worker, conn);
    case CONN_IDLE: return step_idle(worker, conn);
    case CONN_HEAD: return step_head(worker, conn);
    case CONN_RUN: return step_run(worker, conn);
    case CONN_SEND: return step_send(worker, conn);
    case CONN_BODY: return step_body(worker, conn);
    case CONN_LINGER: return step_linger(worker, conn);
    case CONN_CLOSING:
    case CONN_FREE:
    case CONN_STATES: break;
    }
    return false;
}

/* ---- what the worker calls ---- */

void serve_step(struct worker *worker, struct conn *conn)
{
    conn->turn_requests = 0;
    if (conn->broken) {
        serve_close(worker, conn);
    }
    while (step(worker, conn)) {
    }
    if (conn->state != CONN_CLOSING) {
        update_receive(worker, conn);
        if (!conn->sending && !conn->reading && has_records(conn)) {
            send_records(worker, conn);
        }
    } else if (conn->inflight == 0 && !conn->touched) {
        ring_close(worker->ring, conn->fd);
        conn_release(&worker->conns, conn);
    }
}

void serve_resume(struct worker *worker, struct conn *conn)
{
    assert(conn->state == CONN_RUN);
    conclude(worker, conn, script_chain_resume(&conn->exchange));
}

static void receive_records(struct conn *conn, struct span data)
{
    if (!tls_receive(conn->tls, data, &conn->in, IN_PLAIN_BYTES_MAX)) {
        conn->broken = true;
    } else if (tls_ended(conn->tls)) {
        conn->eof = true;
    }
    if (buffer_bytes(&conn->in) == 0) {
        buffer_release(&conn->in);
    }
}

void serve_received(struct conn *conn, const struct ring_event *event)
{
    if (!event->more) {
        conn->receiving = false;
        conn->inflight--;
    }
    if (event->result == 0) {
        /* TLS says when it ends; an end without that may be anybody's doing. */
        conn->broken = conn->broken || (conn->tls != NULL && !conn->eof && !conn->refused);
        conn->eof = true;
    } else if (event->result < 0) {
        bool again = event->result == -ENOBUFS || event->result == -ECANCELED ||
                     event->result == -EINTR || event->result == -EAGAIN;
        conn->broken = conn->broken || !again;
    } else if (conn->refused || conn->state == CONN_CLOSING) {
        conn->body_bytes += (uint32_t)event->result;
    } else if (conn->tls != NULL) {
        receive_records(conn, event->data);
    } else if (!buffer_append(&conn->in, event->data, IN_BYTES_MAX)) {
        conn->broken = true;
    }
}

void serve_sent(struct worker *worker, struct conn *conn, int result)
{
    conn->sending = false;
    conn->inflight--;
    if (result == -EINTR || result == -EAGAIN) {
        return; /* the step sends again */
    }
    if (result <= 0) {
        conn->broken = true;
        return;
    }
    buffer_consume(conn->tls != NULL ? &conn->wire : &conn->out, (size_t)result);
    if (conn->state == CONN_IDLE) {
        release_records(conn);
    }
    if (conn->state == CONN_SEND) {
        conn_restart_deadline(&worker->conns, conn);
    }
}

void serve_read(struct worker *worker, struct conn *conn, int result)
{
    struct conn_request *request = &conn->request;
    conn->reading = false;
    conn->inflight--;
    if (conn->state != CONN_SEND || result == -EINTR || result == -EAGAIN) {
        return;
    }
    if (result <= 0) {
        log_line("request %llu: %s", (unsigned long long)conn->exchange.id,
                 result == 0 ? "the site's tar is shorter than it was" : strerror(-result));
        conn->broken = true;
        return;
    }
    conn->out.end += (size_t)result;
    request->file_offset += (unsigned)result;
    request->file_left -= (unsigned)result;
    request->body_sent += (unsigned)result;
    if (!next_segments(worker, conn)) {
        conn->broken = true;
    } else if (request->file_left == 0) {
        end_request(worker, conn);
    }
}

void serve_cancelled(struct conn *conn)
{
    conn->cancelling = false;
    conn->inflight--;
}

/* Did the peer acknowledge anything since the last look? A send of many bytes completes once, so
 * its progress shows only here. */
static bool peer_advanced(struct conn *conn)
{
    struct tcp_info info = {0};
    socklen_t bytes = sizeof(info);
    if (getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0 ||
        info.tcpi_bytes_acked == conn->acked_bytes) {
        return false;
    }
    conn->acked_bytes = info.tcpi_bytes_acked;
    return true;
}

void serve_expire(struct worker *worker, struct conn *conn)
{
    if (conn->state == CONN_HEAD) {
        start_request(conn);
        conn->refused = true;
        buffer_release(&conn->in);
        refuse(worker, conn, 408);
        worker_touch(worker, conn);
        return;
    }
    if (conn->state == CONN_SEND) {
        if (peer_advanced(conn)) {
            conn_restart_deadline(&worker->conns, conn);
            return;
        }
        /* Closing resets, so that the kernel drops what it still holds for this peer. */
        struct linger none = {.l_onoff = 1, .l_linger = 0};
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    }
    serve_close(worker, conn);
}

void serve_close(struct worker *worker, struct conn *conn)
{
    if (conn->state == CONN_CLOSING) {
        return;
    }
    /* An answer that is cut off must not look complete. */
    say_last_words(conn, conn->state == CONN_IDLE && !conn->broken);
    script_chain_cancel(&conn->exchange);
    if (conn->request.active) {
        end_request(worker, conn);
    }
    conn_set_state(&worker->conns, conn, CONN_CLOSING);
    if (conn->inflight > 0) {
        conn->inflight++;
        ring_cancel_fd(worker->ring, conn->fd, tag_of(conn, RING_CANCEL));
    }
    worker_touch(worker, conn);
}
