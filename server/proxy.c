/* SPDX-License-Identifier: Apache-2.0 */
/* Relays: requests that upstreams answer.
 *
 * A relay lives in the pool of its exchange from the decision to the end of the answer. It tries
 * targets until one takes the request; what was sent once is repeated only if that cannot do harm.
 * Octets of the answer are received as the client has room for them; those that have to wait
 * collect in the stream's chunk.
 */
#include "server/proxy_int.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/forward.h"
#include "server/log.h"
#include "server/request.h"
#include "server/serve_int.h"
#include "server/trailers.h"

/* Silence of an upstream in the middle of something. */
static uint32_t io_ms(const struct worker *worker)
{
    return worker->options->proxy_ms / 2;
}

static void try_next(struct relay *relay);
static void relay_step(struct worker *worker, struct relay *relay);
static bool next_address(struct relay *relay);

/* ---- ends ---- */

static void end_lookup(struct relay *relay)
{
    if (relay->lookup == NULL) {
        return;
    }
    if (relay->resolving) {
        resolve_cancel(&relay->lookup->query);
        relay->resolving = false;
    }
    free(relay->lookup);
    relay->lookup = NULL;
}

static void leave_link(struct relay *relay, bool reusable)
{
    end_lookup(relay);
    if (relay->link != NULL) {
        link_keep(relay->worker, relay->link, reusable);
        relay->link = NULL;
    }
    if (relay->upstream != NULL) {
        upstream_end(relay->upstream);
        relay->upstream = NULL;
    }
}

void proxy_cancel(struct stream *stream)
{
    struct relay *relay = stream->relay;
    if (relay == NULL) {
        return;
    }
    leave_link(relay, false);
    stream->relay = NULL;
}

static void log_failure(const struct relay *relay, const char *reason)
{
    struct span name = relay->stream->upstream_name;
    log_line("upstream %.*s: %s (request %llu)", (int)name.len, name.base, reason,
             (unsigned long long)relay->stream->exchange.id);
}

/* No upstream answers: an error does. */
static void give_up(struct relay *relay, unsigned status)
{
    struct worker *worker = relay->worker;
    struct stream *stream = relay->stream;
    proxy_cancel(stream);
    stream_wait(&worker->streams, stream, STREAM_ACTIVE);
    buffer_release(&stream->chunk);
    response_error(&stream->exchange, status);
    request_answer(worker, stream);
}

/* The upstream had closed a kept connection, it seems, before it saw the request; its answer to
 * what was sent will tell. False: there is nothing to wait for. */
static bool wait_for_fate(struct relay *relay, const char *reason)
{
    struct link *link = relay->link;
    if (!relay->reused || relay->doubt != NULL || relay->heard || relay->body_gone ||
        link_fate(link) != LINK_DOUBTFUL) {
        return false;
    }
    relay->doubt = reason;
    link_within(link, relay->worker->conns.now_ms, LIM_UPSTREAM_DOUBT_MS);
    return true;
}

void proxy_attempt_failed(struct relay *relay, const char *reason, unsigned status)
{
    struct stream *stream = relay->stream;
    const struct proxy_request *request = stream->exchange.proxy;
    uint32_t all = (uint32_t)((1ull << request->target_count) - 1);
    bool stale = relay->reused && !relay->answered;
    struct upstream_attempt attempt = {
        .method = stream->exchange.method,
        .sent = relay->begun,
        .untaken = stale && link_fate(relay->link) == LINK_UNTAKEN,
        .answered = relay->heard,
        .body_gone = relay->body_gone,
        .retries = relay->retries,
        .targets_left = relay->tried != all,
    };
    if (next_address(relay) || (!upstream_may_retry(&attempt) && wait_for_fate(relay, reason))) {
        return;
    }
    if (!stale || !upstream_may_retry(&attempt)) {
        log_failure(relay, reason);
    }
    if (!stale && status != 503 && relay->upstream != NULL) {
        upstream_failed(relay->upstream, relay->worker->conns.now_ms);
    }
    leave_link(relay, false);
    if (relay->answered) {
        struct worker *worker = relay->worker;
        stream->relay = NULL;
        serve_broken(worker, stream);
    } else if (upstream_may_retry(&attempt)) {
        relay->retries += attempt.sent;
        if (attempt.sent && relay->target != NULL) {
            relay->tried &= ~(1u << (unsigned)(relay->target - request->targets));
        }
        try_next(relay);
    } else {
        give_up(relay, status);
    }
}

