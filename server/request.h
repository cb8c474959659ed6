/* SPDX-License-Identifier: Apache-2.0 */
/* What every request goes through, whichever protocol brought it: scripts, then whatever answers.
 * The protocol's part, in serve_h1.c and serve_h2.c, is told by serve_answer and its neighbours. */
#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H

#include "server/stream.h"
#include "server/worker.h"

/* Opens a stream for a request of this connection that begins now. NULL: too many. */
struct stream *request_open(struct worker *worker, struct conn *conn);
/* Gives the exchange method, target and authority, as the client sent them. They live as long as
 * its pool does. */
void request_refer(struct stream *stream, struct span method, struct span target,
                   struct span authority);
/* The same of copies, and the fields. False: out of memory. */
bool request_fill(struct stream *stream, struct span method, struct span target,
                  struct span authority, const struct field *fields, unsigned field_count);
/* Runs the scripts on the filled exchange, and answers when none suspends itself. */
void request_start(struct worker *worker, struct stream *stream);
/* Pending scripts go on in a later turn, or once they have the body that they asked for. */
void request_suspend(struct worker *worker, struct stream *stream);
/* Lets scripts start or go on that had to wait. */
void request_resume(struct worker *worker, struct stream *stream);
/* The exchange has its response, whoever made it: runs what scripts left for it, then sends it. */
void request_answer(struct worker *worker, struct stream *stream);
/* More of the request's body was gathered, or its end came. */
void request_body_arrived(struct worker *worker, struct stream *stream);
/* Is what was received too little for so many milliseconds? */
bool request_body_is_late(const struct worker *worker, const struct stream *stream, uint64_t ms);
/* It did not come in time. */
void request_body_expired(struct worker *worker, struct stream *stream);
/* Answers `status`, whatever scripts were up to. */
void request_refuse(struct worker *worker, struct stream *stream, unsigned status);
/* The last byte of the answer is the connection's, or nobody waits for it any more: the request is
 * logged and the stream closed. */
void request_end(struct worker *worker, struct stream *stream);

#endif
