/* SPDX-License-Identifier: Apache-2.0 */
/* HPACK's tables. Entries of a dynamic one are a ring, and their texts lie one behind the other, so
 * that no text is ever in two pieces: when there is no room behind the newest, all are moved to the
 * beginning. RFC 7541 counts 32 octets for each entry beside its texts, so if room for `size`
 * octets of texts is not less than the size of the table, then there is always enough, and a ring
 * of room / 32 entries is, too. The room grows with what is in it, up to the size that is allowed.
 */
#include <assert.h>
#include <stdlib.h>

#include "server/hpack_int.h"

enum { ROOM_FIRST = 256, STATIC_SLOTS = 128 };

const struct hpack_static hpack_static[HPACK_STATIC + 1] = {
#define HPACK_STATIC_ENTRY(index, name_index, name, value, habit)                                  \
    [index] = {{name, sizeof(name) - 1}, {value, sizeof(value) - 1}, name_index, HPACK_##habit},
#include "server/hpack_static.def"
};

/* The names of the static table by the first bits of their hashes. The factor of hpack_hash was
 * looked for until no two of them met. */
static const uint8_t static_slots[STATIC_SLOTS] = {
    20, 0,  0,  24, 27, 0,  0,  0, 0,  0,  35, 0,  0, 0,  0,  30, 31, 54, 43, 60, 16, 55,
    0,  0,  0,  0,  19, 58, 0,  0, 0,  0,  26, 39, 0, 52, 0,  0,  29, 0,  0,  0,  51, 42,
    8,  33, 37, 0,  49, 34, 0,  0, 61, 28, 0,  47, 0, 0,  4,  0,  1,  0,  18, 0,  0,  0,
    0,  23, 17, 0,  0,  0,  0,  0, 0,  0,  0,  0,  0, 2,  50, 6,  36, 0,  40, 38, 0,  44,
    0,  0,  0,  0,  0,  0,  0,  0, 0,  0,  21, 0,  0, 0,  25, 0,  22, 0,  56, 59, 0,  0,
    0,  0,  32, 0,  41, 0,  53, 0, 46, 15, 45, 0,  0, 57, 0,  0,  0,  48,
};

/* The last 8 octets, or all in such a way that others give something else. */
static uint64_t last_octets(struct span text)
{
    if (text.len >= 8) {
        return octets8(text.base + text.len - 8);
    }
    if (text.len >= 4) {
        return octets4_to_8(text.base, text.len);
    }
    uint64_t word = 0;
    for (size_t i = 0; i < text.len; i++) {
        word = word << 8 | (uint8_t)text.base[i];
    }
    return word;
}

/* Whoever chooses texts that meet gains little: what is found by it is few and compared. */
uint32_t hpack_hash(struct span text)
{
    const uint64_t factor = 0xcef3392492737397u;
    uint64_t hash = text.len * factor;
    for (size_t i = 0; i + 8 < text.len; i += 8) {
        hash = (hash ^ octets8(text.base + i)) * factor;
        hash ^= hash >> 32;
    }
    return (uint32_t)(((hash ^ last_octets(text)) * factor) >> 32);
}

/* At 0 there is a name without octets. */
unsigned hpack_static_find(struct span name, uint32_t hash)
{
    unsigned index = static_slots[hash / (UINT32_MAX / STATIC_SLOTS + 1)];
    const struct span *known = &hpack_static[index].name;
    return known->len == name.len && hpack_equal(known->base, name) ? index : 0;
}

/* ---- dynamic */

void hpack_table_init(struct hpack_table *table, uint32_t size_max)
{
    assert(size_max <= LIM_H2_TABLE_BYTES);
    *table = (struct hpack_table){.size_max = size_max};
}

void hpack_table_release(struct hpack_table *table)
{
    free(table->entries);
    table->entries = NULL;
}

static void evict(struct hpack_table *table, size_t size_max)
{
    while (table->size > size_max) {
        const struct hpack_entry *oldest = hpack_table_at(table, table->count - 1);
        table->size -= oldest->name_bytes + oldest->value_bytes + HPACK_ENTRY_OVERHEAD;
        table->count--;
    }
}

void hpack_table_resize(struct hpack_table *table, uint32_t size_max)
{
    assert(size_max <= LIM_H2_TABLE_BYTES);
    table->size_max = size_max;
    evict(table, size_max);
}

/* For texts. */
static uint32_t room_of(const struct hpack_table *table)
{
    return table->entries != NULL ? (table->mask + 1) * HPACK_ENTRY_OVERHEAD : 0;
}

/* Where the texts begin that still are in the table. */
static uint32_t texts_begin(const struct hpack_table *table)
{
    return table->count > 0 ? hpack_table_at(table, table->count - 1)->at : table->end;
}

/* False: out of memory. */
static bool grow(struct hpack_table *table, uint32_t size)
{
    uint32_t room = ROOM_FIRST;
    while (room < size) {
        room *= 2;
    }
    uint32_t places = room / HPACK_ENTRY_OVERHEAD;
    struct hpack_entry *entries = malloc(places * sizeof *entries + room);
    if (entries == NULL) {
        return false;
    }
    struct hpack_table larger = *table;
    larger.entries = entries;
    larger.texts = (char *)(entries + places);
    larger.mask = places - 1;
    larger.start = texts_begin(table);
    for (unsigned age = 0; age < table->count; age++) {
        *hpack_table_at(&larger, age) = *hpack_table_at(table, age);
    }
    if (table->count > 0) {
        memcpy(hpack_table_text(&larger, larger.start), hpack_table_text(table, larger.start),
               larger.end - larger.start);
    }
    free(table->entries);
    *table = larger;
    return true;
}

bool hpack_table_make_room(struct hpack_table *table, size_t size)
{
    if (size > table->size_max) {
        evict(table, 0);
        return true;
    }
    evict(table, table->size_max - size);
    uint32_t text_bytes = (uint32_t)size - HPACK_ENTRY_OVERHEAD;
    if (table->size + size > room_of(table)) {
        return grow(table, table->size + (uint32_t)size);
    }
    if (table->end - table->start + text_bytes > room_of(table)) {
        uint32_t begin = texts_begin(table);
        memmove(hpack_table_text(table, table->start), hpack_table_text(table, begin),
                table->end - begin);
        table->start = begin;
    }
    return true;
}

struct hpack_entry *hpack_table_add(struct hpack_table *table, struct span name, struct span value)
{
    uint32_t text_bytes = (uint32_t)(name.len + value.len);
    assert(table->end - table->start + text_bytes <= room_of(table));
    (void)span_put(span_put(hpack_table_text(table, table->end), name), value);
    table->number++;
    table->count++;
    table->size += text_bytes + HPACK_ENTRY_OVERHEAD;
    struct hpack_entry *entry = hpack_table_at(table, 0);
    *entry = (struct hpack_entry){
        .at = table->end,
        .name_bytes = (uint16_t)name.len,
        .value_bytes = (uint16_t)value.len,
    };
    table->end += text_bytes;
    return entry;
}
