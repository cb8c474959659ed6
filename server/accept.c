/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners, the queue of clients, and who makes way for them. */
#include "server/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "server/log.h"
#include "server/serve.h"
#include "server/worker.h"

static void close_listener(struct listener *listener)
{
    if (listener->fd >= 0) {
        close(listener->fd);
        listener->fd = -1;
    }
}

/* The slot of the tag tells the listener. */
static struct ring_tag accept_tag(const struct worker *worker, const struct listener *listener)
{
    return (struct ring_tag){.op = RING_ACCEPT, .slot = (uint32_t)(listener - worker->listeners)};
}

static void arm(struct worker *worker, struct listener *listener)
{
    listener->retry_ms = 0;
    listener->accepting = true;
    ring_accept(worker->ring, listener->fd, accept_tag(worker, listener));
}

static void open_spare(struct worker *worker)
{
    worker->acceptor.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* ---- who makes way ---- */

/* Idle for longer than the other. */
static struct conn *older(struct conn *a, struct conn *b)
{
    bool first = b == NULL || (a != NULL && a->entered_ms <= b->entered_ms);
    return first ? a : b;
}

static bool make_way(struct worker *worker)
{
    struct conn_list *lists = worker->conns.lists;
    struct conn *oldest = older(lists[CONN_IDLE].first, lists[CONN_H2_IDLE].first);
    oldest = oldest != NULL ? oldest : lists[CONN_LINGER].first;
    oldest = oldest != NULL ? oldest : lists[CONN_TLS].first;
    if (oldest != NULL) {
        serve_make_way(worker, oldest);
    }
    return oldest != NULL;
}

/* ---- clients ---- */

static void add_connection(struct worker *worker, int fd, bool secure)
{
    bool full = worker->conns.live >= worker->connections_max && !make_way(worker);
    struct conn *conn = full ? NULL : conn_open(&worker->conns, fd);
    if (conn == NULL) {
        ring_close(worker->ring, fd);
        return;
    }
    socklen_t bytes = sizeof(conn->peer);
    if (getpeername(fd, &conn->peer.any, &bytes) != 0) {
        conn->broken = true;
    }
    serve_begin(worker, conn, secure);
    worker_touch(worker, conn);
}

void accept_turn(struct worker *worker)
{
    struct accepted_queue *queue = &worker->acceptor.queue;
    queue->of_turn = 0;
    while (queue->count > 0 && queue->of_turn < LIM_ACCEPTS_PER_TURN) {
        unsigned at = queue->first++ % LIM_ACCEPTED;
        queue->count--;
        queue->of_turn++;
        add_connection(worker, queue->items[at].fd, queue->items[at].secure);
    }
}

/* The client may have come with the spare descriptor. False: it had, and is closed. */
static bool may_stay(struct worker *worker, int fd)
{
    if (worker->acceptor.spare_fd < 0) {
        open_spare(worker);
    }
    if (worker->acceptor.spare_fd >= 0) {
        return true;
    }
    close(fd);
    open_spare(worker);
    return false;
}

static void put_accepted(struct worker *worker, int fd, bool secure)
{
    struct accepted_queue *queue = &worker->acceptor.queue;
    if (!may_stay(worker, fd)) {
        return;
    }
    if (queue->count == LIM_ACCEPTED ||
        (queue->count == 0 && queue->of_turn < LIM_ACCEPTS_PER_TURN)) {
        queue->of_turn++;
        add_connection(worker, fd, secure);
        return;
    }
    unsigned at = (queue->first + queue->count++) % LIM_ACCEPTED;
    queue->items[at].fd = fd;
    queue->items[at].secure = secure;
}

/* ---- events ---- */

/* It fails again and again while descriptors are short; that is no reason to fill the log. */
static void tell_failure(struct worker *worker, int error)
{
    struct acceptor *acceptor = &worker->acceptor;
    uint64_t now_ms = worker->conns.now_ms;
    acceptor->failures++;
    if (acceptor->told_ms != 0 && now_ms - acceptor->told_ms < LIM_ACCEPT_TELL_MS) {
        return;
    }
    log_line("accept: %s (%u time(s))", strerror(error), acceptor->failures);
    acceptor->told_ms = now_ms;
    acceptor->failures = 0;
}

static void accept_failed(struct worker *worker, struct listener *listener, int error)
{
    struct acceptor *acceptor = &worker->acceptor;
    bool short_of_them = error == EMFILE || error == ENFILE;
    tell_failure(worker, error);
    if (short_of_them && !make_way(worker) && acceptor->spare_fd >= 0) {
        close(acceptor->spare_fd);
        acceptor->spare_fd = -1;
        arm(worker, listener);
    } else {
        listener->retry_ms = worker->conns.now_ms + LIM_ACCEPT_RETRY_MS;
    }
}

void accept_event(struct worker *worker, const struct ring_event *event)
{
    struct listener *listener = &worker->listeners[event->tag.slot];
    int error = event->result < 0 ? -event->result : 0;
    if (error == 0) {
        put_accepted(worker, event->result, event->tag.slot == LISTENER_TLS);
    }
    if (event->more) {
        return;
    }
    listener->accepting = false;
    if (worker->draining) {
        close_listener(listener);
    } else if (error == 0 || error == ECONNABORTED || error == EINTR) {
        arm(worker, listener);
    } else {
        accept_failed(worker, listener, error);
    }
}

void accept_expire(struct worker *worker)
{
    for (unsigned i = 0; i < LISTENERS; i++) {
        struct listener *listener = &worker->listeners[i];
        if (listener->retry_ms != 0 && listener->retry_ms <= worker->conns.now_ms) {
            arm(worker, listener);
        }
    }
}

int64_t accept_wait_ms(const struct worker *worker)
{
    uint64_t nearest = UINT64_MAX;
    uint64_t now_ms = worker->conns.now_ms;
    if (worker->acceptor.queue.count > 0) {
        return 0;
    }
    for (unsigned i = 0; i < LISTENERS; i++) {
        uint64_t retry_ms = worker->listeners[i].retry_ms;
        nearest = retry_ms != 0 && retry_ms < nearest ? retry_ms : nearest;
    }
    if (nearest == UINT64_MAX) {
        return -1;
    }
    return nearest > now_ms ? (int64_t)(nearest - now_ms) : 0;
}

/* ---- life ---- */

void accept_start(struct worker *worker)
{
    open_spare(worker);
    for (unsigned i = 0; i < LISTENERS; i++) {
        if (worker->listeners[i].fd >= 0) {
            arm(worker, &worker->listeners[i]);
        }
    }
}

void accept_stop(struct worker *worker)
{
    struct accepted_queue *queue = &worker->acceptor.queue;
    for (unsigned i = 0; i < LISTENERS; i++) {
        struct listener *listener = &worker->listeners[i];
        listener->retry_ms = 0;
        if (listener->accepting) {
            ring_cancel(worker->ring, accept_tag(worker, listener),
                        (struct ring_tag){.op = RING_NONE});
        } else {
            close_listener(listener);
        }
    }
    for (; queue->count > 0; queue->count--) {
        ring_close(worker->ring, queue->items[queue->first++ % LIM_ACCEPTED].fd);
    }
}

bool accept_has_ended(const struct worker *worker)
{
    bool accepting = worker->acceptor.queue.count > 0;
    for (unsigned i = 0; i < LISTENERS; i++) {
        accepting = accepting || worker->listeners[i].accepting;
    }
    return !accepting;
}

void accept_finish(struct worker *worker)
{
    for (unsigned i = 0; i < LISTENERS; i++) {
        close_listener(&worker->listeners[i]);
    }
    if (worker->acceptor.spare_fd >= 0) {
        close(worker->acceptor.spare_fd);
    }
}
