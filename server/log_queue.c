/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of bytes. `put` is stored after the bytes before it, `taken` after they were used, so each
 * side sees what the other is done with. */
#include "server/log_queue.h"

#include <assert.h>
#include <string.h>

_Static_assert((LIM_LOG_QUEUE_BYTES & (LIM_LOG_QUEUE_BYTES - 1)) == 0, "positions wrap by a mask");

static size_t place_of(uint64_t position)
{
    return (size_t)(position & (LIM_LOG_QUEUE_BYTES - 1));
}

void log_queue_put(struct log_queue *queue, struct span text, unsigned lines)
{
    uint64_t put = atomic_load_explicit(&queue->put, memory_order_relaxed);
    uint64_t taken = atomic_load_explicit(&queue->taken, memory_order_acquire);
    if (text.len > LIM_LOG_QUEUE_BYTES - (put - taken)) {
        atomic_fetch_add_explicit(&queue->dropped, lines, memory_order_relaxed);
        return;
    }
    size_t place = place_of(put);
    size_t to_end = LIM_LOG_QUEUE_BYTES - place;
    size_t first = text.len < to_end ? text.len : to_end;
    memcpy(queue->bytes + place, text.base, first);
    memcpy(queue->bytes, text.base + first, text.len - first);
    atomic_store_explicit(&queue->put, put + text.len, memory_order_seq_cst);
}

size_t log_queue_waiting(const struct log_queue *queue)
{
    return (size_t)(atomic_load_explicit(&queue->put, memory_order_relaxed) -
                    atomic_load_explicit(&queue->taken, memory_order_relaxed));
}

struct span log_queue_next(const struct log_queue *queue)
{
    uint64_t taken = atomic_load_explicit(&queue->taken, memory_order_relaxed);
    uint64_t put = atomic_load_explicit(&queue->put, memory_order_seq_cst);
    size_t place = place_of(taken);
    size_t to_end = LIM_LOG_QUEUE_BYTES - place;
    size_t waiting = (size_t)(put - taken);
    return (struct span){queue->bytes + place, waiting < to_end ? waiting : to_end};
}

void log_queue_take(struct log_queue *queue, size_t bytes)
{
    uint64_t taken = atomic_load_explicit(&queue->taken, memory_order_relaxed);
    assert(bytes <= log_queue_next(queue).len);
    atomic_store_explicit(&queue->taken, taken + bytes, memory_order_release);
}

uint64_t log_queue_dropped(const struct log_queue *queue)
{
    return atomic_load_explicit(&queue->dropped, memory_order_relaxed);
}
