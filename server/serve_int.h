/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that serve connections share: serve.c (octets in and out), serve_h1.c (the states
 * of a connection of HTTP/1), serve_h2.c and serve_h2_body.c (HTTP/2), request.c (what becomes of a
 * request), serve_told.c (what it tells its connection). */
#ifndef SERVER_SERVE_INT_H
#define SERVER_SERVE_INT_H

#include "server/h1_response.h"
#include "server/serve.h"
#include "server/stream.h"
#include "server/worker.h"

/* ---- octets: serve.c ---- */

struct ring_tag serve_tag(const struct conn *conn, enum ring_op op);
/* TLS has records that are not sent. */
bool serve_has_records(const struct conn *conn);
/* A handshake that rested was judged: goes on with it. */
void serve_judged(struct worker *worker, struct conn *conn);
/* Makes records of `out` and, from where it lies, of what follows. Only with TLS. False: out of
 * memory. */
bool serve_seal(struct worker *worker, struct conn *conn, struct span more);
/* Sends `out`, or the records. Nothing may be in flight. */
void serve_flush(struct worker *worker, struct conn *conn);
/* Sends `out` and what follows it without waiting, from where it lies or was sealed: what the socket
 * has no room for is kept. Plain connections may have nothing in flight. False: out of memory. */
bool serve_send_now(struct worker *worker, struct conn *conn, struct span bytes);
/* Between requests: keeps its memory for a while, as another often follows soon. */
void serve_rest(struct worker *worker, struct conn *conn);
/* Should the connection end after the answer in hand? */
bool serve_is_over(const struct worker *worker, const struct conn *conn);
/* Did the peer take anything of the send in hand for the time that it may rest? */
bool serve_is_taken(const struct worker *worker, struct conn *conn);
/* Closing will reset: the kernel drops what it still holds, and the client sees no proper end. */
void serve_reset_on_close(const struct conn *conn);
/* Ends the connection so. */
void serve_reset(struct worker *worker, struct conn *conn);
/* Our end is complete and sent: goes on to LINGER. */
void serve_linger(struct worker *worker, struct conn *conn);

/* ---- HTTP/1: serve_h1.c ---- */

/* One step of a connection in IDLE, HEAD, RUN and so on. True: the state changed and may be able to
 * go on. */
bool serve_h1_idle(struct worker *worker, struct conn *conn);
bool serve_h1_head(struct worker *worker, struct conn *conn);
bool serve_h1_run(struct worker *worker, struct conn *conn);
bool serve_h1_send(struct worker *worker, struct conn *conn);
bool serve_h1_body(struct worker *worker, struct conn *conn);
bool serve_h1_tunnel(struct worker *worker, struct conn *conn);
/* The read of a file's bytes into `out` ended. */
void serve_h1_read_done(struct worker *worker, struct conn *conn, int result);
/* A 101 switched protocols. */
void serve_h1_begin_tunnel(struct worker *worker, struct conn *conn);
/* The head of the request took too long. */
void serve_h1_head_expired(struct worker *worker, struct conn *conn);
void serve_h1_answer(struct worker *worker, struct conn *conn);
/* As serve_room, and serve_pass. */
size_t serve_h1_room(struct conn *conn);
size_t serve_h1_pass(struct worker *worker, struct conn *conn, struct span bytes);
void serve_h1_suspended(struct worker *worker, struct conn *conn);
void serve_h1_want_body(struct worker *worker, struct conn *conn);

/* ---- HTTP/2: serve_h2.c ---- */

/* The connection turns out to speak HTTP/2: from TLS or HEAD to H2. */
void serve_h2_begin(struct worker *worker, struct conn *conn);
/* Ends all its streams. */
void serve_h2_end(struct conn *conn);
/* Looks whether the client is getting on with what it has begun. */
void serve_h2_check(struct worker *worker, struct conn *conn);
/* It is time to end the connection, or to say the last word: goes on by itself. */
void serve_h2_ends(struct worker *worker, struct conn *conn);
/* As serve_h1_idle. */
bool serve_h2_step(struct worker *worker, struct conn *conn);
void serve_h2_answer(struct worker *worker, struct stream *stream);
void serve_h2_abort(struct worker *worker, struct stream *stream);
/* As serve_broken. */
void serve_h2_broken(struct worker *worker, struct stream *stream);
/* As serve_more. */
void serve_h2_more(struct worker *worker, struct stream *stream);
/* As serve_interim. */
bool serve_h2_interim(struct stream *stream, const struct h1_response *head);
/* As serve_tunnel, and serve_tunnel_up. */
void serve_h2_tunnel(struct worker *worker, struct stream *stream);
void serve_h2_tunnel_up(struct stream *stream);
void serve_h2_want_body(struct worker *worker, struct stream *stream);

