/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a worker: the ring's events to connections, deadlines, the end. */
#include "server/worker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/log.h"
#include "server/proxy.h"
#include "server/request.h"
#include "server/resolve.h"
#include "server/script.h"
#include "server/serve.h"

enum { ERROR_BYTES = 512, THREAD_NAME_BYTES = 16 };

void worker_look_at_clock(struct worker *worker)
{
    struct timespec now;
    worker->dated_ms = worker->conns.now_ms;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (worker->date_second != now.tv_sec) {
        date_format(now.tv_sec, worker->date);
        worker->date_second = now.tv_sec;
    }
}

void worker_touch(struct worker *worker, struct conn *conn)
{
    struct touched_list *list = conn->bulky ? &worker->bulky : &worker->touched;
    if (conn->touched) {
        return;
    }
    conn->touched = true;
    conn->touched_next = NULL;
    if (list->first == NULL) {
        list->first = conn;
    } else {
        list->last->touched_next = conn;
    }
    list->last = conn;
}

static void step_first(struct worker *worker, struct touched_list *list)
{
    struct conn *conn = list->first;
    list->first = conn->touched_next;
    conn->touched = false;
    serve_step(worker, conn);
}

/* Those that send much come last, but one of them gets on in any case. */
static void step_touched(struct worker *worker)
{
    worker->turn_bytes = 0;
    while (worker->touched.first != NULL && worker->turn_bytes < LIM_TURN_BYTES) {
        step_first(worker, &worker->touched);
    }
    bool first = true;
    while (worker->bulky.first != NULL && (first || worker->turn_bytes < LIM_TURN_BYTES)) {
        step_first(worker, &worker->bulky);
        first = false;
    }
}

/* ---- the end ---- */

static void close_all(struct worker *worker, enum conn_state state)
{
    struct conn *next;
    for (struct conn *conn = worker->conns.lists[state].first; conn != NULL; conn = next) {
        next = conn->next;
        serve_close(worker, conn);
    }
}

static void touch_all(struct worker *worker, enum conn_state state)
{
    for (struct conn *conn = worker->conns.lists[state].first; conn != NULL; conn = conn->next) {
        worker_touch(worker, conn);
    }
}

/* Accepts no more; requests that have begun are finished. */
static void start_drain(struct worker *worker)
{
    worker->draining = true;
    worker->drain_end_ms = worker->conns.now_ms + worker->options->drain_ms;
    accept_stop(worker);
    close_all(worker, CONN_PROXY);
    close_all(worker, CONN_TLS);
    close_all(worker, CONN_IDLE);
    touch_all(worker, CONN_H2_IDLE);
    touch_all(worker, CONN_H2);
    link_close_idle(worker);
}

/* Draining took too long. What is in flight comes back soon after closing; if not, the process ends
 * without it. */
static void give_up(struct worker *worker)
{
    worker->abandoned = worker->given_up;
    worker->given_up = true;
    worker->drain_end_ms = worker->conns.now_ms + LIM_LINGER_MS;
    for (unsigned state = 0; state < CONN_CLOSING; state++) {
        close_all(worker, (enum conn_state)state);
    }
}

static bool is_done(const struct worker *worker)
{
    return worker->abandoned || (worker->draining && accept_has_ended(worker) &&
                                 worker->conns.live == 0 && worker->links.live == 0);
}

/* ---- what the creator wants ---- */

static void await_wake(struct worker *worker)
{
    ring_read(worker->ring, worker->wake_fd, &worker->wake_value, sizeof(worker->wake_value), 0,
              (struct ring_tag){.op = RING_WAKE});
}

/* From now on new requests are served from `snapshot`. */
static void adopt(struct worker *worker, struct snapshot *snapshot)
{
    struct epoch *epoch = epoch_begin(snapshot, worker->host);
    if (epoch == NULL) {
        log_line("worker %u keeps the old site: out of memory", worker->index);
        return;
    }
    epoch_leave(worker->epoch);
    worker->epoch = epoch;
}