/* ---- finding somebody ---- */

static void begin(struct relay *relay)
{
    relay->begun = false;
    relay->body_ended = false;
    relay->doubt = NULL;
    relay->expecting = serve_client_expects(relay->stream);
    answer_start(&relay->answer, relay->stream->exchange.method);
}

static void connect_to(struct relay *relay, const union link_address *address)
{
    char host[LIM_UPSTREAM_KEY_BYTES];
    const struct upstream_url *target = relay->target;
    bool tls = target->scheme == UPSTREAM_HTTPS;
    snprintf(host, sizeof(host), "%.*s", (int)target->host.len, target->host.base);
    relay->link = link_connect(relay->worker, relay, relay->upstream, address, tls ? host : NULL);
    if (relay->link == NULL) {
        proxy_attempt_failed(relay, "no descriptors or memory for a connection", 503);
    }
}

static void connect_to_found(struct relay *relay)
{
    union link_address address;
    const struct lookup *lookup = relay->lookup;
    const union resolve_address *found = &lookup->query.addresses[lookup->address];
    memcpy(&address, found, sizeof(*found));
    if (lookup->address + 1 == lookup->query.count) {
        end_lookup(relay);
    }
    connect_to(relay, &address);
}

/* A name may have several addresses, and not all of them may work. */
static bool next_address(struct relay *relay)
{
    struct link *link = relay->link;
    struct lookup *lookup = relay->lookup;
    bool connecting = link != NULL && link->state == LINK_CONNECTING;
    if (!connecting || lookup == NULL) {
        return false;
    }
    link_close(relay->worker, link);
    relay->link = NULL;
    lookup->address++;
    connect_to_found(relay);
    return true;
}

static void connect_to_path(struct relay *relay)
{
    union link_address address = {.path.sun_family = AF_UNIX};
    memcpy(address.path.sun_path, relay->target->path.base, relay->target->path.len);
    connect_to(relay, &address);
}

static void name_found(struct relay *relay, enum resolve_status status)
{
    relay->resolving = status == RESOLVE_PENDING;
    switch (status) {
    case RESOLVE_PENDING: return;
    case RESOLVE_FOUND: connect_to_found(relay); return;
    case RESOLVE_FAILED: proxy_attempt_failed(relay, "no address for this name", 502); return;
    case RESOLVE_TIMED_OUT: proxy_attempt_failed(relay, "name look-up took too long", 504); return;
    }
}

static void look_up(struct relay *relay)
{
    struct worker *worker = relay->worker;
    const struct upstream_url *target = relay->target;
    relay->lookup = malloc(sizeof(*relay->lookup));
    if (relay->lookup == NULL) {
        proxy_attempt_failed(relay, "no memory to look the name up", 503);
        return;
    }
    relay->lookup->relay = relay;
    relay->lookup->address = 0;
    name_found(relay, resolve_ask(worker->resolve, &relay->lookup->query, target->host,
                                  target->port, worker->conns.now_ms));
}

/* When the connection turns out to be closed, the request just goes by another one. */
static bool is_harmless(const struct stream *stream)
{
    const struct request_body *body = &stream->exchange.request_body;
    return upstream_is_idempotent(stream->exchange.method) && body->complete && body->length == 0;
}

static void try_next(struct relay *relay)
{
    struct worker *worker = relay->worker;
    const struct proxy_request *request = relay->stream->exchange.proxy;
    uint64_t now = worker->conns.now_ms;
    unsigned index;
    relay->upstream = upstream_choose(worker->upstreams, request, relay->tried, now, &index);
    if (relay->upstream == NULL) {
        give_up(relay, 502);
        return;
    }
    relay->tried |= 1u << index;
    relay->target = &request->targets[index];
    relay->stream->upstream_name =
        relay->target->scheme == UPSTREAM_UNIX ? relay->target->path : relay->target->authority;
    begin(relay);
    /* The second attempt gets a connection of its own: the others may be as stale as the first. */
    relay->link = relay->retries == 0
                      ? link_take(worker, relay, relay->upstream, is_harmless(relay->stream))
                      : NULL;
    relay->reused = relay->link != NULL;
    if (relay->reused) {
        relay_step(worker, relay);
    } else if (relay->target->scheme == UPSTREAM_UNIX) {
        connect_to_path(relay);
    } else {
        look_up(relay);
    }
}

