/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts look at TLS handshakes: while one rests at its ClientHello, they run on a stream that has
 * no request, and admit the client or refuse it. */
#ifndef SERVER_HANDSHAKE_H
#define SERVER_HANDSHAKE_H

#include "server/stream.h"
#include "server/worker.h"

/* conn->tls rests. When it is judged the handshake goes on, maybe at once; until then conn->stream
 * is what the scripts run on. */
void handshake_start(struct worker *worker, struct conn *conn);
/* Lets pending scripts go on. */
void handshake_resume(struct worker *worker, struct stream *stream);

#endif
