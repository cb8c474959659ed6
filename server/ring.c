/* SPDX-License-Identifier: Apache-2.0 */
/* The ring over liburing.
 *
 * DEFER_TASKRUN makes completions run only inside our own wait, so that they come in batches; it
 * wants the ring created by the one thread that submits. Kernels that refuse it get a plain ring.
 * A wait may be cut short by a signal, as scripts are preempted by one: callers loop.
 */
#include "server/ring.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "server/limits.h"
#include "server/log.h"

/* Requests are small, and many clients send them at once; upstreams send few large answers. */
enum { GROUP_CLIENTS, GROUP_LINKS, GROUPS };

static const struct group_row {
    unsigned count;
    unsigned bytes; /* each */
} group_rows[GROUPS] = {
    [GROUP_CLIENTS] = {LIM_RECV_BUFFERS, LIM_RECV_BUFFER_BYTES},
    [GROUP_LINKS] = {LIM_LINK_BUFFERS, LIM_LINK_BUFFER_BYTES},
};

_Static_assert((LIM_RECV_BUFFERS & (LIM_RECV_BUFFERS - 1)) == 0, "a power of two");
_Static_assert((LIM_LINK_BUFFERS & (LIM_LINK_BUFFERS - 1)) == 0, "a power of two");

/* Buffers that the kernel takes in the order they were given. */
struct group {
    struct io_uring_buf_ring *given;
    char *memory; /* of all, one after the other */
};

/* The kernel copies it when the operation is submitted. */
struct message {
    struct msghdr header;
    struct iovec pieces[2];
};

enum { MESSAGES = 32, ADDRESSES = 16 };

struct ring {
    struct io_uring uring;
    struct message messages[MESSAGES];
    unsigned message_count;                       /* that may not be submitted yet */
    struct sockaddr_storage addresses[ADDRESSES]; /* as messages: to connect to */
    unsigned address_count;
    struct group groups[GROUPS];
    int lent;            /* id of the buffer the last event showed, or -1 */
    unsigned lent_group; /* that it belongs to */
    bool needs_get;      /* the kernel runs completions only when asked */
    bool fell_short;     /* see ring_fell_short */
};

static unsigned group_of(enum ring_op op)
{
    return op == RING_LINK_RECV_MANY ? GROUP_LINKS : GROUP_CLIENTS;
}

static uint64_t pack_tag(struct ring_tag tag)
{
    assert(tag.generation <= RING_GENERATION_MASK);
    return (uint64_t)tag.op << 56 | (uint64_t)tag.generation << 32 | tag.slot;
}

static struct ring_tag unpack_tag(uint64_t data)
{
    return (struct ring_tag){
        .op = (enum ring_op)(data >> 56),
        .generation = (uint32_t)(data >> 32) & RING_GENERATION_MASK,
        .slot = (uint32_t)data,
    };
}

/* ---- life ---- */

static int init_queues(struct ring *ring)
{
    struct io_uring_params best = {
        .cq_entries = LIM_RING_COMPLETIONS,
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE | IORING_SETUP_TASKRUN_FLAG,
    };
    struct io_uring_params plain = {.cq_entries = LIM_RING_COMPLETIONS,
                                    .flags = IORING_SETUP_CQSIZE};
    int result = io_uring_queue_init_params(LIM_RING_ENTRIES, &ring->uring, &best);
    ring->needs_get = result == 0;
    return result == -EINVAL ? io_uring_queue_init_params(LIM_RING_ENTRIES, &ring->uring, &plain)
                             : result;
}

static size_t given_bytes(unsigned group)
{
    return group_rows[group].count * sizeof(struct io_uring_buf);
}

static char *buffer_at(const struct ring *ring, unsigned group, int id)
{
    return ring->groups[group].memory + (size_t)id * group_rows[group].bytes;
}

static void give_buffer(struct ring *ring, unsigned group, int id)
{
    const struct group_row *row = &group_rows[group];
    struct io_uring_buf_ring *given = ring->groups[group].given;
    io_uring_buf_ring_add(given, buffer_at(ring, group, id), row->bytes, (unsigned short)id,
                          io_uring_buf_ring_mask(row->count), 0);
    io_uring_buf_ring_advance(given, 1);
}

static int init_buffers(struct ring *ring, unsigned group)
{
    const struct group_row *row = &group_rows[group];
    struct group *buffers = &ring->groups[group];
    void *pages = mmap(NULL, given_bytes(group), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    buffers->given = pages != MAP_FAILED ? pages : NULL;
    buffers->memory = malloc((size_t)row->count * row->bytes);
    if (buffers->given == NULL || buffers->memory == NULL) {
        return -ENOMEM;
    }
    io_uring_buf_ring_init(buffers->given);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)pages,
        .ring_entries = row->count,
        .bgid = (unsigned short)group,
    };
    int result = io_uring_register_buf_ring(&ring->uring, &registration, 0);
    for (unsigned i = 0; result == 0 && i < row->count; i++) {
        give_buffer(ring, group, (int)i);
    }
    return result;
}

