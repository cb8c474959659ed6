/* SPDX-License-Identifier: Apache-2.0 */
/* Octets to and from upstreams. */
#include "server/link.h"

#include <assert.h>
#include <errno.h>
#include <linux/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/proxy.h"
#include "server/tls.h"
#include "server/worker.h"

/* What may wait to be read, what one receive adds, and what TLS needs to say how much it has. */
#define IN_BYTES_MAX (LIM_LINK_BYTES + LIM_LINK_BUFFER_BYTES + (32u << 10))

enum { TCP_STATE_CLOSE = 7 }; /* of struct tcp_info, as in netinet/tcp.h, which lacks the rest */

enum { TLS_REASON_BYTES = 96 };

enum { SCAN_MS = 250 }; /* deadlines are looked at so often, so that no list has to be sorted */

static struct ring_tag tag_of(const struct link *link, enum ring_op op)
{
    return (struct ring_tag){op, link->generation, link->slot};
}

/* ---- slots ---- */

static bool grow(struct link_table *table)
{
    if (table->block_count == LINK_BLOCKS) {
        return false;
    }
    struct link *block = calloc(LINK_BLOCK_SLOTS, sizeof(*block));
    if (block == NULL) {
        return false;
    }
    for (unsigned i = 0; i < LINK_BLOCK_SLOTS; i++) {
        block[i].slot = table->block_count * LINK_BLOCK_SLOTS + i;
        block[i].next = table->free;
        table->free = &block[i];
    }
    table->blocks[table->block_count++] = block;
    return true;
}

static struct link *link_at(struct link_table *table, uint32_t slot)
{
    assert(slot / LINK_BLOCK_SLOTS < table->block_count);
    return &table->blocks[slot / LINK_BLOCK_SLOTS][slot % LINK_BLOCK_SLOTS];
}

static void release(struct worker *worker, struct link *link)
{
    struct link_table *table = &worker->links;
    struct epoch *epoch = link->epoch;
    ring_close(worker->ring, link->fd);
    buffer_release(&link->in);
    buffer_release(&link->out);
    buffer_release(&link->wire);
    tls_free(link->tls);
    free(link->tls_reason);
    struct link blank = {
        .slot = link->slot,
        .generation = (link->generation + 1) & RING_GENERATION_MASK,
        .next = table->free,
    };
    *link = blank;
    table->free = link;
    table->live--;
    epoch_leave(epoch); /* after TLS */
}

void link_table_free(struct link_table *table)
{
    assert(table->live == 0);
    for (unsigned i = 0; i < table->block_count; i++) {
        free(table->blocks[i]);
    }
}

/* The link that a kept one is part of. */
static struct link *link_of(struct upstream_idle *idle)
{
    return (struct link *)((char *)idle - offsetof(struct link, idle));
}

/* ---- octets ---- */

static void fail(struct link *link, const char *reason)
{
    if (!link->broken) {
        link->broken = true;
        link->reason = reason;
    }
}

static void send_buffer(struct worker *worker, struct link *link, struct buffer *buffer)
{
    link->sending = true;
    link->inflight++;
    ring_send(worker->ring, link->fd, buffer_span(buffer), tag_of(link, RING_LINK_SEND));
}

/* Makes records of `out`, once the handshake is over. */
static void seal(struct worker *worker, struct link *link)
{
    struct span plain = buffer_span(&link->out);
    tls_at(link->tls, worker->conns.now_ms);
    if (plain.len > 0 && tls_established(link->tls)) {
        if (!tls_send(link->tls, plain)) {
            fail(link, "out of memory");
        }
        buffer_consume(&link->out, plain.len);
    }
}

/* What is to be sent next. */
static struct buffer *next_output(struct worker *worker, struct link *link)
{
    if (link->tls == NULL) {
        return &link->out;
    }
    seal(worker, link);
    if (link->ending && buffer_bytes(&link->out) == 0) {
        tls_close(link->tls);
    }
    struct buffer *records = tls_output(link->tls);
    if (buffer_bytes(&link->wire) == 0) {
        struct buffer sent = link->wire;
        link->wire = *records;
        *records = sent;
    }
    return &link->wire;
}

