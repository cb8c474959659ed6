/* SPDX-License-Identifier: Apache-2.0 */
/* A relay after a change of protocol: octets go both ways, nobody looks at them. Each half ends by
 * itself; silence of both for LIM_TUNNEL_MS ends the tunnel.
 */
#include "server/forward.h"
#include "server/proxy_int.h"
#include "server/serve_int.h"

bool proxy_tunnel_begin(struct relay *relay, const struct h1_response *head)
{
    struct stream *stream = relay->stream;
    struct exchange *ex = &stream->exchange;
    if (!forward_upgrade_matches(ex, head)) {
        return false;
    }
    if (ex->by_connect) {
        if (!forward_connect(ex, head, relay->websocket_key)) {
            return false;
        }
        ex->body = (struct body){.kind = BODY_STREAMED, .live = true};
    } else if (serve_interim(relay->worker, stream, head)) {
        ex->status = 101;
    } else {
        return false;
    }
    relay->tunnel = true;
    relay->answered = true;
    link_within(relay->link, relay->worker->conns.now_ms, LIM_TUNNEL_MS);
    serve_tunnel(relay->worker, stream);
    return true;
}

bool proxy_is_tunnel(const struct stream *stream)
{
    return stream->relay != NULL && stream->relay->tunnel;
}

void proxy_tunnel_up(struct stream *stream, struct buffer *in, bool eof)
{
    struct relay *relay = stream->relay;
    struct link *link = relay->link;
    struct span bytes = buffer_span(in);
    if (!link->sending && bytes.len > 0 && buffer_bytes(&link->out) < LIM_LINK_BYTES) {
        if (!link->deaf && !buffer_append(&link->out, bytes, SIZE_MAX / 2)) {
            link->broken = true;
            link->reason = "out of memory";
        }
        buffer_consume(in, bytes.len);
        link_within(link, relay->worker->conns.now_ms, LIM_TUNNEL_MS);
    }
    relay->client_ended = eof && buffer_bytes(in) == 0;
    if (relay->client_ended) {
        link_shutdown(link);
    }
    link_flush(relay->worker, link);
}

bool proxy_tunnel_ended(const struct stream *stream)
{
    const struct link *link = stream->relay->link;
    return (link->eof || link->broken) &&
           link_input(link).len + buffer_bytes(&stream->chunk) == 0;
}

bool proxy_tunnel_finished(const struct stream *stream)
{
    const struct relay *relay = stream->relay;
    bool all_sent = relay->client_ended && !relay->link->sending;
    return proxy_tunnel_ended(stream) && (all_sent || relay->link->broken || relay->link->deaf);
}

/* The upstream's end is that of the answer, once it has what the client sent before. */
static void end_connect(struct relay *relay)
{
    struct stream *stream = relay->stream;
    const struct link *link = relay->link;
    bool all_sent = link->deaf || (!link->sending && buffer_bytes(&link->out) == 0);
    if (link->broken) {
        serve_abort(relay->worker, stream); /* RFC 8441 5: CANCEL is a reset */
    } else if (link->eof && link_input(link).len == 0 && all_sent && stream->source.live) {
        stream->source.live = false;
        serve_more(relay->worker, stream);
    }
}

void proxy_tunnel_step(struct relay *relay)
{
    struct link *link = relay->link;
    struct stream *stream = relay->stream;
    struct span bytes = link_input(link);
    if (bytes.len > 0 && proxy_has_room(stream)) {
        serve_more(relay->worker, stream);
        if (!buffer_append(&stream->chunk, bytes, SIZE_MAX / 2)) {
            proxy_attempt_failed(relay, "out of memory", 503);
            return;
        }
        link_consume(link, bytes.len);
        link_within(link, relay->worker->conns.now_ms, LIM_TUNNEL_MS);
    }
    serve_tunnel_up(stream);
    link_flush(relay->worker, link);
    if (stream->exchange.by_connect) {
        end_connect(relay);
    }
}