static void await_resolved(struct worker *worker)
{
    ring_read(worker->ring, worker->resolved_fd, &worker->resolved_value,
              sizeof(worker->resolved_value), 0, (struct ring_tag){.op = RING_RESOLVED});
}

static void woken(struct worker *worker)
{
    struct snapshot *next = atomic_exchange(&worker->next, NULL);
    if (next != NULL) {
        adopt(worker, next);
        snapshot_release(next);
    }
    if (atomic_load(&worker->stopping)) {
        start_drain(worker);
    } else {
        await_wake(worker);
    }
}

/* ---- the loop ---- */

/* An operation of a connection ended; it may be gone since. */
static void dispatch_conn(struct worker *worker, const struct ring_event *event)
{
    struct conn *conn = conn_find(&worker->conns, event->tag.slot, event->tag.generation);
    if (conn == NULL) {
        return;
    }
    switch (event->tag.op) {
    case RING_RECV:
        pace_note(&worker->pace, PACE_CLIENTS, event->tag.slot);
        serve_received(worker, conn, event);
        break;
    case RING_SEND: serve_sent(worker, conn, event->result); break;
    case RING_READ: serve_read(worker, conn, event->result); break;
    default:
        assert(event->tag.op == RING_CANCEL);
        serve_cancelled(conn);
        break;
    }
    worker_touch(worker, conn);
}

static void dispatch_stream(struct worker *worker, const struct ring_event *event)
{
    struct stream *stream = stream_at(&worker->streams, event->tag.slot);
    worker_touch(worker, stream->conn);
    serve_stream_read(worker, stream, event->result);
}

static void dispatch(struct worker *worker, const struct ring_event *event)
{
    switch (event->tag.op) {
    case RING_NONE: break;
    case RING_ACCEPT: accept_event(worker, event); break;
    case RING_RECV:
    case RING_SEND:
    case RING_READ:
    case RING_CANCEL: dispatch_conn(worker, event); break;
    case RING_STREAM_READ: dispatch_stream(worker, event); break;
    case RING_LINK_RECV:
    case RING_LINK_RECV_MANY:
        pace_note(&worker->pace, PACE_UPSTREAMS, event->tag.slot);
        link_event(worker, event);
        break;
    case RING_LINK_CONNECT:
    case RING_LINK_SEND:
    case RING_LINK_CANCEL: link_event(worker, event); break;
    case RING_RESOLVED:
        await_resolved(worker);
        proxy_resolved(worker);
        break;
    case RING_WAKE: woken(worker); break;
    }
}