/* Has h2_send fill `out` as far as it may be. Not while it is at work. False: it is broken. */
bool serve_h2_frame(struct conn *conn);

/* ---- HTTP/2: serve_h2_body.c ---- */

/* Octets that the client's windows let it be sent now. */
size_t serve_h2_window(const struct stream *stream);
/* Notes that the stream is about to hold so much for its chunk. False: the connection's streams
 * hold enough; this one is asked again for its octets when they hold less. */
bool serve_h2_hold(struct stream *stream, size_t bytes);
/* What it noted is held no more. */
void serve_h2_release_held(struct stream *stream);
/* Asks streams again that had to wait for that. False: none had, or there is no room yet. */
bool serve_h2_unpark(struct conn *conn);
/* Behind the body that is sent come trailers; scripts may have put another in its place. */
bool serve_h2_has_trailers(const struct stream *stream);
/* As h2_handler has them. */
size_t serve_h2_ready(void *context, size_t max, bool *end);
bool serve_h2_take(void *context, struct span head, struct buffer *out, size_t bytes);
/* As serve_pass. The stream may be closed by that; it then stays until the connection's step. */
size_t serve_h2_pass(struct worker *worker, struct stream *stream, struct span bytes);
/* What its relay was to receive does not come. */
void serve_h2_release_awaited(struct stream *stream);
/* As serve_room. */
size_t serve_h2_room(struct worker *worker, struct stream *stream, size_t waiting);
/* Output was sent: relays that waited for that receive again. */
void serve_h2_refill(struct worker *worker, struct conn *conn);
/* The read of a file's bytes into the stream's chunk ended. May end the stream. */
void serve_h2_read_done(struct stream *stream, int result);

/* ---- what request.c tells the protocol: serve_told.c ---- */

/* The exchange has its response. */
void serve_answer(struct worker *worker, struct stream *stream);
/* The answer will come: scripts wait for their next go, or an upstream has the request. */
void serve_suspended(struct worker *worker, struct stream *stream);
/* Octets of the request's body are wanted: gathers what is here, and has the rest sent. */
void serve_want_body(struct worker *worker, struct stream *stream);
/* The client waits for a 100 before it sends the body. */
bool serve_client_expects(const struct stream *stream);
/* Octets of the chunk were taken: whoever fills it goes on. */
void serve_taken(struct stream *stream);
/* How many octets of the answer's body to receive now, of which that many wait in the kernel (0:
 * none that we know of). With 0 the relay is asked to go on later, by proxy_resume. */
size_t serve_room(struct worker *worker, struct stream *stream, size_t waiting);
/* The client takes next to nothing of the answer's body now, and perhaps never will. */
bool serve_is_shut(const struct stream *stream);
/* Takes octets of the answer's body at once, from wherever they lie. Returns how many; the others
 * have to wait in the stream's chunk. */
size_t serve_pass(struct worker *worker, struct stream *stream, struct span bytes);
/* Octets were added to the chunk of an answered stream, or its end is known. */
void serve_more(struct worker *worker, struct stream *stream);
/* The answer cannot be completed, and must not look as if it was. */
void serve_broken(struct worker *worker, struct stream *stream);
/* Gives the client a 1xx head. Only if serve_takes_interim. False: out of memory. */
bool serve_interim(struct worker *worker, struct stream *stream, const struct h1_response *head);
/* The output may be added to now. */
bool serve_takes_interim(const struct stream *stream);
/* The answer was a 101: what follows is not HTTP. HTTP/1 has it already, HTTP/2 has a 200 to tell.
 */
void serve_tunnel(struct worker *worker, struct stream *stream);
/* The upstream may take more of what the client sent. HTTP/1 looks by itself, when it is touched.
 */
void serve_tunnel_up(struct stream *stream);
/* No answer. */
void serve_abort(struct worker *worker, struct stream *stream);

#endif
