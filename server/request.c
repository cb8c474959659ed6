/* SPDX-License-Identifier: Apache-2.0 */
/* From a request's head to the decision who answers it. */
#include "server/request.h"

#include <assert.h>

#include "server/clock.h"
#include "server/forward.h"
#include "server/handshake.h"
#include "server/page.h"
#include "server/proxy.h"
#include "server/script.h"
#include "server/serve_int.h"
#include "server/tls.h"

struct stream *request_open(struct worker *worker, struct conn *conn)
{
    struct stream *stream = stream_open(&worker->streams, conn);
    if (stream == NULL) {
        return NULL;
    }
    stream->epoch = epoch_enter(worker->epoch);
    struct exchange *ex = &stream->exchange;
    /* The log alone wants to know it well. */
    stream->started_us = worker->access != NULL ? clock_us() : worker->conns.now_ms * 1000;
    worker->trim_ms = worker->trim_ms == 0 ? worker->conns.now_ms + LIM_TRIM_MS : worker->trim_ms;
    ex->id = worker->requests++ * worker->count + worker->index + 1;
    ex->is_tls = conn->tls != NULL;
    ex->scheme = ex->is_tls ? SPAN("https") : SPAN("http");
    ex->peer = conn->peer;
    if (ex->is_tls) {
        struct tls_info tls = tls_info(conn->tls);
        ex->connection = (struct connection_info){
            .handshake_complete = true, /* requests are read after it */
            .sni = tls.sni,
            .alpn = tls.alpn,
            .version = tls.version,
            .cipher = tls.cipher,
            .ja4 = tls.ja4,
        };
    }
    return stream;
}

void request_refer(struct stream *stream, struct span method, struct span target,
                   struct span authority)
{
    stream->method = stream->exchange.method = method;
    stream->target = target;
    stream->exchange.authority = authority;
    stream->head_only = span_equal(method, SPAN("HEAD"));
}

static struct span put(char **at, struct span text)
{
    struct span copy = {*at, text.len};
    *at = span_put(*at, text);
    return copy;
}

bool request_fill(struct stream *stream, struct span method, struct span target,
                  struct span authority, const struct field *fields, unsigned field_count)
{
    struct exchange *ex = &stream->exchange;
    char *at = pool_alloc(&ex->pool, method.len + target.len + authority.len);
    if (at == NULL) {
        return false;
    }
    struct span copy = put(&at, method);
    struct span target_copy = put(&at, target);
    request_refer(stream, copy, target_copy, put(&at, authority));
    return field_copy_all(ex, &ex->request_fields, fields, field_count);
}

void request_suspend(struct worker *worker, struct stream *stream)
{
    const struct request_body *body = &stream->exchange.request_body;
    if (script_chain_is_starved(&stream->exchange)) {
        stream_wait(&worker->streams, stream, STREAM_STARVED);
        return;
    }
    if (!body->awaited) {
        schedule_spent(worker);
    }
    if (!body->awaited || request_body_settled(body)) {
        stream_wait(&worker->streams, stream, STREAM_PENDING);
        return;
    }
    stream->deadline_ms = worker->conns.now_ms + worker->options->body_ms;
    stream_wait(&worker->streams, stream, STREAM_AWAITING);
    serve_want_body(worker, stream);
}

static void deliver(struct worker *worker, struct stream *stream, enum script_verdict verdict)
{
    if (verdict == SCRIPT_PENDING) {
        serve_suspended(worker, stream);
        request_suspend(worker, stream);
        return;
    }
    if (!page_start(worker, stream)) {
        response_error(&stream->exchange, 503);
    }
    serve_answer(worker, stream);
}

void request_answer(struct worker *worker, struct stream *stream)
{
    stream->delivering = true;
    deliver(worker, stream, script_hooks_start(&stream->exchange));
}

static void conclude(struct worker *worker, struct stream *stream, enum script_verdict verdict)
{
    static const enum access_decision decisions[] = {
        [SCRIPT_PASS] = ACCESS_PASS,       [SCRIPT_RESPONDED] = ACCESS_RESPONDED,
        [SCRIPT_ABORTED] = ACCESS_ABORTED, [SCRIPT_PROXY] = ACCESS_PROXIED,
        [SCRIPT_PENDING] = ACCESS_PASS,
    };
    stream->decision = stream->exchange.faulted ? ACCESS_FAULTED : decisions[verdict];
    switch (verdict) {
    case SCRIPT_PENDING:
        serve_suspended(worker, stream);
        request_suspend(worker, stream);
        return;
    case SCRIPT_ABORTED: serve_abort(worker, stream); return;
    case SCRIPT_PASS:
        static_answer(&stream->exchange, stream->epoch->snapshot->site, &worker->static_options,
                      stream->epoch->facts);
        stream_warm(stream);
        break;
    case SCRIPT_PROXY: proxy_start(worker, stream); return;
    case SCRIPT_RESPONDED: break;
    }
    request_answer(worker, stream);
}

/* The host of the request, without its port. */
static struct span host_of(const struct stream *stream)
{
    struct span host = stream->exchange.authority;
    const char *colon = host.len > 0 ? memrchr(host.base, ':', host.len) : NULL;
    if (colon != NULL && host.base[host.len - 1] != ']') {
        host.len = (size_t)(colon - host.base);
    }
    return host;
}

/* RFC 9110 15.5.20: the host that the client named in TLS chose the certificate, so a request for
 * another one is not for this connection; and the operator may have said which hosts are served. */
