/* SPDX-License-Identifier: Apache-2.0 */
/* A connection of HTTP/2 in action: h2.c has the protocol, here its streams meet requests.
 *
 * What arrives goes into h2_receive, whose callbacks note new requests; they are started once it
 * returned. When nothing is being sent, h2_send fills `out`, asking the streams for the bytes of
 * their answers (serve_h2_body.c).
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "server/forward.h"
#include "server/h2.h"
#include "server/log.h"
#include "server/page.h"
#include "server/proxy.h"
#include "server/request.h"
#include "server/serve_int.h"
#include "server/tls.h"
#include "server/trailers.h"

/* ---- requests ---- */

/* An extended CONNECT has no body; what follows it is for the tunnel. False: out of memory. */
static bool fill_connect(struct stream *stream, const struct h2_head *head)
{
    struct exchange *ex = &stream->exchange;
    ex->by_connect = true;
    ex->request_body.complete = true;
    ex->request_body.length = 0;
    if (!request_fill(stream, SPAN("GET"), head->target, head->authority, head->fields,
                      head->field_count)) {
        return false;
    }
    stream->method = SPAN("CONNECT");
    return field_add(ex, &ex->request_fields, SPAN("connection"), SPAN("upgrade")) &&
           field_set(ex, &ex->request_fields, SPAN("upgrade"), head->protocol);
}

/* Copies the head. False: out of memory. */
static bool fill(struct stream *stream, const struct h2_head *head)
{
    struct exchange *ex = &stream->exchange;
    ex->proto_major = 2;
    ex->proto_minor = 0;
    if (head->protocol.len > 0) {
        return fill_connect(stream, head);
    }
    ex->request_body.complete = !head->has_body;
    ex->request_body.length = !head->has_body    ? 0
                              : head->has_length ? head->content_length
                                                 : REQUEST_BODY_UNKNOWN;
    stream->expecting = head->expect_continue && head->has_body;
    return request_fill(stream, head->method, head->target, head->authority, head->fields,
                        head->field_count);
}

static void *on_request(void *owner, int32_t id, const struct h2_head *head)
{
    struct conn *conn = owner;
    struct stream *stream = request_open(conn->worker, conn);
    if (stream == NULL) {
        return NULL;
    }
    stream->id = id;
    stream->refusal = head->status;
    if (head->protocol.len > 0 && !span_equal_nocase(head->protocol, SPAN("websocket"))) {
        stream->refusal = 501;
    }
    if (!fill(stream, head)) {
        stream->refusal = 503;
    }
    stream_chain(&conn->stream, stream);
    return stream;
}

static void start_requests(struct worker *worker, struct conn *conn)
{
    if (conn->stream != NULL && conn->state == CONN_H2_IDLE) {
        conn_set_state(&worker->conns, conn, CONN_H2); /* if it rests again, then from now on */
    }
    while (conn->stream != NULL) {
        struct stream *stream = conn->stream;
        conn->stream = stream->sibling;
        stream->sibling = NULL;
        if (stream->refusal != 0) {
            request_refuse(worker, stream, stream->refusal);
        } else {
            request_start(worker, stream);
            schedule_started(worker);
        }
    }
}

/* ---- answers ---- */

/* Opens the window again by what was received, if somebody wants the body and has room. */
static void give_back(struct stream *stream)
{
    const struct request_body *body = &stream->exchange.request_body;
    bool dropped = stream->answered && body->gather_max == 0;
    if (dropped || buffer_bytes(&body->bytes) < body->gather_max) {
        h2_consumed(stream->conn->h2, stream->id, stream->unconsumed);
        stream->unconsumed = 0;
    }
}

/* Octets of an answer are here for a client that might not be taking them. */
static bool owes(const struct stream *stream)
{
    const struct source *source = &stream->source;
    if (!stream->answered || stream->held) {
        return false;
    }
    bool waits_for_upstream = source->streamed && stream->page == NULL;
    return waits_for_upstream ? buffer_bytes(&stream->chunk) > 0 : !stream_answer_ended(stream);
}

static void respond(struct worker *worker, struct stream *stream)
{
    struct conn *conn = stream->conn;
    bool with_body = !stream_answer_ended(stream) || serve_h2_has_trailers(stream);
    stream->held = false;
    stream->moved_ms = worker->conns.now_ms;
    if (!h2_respond(conn->h2, stream->id, &stream->exchange, worker_date(worker), with_body)) {
        h2_reset(conn->h2, stream->id, H2_INTERNAL_ERROR);
    }
    worker_touch(worker, conn);
}

