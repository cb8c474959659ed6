/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that dies with a request: allocate freely, free never, reset once. Bounded: when the
 * maximum is reached pool_alloc returns NULL. */
#ifndef SERVER_POOL_H
#define SERVER_POOL_H

#include "server/span.h"

struct pool_block;

struct pool {
    struct pool_block *blocks; /* newest first */
    struct pool_block *spare;  /* a small one for the next request, or NULL */
    size_t used_bytes;
    size_t bytes_max;
};

/* No allocation yet. */
void pool_init(struct pool *pool, size_t bytes_max);
/* 16-byte aligned, not zeroed; NULL when bytes_max would be passed or memory is out. Valid until
 * pool_reset. */
void *pool_alloc(struct pool *pool, size_t bytes);
/* A copy of `text`; base is NULL on failure (with len 0 it never fails). */
struct span pool_copy(struct pool *pool, struct span text);
/* printf into the pool; base is NULL on failure. */
struct span pool_printf(struct pool *pool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Frees all but two small blocks, which the next request uses again. */
void pool_reset(struct pool *pool);
void pool_free(struct pool *pool);

#endif