void proxy_resolved(struct worker *worker)
{
    struct resolve_query *query;
    while ((query = resolve_next(worker->resolve, worker->conns.now_ms)) != NULL) {
        const struct lookup *lookup =
            (struct lookup *)((char *)query - offsetof(struct lookup, query));
        struct relay *relay = lookup->relay;
        worker_touch(worker, relay->stream->conn);
        name_found(relay, query->status);
    }
}

void proxy_start(struct worker *worker, struct stream *stream)
{
    struct relay *relay = pool_alloc(&stream->exchange.pool, sizeof(*relay));
    if (relay == NULL) {
        request_refuse(worker, stream, 503);
        return;
    }
    *relay = (struct relay){.worker = worker, .stream = stream};
    stream->relay = relay;
    serve_suspended(worker, stream);
    try_next(relay);
}

/* ---- the answer on its way back ---- */

/* Nothing is left for the relay to do. */
static void end_relay(struct relay *relay)
{
    struct stream *stream = relay->stream;
    bool reusable = relay->answer.reusable && relay->body_ended;
    if (relay->link != NULL) {
        relay->link->suspect = !relay->answer.had_content; /* to HEAD, some send a body */
    }
    leave_link(relay, reusable);
    stream->source.live = false;
    stream->exchange.body.live = false;
    stream->relay = NULL;
}

static bool take_head(struct relay *relay, const struct h1_response *head)
{
    struct exchange *ex = &relay->stream->exchange;
    if (!forward_response(ex, head)) {
        return false;
    }
    ex->body = (struct body){.kind = BODY_STREAMED,
                             .live = true,
                             .has_length = head->has_length,
                             .length = head->content_length};
    return true;
}

/* A 100 is about our own request; whether the client wants one is another matter. */
static bool take_interim(struct relay *relay, const struct h1_response *head)
{
    if (head->status == 100) {
        relay->expecting = false;
        return proxy_send_body(relay);
    }
    return serve_interim(relay->worker, relay->stream, head);
}

/* What the client has room for goes to it from where it lies, what is left waits in the chunk. Is
 * it the last, the client learns that with it, unless its request is still coming. */
static bool take_content(struct relay *relay, struct span content)
{
    struct stream *stream = relay->stream;
    if (answer_is_complete(&relay->answer) && stream->exchange.request_body.complete) {
        stream->source.live = false;
    }
    size_t taken = serve_pass(relay->worker, stream, content);
    struct span left = {content.base + taken, content.len - taken};
    if (buffer_bytes(&stream->chunk) == 0 && serve_is_shut(stream)) {
        return buffer_hold(&stream->chunk, left);
    }
    return buffer_append(&stream->chunk, left, SIZE_MAX / 2);
}

/* Keeps what has just come of the trailers, until they are complete. */
static bool take_trailers(struct relay *relay, bool complete)
{
    struct exchange *ex = &relay->stream->exchange;
    struct buffer *section = &relay->stream->trailer_section;
    if (!complete && relay->answer.body.framed.trailers.len == 0) {
        return true;
    }
    if (!buffer_append(section, relay->answer.body.framed.trailers, SIZE_MAX / 2)) {
        return false;
    }
    return !complete || trailers_add_section(ex, &ex->response_trailers, buffer_span(section));
}

/* The answer ends before its time. What the client was not told yet it need not know. */
static bool spoil(struct relay *relay, const char *reason, bool *head_came)
{
    *head_came = false;
    proxy_attempt_failed(relay, reason, 502);
    return false;
}