static bool is_misdirected(const struct worker *worker, const struct stream *stream)
{
    const struct options *options = worker->options;
    struct span name = stream->exchange.connection.sni;
    if (options->hostname_count == 0 && name.len == 0) {
        return false;
    }
    struct span host = host_of(stream);
    bool served = options->hostname_count == 0;
    for (unsigned i = 0; !served && i < options->hostname_count; i++) {
        served = span_equal_nocase(span_of(options->hostnames[i]), host);
    }
    return !served || (name.len > 0 && host.len > 0 && !span_equal_nocase(name, host));
}

static void start_scripts(struct worker *worker, struct stream *stream)
{
    conclude(worker, stream,
             script_chain_start(worker->host, stream->epoch->snapshot->scripts, &stream->exchange));
}

void request_start(struct worker *worker, struct stream *stream)
{
    if (!exchange_refer_target(&stream->exchange, stream->target)) {
        request_refuse(worker, stream, 400);
        return;
    }
    if (is_misdirected(worker, stream)) {
        request_refuse(worker, stream, 421);
        return;
    }
    if (stream->epoch->snapshot->tls_client != NULL && !forward_receive(&stream->exchange)) {
        request_refuse(worker, stream, 400);
        return;
    }
    if (schedule_may_start(worker)) {
        start_scripts(worker, stream);
    } else {
        serve_suspended(worker, stream);
        stream_wait(&worker->streams, stream, STREAM_NEW);
    }
}

void request_resume(struct worker *worker, struct stream *stream)
{
    if (stream->is_handshake) {
        handshake_resume(worker, stream);
        return;
    }
    enum stream_wait waited = stream->wait;
    stream_wait(&worker->streams, stream, STREAM_ACTIVE);
    if (waited == STREAM_NEW) {
        start_scripts(worker, stream);
        return;
    }
    enum script_verdict verdict = script_chain_resume(&stream->exchange);
    if (stream->delivering) {
        deliver(worker, stream, verdict);
        proxy_resume(stream); /* which waited for the scripts */
    } else {
        conclude(worker, stream, verdict);
    }
}

bool request_body_is_late(const struct worker *worker, const struct stream *stream, uint64_t ms)
{
    const struct options *options = worker->options;
    return ms > options->body_grace_ms &&
           stream->exchange.request_body.received < ms * options->body_rate / 1000;
}

/* Does the client send less than the slowest honest one? */
static bool dribbles(const struct worker *worker, const struct stream *stream)
{
    uint64_t started_ms = stream->started_us / 1000; /* may be after the turn's now_ms */
    uint64_t now_ms = worker->conns.now_ms;
    uint64_t elapsed_ms = now_ms > started_ms ? now_ms - started_ms : 0;
    return request_body_is_late(worker, stream, elapsed_ms);
}

void request_body_arrived(struct worker *worker, struct stream *stream)
{
    if (stream->relay != NULL) {
        if (proxy_client_dribbles(stream) && !stream->exchange.request_body.complete) {
            request_body_expired(worker, stream);
        } else {
            proxy_body_arrived(stream);
        }
        return;
    }
    if (stream->wait != STREAM_AWAITING || stream->answered) {
        return;
    }
    if (request_body_settled(&stream->exchange.request_body)) {
        stream_wait(&worker->streams, stream, STREAM_PENDING);
    } else if (dribbles(worker, stream)) {
        request_body_expired(worker, stream);
    } else {
        stream->deadline_ms = worker->conns.now_ms + worker->options->body_ms;
        stream_wait(&worker->streams, stream, STREAM_AWAITING);
    }
}

void request_body_expired(struct worker *worker, struct stream *stream)
{
    if (stream->answered) {
        stream_wait(&worker->streams, stream, STREAM_ACTIVE);
        serve_abort(worker, stream);
    } else {
        request_refuse(worker, stream, 408);
    }
}

void request_refuse(struct worker *worker, struct stream *stream, unsigned status)
{
    script_chain_cancel(&stream->exchange);
    proxy_cancel(stream);
    stream_wait(&worker->streams, stream, STREAM_ACTIVE);
    stream->conn->keep_alive = false;
    response_error(&stream->exchange, status);
    request_answer(worker, stream);
}

static struct span sent_field(const struct exchange *ex, struct span name)
{
    const struct field *field = field_find(&ex->request_fields, name);
    return field != NULL ? field->value : SPAN("");
}

/* What takes a search, for the formats that show it. */
static void add_details(const struct stream *stream, struct tls_info *tls,
                        struct access_entry *entry)
{
    const struct exchange *ex = &stream->exchange;
    entry->user_agent = sent_field(ex, SPAN("User-Agent"));
    entry->referer = sent_field(ex, SPAN("Referer"));
    if (stream->conn->tls != NULL) {
        *tls = tls_info(stream->conn->tls);
        entry->tls = tls;
    }
}

static void log_request(struct worker *worker, const struct stream *stream)
{
    if (worker->access == NULL || stream->is_handshake) {
        return;
    }
    const struct exchange *ex = &stream->exchange;
    struct tls_info tls;
    struct access_entry entry = {
        .peer = &stream->conn->peer,
        .method = stream->method,
        .target = stream->target,
        .major = ex->proto_major,
        .minor = ex->proto_minor,
        .status = ex->status,
        .body_bytes = stream->body_sent,
        .microseconds = clock_us() - stream->started_us,
        .id = ex->id,
        .host = ex->authority,
        .decision = stream->decision,
        .upstream = stream->upstream_name,
    };
    if (access_wants_details()) {
        add_details(stream, &tls, &entry);
    }
    access_add(worker->access, &entry);
}

void request_end(struct worker *worker, struct stream *stream)
{
    script_chain_cancel(&stream->exchange);
    proxy_cancel(stream);
    stream->closed = stream->reading;
    if (stream->closed) {
        return; /* serve_stream_read ends it */
    }
    log_request(worker, stream);
    struct epoch *epoch = stream->epoch;
    stream_close(&worker->streams, stream);
    epoch_leave(epoch);
}