/* An answer to a short request that is not complete waits for the rest: there are clients that
 * miss an answer while they send. */
static bool is_short(const struct request_body *body)
{
    return body->length <= LIM_H2_STREAM_WINDOW;
}

/* Nobody wants what else comes of the request. */
static void drop_rest(struct worker *worker, struct stream *stream)
{
    stream_unchain(&stream->conn->roomless, stream);
    stream_chain(&stream->conn->unread, stream);
    stream->unread = true;
    stream->exchange.request_body.gather_max = 0;
    give_back(stream);
    stream->deadline_ms = worker->conns.now_ms + worker->options->body_ms;
    stream_wait(&worker->streams, stream, STREAM_AWAITING);
}

void serve_h2_more(struct worker *worker, struct stream *stream)
{
    if (stream->closed) {
        return;
    }
    if (stream->relay == NULL && !stream->exchange.request_body.complete && !stream->unread) {
        drop_rest(worker, stream);
    }
    h2_resume(stream->conn->h2, stream->id);
}

bool serve_h2_interim(struct stream *stream, const struct h1_response *head)
{
    struct exchange *ex = &stream->exchange;
    struct field_list fields = {0};
    for (unsigned i = 0; i < head->field_count; i++) {
        if (forward_field_passes(head, i) &&
            !field_add(ex, &fields, head->fields[i].name, head->fields[i].value)) {
            return false;
        }
    }
    return h2_inform(stream->conn->h2, stream->id, head->status, &fields);
}

void serve_h2_answer(struct worker *worker, struct stream *stream)
{
    struct exchange *ex = &stream->exchange;
    if (ex->by_connect && ex->status / 100 == 2) { /* which would say that there is a tunnel */
        proxy_cancel(stream);
        buffer_release(&stream->chunk);
        response_error(ex, ex->proxy != NULL ? 502 : 501);
    }
    response_finish(ex);
    if (!stream->head_only) {
        stream_start_body(stream);
    }
    if (!ex->request_body.complete && stream->relay == NULL) {
        stream->held = is_short(&ex->request_body) && !stream->expecting;
        drop_rest(worker, stream);
    }
    if (!stream->held) {
        respond(worker, stream);
    }
}

/* ---- tunnels ---- */

void serve_h2_tunnel(struct worker *worker, struct stream *stream)
{
    stream->answered = true;
    stream_start_body(stream);
    respond(worker, stream);
}

/* The window is opened by what the upstream's connection took. */
void serve_h2_tunnel_up(struct stream *stream)
{
    if (proxy_is_tunnel(stream)) {
        proxy_tunnel_up(stream, &stream->up, stream->up_ended);
        size_t waiting = buffer_bytes(&stream->up);
        h2_consumed(stream->conn->h2, stream->id, stream->unconsumed - waiting);
        stream->unconsumed = waiting;
        worker_touch(stream->conn->worker, stream->conn);
    }
}

static void on_tunnel_data(struct stream *stream, struct span bytes)
{
    stream->unconsumed += bytes.len;
    if (stream->answered && !proxy_is_tunnel(stream)) {
        give_back(stream); /* refused */
    } else if (!buffer_append(&stream->up, bytes, SIZE_MAX / 2)) {
        stream->conn->broken = true;
    } else {
        serve_h2_tunnel_up(stream);
    }
}

/* ---- their bodies ---- */

static void on_body(void *context, struct span bytes)
{
    struct stream *stream = context;
    struct conn *conn = stream->conn;
    struct request_body *body = &stream->exchange.request_body;
    if (stream->exchange.by_connect) {
        on_tunnel_data(stream, bytes);
        return;
    }
    body->received += bytes.len;
    stream->unconsumed += bytes.len;
    if (stream->answered && body->gather_max == 0) {
        stream->dropped += bytes.len;
        give_back(stream);
        return;
    }
    /* The client's window bounds it: nothing is given back that nobody has room for. */
    if (!buffer_append(&body->bytes, bytes, SIZE_MAX / 2)) {
        conn->broken = true;
        return;
    }
    give_back(stream);
    request_body_arrived(conn->worker, stream);
}

