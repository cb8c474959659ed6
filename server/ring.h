/* SPDX-License-Identifier: Apache-2.0 */
/* One io_uring, used by the thread that created it. Nothing else in the server knows io_uring.
 *
 * Operations are prepared by the calls below and go to the kernel together at the next ring_turn.
 * Each yields completions that carry its tag; all but accept and receive yield exactly one. Memory
 * handed to send and read belongs to the kernel until then. Received bytes come in buffers of the
 * ring: a receive that waits holds no memory.
 */
#ifndef SERVER_RING_H
#define SERVER_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/span.h"

struct ring;

enum ring_op {
    RING_NONE,
    RING_ACCEPT,
    RING_RECV,
    RING_SEND,
    RING_READ,
    RING_STREAM_READ,
    RING_CANCEL,
    RING_LINK_CONNECT,
    RING_LINK_RECV,      /* LIM_RECV_BUFFER_BYTES at most */
    RING_LINK_RECV_MANY, /* LIM_LINK_BUFFER_BYTES */
    RING_LINK_SEND,
    RING_LINK_CANCEL,
    RING_RESOLVED,
    RING_WAKE
};

/* Packed into the 64 bits the kernel gives back. The owner of a slot counts generations, so that a
 * late completion is told from one for the slot's next owner. */
#define RING_GENERATION_MASK 0xffffffu
struct ring_tag {
    enum ring_op op;
    uint32_t generation; /* 24 bits */
    uint32_t slot;
};

struct ring_event {
    struct ring_tag tag;
    int result;       /* as of the system call, or -errno */
    bool more;        /* accept and receive: the operation goes on, another event will come */
    bool more_waits;  /* receive: the socket has more than was asked for */
    struct span data; /* receive: the bytes, until the next ring_next */
};

/* NULL: one line in `error`. */
struct ring *ring_create(char *error, size_t error_bytes);
/* Nothing may be in flight whose memory is freed afterwards. NULL is fine. */
void ring_free(struct ring *ring);

struct sockaddr;
/* The address is copied. */
void ring_connect(struct ring *ring, int fd, const struct sockaddr *address, unsigned bytes,
                  struct ring_tag tag);
/* Accepts until an event comes without `more`. The result is a descriptor. */
void ring_accept(struct ring *ring, int listener, struct ring_tag tag);
/* Receives until an event comes without `more`: result 0 is the peer's end, -ENOBUFS asks for
 * another ring_recv once events are consumed. */
void ring_recv(struct ring *ring, int fd, struct ring_tag tag);
/* Receives once, at most so many bytes: a small buffer is taken for few of them (`tag`.op). Unless
 * some may be waiting, the kernel need not try before it waits for them. */
void ring_recv_once(struct ring *ring, int fd, size_t bytes, bool waiting,
                    struct ring_tag tag);
/* Sends all of it; fewer bytes only when the connection breaks. One at a time per socket. */
void ring_send(struct ring *ring, int fd, struct span data, struct ring_tag tag);
/* The same of `data` and then `more`. */
void ring_send_both(struct ring *ring, int fd, struct span data, struct span more,
                    struct ring_tag tag);
void ring_read(struct ring *ring, int fd, void *out, size_t bytes, uint64_t offset,
               struct ring_tag tag);
/* Ends the operation tagged `target`, or all on `fd`: they complete too, early. */
void ring_cancel(struct ring *ring, struct ring_tag target, struct ring_tag tag);
void ring_cancel_fd(struct ring *ring, int fd, struct ring_tag tag);
/* No event. */
void ring_close(struct ring *ring, int fd);

/* Submits what was prepared, for something that takes long comes first. */
void ring_submit(struct ring *ring);
/* Submits what was prepared and waits for an event, at most timeout_ms (0: do not wait, -1: for
 * ever). May return early without any. False: the ring is broken; one line went to the log.
 * If nothing was prepared, so that it is sure to sleep, it waits for `wanted` events; when these are
 * several, for LIM_GATHER_US at most. */
bool ring_turn(struct ring *ring, int64_t timeout_ms, unsigned wanted);
/* Fewer events came in the last turn than were wanted. */
bool ring_fell_short(const struct ring *ring);
/* The next event, or false when none is left. */
bool ring_next(struct ring *ring, struct ring_event *event);

#endif