static void free_buffers(struct ring *ring)
{
    for (unsigned i = 0; i < GROUPS; i++) {
        if (ring->groups[i].given != NULL) {
            munmap(ring->groups[i].given, given_bytes(i));
        }
        free(ring->groups[i].memory);
    }
}

struct ring *ring_create(char *error, size_t error_bytes)
{
    struct ring *ring = calloc(1, sizeof(*ring));
    if (ring == NULL) {
        snprintf(error, error_bytes, "io_uring: out of memory");
        return NULL;
    }
    ring->lent = -1;
    int result = init_queues(ring);
    if (result != 0) {
        snprintf(error, error_bytes, "io_uring: %s%s", strerror(-result),
                 result == -EPERM ? " (see /proc/sys/kernel/io_uring_disabled)" : "");
        free(ring);
        return NULL;
    }
    for (unsigned i = 0; result == 0 && i < GROUPS; i++) {
        result = init_buffers(ring, i);
    }
    if (result != 0) {
        snprintf(error, error_bytes, "io_uring: receive buffers: %s%s", strerror(-result),
                 result == -EINVAL ? " (Linux 6.0 or newer is needed)" : "");
        ring_free(ring);
        return NULL;
    }
    io_uring_register_ring_fd(&ring->uring); /* only saves a look-up per system call */
    return ring;
}

void ring_free(struct ring *ring)
{
    if (ring == NULL) {
        return;
    }
    io_uring_queue_exit(&ring->uring);
    free_buffers(ring);
    free(ring);
}

/* ---- operations ---- */

/* Once all are submitted: the kernel has copied what they point to. */
static void forget_submitted(struct ring *ring)
{
    ring->message_count = 0;
    ring->address_count = 0;
}

void ring_submit(struct ring *ring)
{
    while (io_uring_sq_ready(&ring->uring) > 0) {
        int result = io_uring_submit(&ring->uring);
        assert(result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY);
    }
    forget_submitted(ring);
}

/* The next entry: io_uring_prep_* fills all of it but the tag. */
static struct io_uring_sqe *next_entry(struct ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (sqe == NULL) {
        ring_submit(ring);
        sqe = io_uring_get_sqe(&ring->uring);
    }
    return sqe;
}

static void set_tag(struct io_uring_sqe *sqe, struct ring_tag tag)
{
    io_uring_sqe_set_data64(sqe, pack_tag(tag));
}

void ring_accept(struct ring *ring, int listener, struct ring_tag tag)
{
    struct io_uring_sqe *sqe = next_entry(ring);
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    set_tag(sqe, tag);
}

void ring_connect(struct ring *ring, int fd, const struct sockaddr *address, unsigned bytes,
                  struct ring_tag tag)
{
    if (ring->address_count == ADDRESSES || io_uring_sq_space_left(&ring->uring) == 0) {
        ring_submit(ring);
    }
    struct sockaddr_storage *copy = &ring->addresses[ring->address_count++];
    assert(bytes <= sizeof(*copy));
    memcpy(copy, address, bytes);
    struct io_uring_sqe *sqe = next_entry(ring);
    io_uring_prep_connect(sqe, fd, (const struct sockaddr *)copy, bytes);
    set_tag(sqe, tag);
}

void ring_recv(struct ring *ring, int fd, struct ring_tag tag)
{
    struct io_uring_sqe *sqe = next_entry(ring);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = (unsigned short)group_of(tag.op);
    set_tag(sqe, tag);
}