void link_flush(struct worker *worker, struct link *link)
{
    if (link->sending || link->broken || link->deaf || !link->connected ||
        link->state == LINK_CLOSING) {
        return;
    }
    struct buffer *output = next_output(worker, link);
    if (buffer_bytes(output) > 0) {
        send_buffer(worker, link, output);
    } else if (link->ending && !link->ended) {
        link->ended = true;
        shutdown(link->fd, SHUT_WR);
    }
}

void link_receive(struct worker *worker, struct link *link, size_t bytes)
{
    bool wanted = bytes > 0 && link->connected && !link->eof && !link->broken &&
                  link->state != LINK_CLOSING && !link->receiving;
    if (!wanted) {
        return;
    }
    size_t most =
        link->tls != NULL || bytes > LIM_LINK_BUFFER_BYTES ? LIM_LINK_BUFFER_BYTES : bytes;
    enum ring_op op = most > LIM_RECV_BUFFER_BYTES ? RING_LINK_RECV_MANY : RING_LINK_RECV;
    link->receiving = true;
    link->asked = (uint32_t)most;
    link->inflight++;
    ring_recv_once(worker->ring, link->fd, most, link->more_waits, tag_of(link, op));
}

void link_consume(struct link *link, size_t bytes)
{
    if (link->fresh.len > 0) {
        assert(bytes <= link->fresh.len);
        (void)span_take(&link->fresh, bytes);
    } else {
        buffer_consume(&link->in, bytes);
        if (link->tls == NULL && buffer_bytes(&link->in) == 0) {
            buffer_release(&link->in); /* what comes next is read where it was received */
        }
    }
}

void link_shutdown(struct link *link)
{
    link->ending = true;
}

/* ---- life ---- */

static int open_socket(const union link_address *address)
{
    int on = 1;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && address->any.sa_family != AF_UNIX) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    return fd;
}

static socklen_t address_bytes(const union link_address *address)
{
    switch (address->any.sa_family) {
    case AF_INET: return sizeof(address->v4);
    case AF_INET6: return sizeof(address->v6);
    default: return sizeof(address->path);
    }
}

struct link *link_connect(struct worker *worker, struct relay *relay, struct upstream *upstream,
                          const union link_address *address, const char *tls_host)
{
    struct link_table *table = &worker->links;
    int fd = table->free != NULL || grow(table) ? open_socket(address) : -1;
    if (fd < 0) {
        return NULL;
    }
    struct link *link = table->free;
    table->free = link->next;
    table->live++;
    link->next = NULL;
    link->fd = fd;
    link->relay = relay;
    link->upstream = upstream;
    link->local = address->any.sa_family == AF_UNIX;
    link->state = LINK_CONNECTING;
    uint32_t most = worker->options->proxy_ms;
    link_within(link, worker->conns.now_ms,
                most < LIM_UPSTREAM_CONNECT_MS ? most : LIM_UPSTREAM_CONNECT_MS);
    if (tls_host != NULL) {
        link->epoch = epoch_enter(relay_epoch(relay));
        link->tls = tls_client_open(link->epoch->snapshot->tls_client, tls_host);
        if (link->tls == NULL) {
            fail(link, "no TLS with that host");
        }
    }
    link->inflight++;
    ring_connect(worker->ring, fd, &address->any, address_bytes(address),
                 tag_of(link, RING_LINK_CONNECT));
    return link;
}

void link_close(struct worker *worker, struct link *link)
{
    if (link->state == LINK_CLOSING) {
        return;
    }
    link->state = LINK_CLOSING;
    link->relay = NULL;
    link->fresh = SPAN("");
    if (link->inflight > 0) {
        link->inflight++;
        ring_cancel_fd(worker->ring, link->fd, tag_of(link, RING_LINK_CANCEL));
    } else {
        release(worker, link);
    }
}

