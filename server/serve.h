/* SPDX-License-Identifier: Apache-2.0 */
/* Serves HTTP/1 on a connection, plain or by TLS: parses requests, runs scripts, sends answers. One
 * function for each thing that may happen to a connection; those note what happened, serve_step
 * acts on it. */
#ifndef SERVER_SERVE_H
#define SERVER_SERVE_H

#include "server/worker.h"

/* A connection that was just opened, in IDLE; `secure`: it came by the listener for TLS. */
void serve_begin(struct worker *worker, struct conn *conn, bool secure);
/* Completions. The caller then steps the connection. */
void serve_received(struct worker *worker, struct conn *conn, const struct ring_event *event);
void serve_sent(struct worker *worker, struct conn *conn, int result);
void serve_read(struct worker *worker, struct conn *conn, int result);
/* Of a stream: into its chunk, or of its page. */
void serve_stream_read(struct worker *worker, struct stream *stream, int result);
void serve_cancelled(struct conn *conn);

/* Brings the connection as far as it gets without waiting. May free it. */
void serve_step(struct worker *worker, struct conn *conn);
/* Idle for a while: gives its memory back. */
void serve_cool(struct worker *worker, struct conn *conn);
/* The deadline passed. Leaves the state, or moves the deadline. */
void serve_expire(struct worker *worker, struct conn *conn);
/* Ends the connection in any state, as soon as nothing is in flight for it. */
void serve_close(struct worker *worker, struct conn *conn);
/* The same of one that is idle, for others need its place. One of HTTP/2 is told, if that does not
 * take waiting, so that its client repeats what it may just be asking elsewhere. */
void serve_make_way(struct worker *worker, struct conn *conn);

#endif
