/* SPDX-License-Identifier: Apache-2.0 */
/* The set of paths of a site: see path_index.h. Linear probing, at most three quarters full. */
#include "server/path_index.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

#include "server/siphash.h"

enum { SLOTS_FIRST = 64 };

static uint32_t path_hash(const struct path_index *index, struct span path)
{
    uint64_t hash = siphash(index->secret, path);
    return (uint32_t)(hash ^ hash >> 32);
}

/* ---- the table ---- */

void path_index_init(struct path_index *index)
{
    *index = (struct path_index){0};
    if (getrandom(index->secret, sizeof index->secret, GRND_NONBLOCK) < 0) {
        /* Early at boot: an address is better than nothing. */
        index->secret[0] = (uint64_t)(uintptr_t)index;
    }
}

void path_index_free(struct path_index *index)
{
    free(index->keys);
    free(index->slots);
    *index = (struct path_index){0};
}

/* The slot that holds the path, or the empty one where it belongs. */
static uint32_t slot_of(const struct path_index *index, struct span path, uint32_t hash)
{
    uint32_t mask = index->slot_count - 1;
    for (uint32_t slot = hash & mask;; slot = (slot + 1) & mask) {
        uint32_t number = index->slots[slot];
        if (number == 0) {
            return slot;
        }
        const struct path_key *key = &index->keys[number - 1];
        if (key->hash == hash && span_equal((struct span){key->base, key->len}, path)) {
            return slot;
        }
    }
}

uint32_t path_index_find(const struct path_index *index, struct span path)
{
    if (index->count == 0) {
        return PATH_INDEX_NONE;
    }
    return index->slots[slot_of(index, path, path_hash(index, path))] - 1;
}

static bool slots_grow(struct path_index *index)
{
    uint32_t count = index->slot_count == 0 ? SLOTS_FIRST : index->slot_count * 2;
    uint32_t *slots = count > index->slot_count ? calloc(count, sizeof *slots) : NULL;
    if (slots == NULL) {
        return false;
    }
    free(index->slots);
    index->slots = slots;
    index->slot_count = count;
    for (uint32_t i = 0; i < index->count; i++) {
        uint32_t slot = index->keys[i].hash & (count - 1);
        while (slots[slot] != 0) {
            slot = (slot + 1) & (count - 1);
        }
        slots[slot] = i + 1;
    }
    return true;
}

static bool keys_grow(struct path_index *index)
{
    uint32_t capacity = index->key_capacity + index->key_capacity / 2 + SLOTS_FIRST;
    if (capacity < index->key_capacity) {
        return false;
    }
    struct path_key *keys = realloc(index->keys, capacity * sizeof *keys);
    if (keys == NULL) {
        return false;
    }
    index->keys = keys;
    index->key_capacity = capacity;
    return true;
}

bool path_index_add(struct path_index *index, struct span path)
{
    assert(path.len <= UINT32_MAX);
    if (index->count >= index->slot_count / 4 * 3 && !slots_grow(index)) {
        return false;
    }
    if (index->count == index->key_capacity && !keys_grow(index)) {
        return false;
    }
    uint32_t hash = path_hash(index, path);
    uint32_t slot = slot_of(index, path, hash);
    assert(index->slots[slot] == 0);
    index->keys[index->count] = (struct path_key){path.base, (uint32_t)path.len, hash};
    index->slots[slot] = ++index->count;
    return true;
}
