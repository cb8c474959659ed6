/* SPDX-License-Identifier: Apache-2.0 */
/* What requests tell the connection they came by, and ask of it: passed on to the protocol that it
 * speaks. Of HTTP/1 a connection has one request in hand, so there its own fields tell the same. */
#include "server/forward.h"
#include "server/page.h"
#include "server/proxy.h"
#include "server/serve_int.h"

void serve_answer(struct worker *worker, struct stream *stream)
{
    stream->answered = true;
    if (stream->conn->h2 != NULL) {
        serve_h2_answer(worker, stream);
    } else {
        serve_h1_answer(worker, stream->conn);
    }
}

void serve_suspended(struct worker *worker, struct stream *stream)
{
    if (stream->conn->h2 == NULL) {
        serve_h1_suspended(worker, stream->conn);
    }
}

void serve_want_body(struct worker *worker, struct stream *stream)
{
    if (stream->conn->h2 != NULL) {
        serve_h2_want_body(worker, stream);
    } else {
        serve_h1_want_body(worker, stream->conn);
    }
}

bool serve_client_expects(const struct stream *stream)
{
    const struct conn *conn = stream->conn;
    return conn->h2 != NULL ? stream->expecting && stream->exchange.request_body.received == 0
                            : conn->expecting && buffer_bytes(&conn->in) == 0;
}

void serve_taken(struct stream *stream)
{
    proxy_resume(stream);
    page_resume(stream);
}

size_t serve_room(struct worker *worker, struct stream *stream, size_t waiting)
{
    return stream->conn->h2 != NULL ? serve_h2_room(worker, stream, waiting)
                                    : serve_h1_room(stream->conn);
}

bool serve_is_shut(const struct stream *stream)
{
    return stream->conn->h2 != NULL && serve_h2_window(stream) < LIM_LINK_FIRST_BYTES;
}

size_t serve_pass(struct worker *worker, struct stream *stream, struct span bytes)
{
    return stream->conn->h2 != NULL ? serve_h2_pass(worker, stream, bytes)
                                    : serve_h1_pass(worker, stream->conn, bytes);
}

void serve_more(struct worker *worker, struct stream *stream)
{
    if (stream->conn->h2 != NULL) {
        serve_h2_more(worker, stream);
    }
    worker_touch(worker, stream->conn);
}

void serve_broken(struct worker *worker, struct stream *stream)
{
    struct conn *conn = stream->conn;
    if (conn->h2 != NULL) {
        serve_h2_broken(worker, stream);
        return;
    }
    if (!conn->chunked && !body_has_length(&stream->exchange.body)) {
        serve_reset_on_close(conn); /* its end would be that of the answer */
    }
    conn->broken = true;
    worker_touch(worker, conn);
}

bool serve_interim(struct worker *worker, struct stream *stream, const struct h1_response *head)
{
    struct conn *conn = stream->conn;
    if (conn->h2 != NULL) {
        return serve_h2_interim(stream, head);
    }
    worker_touch(worker, conn);
    return stream->exchange.proto_minor == 0 ||
           forward_interim(head, &conn->out, LIM_UPSTREAM_HEAD_BYTES);
}

bool serve_takes_interim(const struct stream *stream)
{
    return stream->conn->h2 != NULL || !stream->conn->sending;
}

void serve_tunnel(struct worker *worker, struct stream *stream)
{
    if (stream->conn->h2 != NULL) {
        serve_h2_tunnel(worker, stream);
    } else {
        serve_h1_begin_tunnel(worker, stream->conn);
    }
}

void serve_tunnel_up(struct stream *stream)
{
    if (stream->conn->h2 != NULL) {
        serve_h2_tunnel_up(stream);
    }
}

void serve_abort(struct worker *worker, struct stream *stream)
{
    if (stream->conn->h2 != NULL) {
        serve_h2_abort(worker, stream);
    } else {
        serve_close(worker, stream->conn);
    }
}
