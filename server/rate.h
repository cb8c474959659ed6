/* SPDX-License-Identifier: Apache-2.0 */
/* How often each key was seen, for limiting: a table of fixed size that all workers use at once. It
 * lives as long as the server, so that a reload lets nobody start afresh.
 *
 * Windows slide: of one that allows n, each take comes back when the window has passed since. So n
 * may come at once, n again a window later, and whoever asks without a pause gets n in each window:
 * the windows of a key begin with its first take, not all at the same edge. Takes are not remembered
 * one by one but as spread evenly between the first and the last of their window; where they were
 * not, some come back earlier or later than that.
 *
 * A key that is known costs no lock and one atomic exchange for each limit. When the table is full,
 * the key that was not seen for longest makes room. Keys are compared by a keyed 64-bit hash.
 */
#ifndef SERVER_RATE_H
#define SERVER_RATE_H

#include <stdint.h>

#include "server/span.h"

enum rate_window { RATE_SECOND, RATE_MINUTE, RATE_HOUR, RATE_WINDOWS };

struct rate_limits {
    uint64_t count[RATE_WINDOWS]; /* allowed in each window, counted to 2^32; 0: not limited */
};

struct rate_info {
    uint64_t remaining; /* takes that would be allowed now */
    uint64_t retry_ms;  /* until there is one, 0 when there is */
    uint64_t reset_ms;  /* until all are there */
};

struct rate_table;

/* Room for `keys` keys, 1 or more: for each of them up to 64, and from there on for all but about
 * one in a thousand, because they do not spread evenly. NULL: out of memory. */
struct rate_table *rate_table_create(uint32_t keys);
/* When no thread uses it. NULL is fine. */
void rate_table_free(struct rate_table *table);

/* Counts one when all limits allow it, else nothing. RATE_WINDOWS: allowed; else the shortest
 * window that is exceeded. `now_ns` is of one monotonic clock. Any thread. */
enum rate_window rate_take(struct rate_table *table, struct span key,
                           const struct rate_limits *limits, uint64_t now_ns);
/* What a key has left of a limit of `count`, above 0, in `window`. Counts nothing. */
struct rate_info rate_look(struct rate_table *table, struct span key, enum rate_window window,
                           uint64_t count, uint64_t now_ns);

#endif
