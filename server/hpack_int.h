/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of HPACK: hpack_table.c (the tables), hpack_huffman.c (codes of strings),
 * hpack_decode.c and hpack_encode.c.
 */
#ifndef SERVER_HPACK_INT_H
#define SERVER_HPACK_INT_H

#include "server/hpack.h"

/* The first octet of a field (RFC 7541 6) or string (5.2): what it is, and bits of an integer. */
enum {
    HPACK_INDEXED = 0x80,
    HPACK_INDEXED_BITS = 7,
    HPACK_ADDED = 0x40,
    HPACK_ADDED_BITS = 6,
    HPACK_RESIZING = 0x20,
    HPACK_RESIZING_BITS = 5,
    HPACK_GUARDED = 0x10, /* not to be added by anybody */
    HPACK_PLAIN_BITS = 4,
    HPACK_HUFFMAN = 0x80,
    HPACK_STRING_BITS = 7,
};

/* ---- tables */

enum {
    HPACK_STATIC = 61,         /* entries of the static table, from 1 */
    HPACK_ENTRY_OVERHEAD = 32, /* RFC 7541 4.1 */
};

/* How the encoder goes about fields of a name. */
enum hpack_habit {
    HPACK_SOON,  /* their values are few: into the table */
    HPACK_AGAIN, /* into the table if they come again */
    HPACK_SECRET /* RFC 7541 7.1.3: never, and nobody else may either */
};

struct hpack_static {
    struct span name;
    struct span value;
    uint8_t name_index; /* the first with that name */
    uint8_t habit;
};

/* By index; there is none at 0. */
extern const struct hpack_static hpack_static[HPACK_STATIC + 1];

struct hpack_entry {
    uint32_t at;   /* its text, name first; see hpack_table.start */
    uint32_t hash; /* of its name; the encoder's, as is `older` */
    uint16_t name_bytes;
    uint16_t value_bytes;
    uint16_t older;     /* number of one before it in its bucket, if that is still there */
    uint8_t name_index; /* as in hpack_field */
    uint8_t marks;
};

static inline bool hpack_equal16(const char *a, const char *b)
{
    return ((octets8(a) ^ octets8(b)) | (octets8(a + 8) ^ octets8(b + 8))) == 0;
}

/* Texts that are short and most often equal; without a call. */
static inline bool hpack_equal(const char *a, struct span b)
{
    if (b.len >= 16) {
        for (size_t i = 0; i + 16 < b.len; i += 16) {
            if (!hpack_equal16(a + i, b.base + i)) {
                return false;
            }
        }
        return hpack_equal16(a + b.len - 16, b.base + b.len - 16);
    }
    if (b.len >= 8) {
        return octets8(a) == octets8(b.base) &&
               octets8(a + b.len - 8) == octets8(b.base + b.len - 8);
    }
    if (b.len >= 4) {
        return octets4(a) == octets4(b.base) &&
               octets4(a + b.len - 4) == octets4(b.base + b.len - 4);
    }
    return b.len == 0 || (a[0] == b.base[0] && a[b.len / 2] == b.base[b.len / 2] &&
                          a[b.len - 1] == b.base[b.len - 1]);
}

uint32_t hpack_hash(struct span text);
/* Index of the first entry with that name, or 0. */
unsigned hpack_static_find(struct span name, uint32_t hash);

/* What a field counts in a table. */
static inline size_t hpack_size(struct span name, struct span value)
{
    return name.len + value.len + HPACK_ENTRY_OVERHEAD;
}

void hpack_table_init(struct hpack_table *table, uint32_t size_max);
void hpack_table_release(struct hpack_table *table);
/* Evicts what is too much. */
void hpack_table_resize(struct hpack_table *table, uint32_t size_max);
/* Evicts entries until one of that size can be added, or all if it is larger than the table. False:
 * out of memory. */
bool hpack_table_make_room(struct hpack_table *table, size_t size);
/* There was made room for it, and it fits. `name` and `value` are not the table's. */
struct hpack_entry *hpack_table_add(struct hpack_table *table, struct span name, struct span value);

/* The entry that came so many entries before the newest. */
static inline struct hpack_entry *hpack_table_at(const struct hpack_table *table, unsigned age)
{
    return &table->entries[(table->number - 1 - age) & table->mask];
}

static inline char *hpack_table_text(const struct hpack_table *table, uint32_t at)
{
    return table->texts + (at - table->start);
}

/* ---- Huffman codes, RFC 7541 5.2 */

/* Octets of its code. */
size_t hpack_huffman_bytes(struct span text);
/* Returns the place behind it. */
uint8_t *hpack_huffman_encode(uint8_t *out, struct span text);
/* Octets of the text, which is written if it is not longer than `room`; or HPACK_NO_TEXT. */
size_t hpack_huffman_decode(char *out, size_t room, struct span code);

#define HPACK_NO_TEXT SIZE_MAX

#endif
