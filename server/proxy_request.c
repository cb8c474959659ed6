/* SPDX-License-Identifier: Apache-2.0 */
/* A request on its way to an upstream: its head, written anew, and its body as it comes.
 *
 * Octets of the body are asked from the client only as the upstream takes them. What went by a kept
 * connection that has not answered yet stays in memory, as far as it fits, to go by another one.
 */
#include "server/forward.h"
#include "server/proxy_int.h"
#include "server/request.h"
#include "server/script.h"
#include "server/serve_int.h"
#include "server/trailers.h"

/* Into memory of its own size: many may be on their way at a time. */
static bool put_head(struct relay *relay, const struct forward_options *options)
{
    struct buffer *head = &relay->worker->forwarded;
    bool fine = forward_request_head(&relay->stream->exchange, options, head) &&
                buffer_hold(&relay->link->out, buffer_span(head));
    buffer_consume(head, buffer_bytes(head));
    buffer_trim(head, LIM_BUFFER_KEPT_BYTES);
    return fine;
}

bool proxy_send_head(struct relay *relay)
{
    const struct exchange *ex = &relay->stream->exchange;
    uint64_t length;
    struct forward_options options = {
        .target = relay->target,
        .peer_trusted = script_set_trusts(relay->stream->epoch->snapshot->scripts, &ex->peer),
        .upgrade = forward_upgrade_wanted(ex),
        .expect_continue = relay->expecting,
    };
    relay->expect_end_ms = relay->worker->conns.now_ms + LIM_UPSTREAM_EXPECT_MS;
    if (ex->by_connect) {
        if (!websocket_make_key(relay->websocket_key)) {
            return false;
        }
        options.websocket_key = (struct span){relay->websocket_key, WEBSOCKET_KEY_BYTES};
    }
    relay->framing = forward_request_framing(ex, &length);
    relay->begun = true;
    return put_head(relay, &options);
}

/* Whether octets of the body are wanted now. */
static bool takes_body(struct relay *relay)
{
    const struct link *link = relay->link;
    relay->expecting = relay->expecting && serve_client_expects(relay->stream);
    return !relay->body_ended && !relay->expecting && !link->sending && !link->deaf &&
           buffer_bytes(&link->out) < LIM_LINK_BYTES;
}

/* Appends a part of the body, framed. False: out of memory. */
static bool put_body(struct relay *relay, struct span bytes)
{
    struct buffer *out = &relay->link->out;
    return relay->framing == H1_BODY_CHUNKED ? forward_chunk(out, bytes, SIZE_MAX / 2)
                                             : buffer_append(out, bytes, SIZE_MAX / 2);
}

/* A kept connection may turn out to be closed; then what was sent by it goes by another one. */
static bool put_new_body(struct relay *relay, struct span bytes)
{
    struct buffer *kept = &relay->stream->kept;
    bool keeps = relay->reused && !relay->heard && !relay->body_gone &&
                 buffer_append(kept, bytes, LIM_LINK_BYTES);
    if (!keeps) {
        relay->body_gone = true;
        buffer_release(kept);
    }
    return put_body(relay, bytes);
}

/* Sends again what an earlier attempt has sent. */
static bool put_kept_body(struct relay *relay)
{
    struct buffer *kept = &relay->stream->kept;
    bool fine = put_body(relay, buffer_span(kept));
    relay->body_gone = true;
    buffer_release(kept);
    return fine;
}

bool proxy_send_body(struct relay *relay)
{
    struct stream *stream = relay->stream;
    struct request_body *body = &stream->exchange.request_body;
    struct buffer *out = &relay->link->out;
    struct span bytes = buffer_span(&body->bytes);
    if (!takes_body(relay)) {
        stream_wait(&relay->worker->streams, stream, STREAM_ACTIVE); /* the client is not late */
        return true;
    }
    if (!relay->reused && buffer_bytes(&stream->kept) > 0 && !put_kept_body(relay)) {
        return false;
    }
    if (bytes.len > 0) {
        if (!put_new_body(relay, bytes)) {
            return false;
        }
        buffer_consume(&body->bytes, bytes.len);
    }
    if (body->complete) {
        relay->body_ended = true;
        stream_wait(&relay->worker->streams, stream, STREAM_ACTIVE);
        trailers_withhold(&stream->exchange);
        return relay->framing != H1_BODY_CHUNKED ||
               forward_chunk_end(out, &body->trailers, SIZE_MAX / 2);
    }
    body->gather_max = LIM_LINK_BYTES;
    stream->deadline_ms = relay->worker->conns.now_ms + relay->worker->options->body_ms;
    if (stream->wait != STREAM_AWAITING) {
        relay->awaiting_ms = relay->worker->conns.now_ms;
    }
    stream_wait(&relay->worker->streams, stream, STREAM_AWAITING);
    serve_want_body(relay->worker, stream);
    return true;
}

/* Time in which the upstream kept it waiting is not the client's fault. */
bool proxy_client_dribbles(struct stream *stream)
{
    struct relay *relay = stream->relay;
    uint64_t now_ms = relay->worker->conns.now_ms;
    if (stream->wait == STREAM_AWAITING) {
        relay->awaited_ms += now_ms - relay->awaiting_ms;
        relay->awaiting_ms = now_ms;
    }
    return request_body_is_late(relay->worker, stream, relay->awaited_ms);
}