static void on_body_end(void *context, const struct field *trailers, unsigned count)
{
    struct stream *stream = context;
    struct exchange *ex = &stream->exchange;
    if (ex->by_connect) {
        stream->up_ended = true;
        serve_h2_tunnel_up(stream);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!trailers_add(ex, &ex->request_body.trailers, &trailers[i])) {
            stream->conn->broken = true;
            return;
        }
    }
    ex->request_body.complete = true;
    if (stream->held) {
        respond(stream->conn->worker, stream);
    } else {
        request_body_arrived(stream->conn->worker, stream);
    }
}

void serve_h2_want_body(struct worker *worker, struct stream *stream)
{
    struct conn *conn = stream->conn;
    if (stream->expecting && stream->exchange.request_body.received == 0) {
        h2_inform(conn->h2, stream->id, 100, NULL);
    }
    if (!stream->wanted) {
        stream->wanted = true;
        h2_widen(conn->h2, stream->id, worker->options->h2_stream_window);
    }
    stream->expecting = false;
    give_back(stream);
    worker_touch(worker, conn);
}

void serve_h2_abort(struct worker *worker, struct stream *stream)
{
    h2_reset(stream->conn->h2, stream->id, H2_CANCEL);
    worker_touch(worker, stream->conn);
}

void serve_h2_broken(struct worker *worker, struct stream *stream)
{
    h2_reset(stream->conn->h2, stream->id,
             stream->exchange.by_connect ? H2_CANCEL : H2_INTERNAL_ERROR);
    worker_touch(worker, stream->conn);
}

/* Those whose answer is complete although the client still sends need send no more. They may for
 * a while: some clients miss an answer that a reset follows at once. */
static bool end_unread(struct conn *conn)
{
    bool any = false;
    struct stream *next;
    for (struct stream *stream = conn->unread; stream != NULL; stream = next) {
        next = stream->sibling;
        if (!stream->held && stream_answer_ended(stream) &&
            stream->dropped > LIM_BODY_DRAIN_BYTES) {
            h2_reset(conn->h2, stream->id, H2_NO_ERROR);
            any = true;
        }
    }
    return any;
}

/* The stream may still be read into; then the read ends the request. One whose relay is at work
 * waits for the next step. */
static void on_closed(void *context, uint32_t error)
{
    (void)error;
    struct stream *stream = context;
    struct conn *conn = stream->conn;
    stream_unchain(&conn->stream, stream);
    stream_unchain(&conn->unread, stream);
    stream_unchain(&conn->roomless, stream);
    serve_h2_release_held(stream);
    serve_h2_release_awaited(stream);
    if (conn->passing == stream) {
        stream->closed = true;
        stream_chain(&conn->ended, stream);
    } else {
        request_end(conn->worker, stream);
    }
}

/* Ends requests whose streams were closed while their relays were at work. */
static void end_closed(struct conn *conn)
{
    while (conn->ended != NULL) {
        struct stream *stream = conn->ended;
        conn->ended = stream->sibling;
        stream->sibling = NULL;
        request_end(conn->worker, stream);
    }
}

/* ---- the connection ---- */

static const struct h2_handler handler = {
    .request = on_request,
    .body = on_body,
    .body_end = on_body_end,
    .ready = serve_h2_ready,
    .take = serve_h2_take,
    .closed = on_closed,
};

void serve_h2_begin(struct worker *worker, struct conn *conn)
{
    conn->worker = worker;
    struct h2_options options = {.connection_window = worker->options->h2_connection_window,
                                 .total_streams = worker->options->h2_requests,
                                 .connect_protocol = worker->epoch->snapshot->tls_client != NULL};
    conn->h2 = h2_open(&options, &handler, conn);
    if (conn->h2 == NULL) {
        serve_close(worker, conn);
        return;
    }
    conn_set_state(&worker->conns, conn, CONN_H2);
}

void serve_h2_end(struct conn *conn)
{
    h2_free(conn->h2);
    conn->h2 = NULL;
    end_closed(conn);
}

static void receive(struct worker *worker, struct conn *conn)
{
    struct span in = buffer_span(&conn->in);
    if (in.len == 0 || conn->refused) {
        return;
    }
    conn->refused = !h2_receive(conn->h2, in, worker->conns.now_ms);
    buffer_consume(&conn->in, in.len);
    if (!h2_in_head(conn->h2)) {
        conn->head_ms = 0;
    } else if (conn->head_ms == 0) {
        conn->head_ms = worker->conns.now_ms;
    }
    start_requests(worker, conn);
}

