/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a script does but return is a refusal: it aborts, answers a request that is not there,
 * or faults. Without memory for the scripts nobody is admitted that they were to judge. */
#include "server/handshake.h"

#include "server/request.h"
#include "server/script.h"
#include "server/serve_int.h"
#include "server/tls.h"

static void judge(struct worker *worker, struct conn *conn, bool admitted)
{
    if (conn->stream != NULL) {
        request_end(worker, conn->stream);
        conn->stream = NULL;
    }
    tls_judge(conn->tls, admitted);
    serve_judged(worker, conn);
}

static void act_on(struct worker *worker, struct stream *stream, enum script_verdict verdict)
{
    if (verdict == SCRIPT_PENDING) {
        request_suspend(worker, stream);
    } else {
        judge(worker, stream->conn, verdict == SCRIPT_PASS);
    }
}

static void start_scripts(struct worker *worker, struct stream *stream)
{
    act_on(
        worker, stream,
        script_handshake_start(worker->host, stream->epoch->snapshot->scripts, &stream->exchange));
}

void handshake_start(struct worker *worker, struct conn *conn)
{
    struct stream *stream = request_open(worker, conn);
    conn->stream = stream;
    if (stream == NULL) {
        judge(worker, conn, false);
        return;
    }
    stream->is_handshake = true;
    stream->exchange.connection.handshake_complete = false;
    if (schedule_may_start(worker)) {
        start_scripts(worker, stream);
    } else {
        stream_wait(&worker->streams, stream, STREAM_NEW);
    }
}

void handshake_resume(struct worker *worker, struct stream *stream)
{
    enum stream_wait waited = stream->wait;
    stream_wait(&worker->streams, stream, STREAM_ACTIVE);
    if (waited == STREAM_NEW) {
        start_scripts(worker, stream);
    } else {
        act_on(worker, stream, script_chain_resume(&stream->exchange));
    }
}
