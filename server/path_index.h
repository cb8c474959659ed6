/* SPDX-License-Identifier: Apache-2.0 */
/* A set of paths, numbered 0, 1, 2 ... in the order they were added. Open addressing over keys
 * hashed with SipHash-1-3 under a random key, so that nobody can write a tar whose paths collide.
 * The bytes of the paths are borrowed and must not move. */
#ifndef SERVER_PATH_INDEX_H
#define SERVER_PATH_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "server/span.h"

#define PATH_INDEX_NONE UINT32_MAX

struct path_key {
    const char *base;
    uint32_t len;
    uint32_t hash;
};

struct path_index {
    struct path_key *keys;
    uint32_t *slots; /* number of the key + 1, or 0; a power of two of them */
    uint32_t count;
    uint32_t key_capacity;
    uint32_t slot_count;
    uint64_t secret[2];
};

void path_index_init(struct path_index *index);
void path_index_free(struct path_index *index);

/* Number of the path, or PATH_INDEX_NONE. */
uint32_t path_index_find(const struct path_index *index, struct span path);
/* `path` must be absent. Its number is the count before. False: out of memory. */
bool path_index_add(struct path_index *index, struct span path);

#endif