bool serve_h2_frame(struct conn *conn)
{
    size_t sealed = conn->tls != NULL ? buffer_bytes(tls_output(conn->tls)) : 0;
    size_t room = sealed < LIM_H2_OUT_BYTES ? LIM_H2_OUT_BYTES - sealed : 0;
    return h2_send(conn->h2, &conn->out, room);
}

/* Has all framed that may be sent now. False: the session is broken. */
static bool collect(struct conn *conn)
{
    bool fine = true;
    do {
        fine = serve_h2_frame(conn);
    } while (fine && (end_unread(conn) || serve_h2_unpark(conn)));
    return fine;
}

static void update_state(struct worker *worker, struct conn *conn)
{
    bool busy = h2_streams(conn->h2) > 0 || h2_in_head(conn->h2);
    enum conn_state wanted = busy                     ? CONN_H2
                             : h2_is_ending(conn->h2) ? CONN_H2_ENDING
                                                      : CONN_H2_IDLE;
    if (conn->state != wanted) {
        conn_set_state(&worker->conns, conn, wanted);
    }
    if (!busy && !conn->sending) {
        serve_rest(worker, conn);
    }
}

/* GOAWAY in two steps; a client that opened streams meanwhile may try them elsewhere. */
static void drain(const struct worker *worker, struct conn *conn)
{
    uint64_t now_ms = worker->conns.now_ms;
    if (serve_is_over(worker, conn)) {
        h2_drain(conn->h2, false);
    }
    if (h2_is_ending(conn->h2) && conn->ending_ms == 0) {
        conn->ending_ms = now_ms;
    } else if (h2_is_ending(conn->h2) && now_ms - conn->ending_ms >= LIM_H2_GOAWAY_MS) {
        h2_drain(conn->h2, true);
    }
}

void serve_h2_ends(struct worker *worker, struct conn *conn)
{
    if (conn->last_said) {
        serve_reset(worker, conn);
        return;
    }
    conn->last_said = true;
    h2_drain(conn->h2, true);
    if (conn->state == CONN_H2_ENDING) {
        conn_restart_deadline(&worker->conns, conn);
    } else {
        conn_set_state(&worker->conns, conn, CONN_H2_ENDING);
    }
    worker_touch(worker, conn);
}

/* A client that keeps its windows shut for long does not want the answer. That of the connection
 * may be shut by other streams, while these get on. */
static void check_stream(void *context)
{
    struct stream *stream = context;
    const struct conn *conn = stream->conn;
    uint64_t now_ms = conn->worker->conns.now_ms;
    if (!owes(stream) || h2_window(conn->h2, stream->id) > 0) {
        stream->moved_ms = now_ms;
    } else if (h2_stream_window(conn->h2, stream->id) > 0 && conn->framed_ms > stream->moved_ms) {
        stream->moved_ms = conn->framed_ms;
    }
    if (now_ms - stream->moved_ms >= conn->worker->options->send_ms) {
        h2_reset(conn->h2, stream->id, H2_CANCEL);
    }
}

void serve_h2_check(struct worker *worker, struct conn *conn)
{
    uint64_t now_ms = worker->conns.now_ms;
    if (!serve_is_taken(worker, conn)) {
        serve_reset(worker, conn);
        return;
    }
    if (conn->head_ms != 0 && now_ms - conn->head_ms >= worker->options->header_ms) {
        serve_close(worker, conn);
        return;
    }
    if (!conn->sending) {
        h2_each(conn->h2, check_stream);
    }
    conn_restart_deadline(&worker->conns, conn);
    worker_touch(worker, conn);
}

bool serve_h2_step(struct worker *worker, struct conn *conn)
{
    end_closed(conn);
    receive(worker, conn);
    if (conn->broken || conn->eof) {
        serve_close(worker, conn);
        return false;
    }
    drain(worker, conn);
    if (conn->sending) {
        return false;
    }
    conn->refused = !collect(conn) || conn->refused;
    if (buffer_bytes(&conn->out) > 0 || serve_has_records(conn)) {
        serve_flush(worker, conn);
    } else if (conn->refused || h2_finished(conn->h2)) {
        serve_h2_end(conn);
        serve_linger(worker, conn);
        return true;
    }
    serve_h2_refill(worker, conn);
    update_state(worker, conn);
    return false;
}
