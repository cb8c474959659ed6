/* SPDX-License-Identifier: Apache-2.0 */
/* Octets in and out of a connection, whatever protocol it speaks, and what has to happen to it
 * when.
 *
 * At most one send is in flight, and `out` is not touched while it is. A file that lies in memory
 * is sent from there, behind `out`, and the next answer waits for it. With TLS, `out` becomes
 * records when it would be sent; these wait in tls_output until nothing is in flight and go out by
 * way of `wire`. What TLS has to say by itself goes the same way. What an upstream sends does not
 * wait for the ring: serve_send_now.
 */
#include <assert.h>
#include <errno.h>
#include <linux/tcp.h>
#include <sys/uio.h>

#include "server/h2.h"
#include "server/handshake.h"
#include "server/hot.h"
#include "server/page.h"
#include "server/proxy.h"
#include "server/proxy_protocol.h"
#include "server/request.h"
#include "server/script.h"
#include "server/serve_int.h"
#include "server/tls.h"

/* What can arrive after the order to stop: every buffer of the ring. */
#define IN_BYTES_MAX (LIM_PIPELINE_BYTES + LIM_RECV_BUFFERS * LIM_RECV_BUFFER_BYTES)

/* TLS keeps up to a record back, and wants room to write before it says how much it has. */
#define IN_PLAIN_BYTES_MAX (IN_BYTES_MAX + (32u << 10))

struct ring_tag serve_tag(const struct conn *conn, enum ring_op op)
{
    return (struct ring_tag){op, conn->generation, conn->slot};
}

/* ---- operations ---- */

bool serve_has_records(const struct conn *conn)
{
    return conn->tls != NULL && buffer_bytes(&conn->wire) + buffer_bytes(tls_output(conn->tls)) > 0;
}

/* What does not fit into one packet of TCP goes with the next send, after those of others: where
 * the kernel paces (BBR), the second packet of a send costs a timer, more than to encrypt it. */
static void start_send(struct worker *worker, struct conn *conn, const struct buffer *bytes)
{
    conn->sending = true;
    conn->sent_ms = worker->conns.now_ms;
    conn->inflight++;
    struct span buffered = buffer_span(bytes);
    struct span direct = conn->direct;
    struct span first = span_take(&buffered, LIM_SEND_BYTES);
    struct span second = span_take(&direct, LIM_SEND_BYTES - first.len);
    conn->bulky = first.len + second.len >= LIM_BULKY_BYTES;
    worker->turn_bytes += first.len + second.len;
    if (second.len > 0) {
        ring_send_both(worker->ring, conn->fd, first, second, serve_tag(conn, RING_SEND));
    } else {
        ring_send(worker->ring, conn->fd, first, serve_tag(conn, RING_SEND));
    }
}

/* So many bytes were sent of the buffer and then of what is behind it. */
static void drop_sent(struct buffer *buffer, struct span *behind, size_t count)
{
    size_t held = buffer_bytes(buffer);
    size_t of_buffer = count < held ? count : held;
    buffer_consume(buffer, of_buffer);
    buffer_trim(buffer, LIM_BUFFER_KEPT_BYTES);
    (void)span_take(behind, count - of_buffer);
}

/* So many of the bytes that start_send had were sent. */
static void consume_sent(struct conn *conn, size_t count)
{
    drop_sent(conn->tls != NULL ? &conn->wire : &conn->out, &conn->direct, count);
    if (conn->direct.len == 0) {
        hot_release(conn->direct_of);
        conn->direct_of = NULL;
    }
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
    start_send(worker, conn, &conn->wire);
}

bool serve_seal(struct worker *worker, struct conn *conn, struct span more)
{
    size_t bytes = buffer_bytes(&conn->out);
    tls_at(conn->tls, worker->conns.now_ms);
    if (!tls_send_both(conn->tls, buffer_span(&conn->out), more)) {
        return false;
    }
    buffer_consume(&conn->out, bytes);
    return true;
}

/* Sends what is in `before` and then `bytes`, as far as the socket takes it now. Returns what is
 * left of `bytes`. */