void link_keep(struct worker *worker, struct link *link, bool reusable)
{
    link->relay = NULL;
    bool clean = reusable && !link->broken && !link->deaf && !link->eof && !link->sending &&
                 !worker->draining && link_input(link).len + buffer_bytes(&link->out) == 0;
    if (!clean) {
        link_close(worker, link);
        return;
    }
    buffer_release(&link->in);
    buffer_trim(&link->out, LIM_BUFFER_SMALL_BYTES);
    buffer_trim(&link->wire, LIM_BUFFER_SMALL_BYTES);
    if (link->tls != NULL) {
        tls_idle(link->tls);
    }
    link->state = LINK_IDLE;
    link_receive(worker, link, LIM_LINK_FIRST_BYTES);
    struct upstream_idle *displaced =
        upstream_idle_put(worker->upstreams, link->upstream, &link->idle, worker->conns.now_ms);
    if (displaced != NULL) {
        link_close(worker, link_of(displaced));
    }
}

/* Nothing has come that the ring has not told yet, an end above all. */
static bool is_silent(const struct link *link)
{
    char octet;
    return recv(link->fd, &octet, sizeof(octet), MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

struct link *link_take(struct worker *worker, struct relay *relay, struct upstream *upstream,
                       bool harmless)
{
    struct upstream_idle *idle;
    while ((idle = upstream_idle_take(worker->upstreams, upstream, worker->conns.now_ms)) != NULL) {
        struct link *link = link_of(idle);
        bool trusted = harmless && !link->suspect && !link->more_waits;
        if (trusted || is_silent(link)) {
            link->relay = relay;
            link->state = LINK_USED;
            link->answer_due_ms = 0;
            link->sent_before = link->sent_bytes;
            return link;
        }
        link_close(worker, link);
    }
    return NULL;
}

/* An end, or its FIN alone, carries what was received before it. If that is nothing of ours, and
 * what came later was answered by a reset, then nobody has read it. A reset without an end tells
 * nothing: it comes also from those who read a part and then left. Once a send has failed, the two
 * look alike. */
enum link_fate link_fate(const struct link *link)
{
    struct tcp_info info = {0};
    socklen_t bytes = sizeof(info);
    if (!link->sending && link->sent_bytes == link->sent_before) {
        return LINK_UNTAKEN;
    }
    if (!link->eof || link->deaf || link->local ||
        getsockopt(link->fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0 ||
        info.tcpi_bytes_acked > link->sent_before + 1) { /* SYN counts as one */
        return LINK_TAKEN;
    }
    return info.tcpi_state == TCP_STATE_CLOSE ? LINK_UNTAKEN : LINK_DOUBTFUL;
}

/* ---- events ---- */

static void connected(struct link *link, int result)
{
    if (result < 0 && result != -ECANCELED) {
        fail(link, strerror(-result));
    } else if (result == 0 && link->state == LINK_CONNECTING) { /* may have been closed since */
        link->connected = true;
        link->state = link->tls == NULL ? LINK_USED : LINK_CONNECTING;
    }
}

/* The text stays as long as the link. */
static void fail_tls(struct link *link)
{
    char text[TLS_REASON_BYTES];
    tls_error(link->tls, text, sizeof(text));
    if (link->tls_reason == NULL) {
        link->tls_reason = strdup(text);
    }
    fail(link, link->tls_reason != NULL ? link->tls_reason : "TLS failed");
}

static void receive_records(struct worker *worker, struct link *link, struct span data)
{
    tls_at(link->tls, worker->conns.now_ms);
    if (!tls_receive(link->tls, data, &link->in, IN_BYTES_MAX)) {
        fail_tls(link);
    } else if (tls_ended(link->tls)) {
        link->eof = true;
    }
    if (link->state == LINK_CONNECTING && tls_established(link->tls)) {
        link->state = LINK_USED;
    } else if (link->state == LINK_CONNECTING && link->eof) {
        fail(link, "TLS ended before it began");
    }
}

static void received(struct worker *worker, struct link *link, const struct ring_event *event)
{
    link->receiving = false;
    link->inflight--;
    /* Of Unix sockets the kernel does not tell what is left. */
    link->more_waits = event->more_waits || (link->local && event->result == (int)link->asked);
    if (event->result == 0) {
        if (link->tls != NULL && !link->eof) {
            fail(link, "closed without the end of TLS");
        }
        link->eof = true;
    } else if (event->result < 0) {
        bool again = event->result == -ENOBUFS || event->result == -ECANCELED ||
                     event->result == -EINTR || event->result == -EAGAIN;
        if (!again) {
            fail(link, strerror(-event->result));
        }
    } else if (link->tls != NULL) {
        receive_records(worker, link, event->data);
    } else if (buffer_bytes(&link->in) == 0) {
        link->fresh = event->data;
    } else if (!buffer_append(&link->in, event->data, IN_BYTES_MAX)) {
        fail(link, "out of memory");
    }
}

/* What nobody wants yet is kept. */
static void keep_fresh(struct worker *worker, struct link *link)
{
    struct span left = link->fresh;
    link->fresh = SPAN("");
    if (!buffer_append(&link->in, left, IN_BYTES_MAX)) {
        fail(link, "out of memory");
        relay_event(worker, link->relay);
    }
}

/* An upstream that takes no more may have answered; what it said is received before the end. */
static void sent(struct link *link, int result)
{
    link->sending = false;
    link->inflight--;
    if (result > 0) {
        link->sent_bytes += (unsigned)result;
        struct buffer *buffer = link->tls != NULL ? &link->wire : &link->out;
        buffer_consume(buffer, (size_t)result);
        buffer_trim(buffer, LIM_BUFFER_SMALL_BYTES);
    } else if (result != -EINTR && result != -EAGAIN) {
        link->deaf = true;
        buffer_release(&link->out);
        buffer_release(&link->wire);
    }
}

/* One that is kept has nothing to say; it is of no more use. */
static void drop_idle(struct worker *worker, struct link *link)
{
    upstream_idle_remove(worker->upstreams, &link->idle);
    link_close(worker, link);
}

void link_event(struct worker *worker, const struct ring_event *event)
{
    struct link *link = link_at(&worker->links, event->tag.slot);
    if (link->state == LINK_FREE || link->generation != event->tag.generation) {
        return;
    }
    switch (event->tag.op) {
    case RING_LINK_CONNECT:
        link->inflight--;
        connected(link, event->result);
        break;
    case RING_LINK_RECV:
    case RING_LINK_RECV_MANY: received(worker, link, event); break;
    case RING_LINK_SEND: sent(link, event->result); break;
    default: link->inflight--; break;
    }
    if (link->state == LINK_CLOSING) {
        link->fresh = SPAN("");
        if (link->inflight == 0) {
            release(worker, link);
        }
    } else if (link->state == LINK_IDLE) {
        if (link->eof || link->broken || link->deaf || link_input(link).len > 0) {
            drop_idle(worker, link);
        } else {
            link_receive(worker, link, LIM_LINK_FIRST_BYTES);
        }
    } else if (event->tag.op != RING_LINK_SEND || !relay_awaits_answer(link->relay)) {
        relay_event(worker, link->relay);
    }
    if (link->fresh.len > 0) {
        keep_fresh(worker, link);
    }
}

void link_expire(struct worker *worker)
{
    struct upstream_idle *idle;
    uint64_t now = worker->conns.now_ms;
    while ((idle = upstream_idle_expired(worker->upstreams, now)) != NULL) {
        link_close(worker, link_of(idle));
    }
    if (worker->links_scanned_ms + SCAN_MS > now) {
        return;
    }
    worker->links_scanned_ms = now;
    for (uint32_t i = 0; i < worker->links.block_count * LINK_BLOCK_SLOTS; i++) {
        struct link *link = link_at(&worker->links, i);
        bool busy = link->state == LINK_CONNECTING || link->state == LINK_USED;
        if (busy && link->deadline_ms <= now) {
            relay_expired(worker, link->relay);
        }
    }
}

int64_t link_wait_ms(const struct worker *worker)
{
    int64_t idle = upstream_idle_wait_ms(worker->upstreams, worker->conns.now_ms);
    if (worker->links.live == 0) {
        return -1;
    }
    return idle >= 0 && idle < SCAN_MS ? idle : SCAN_MS;
}

void link_close_idle(struct worker *worker)
{
    struct upstream_idle *idle;
    while ((idle = upstream_idle_expired(worker->upstreams, UINT64_MAX)) != NULL) {
        link_close(worker, link_of(idle));
    }
}