/* Of two waits, of which -1 means for ever. */
static int64_t least(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int64_t until(uint64_t time_ms, uint64_t now_ms)
{
    return time_ms > now_ms ? (int64_t)(time_ms - now_ms) : 0;
}

/* -1: no limit. */
static int64_t wait_ms(const struct worker *worker)
{
    if (worker->touched.first != NULL || worker->bulky.first != NULL) {
        return 0;
    }
    const struct stream *awaiting = worker->streams.waiting[STREAM_AWAITING].first;
    uint64_t now = worker->conns.now_ms;
    int64_t wait = conn_wait_ms(&worker->conns);
    wait = least(wait, accept_wait_ms(worker));
    wait = least(wait, schedule_wait_ms(worker));
    wait = least(wait, link_wait_ms(worker));
    wait = least(wait, resolve_wait_ms(worker->resolve, now));
    if (worker->cool_ms != 0) {
        wait = least(wait, until(worker->cool_ms, now));
    }
    if (worker->trim_ms != 0) {
        wait = least(wait, until(worker->trim_ms, now));
    }
    if (awaiting != NULL) {
        wait = least(wait, until(awaiting->deadline_ms, now));
    }
    if (worker->draining) {
        wait = least(wait, until(worker->drain_end_ms, now));
    }
    return wait;
}

/* Cools connections that have been idle for a while. Those that became so last stand last in their
 * list, so only the warm ones are looked at. */
static void cool_list(struct worker *worker, enum conn_state state, uint64_t until_ms)
{
    struct conn *conn = worker->conns.lists[state].last;
    for (; conn != NULL && conn->entered_ms >= worker->cooled_ms; conn = conn->previous) {
        if (conn->warm && conn->entered_ms <= until_ms) {
            serve_cool(worker, conn);
        } else if (conn->warm) {
            worker->cool_ms = worker->conns.now_ms + LIM_COOL_MS;
        }
    }
}

static void cool(struct worker *worker)
{
    uint64_t until_ms = worker->conns.now_ms - LIM_COOL_MS;
    worker->cool_ms = 0;
    cool_list(worker, CONN_IDLE, until_ms);
    cool_list(worker, CONN_H2_IDLE, until_ms);
    worker->cooled_ms = until_ms;
}

/* The allocator keeps what a burst of requests needed; when none is in hand, it is too much. */
static void trim(struct worker *worker)
{
    bool busy = worker->streams.live > 0;
    worker->trim_ms = busy ? worker->conns.now_ms + LIM_TRIM_MS : 0;
    if (!busy) {
        stream_table_shrink(&worker->streams);
        malloc_trim(0);
    }
}

/* Whether this turn comes late after one at `before_ms`, which wanted to wait so long: then clients
 * whose time is up may have spoken in time. The next turn has heard them, and is not late again. */
static bool is_late(const struct worker *worker, uint64_t before_ms, int64_t wait)
{
    return !worker->late && wait >= 0 &&
           worker->conns.now_ms - before_ms > (uint64_t)wait + LIM_LATE_MS;
}

static void expire(struct worker *worker)
{
    struct conn *conn;
    uint64_t now = worker->conns.now_ms;
    unsigned left = worker->late ? 0 : LIM_EXPIRES_PER_TURN;
    while (left > 0 && (conn = conn_expired(&worker->conns)) != NULL) {
        serve_expire(worker, conn);
        left--;
    }
    link_expire(worker);
    proxy_resolved(worker); /* some waited too long */
    struct stream *stream;
    while ((stream = worker->streams.waiting[STREAM_AWAITING].first) != NULL &&
           stream->deadline_ms <= now) {
        worker_touch(worker, stream->conn);
        request_body_expired(worker, stream);
    }
    accept_expire(worker);
    if (worker->draining && worker->drain_end_ms <= now) {
        give_up(worker);
    }
    if (worker->cool_ms != 0 && worker->cool_ms <= now) {
        cool(worker);
    }
    if (worker->trim_ms != 0 && worker->trim_ms <= now) {
        trim(worker);
    }
}

/* False: the ring broke. */
static bool turn(struct worker *worker)
{
    struct ring_event event;
    unsigned left = LIM_EVENTS_PER_TURN;
    uint64_t before_ms = worker->conns.now_ms;
    int64_t wait = wait_ms(worker);
    if (!ring_turn(worker->ring, wait, pace_wanted(&worker->pace))) {
        return false;
    }
    if (ring_fell_short(worker->ring)) {
        pace_missed(&worker->pace);
    }
    worker->turns++;
    worker->turn_us = clock_us();
    worker->conns.now_ms = worker->turn_us / 1000;
    worker->late = is_late(worker, before_ms, wait);
    pace_begin(&worker->pace, worker->conns.now_ms, worker->requests);
    worker->conns.crowded = worker->conns.live > worker->connections_max / 4 * 3;
    accept_turn(worker);
    worker->turn_bytes = 0;
    for (; left > 0 && worker->turn_bytes < LIM_TURN_BYTES; left--) {
        if (!ring_next(worker->ring, &event)) {
            break;
        }
        dispatch(worker, &event);
    }
    expire(worker);
    step_touched(worker);
    if (schedule_turn(worker)) {
        step_touched(worker);
    }
    if (worker->access != NULL) {
        access_flush(worker->access);
    }
    return true;
}

/* ---- life ---- */

static void init_times(struct conn_table *conns, const struct options *options)
{
    uint32_t least_ms =
        options->send_ms < options->header_ms ? options->send_ms : options->header_ms;
    conn_table_init(conns, clock_ms());
    conns->ms[CONN_PROXY] = options->header_ms;
    conns->ms[CONN_TLS] = options->header_ms;
    conns->ms[CONN_HEAD] = options->header_ms;
    conns->ms[CONN_SEND] = options->send_ms / LIM_SEND_CHECKS;
    conns->ms[CONN_H2] = least_ms / LIM_SEND_CHECKS;
    conns->ms[CONN_IDLE] = options->idle_ms;
    conns->ms[CONN_H2_IDLE] = options->idle_ms;
}

static bool init(struct worker *worker)
{
    const struct options *options = worker->options;
    struct script_options script_options = {
        .interpret = options->interpret,
        .tick_ms = options->tick_ms,
        .slice_us = schedule_slice_us(options),
        .budget_ms = options->budget_ms,
        .run_count_max = LIM_SCRIPT_RUNS,
    };
    char error[ERROR_BYTES] = "out of memory";
    worker->static_options = (struct static_options){
        .index = options->index,
        .try_html = options->try_html,
        .no_dir_redirect = options->no_dir_redirect,
        .cache_rules = options->cache_rules,
        .cache_rule_count = options->cache_rule_count,
    };
    init_times(&worker->conns, options);
    if (!options->disable_request_logging) {
        worker->access = calloc(1, sizeof(*worker->access));
    }
    if (options->disable_request_logging || worker->access != NULL) {
        worker->ring = ring_create(error, sizeof(error));
    }
    if (worker->ring != NULL) {
        worker->host = script_host_create(&script_options, error, sizeof(error));
    }
    if (worker->host == NULL) {
        log_line("zeroserve: %s", error);
        return false;
    }
    worker->upstreams = upstreams_create();
    worker->resolved_fd = eventfd(0, EFD_CLOEXEC);
    worker->resolve = resolve_client_create(worker->resolver, worker->resolved_fd);
    if (worker->upstreams == NULL || worker->resolved_fd < 0 || worker->resolve == NULL) {
        log_line("zeroserve: no memory or descriptor for upstreams");
        return false;
    }
    worker->epoch = epoch_begin(worker->snapshot, worker->host);
    if (worker->epoch == NULL) {
        log_line("zeroserve: out of memory");
        return false;
    }
    accept_start(worker);
    await_wake(worker);
    await_resolved(worker);
    return true;
}

/* The ring goes first: until then the kernel may write to what the others free. */
static void finish(struct worker *worker)
{
    if (worker->host != NULL) {
        snapshot_release(atomic_exchange(&worker->next, NULL));
        epoch_leave(worker->epoch);
    }
    if (worker->ring != NULL) {
        ring_turn(worker->ring, 0, 1); /* closes of the last turn */
    }
    ring_free(worker->ring);
    script_host_free(worker->host);
    conn_table_free(&worker->conns);
    stream_table_free(&worker->streams);
    link_table_free(&worker->links);
    if (worker->resolve != NULL) {
        resolve_client_free(worker->resolve);
    }
    if (worker->upstreams != NULL) {
        upstreams_free(worker->upstreams);
    }
    if (worker->resolved_fd >= 0) {
        close(worker->resolved_fd);
    }
    buffer_release(&worker->forwarded);
    free(worker->access);
    accept_finish(worker);
}

static void tell_creator(struct worker *worker)
{
    uint64_t one = 1;
    ssize_t written = write(worker->done_fd, &one, sizeof(one));
    assert(written == sizeof(one));
    (void)written;
}

void *worker_main(void *argument)
{
    struct worker *worker = argument;
    char name[THREAD_NAME_BYTES];
    snprintf(name, sizeof(name), "worker %u", worker->index);
    pthread_setname_np(pthread_self(), name); /* for those who look at threads */
    worker->acceptor.spare_fd = -1;
    worker->resolved_fd = -1;
    bool fine = init(worker);
    worker->failed = !fine;
    tell_creator(worker);
    while (fine && !is_done(worker)) {
        fine = turn(worker);
    }
    worker->failed = !fine;
    /* Otherwise memory and descriptors are still the kernel's; the process is about to end. */
    if (worker->conns.live == 0 && worker->links.live == 0) {
        finish(worker);
    }
    tell_creator(worker);
    return NULL;
}
