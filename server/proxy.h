/* SPDX-License-Identifier: Apache-2.0 */
/* Has a request answered by an upstream: connects, sends the request as its body arrives, gives the
 * answer to the stream as fast as the client takes it, and decides what becomes of failures. */
#ifndef SERVER_PROXY_H
#define SERVER_PROXY_H

#include "server/link.h"
#include "server/stream.h"
#include "server/worker.h"

struct relay;

/* exchange.proxy says who is to answer. The answer, or the error instead, comes by serve_answer and
 * serve_more. */
void proxy_start(struct worker *worker, struct stream *stream);
/* More of the request's body was gathered, or its end came. */
void proxy_body_arrived(struct stream *stream);
/* Does the client send less of its body than the slowest honest one, while it is waited for? */
bool proxy_client_dribbles(struct stream *stream);
/* The stream has room again: octets of its chunk were taken, or the client's output is free. */
void proxy_resume(struct stream *stream);
/* More of the answer waits in the kernel and is being received: it will be here in a moment. */
bool proxy_more_waits(const struct stream *stream);
/* The client left, or the request is over. Fine when there is no relay. */
void proxy_cancel(struct stream *stream);
/* Names were looked up. */
void proxy_resolved(struct worker *worker);

/* After a 101: octets both ways, HTTP no more. What the client sent is moved from `in`. */
bool proxy_is_tunnel(const struct stream *stream);
void proxy_tunnel_up(struct stream *stream, struct buffer *in, bool eof);
/* Whether the upstream has ended its half and all of it was taken. */
bool proxy_tunnel_ended(const struct stream *stream);
/* And the other half is over, too, or nobody takes it. */
bool proxy_tunnel_finished(const struct stream *stream);

/* ---- for link.c ---- */

/* Something happened to the relay's link. May end the relay. */
void relay_event(struct worker *worker, struct relay *relay);
/* Something was sent to its link. True: that was all, so that nothing but the answer is to come. */
bool relay_awaits_answer(struct relay *relay);
void relay_expired(struct worker *worker, struct relay *relay);
struct epoch *relay_epoch(const struct relay *relay);

#endif
