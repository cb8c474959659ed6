/* SPDX-License-Identifier: Apache-2.0 */
/* Lines on their way from one thread to another, without locks and without waiting: what does not
 * fit is dropped, and counted. One thread puts, one takes. */
#ifndef SERVER_LOG_QUEUE_H
#define SERVER_LOG_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/limits.h"
#include "server/span.h"

/* Positions only grow; each side writes its own. */
struct log_queue {
    _Alignas(64) _Atomic uint64_t put;
    _Atomic uint64_t dropped; /* lines, since the beginning */
    _Alignas(64) _Atomic uint64_t taken;
    _Alignas(64) char bytes[LIM_LOG_QUEUE_BYTES];
};

/* `text` is `lines` whole lines; all of it is taken or dropped. */
void log_queue_put(struct log_queue *queue, struct span text, unsigned lines);
/* Bytes that are put and not yet taken. By who puts them. */
size_t log_queue_waiting(const struct log_queue *queue);
/* The bytes to take next, as far as they lie in one piece; empty: none. */
struct span log_queue_next(const struct log_queue *queue);
void log_queue_take(struct log_queue *queue, size_t bytes);
uint64_t log_queue_dropped(const struct log_queue *queue);

#endif