/* Reads one event of the answer. True: there may be another. */
static bool read_event(struct relay *relay, bool *head_came)
{
    struct link *link = relay->link;
    struct h1_response *head = &relay->worker->response;
    size_t consumed;
    struct span content;
    bool eof = link->eof && !link->broken; /* of what is cut off nobody knows if it was all */
    enum answer_event event =
        answer_next(&relay->answer, link_input(link), eof, head, &consumed, &content);
    bool fine = true;
    if (!relay->heard && link_input(link).len > 0) {
        relay->heard = true;
        buffer_release(&relay->stream->kept);
    }
    switch (event) {
    case ANSWER_MORE: break;
    case ANSWER_INTERIM: fine = take_interim(relay, head); break;
    case ANSWER_SWITCH: fine = proxy_tunnel_begin(relay, head); break;
    case ANSWER_HEAD:
        fine = take_head(relay, head);
        *head_came = fine;
        break;
    case ANSWER_CONTENT: fine = take_content(relay, content); break;
    case ANSWER_DONE:
    case ANSWER_BAD: break;
    }
    fine = fine && take_trailers(relay, event == ANSWER_DONE);
    link_consume(link, consumed);
    if (event == ANSWER_BAD || !fine) {
        return spoil(relay, fine ? relay->answer.reason : "the answer is not usable", head_came);
    }
    if (event == ANSWER_MORE && link->broken) {
        return spoil(relay, link->reason, head_came);
    }
    if (event == ANSWER_DONE) {
        end_relay(relay);
    }
    return event == ANSWER_INTERIM || event == ANSWER_HEAD || event == ANSWER_CONTENT;
}

/* All of the answer came before it was begun. */
static void know_length(struct stream *stream)
{
    struct exchange *ex = &stream->exchange;
    if (!ex->body.has_length && !stream->head_only && ex->response_trailers.count == 0) {
        ex->body.has_length = true;
        ex->body.length = buffer_bytes(&stream->chunk);
        ex->announced_trailers = SPAN("");
    }
}

/* The head of the answer is with scripts, which may take a while. */
static bool is_paused(const struct stream *stream)
{
    return stream->delivering && !stream->answered;
}

/* Reads what is here of the answer's body, as far as the client has room for it. The relay may be
 * over then. */
static void read_body(struct relay *relay)
{
    struct worker *worker = relay->worker;
    struct stream *stream = relay->stream;
    bool head_came = false;
    size_t held = buffer_bytes(&stream->chunk);
    while (proxy_has_room(stream) && read_event(relay, &head_came)) {
    }
    if (stream->relay == NULL || buffer_bytes(&stream->chunk) != held) {
        serve_more(worker, stream);
    }
}

/* Reads what is here of the answer, then begins it: if all is here, its length is known. A long one
 * begins with its head, so that the body can be passed on as it lies. */
static void begin_answer(struct relay *relay)
{
    struct stream *stream = relay->stream;
    const struct link *link = relay->link;
    bool head_came = false;
    bool more = link_input(link).len > 0 || link->eof || link->broken;
    while (more && proxy_has_room(stream) &&
           !(head_came && answer_left(&relay->answer) >= LIM_DIRECT_BYTES)) {
        more = read_event(relay, &head_came);
    }
    if (!head_came) {
        return;
    }
    if (stream->relay != NULL) {
        relay->answered = true;
    } else {
        know_length(stream);
    }
    request_answer(relay->worker, stream);
    if (more && stream->relay == relay && !is_paused(stream)) {
        read_body(relay);
    }
}

void proxy_body_arrived(struct stream *stream)
{
    struct relay *relay = stream->relay;
    if (relay->link != NULL && relay->link->state == LINK_USED) {
        relay_step(relay->worker, relay);
    }
}

void proxy_resume(struct stream *stream)
{
    struct relay *relay = stream->relay;
    if (relay != NULL && relay->link != NULL && proxy_has_room(stream)) {
        relay_step(relay->worker, relay);
    }
}

bool proxy_more_waits(const struct stream *stream)
{
    const struct relay *relay = stream->relay;
    const struct link *link = relay != NULL ? relay->link : NULL;
    return link != NULL && link->receiving && link->more_waits && !link->local;
}

/* ---- steps ---- */

static void set_deadline(struct relay *relay)
{
    struct link *link = relay->link;
    uint64_t now = relay->worker->conns.now_ms;
    if (relay->tunnel) {
        return;
    }
    if (!relay->answered && relay->expecting) {
        link->deadline_ms = relay->expect_end_ms;
    } else if (!relay->answered && (relay->body_ended || link->deaf) && !link->sending) {
        if (link->answer_due_ms == 0) {
            link->answer_due_ms = now + relay->worker->options->proxy_ms;
        }
        link->deadline_ms = link->answer_due_ms;
    } else {
        link_within(link, now, io_ms(relay->worker));
    }
}

