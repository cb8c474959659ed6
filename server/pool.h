/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that dies with a request: allocate freely, free never, reset once. Bounded: when the
 * maximum is reached pool_alloc returns NULL. */
#ifndef SERVER_POOL_H
#define SERVER_POOL_H

#include "server/span.h"

/* Private, as is all up to pool_init: here for pool_alloc, which is inlined. */
struct pool_block {
    struct pool_block *older;
    size_t capacity;
    size_t used;
    _Alignas(16) char bytes[];
};

struct pool {
    struct pool_block *blocks; /* newest first */
    struct pool_block *spare;  /* a small one for the next request, or NULL */
    size_t used_bytes;
    size_t bytes_max;
};

enum { POOL_ALIGNMENT = 16 };
void *pool_alloc_rare(struct pool *pool, size_t bytes);

/* No allocation yet. */
void pool_init(struct pool *pool, size_t bytes_max);
/* 16-byte aligned, not zeroed; NULL when bytes_max would be passed or memory is out. Valid until
 * pool_reset. */
static inline void *pool_alloc(struct pool *pool, size_t bytes)
{
    struct pool_block *block = pool->blocks;
    size_t rounded = (bytes + POOL_ALIGNMENT - 1) & ~(size_t)(POOL_ALIGNMENT - 1);
    /* Rounded to 0 is what overflows, or nothing at all: both are rare. */
    if (block == NULL || rounded - 1 >= block->capacity - block->used ||
        rounded > pool->bytes_max - pool->used_bytes) {
        return pool_alloc_rare(pool, bytes);
    }
    void *memory = block->bytes + block->used;
    block->used += rounded;
    pool->used_bytes += rounded;
    return memory;
}
/* A copy of `text`; base is NULL on failure (with len 0 it never fails). */
struct span pool_copy(struct pool *pool, struct span text);
/* printf into the pool; base is NULL on failure. */
struct span pool_printf(struct pool *pool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Frees all but two small blocks, which the next request uses again. */
void pool_reset(struct pool *pool);
void pool_free(struct pool *pool);

#endif