static struct span send_some(const struct conn *conn, struct buffer *before, struct span bytes)
{
    struct span held = buffer_span(before);
    struct iovec pieces[] = {{(char *)held.base, held.len}, {(char *)bytes.base, bytes.len}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    ssize_t result = sendmsg(conn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    /* What is wrong the next send finds, too. */
    drop_sent(before, &bytes, result > 0 ? (size_t)result : 0);
    return bytes;
}

bool serve_send_now(struct worker *worker, struct conn *conn, struct span bytes)
{
    worker->turn_bytes += bytes.len;
    conn->bulky = bytes.len >= LIM_BULKY_BYTES;
    if (conn->tls == NULL) {
        assert(!conn->sending && conn->direct.len == 0);
        struct span left = send_some(conn, &conn->out, bytes);
        return buffer_append(&conn->out, left, SIZE_MAX / 2);
    }
    bool sealed = serve_seal(worker, conn, bytes);
    if (sealed && !conn->sending && buffer_bytes(&conn->wire) == 0) {
        (void)send_some(conn, tls_output(conn->tls), (struct span){NULL, 0});
    }
    return sealed;
}

void serve_flush(struct worker *worker, struct conn *conn)
{
    assert(!conn->sending && !conn->reading);
    if (conn->tls != NULL) {
        if (serve_seal(worker, conn, (struct span){NULL, 0})) {
            send_records(worker, conn);
        } else {
            serve_close(worker, conn);
        }
        return;
    }
    assert(buffer_bytes(&conn->out) + conn->direct.len > 0);
    start_send(worker, conn, &conn->out);
}

/* While an answer is being sent what comes are further requests: few are enough. */
static bool wants_more(const struct conn *conn)
{
    size_t held = buffer_bytes(&conn->in);
    if (conn->eof || held < LIM_PIPELINE_BUSY_BYTES) {
        return !conn->eof;
    }
    bool relayed = conn->stream != NULL && conn->stream->relay != NULL;
    return held < LIM_PIPELINE_BYTES && (conn->state != CONN_SEND || relayed);
}

/* There is no room for what may come: receives no more. */
static void limit_receive(struct worker *worker, struct conn *conn)
{
    if (conn->receiving && !wants_more(conn) && !conn->cancelling) {
        conn->cancelling = true;
        conn->inflight++;
        ring_cancel(worker->ring, serve_tag(conn, RING_RECV), serve_tag(conn, RING_CANCEL));
    }
}

/* Receives while there is room for what may come, and only then. */
static void update_receive(struct worker *worker, struct conn *conn)
{
    if (conn->receiving) {
        limit_receive(worker, conn);
    } else if (wants_more(conn)) {
        conn->receiving = true;
        conn->inflight++;
        ring_recv(worker->ring, conn->fd, serve_tag(conn, RING_RECV));
    }
}

static void receive_records(struct worker *worker, struct conn *conn, struct span data)
{
    tls_at(conn->tls, worker->conns.now_ms);
    if (!tls_receive(conn->tls, data, &conn->in, IN_PLAIN_BYTES_MAX)) {
        conn->broken = true;
    } else if (tls_ended(conn->tls)) {
        conn->eof = true;
    }
    if (buffer_bytes(&conn->in) == 0) {
        buffer_release(&conn->in);
    }
}

void serve_judged(struct worker *worker, struct conn *conn)
{
    receive_records(worker, conn, SPAN(""));
    worker_touch(worker, conn);
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

void serve_linger(struct worker *worker, struct conn *conn)
{
    say_last_words(conn, true);
    shutdown(conn->fd, SHUT_WR);
    conn_set_state(&worker->conns, conn, CONN_LINGER);
    conn->linger_end_ms = worker->conns.now_ms + LIM_LINGER_ALL_MS;
    conn->refused = true;
    conn->body_bytes = 0;
    buffer_release(&conn->in);
    buffer_release(&conn->out);
    buffer_release(&conn->wire);
}

/* What a connection between requests can do without. */
static void give_memory_back(struct conn *conn)
{
    bool rests = buffer_bytes(&conn->in) + buffer_bytes(&conn->out) == 0 && !conn->sending;
    if (!rests) {
        return; /* something has just come, or is on its way: it will rest again */
    }
    buffer_release(&conn->in);
    buffer_release(&conn->out);
    if (conn->h2 != NULL) {
        h2_rest(conn->h2);
    }
    if (conn->tls != NULL && !serve_has_records(conn)) {
        buffer_release(&conn->wire);
        tls_idle(conn->tls);
    }
}

void serve_rest(struct worker *worker, struct conn *conn)
{
    bool idle = conn->state == CONN_IDLE || conn->state == CONN_H2_IDLE;
    bool long_idle = idle && conn->entered_ms < worker->cooled_ms; /* it only said something */
    if (!conn->warm && (long_idle || worker->warm >= LIM_WARM)) {
        give_memory_back(conn);
        return;
    }
    worker->warm += !conn->warm;
    conn->warm = true;
    if (worker->cool_ms == 0) {
        worker->cool_ms = worker->conns.now_ms + LIM_COOL_MS;
    }
}

void serve_cool(struct worker *worker, struct conn *conn)
{
    worker->warm--;
    conn->warm = false;
    give_memory_back(conn);
}

/* ---- before the first request ---- */

static void begin_tls(struct worker *worker, struct conn *conn)
{
    conn->tls = tls_open(worker->epoch->snapshot->tls);
    if (conn->tls == NULL) {
        serve_close(worker, conn);
        return;
    }
    if (script_set_sees_handshakes(worker->epoch->snapshot->scripts)) {
        tls_rest_at_hello(conn->tls);
    }
    conn->epoch = epoch_enter(worker->epoch);
    struct conn *oldest = conn_shake_hands(&worker->conns, conn);
    if (oldest != NULL) {
        serve_close(worker, oldest);
    }
}

void serve_begin(struct worker *worker, struct conn *conn, bool secure)
{
    const struct options *options = worker->options;
    conn->secure = secure;
    if (secure ? options->proxy_tls : options->proxy_plain) {
        conn_set_state(&worker->conns, conn, CONN_PROXY);
    } else if (secure) {
        begin_tls(worker, conn);
    }
}

static bool step_proxy(struct worker *worker, struct conn *conn)
{
    struct proxy_header header;
    enum proxy_result result = proxy_parse(buffer_span(&conn->in), &header);
    if (result == PROXY_BAD || (result == PROXY_MORE && conn->eof)) {
        serve_close(worker, conn);
        return false;
    }
    if (result == PROXY_MORE) {
        return false;
    }
    if (header.source.any.sa_family != AF_UNSPEC) {
        memcpy(&conn->peer, &header.source, sizeof(conn->peer));
    }
    buffer_consume(&conn->in, header.bytes);
    if (!conn->secure) {
        conn_set_state(&worker->conns, conn, CONN_IDLE);
        return true;
    }
    struct buffer records = conn->in;
    conn->in = (struct buffer){0};
    begin_tls(worker, conn);
    if (conn->tls != NULL && buffer_bytes(&records) > 0) {
        receive_records(worker, conn, buffer_span(&records));
    }
    buffer_release(&records);
    return conn->state == CONN_TLS && !conn->broken;
}

static bool step_tls(struct worker *worker, struct conn *conn)
{
    if (tls_rests(conn->tls) && conn->stream == NULL) {
        handshake_start(worker, conn);
    }
    if (tls_established(conn->tls) && tls_is_h2(conn->tls)) {
        serve_h2_begin(worker, conn);
        return true;
    }
    if (tls_established(conn->tls)) {
        conn_set_state(&worker->conns, conn, CONN_IDLE);
        return true;
    }
    if (conn->eof || conn->broken) {
        serve_close(worker, conn);
    }
    return false;
}

/* What still comes prolongs it, but not beyond its end. */
static bool step_linger(struct worker *worker, struct conn *conn)
{
    if (conn->eof || conn->body_bytes > LIM_BODY_DRAIN_BYTES) {
        serve_close(worker, conn);
    } else if (worker->conns.now_ms + worker->conns.ms[CONN_LINGER] <= conn->linger_end_ms) {
        conn_restart_deadline(&worker->conns, conn);
    }
    return false;
}

static bool step(struct worker *worker, struct conn *conn)
{
    switch (conn->state) {
    case CONN_PROXY: return step_proxy(worker, conn);
    case CONN_TLS: return step_tls(worker, conn);
    case CONN_IDLE: return serve_h1_idle(worker, conn);
    case CONN_HEAD: return serve_h1_head(worker, conn);
    case CONN_RUN: return serve_h1_run(worker, conn);
    case CONN_SEND: return serve_h1_send(worker, conn);
    case CONN_BODY: return serve_h1_body(worker, conn);
    case CONN_TUNNEL: return serve_h1_tunnel(worker, conn);
    case CONN_H2:
    case CONN_H2_IDLE:
    case CONN_H2_ENDING: return serve_h2_step(worker, conn);
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
        if (!conn->sending && !conn->reading && serve_has_records(conn)) {
            send_records(worker, conn);
        }
    } else if (conn->inflight == 0 && !conn->touched) {
        ring_close(worker->ring, conn->fd);
        struct epoch *epoch = conn->epoch;
        worker->warm -= conn->warm;
        conn_release(&worker->conns, conn);
        epoch_leave(epoch); /* after TLS, which uses its certificates */
    }
}

void serve_received(struct worker *worker, struct conn *conn, const struct ring_event *event)
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
        receive_records(worker, conn, event->data);
    } else if (!buffer_append(&conn->in, event->data, IN_BYTES_MAX)) {
        conn->broken = true;
    }
    limit_receive(worker, conn); /* the step may be turns away */
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
    consume_sent(conn, (size_t)result);
    if (conn->state == CONN_IDLE) {
        serve_rest(worker, conn);
    }
    if (conn->state == CONN_RUN && conn->stream->relay != NULL) {
        proxy_resume(conn->stream); /* an interim answer may have waited */
    }
}

void serve_read(struct worker *worker, struct conn *conn, int result)
{
    conn->reading = false;
    conn->inflight--;
    conn->bulky = result >= (int)LIM_BULKY_BYTES;
    serve_h1_read_done(worker, conn, result);
}

void serve_stream_read(struct worker *worker, struct stream *stream, int result)
{
    stream->reading = false;
    stream->conn->inflight--;
    if (stream->closed) {
        request_end(worker, stream);
    } else if (stream->page != NULL) {
        page_read_done(stream, result);
    } else {
        serve_h2_read_done(stream, result);
    }
}

void serve_cancelled(struct conn *conn)
{
    conn->cancelling = false;
    conn->inflight--;
}

/* A send of many bytes completes once; until then its progress shows in what the peer acknowledged.
 */
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

bool serve_is_taken(const struct worker *worker, struct conn *conn)
{
    uint64_t now_ms = worker->conns.now_ms;
    if (!conn->sending || peer_advanced(conn)) {
        conn->sent_ms = now_ms;
    }
    return now_ms - conn->sent_ms < worker->options->send_ms;
}

void serve_reset_on_close(const struct conn *conn)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

void serve_reset(struct worker *worker, struct conn *conn)
{
    serve_reset_on_close(conn);
    serve_close(worker, conn);
}

bool serve_is_over(const struct worker *worker, const struct conn *conn)
{
    return worker->draining || worker->conns.now_ms - conn->opened_ms >= worker->options->age_ms;
}

/* Waits for its step, with a request, or to be listened to: then it is us who are late. */
static bool is_unheard(const struct conn *conn)
{
    return conn->touched && (!conn->receiving || buffer_bytes(&conn->in) > 0);
}

/* Of HTTP/2 all that was received is heard first: a request is in time, a PING does not prolong. */
static void expire_h2_idle(struct worker *worker, struct conn *conn)
{
    uint64_t deadline_ms = conn->deadline_ms;
    if (is_unheard(conn)) {
        serve_step(worker, conn);
    }
    if (conn->state == CONN_H2_IDLE && conn->deadline_ms == deadline_ms) {
        serve_h2_ends(worker, conn);
    }
}

void serve_expire(struct worker *worker, struct conn *conn)
{
    switch (conn->state) {
    case CONN_IDLE:
        if (is_unheard(conn)) {
            conn_restart_deadline(&worker->conns, conn);
        } else {
            serve_close(worker, conn);
        }
        break;
    case CONN_H2_IDLE: expire_h2_idle(worker, conn); break;
    case CONN_HEAD: serve_h1_head_expired(worker, conn); break;
    case CONN_SEND:
        if (serve_is_taken(worker, conn)) {
            conn_restart_deadline(&worker->conns, conn);
        } else {
            serve_reset(worker, conn);
        }
        break;
    case CONN_H2: serve_h2_check(worker, conn); break;
    case CONN_H2_ENDING: serve_h2_ends(worker, conn); break;
    default: serve_close(worker, conn); break;
    }
}

void serve_close(struct worker *worker, struct conn *conn)
{
    if (conn->state == CONN_CLOSING) {
        return;
    }
    /* An answer that is cut off must not look complete. */
    say_last_words(conn, conn->state == CONN_IDLE && !conn->broken);
    if (conn->h2 != NULL) {
        serve_h2_end(conn);
    } else if (conn->stream != NULL) {
        request_end(worker, conn->stream);
        conn->stream = NULL;
    }
    conn_set_state(&worker->conns, conn, CONN_CLOSING);
    if (conn->inflight > 0) {
        conn->inflight++;
        ring_cancel_fd(worker->ring, conn->fd, serve_tag(conn, RING_CANCEL));
    }
    worker_touch(worker, conn);
}

/* GOAWAY, into the socket or the records that serve_close sends. */
static void say_goaway(struct worker *worker, struct conn *conn)
{
    h2_drain(conn->h2, true);
    if (!serve_h2_frame(conn)) {
        return;
    }
    if (conn->tls != NULL) {
        if (serve_seal(worker, conn, (struct span){NULL, 0})) {
            tls_close(conn->tls);
        }
        return;
    }
    struct span words = buffer_span(&conn->out);
    send(conn->fd, words.base, words.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void serve_make_way(struct worker *worker, struct conn *conn)
{
    if (conn->state == CONN_H2_IDLE && !conn->sending && !conn->broken) {
        say_goaway(worker, conn);
    }
    serve_close(worker, conn);
}
