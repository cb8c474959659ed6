/* SPDX-License-Identifier: Apache-2.0 */
/* A bump allocator over a chain of blocks. The newest block is filled first; when it is full the
 * next one is added: the second one has the size of the first, each later one twice that of the one
 * before. The first two survive a reset, so that an ordinary request allocates nothing. */
#include "server/pool.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BLOCK_BYTES_MIN = 1960 - sizeof(struct pool_block), /* each stream of HTTP/2 has one at least */
    BLOCK_BYTES_MAX = 64 << 10, /* no doubling beyond; larger requests get a block of their size */
};

void pool_init(struct pool *pool, size_t bytes_max)
{
    *pool = (struct pool){.bytes_max = bytes_max};
}

static struct pool_block *add_block(struct pool *pool, size_t bytes)
{
    size_t capacity = BLOCK_BYTES_MIN;
    struct pool_block *spare = pool->spare;
    if (spare != NULL && bytes <= spare->capacity) {
        pool->spare = NULL;
        spare->older = pool->blocks;
        spare->used = 0;
        pool->blocks = spare;
        return spare;
    }
    if (pool->blocks != NULL && pool->blocks->older != NULL) {
        capacity = pool->blocks->capacity >= BLOCK_BYTES_MAX / 2 ? BLOCK_BYTES_MAX
                                                                 : pool->blocks->capacity * 2;
    }
    if (capacity < bytes) {
        capacity = bytes;
    }
    struct pool_block *block = malloc(sizeof *block + capacity);
    if (block == NULL) {
        return NULL;
    }
    *block = (struct pool_block){.older = pool->blocks, .capacity = capacity};
    pool->blocks = block;
    return block;
}

void *pool_alloc_rare(struct pool *pool, size_t bytes)
{
    assert(pool->used_bytes <= pool->bytes_max);
    size_t left = pool->bytes_max - pool->used_bytes;
    if (bytes > SIZE_MAX - POOL_ALIGNMENT) {
        return NULL;
    }
    size_t rounded =
        bytes == 0 ? POOL_ALIGNMENT : (bytes + POOL_ALIGNMENT - 1) & ~(size_t)(POOL_ALIGNMENT - 1);
    if (rounded > left) {
        return NULL;
    }
    struct pool_block *block = pool->blocks;
    if (block == NULL || block->capacity - block->used < rounded) {
        block = add_block(pool, rounded);
        if (block == NULL) {
            return NULL;
        }
    }
    void *memory = block->bytes + block->used;
    block->used += rounded;
    pool->used_bytes += rounded;
    return memory;
}

struct span pool_copy(struct pool *pool, struct span text)
{
    if (text.len == 0) {
        return SPAN("");
    }
    char *copy = pool_alloc(pool, text.len);
    if (copy == NULL) {
        return (struct span){NULL, 0};
    }
    memcpy(copy, text.base, text.len);
    return (struct span){copy, text.len};
}

struct span pool_printf(struct pool *pool, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length < 0 ? NULL : pool_alloc(pool, (size_t)length + 1);
    if (text == NULL) {
        return (struct span){NULL, 0};
    }
    va_start(args, format);
    vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return (struct span){text, (size_t)length};
}

void pool_reset(struct pool *pool)
{
    struct pool_block *block = pool->blocks;
    while (block != NULL && (block->older != NULL || block->capacity > BLOCK_BYTES_MIN)) {
        struct pool_block *older = block->older;
        if (pool->spare == NULL && block->capacity == BLOCK_BYTES_MIN) {
            pool->spare = block;
        } else {
            free(block);
        }
        block = older;
    }
    if (block != NULL) {
        block->used = 0;
    }
    pool->blocks = block;
    pool->used_bytes = 0;
}

void pool_free(struct pool *pool)
{
    for (struct pool_block *block = pool->blocks; block != NULL;) {
        struct pool_block *older = block->older;
        free(block);
        block = older;
    }
    free(pool->spare);
    pool->blocks = NULL;
    pool->spare = NULL;
    pool->used_bytes = 0;
}