void ring_recv_once(struct ring *ring, int fd, size_t bytes, bool waiting, struct ring_tag tag)
{
    unsigned group = group_of(tag.op);
    assert(bytes > 0 && bytes <= group_rows[group].bytes);
    struct io_uring_sqe *sqe = next_entry(ring);
    io_uring_prep_recv(sqe, fd, NULL, bytes, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = (unsigned short)group;
    sqe->ioprio |= waiting ? 0 : IORING_RECVSEND_POLL_FIRST;
    set_tag(sqe, tag);
}

void ring_send(struct ring *ring, int fd, struct span data, struct ring_tag tag)
{
    struct io_uring_sqe *sqe = next_entry(ring);
    io_uring_prep_send(sqe, fd, data.base, data.len, MSG_NOSIGNAL | MSG_WAITALL);
    set_tag(sqe, tag);
}

void ring_send_both(struct ring *ring, int fd, struct span data, struct span more,
                    struct ring_tag tag)
{
    if (ring->message_count == MESSAGES || io_uring_sq_space_left(&ring->uring) == 0) {
        ring_submit(ring);
    }
    struct message *message = &ring->messages[ring->message_count++];
    *message = (struct message){
        .header = {.msg_iov = message->pieces, .msg_iovlen = 2},
        .pieces = {{(char *)data.base, data.len}, {(char *)more.base, more.len}},
    };
    struct io_uring_sqe *sqe = next_entry(ring);
    io_uring_prep_sendmsg(sqe, fd, &message->header, MSG_NOSIGNAL | MSG_WAITALL);
    set_tag(sqe, tag);
}

void ring_read(struct ring *ring, int fd, void *out, size_t bytes, uint64_t offset,
               struct ring_tag tag)
{
    struct io_uring_sqe *sqe = next_entry(ring);
    assert(bytes <= INT32_MAX);
    io_uring_prep_read(sqe, fd, out, (unsigned)bytes, offset);
    set_tag(sqe, tag);
}

void ring_cancel(struct ring *ring, struct ring_tag target, struct ring_tag tag)
{
    struct io_uring_sqe *sqe = next_entry(ring);
    io_uring_prep_cancel64(sqe, pack_tag(target), 0);
    set_tag(sqe, tag);
}

void ring_cancel_fd(struct ring *ring, int fd, struct ring_tag tag)
{
    struct io_uring_sqe *sqe = next_entry(ring);
    io_uring_prep_cancel_fd(sqe, fd, IORING_ASYNC_CANCEL_ALL);
    set_tag(sqe, tag);
}

void ring_close(struct ring *ring, int fd)
{
    struct io_uring_sqe *sqe = next_entry(ring);
    io_uring_prep_close(sqe, fd);
    set_tag(sqe, (struct ring_tag){.op = RING_NONE});
}

/* ---- turns ---- */

static int wait_for_one(struct ring *ring, int64_t timeout_ms)
{
    struct io_uring_cqe *unused;
    struct __kernel_timespec timeout = {
        .tv_sec = timeout_ms / 1000,
        .tv_nsec = timeout_ms % 1000 * 1000000,
    };
    return io_uring_submit_and_wait_timeout(&ring->uring, &unused, 1,
                                            timeout_ms > 0 ? &timeout : NULL, NULL);
}

static int wait_for_several(struct ring *ring, unsigned wanted)
{
    struct io_uring_cqe *unused;
    struct __kernel_timespec timeout = {.tv_nsec = LIM_GATHER_US * 1000};
    int result = io_uring_submit_and_wait_timeout(&ring->uring, &unused, wanted, &timeout, NULL);
    ring->fell_short = io_uring_cq_ready(&ring->uring) < wanted;
    return result;
}

bool ring_turn(struct ring *ring, int64_t timeout_ms, unsigned wanted)
{
    int result;
    ring->fell_short = false;
    /* With completions at hand a wait would end at once, without those that are to be run. */
    if (timeout_ms == 0 || io_uring_cq_ready(&ring->uring) > 0) {
        result = ring->needs_get ? io_uring_submit_and_get_events(&ring->uring)
                                 : io_uring_submit(&ring->uring);
    } else if (wanted > 1 && io_uring_sq_ready(&ring->uring) == 0) {
        result = wait_for_several(ring, wanted);
    } else {
        result = wait_for_one(ring, timeout_ms);
    }
    if (io_uring_sq_ready(&ring->uring) == 0) {
        forget_submitted(ring);
    }
    if (result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
        result == -EBUSY) {
        return true;
    }
    log_line("io_uring: %s", strerror(-result));
    return false;
}

bool ring_fell_short(const struct ring *ring)
{
    return ring->fell_short;
}

static void return_lent(struct ring *ring)
{
    if (ring->lent >= 0) {
        give_buffer(ring, ring->lent_group, ring->lent);
        ring->lent = -1;
    }
}

bool ring_next(struct ring *ring, struct ring_event *event)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    return_lent(ring);
    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        *event = (struct ring_event){
            .tag = unpack_tag(cqe->user_data),
            .result = cqe->res,
            .more = (cqe->flags & IORING_CQE_F_MORE) != 0,
            .more_waits = (cqe->flags & IORING_CQE_F_SOCK_NONEMPTY) != 0,
        };
        if (cqe->flags & IORING_CQE_F_BUFFER) {
            unsigned group = group_of(event->tag.op);
            ring->lent = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
            ring->lent_group = group;
            assert(ring->lent < (int)group_rows[group].count);
            assert(cqe->res <= (int)group_rows[group].bytes);
            event->data.base = buffer_at(ring, group, ring->lent);
            event->data.len = cqe->res > 0 ? (size_t)cqe->res : 0;
        }
        io_uring_cqe_seen(&ring->uring, cqe);
        return true;
    }
    return false;
}