static void exchange_octets(struct relay *relay)
{
    struct worker *worker = relay->worker;
    struct link *link = relay->link;
    struct stream *stream = relay->stream;
    end_lookup(relay); /* it is connected */
    if ((!relay->begun && !proxy_send_head(relay)) || !proxy_send_body(relay)) {
        proxy_attempt_failed(relay, "the request cannot be sent", 503);
        return;
    }
    link_flush(worker, link);
    set_deadline(relay);
    if (relay->answered) {
        read_body(relay);
    } else if (serve_takes_interim(stream)) {
        begin_answer(relay);
    }
    if (stream->relay != relay || relay->link != link) {
        return;
    }
    if (relay->tunnel) {
        proxy_tunnel_step(relay);
    } else {
        link_flush(worker, link); /* the body, after a 100 */
    }
}

/* How much to receive now: what the client has room for, and little while that is not known. */
static size_t wanted(struct relay *relay)
{
    const struct link *link = relay->link;
    struct stream *stream = relay->stream;
    uint64_t left = answer_left(&relay->answer); /* 0: that is not known */
    size_t most = left > 0 && left < LIM_LINK_BUFFER_BYTES ? (size_t)left : LIM_LINK_BUFFER_BYTES;
    size_t waiting = link->more_waits ? most : 0;
    if (link->receiving || is_paused(stream) || link_input(link).len >= LIM_LINK_BYTES) {
        return 0;
    }
    if (relay->tunnel) {
        return proxy_has_room(stream) ? LIM_LINK_BUFFER_BYTES : 0;
    }
    if (relay->answered) {
        return link_input(link).len == 0 ? serve_room(relay->worker, stream, waiting) : 0;
    }
    if (serve_is_shut(stream)) {
        return LIM_LINK_SHUT_BYTES;
    }
    return waiting > 0 ? waiting : LIM_LINK_FIRST_BYTES;
}

static void relay_step(struct worker *worker, struct relay *relay)
{
    struct link *link = relay->link;
    struct stream *stream = relay->stream;
    if (is_paused(stream) || relay->doubt != NULL) {
        link_receive(worker, link, wanted(relay));
        return;
    }
    if (link->broken && link->state == LINK_CONNECTING) { /* later, what came before counts */
        proxy_attempt_failed(relay, link->reason, 502);
        return;
    }
    if (link->state == LINK_CONNECTING) {
        link_flush(worker, link); /* the handshake */
        link_receive(worker, link, wanted(relay));
        return;
    }
    if (relay->tunnel) {
        proxy_tunnel_step(relay);
    } else {
        exchange_octets(relay);
    }
    if (stream->relay == relay && relay->link == link) {
        link_receive(worker, link, wanted(relay));
    }
}

bool relay_awaits_answer(struct relay *relay)
{
    const struct link *link = relay->link;
    bool sent = relay->body_ended && !relay->tunnel && relay->doubt == NULL && !link->deaf &&
                link->state == LINK_USED && link->tls == NULL && buffer_bytes(&link->out) == 0;
    if (sent) {
        set_deadline(relay);
    }
    return sent;
}

void relay_event(struct worker *worker, struct relay *relay)
{
    worker_touch(worker, relay->stream->conn);
    relay_step(worker, relay);
}

void relay_expired(struct worker *worker, struct relay *relay)
{
    struct link *link = relay->link;
    const struct stream *stream = relay->stream;
    bool connecting = link->state == LINK_CONNECTING;
    if (relay->doubt != NULL) {
        worker_touch(worker, stream->conn);
        proxy_attempt_failed(relay, relay->doubt, 502);
        return;
    }
    if (!connecting && relay->expecting && !relay->answered) {
        if (serve_takes_interim(stream)) {
            relay->expecting = false; /* it does not know of Expect */
            relay_event(worker, relay);
        }
        return;
    }
    /* A client that takes or sends nothing has deadlines of its own. */
    bool ours = !connecting && !relay->tunnel &&
                (!link->receiving || is_paused(stream) || stream->wait == STREAM_AWAITING) &&
                !link->sending;
    if (ours) {
        link_within(link, worker->conns.now_ms, io_ms(worker));
        return;
    }
    worker_touch(worker, stream->conn);
    proxy_attempt_failed(relay, connecting ? "connecting took too long" : "it says nothing", 504);
}

struct epoch *relay_epoch(const struct relay *relay)
{
    return relay->stream->epoch;
}
