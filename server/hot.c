/* SPDX-License-Identifier: Apache-2.0 */
/* A table by offset and a list by time of the last use. */
#include "server/hot.h"

#include <assert.h>
#include <stdlib.h>

#include "server/limits.h"

enum { BUCKETS = 1024 };

struct hot_cache {
    struct hot_piece *buckets[BUCKETS];
    struct hot_piece *newest;
    struct hot_piece *oldest;
    size_t bytes;
};

struct hot_cache *hot_create(void)
{
    return calloc(1, sizeof(struct hot_cache));
}

/* Offsets in a tar are multiples of 512. */
static struct hot_piece **bucket_of(struct hot_cache *cache, uint64_t offset)
{
    return &cache->buckets[(offset / 512) * 0x9e3779b97f4a7c15u >> 54];
}

static void unlist(struct hot_cache *cache, struct hot_piece *piece)
{
    *(piece->newer != NULL ? &piece->newer->older : &cache->newest) = piece->older;
    *(piece->older != NULL ? &piece->older->newer : &cache->oldest) = piece->newer;
}

static void list(struct hot_cache *cache, struct hot_piece *piece)
{
    piece->newer = NULL;
    piece->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = piece;
    cache->newest = piece;
}

static void forget(struct hot_cache *cache, struct hot_piece *piece)
{
    struct hot_piece **link = bucket_of(cache, piece->offset);
    while (*link != piece) {
        link = &(*link)->bucket_next;
    }
    *link = piece->bucket_next;
    unlist(cache, piece);
    cache->bytes -= sizeof(*piece) + piece->bytes;
    hot_release(piece);
}

void hot_free(struct hot_cache *cache)
{
    while (cache != NULL && cache->oldest != NULL) {
        forget(cache, cache->oldest);
    }
    free(cache);
}

static struct hot_piece *find(struct hot_cache *cache, uint64_t offset, uint64_t bytes)
{
    struct hot_piece *piece = *bucket_of(cache, offset);
    while (piece != NULL && (piece->offset != offset || piece->bytes != bytes)) {
        piece = piece->bucket_next;
    }
    return piece;
}

struct hot_piece *hot_get(struct hot_cache *cache, uint64_t offset, uint64_t bytes)
{
    struct hot_piece *piece = find(cache, offset, bytes);
    if (piece == NULL) {
        return NULL;
    }
    if (cache->newest != piece) {
        unlist(cache, piece);
        list(cache, piece);
    }
    piece->holders++;
    return piece;
}

void hot_release(struct hot_piece *piece)
{
    if (piece != NULL && --piece->holders == 0) {
        free(piece);
    }
}

bool hot_fits(uint64_t bytes)
{
    return bytes > 0 && bytes <= LIM_HOT_PIECE_BYTES;
}

void hot_put(struct hot_cache *cache, uint64_t offset, struct span data)
{
    assert(hot_fits(data.len));
    struct hot_piece *piece =
        find(cache, offset, data.len) == NULL ? malloc(sizeof(*piece) + data.len) : NULL;
    if (piece == NULL) {
        return;
    }
    *piece = (struct hot_piece){.holders = 1, .offset = offset, .bytes = data.len};
    memcpy(piece->data, data.base, data.len);
    struct hot_piece **bucket = bucket_of(cache, offset);
    piece->bucket_next = *bucket;
    *bucket = piece;
    list(cache, piece);
    cache->bytes += sizeof(*piece) + data.len;
    while (cache->bytes > LIM_HOT_BYTES) {
        forget(cache, cache->oldest);
    }
}
