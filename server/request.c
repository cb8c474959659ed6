/* SPDX-License-Identifier: Apache-2.0 */
/* From a request's head to the decision who answers it. */
#include "server/request.h"

#include <assert.h>
#include <time.h>

#include "server/script.h"
#include "server/serve_int.h"

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct stream *request_open(struct worker *worker, struct conn *conn)
{
    struct stream *stream = stream_open(&worker->streams, conn, worker->snapshot);
    if (stream == NULL) {
        return NULL;
    }
    struct exchange *ex = &stream->exchange;
    stream->started_us = now_us();
    ex->id = worker->requests++ * worker->count + worker->index + 1;
    ex->is_tls = conn->tls != NULL;
    ex->scheme = ex->is_tls ? SPAN("https") : SPAN("http");
    memcpy(&ex->peer, &conn->peer, sizeof(conn->peer));
    return stream;
}

bool request_fill(struct stream *stream, struct span method, struct span target,
                  struct span authority)
{
    struct exchange *ex = &stream->exchange;
    ex->method = pool_copy(&ex->pool, method);
    ex->authority = pool_copy(&ex->pool, authority);
    stream->target = pool_copy(&ex->pool, target);
    stream->head_only = span_equal(method, SPAN("HEAD"));
    if (ex->method.base == NULL || stream->target.base == NULL ||
        (ex->authority.base == NULL && authority.len > 0)) {
        return false;
    }
    stream->method = ex->method;
    return true;
}

static void conclude(struct worker *worker, struct stream *stream, enum script_verdict verdict)
{
    switch (verdict) {
    case SCRIPT_PENDING:
        stream_suspend(&worker->streams, stream);
        serve_suspended(worker, stream);
        return;
    case SCRIPT_ABORTED: serve_abort(worker, stream); return;
    case SCRIPT_PASS:
        static_answer(&stream->exchange, stream->snapshot->site, &worker->static_options);
        break;
    case SCRIPT_RESPONDED: break;
    }
    serve_answer(worker, stream);
}

void request_start(struct worker *worker, struct stream *stream)
{
    if (!exchange_set_target(&stream->exchange, stream->target)) {
        request_refuse(worker, stream, 400);
        return;
    }
    conclude(worker, stream,
             script_chain_start(worker->host, stream->snapshot->scripts, &stream->exchange));
}

void request_resume(struct worker *worker, struct stream *stream)
{
    stream_wake(&worker->streams, stream);
    conclude(worker, stream, script_chain_resume(&stream->exchange));
}

void request_refuse(struct worker *worker, struct stream *stream, unsigned status)
{
    stream->conn->keep_alive = false;
    response_error(&stream->exchange, status);
    serve_answer(worker, stream);
}

static void log_request(struct worker *worker, const struct stream *stream)
{
    if (worker->access == NULL) {
        return;
    }
    access_add(worker->access, &(struct access_entry){
                                   .peer = &stream->conn->peer.any,
                                   .method = stream->method,
                                   .target = stream->target,
                                   .minor = stream->exchange.proto_minor,
                                   .status = stream->exchange.status,
                                   .body_bytes = stream->body_sent,
                                   .microseconds = now_us() - stream->started_us,
                               });
}

void request_end(struct worker *worker, struct stream *stream)
{
    script_chain_cancel(&stream->exchange);
    log_request(worker, stream);
    stream_close(&worker->streams, stream);
}
