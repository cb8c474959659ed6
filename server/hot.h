/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of the tar that were asked for lately, in memory: a small file that is asked for again
 * costs no read. Belongs to one worker and one snapshot, so that nothing in it ever changes. */
#ifndef SERVER_HOT_H
#define SERVER_HOT_H

#include <stdint.h>

#include "server/span.h"

struct hot_cache;

/* A piece. Counted: the cache may forget it while an answer still sends it. */
struct hot_piece {
    unsigned holders;
    uint64_t offset; /* in the tar */
    struct hot_piece *bucket_next;
    struct hot_piece *newer; /* asked for after this one; of those forgotten, nobody */
    struct hot_piece *older;
    size_t bytes;
    char data[];
};

/* NULL: out of memory. */
struct hot_cache *hot_create(void);
/* Pieces that are held stay. NULL is fine. */
void hot_free(struct hot_cache *cache);
/* The piece, held for the caller, or NULL. */
struct hot_piece *hot_get(struct hot_cache *cache, uint64_t offset, uint64_t bytes);
/* NULL is fine. */
void hot_release(struct hot_piece *piece);
/* Whether pieces of that size are kept. */
bool hot_fits(uint64_t bytes);
/* Remembers a copy, at the cost of those not asked for the longest. */
void hot_put(struct hot_cache *cache, uint64_t offset, struct span data);

#endif
