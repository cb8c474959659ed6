/* SPDX-License-Identifier: Apache-2.0 */
/* The encoder of HPACK. What goes into the table pushes out what is there, so only what is likely
 * to come again should: fields whose values are few (server/hpack_static.def) at once, all others
 * when they come for the second time. So an entity tag costs its octets in the answers to a
 * browser, which asks once, and one octet in those to a client that asks again and again; a date is
 * added in the second answer of its second. No field is looked for among more than a few.
 */
#include <assert.h>

#include "server/hpack_int.h"

enum { PROBES_MAX = 32 };

void hpack_encoder_init(struct hpack_encoder *encoder)
{
    *encoder = (struct hpack_encoder){0};
    hpack_table_init(&encoder->table, LIM_H2_TABLE_BYTES);
}

void hpack_encoder_release(struct hpack_encoder *encoder)
{
    hpack_table_release(&encoder->table);
}

void hpack_encoder_resize(struct hpack_encoder *encoder, uint32_t table_bytes)
{
    uint32_t size = table_bytes < LIM_H2_TABLE_BYTES ? table_bytes : LIM_H2_TABLE_BYTES;
    if (size == encoder->table.size_max && !encoder->resized) {
        return;
    }
    if (!encoder->resized || size < encoder->size_low) {
        encoder->size_low = size;
    }
    encoder->resized = true;
    hpack_table_resize(&encoder->table, size);
}

/* ---- octets */

/* RFC 7541 5.1. The first octet has `first` in its other bits. */
static uint8_t *put_integer(uint8_t *out, unsigned first, unsigned bits, size_t value)
{
    size_t prefix_max = (1u << bits) - 1;
    if (value < prefix_max) {
        *out++ = (uint8_t)(first | value);
        return out;
    }
    *out++ = (uint8_t)(first | prefix_max);
    for (value -= prefix_max; value >= 0x80; value >>= 7) {
        *out++ = (uint8_t)(value | 0x80);
    }
    *out++ = (uint8_t)value;
    return out;
}

static uint8_t *put_string(uint8_t *out, struct span text)
{
    size_t coded = hpack_huffman_bytes(text);
    if (coded < text.len) {
        return hpack_huffman_encode(put_integer(out, HPACK_HUFFMAN, HPACK_STRING_BITS, coded),
                                    text);
    }
    out = put_integer(out, 0, HPACK_STRING_BITS, text.len);
    return (uint8_t *)span_put((char *)out, text);
}

uint8_t *hpack_encode_start(struct hpack_encoder *encoder, uint8_t *out)
{
    if (encoder->resized) {
        if (encoder->size_low < encoder->table.size_max) {
            out = put_integer(out, HPACK_RESIZING, HPACK_RESIZING_BITS, encoder->size_low);
        }
        out = put_integer(out, HPACK_RESIZING, HPACK_RESIZING_BITS, encoder->table.size_max);
        encoder->resized = false;
    }
    encoder->place = 0;
    return out;
}

/* ---- what the tables have of a field */

/* What is to be coded, and what the tables have of it. */
struct sought {
    struct span name;
    struct span value;
    uint32_t hash;       /* of the name */
    unsigned name_index; /* as in hpack_field */
    unsigned index;      /* of an entry with that name, or 0 */
    bool is_whole;       /* with that value, too */
};

static bool same_text(const char *text, size_t bytes, struct span sought)
{
    return bytes == sought.len && hpack_equal(text, sought);
}

static void find_static(struct sought *sought)
{
    unsigned first = hpack_static_find(sought->name, sought->hash);
    if (first == 0) {
        return;
    }
    sought->name_index = sought->index = first;
    for (unsigned i = first; i <= HPACK_STATIC && hpack_static[i].name_index == first; i++) {
        const struct span *value = &hpack_static[i].value;
        if (same_text(value->base, value->len, sought->value)) {
            sought->index = i;
            sought->is_whole = true;
            return;
        }
    }
}

static bool same_name(const struct sought *sought, const struct hpack_entry *entry,
                      const char *text)
{
    if (entry->hash != sought->hash || entry->name_index != sought->name_index) {
        return false;
    }
    return entry->name_index > 0 || same_text(text, entry->name_bytes, sought->name);
}

static uint16_t *bucket_of(struct hpack_encoder *encoder, uint32_t hash)
{
    return &encoder->buckets[hash % HPACK_BUCKETS];
}

/* The newest entries first. Numbers are cut to 16 bits: those of entries that are gone may be taken
 * for newer ones, which then are only looked at. */
static void find_dynamic(struct hpack_encoder *encoder, struct sought *sought)
{
    const struct hpack_table *table = &encoder->table;
    uint16_t number = *bucket_of(encoder, sought->hash);
    for (unsigned probes = 0; probes < PROBES_MAX; probes++) {
        unsigned age = (uint16_t)(table->number - 1 - number);
        if (age >= table->count) {
            return;
        }
        const struct hpack_entry *entry = hpack_table_at(table, age);
        const char *text = hpack_table_text(table, entry->at);
        if (same_name(sought, entry, text)) {
            sought->is_whole =
                same_text(text + entry->name_bytes, entry->value_bytes, sought->value);
            if (sought->index == 0 || sought->is_whole) {
                sought->index = HPACK_STATIC + 1 + age;
            }
            if (sought->is_whole) {
                return;
            }
        }
        number = entry->older;
    }
}

/* Whether it was seen lately, as far as its hash tells; from now on it was. */
static bool seen_before(struct hpack_encoder *encoder, const struct sought *sought)
{
    uint32_t hash = hpack_hash(sought->value) ^ sought->hash;
    uint16_t *seen = &encoder->seen[hash % HPACK_SEEN];
    uint16_t other = *seen;
    *seen = (uint16_t)(hash >> 16);
    return other == *seen;
}

/* Whether the field becomes an entry. */
static bool is_added(struct hpack_encoder *encoder, const struct sought *sought,
                     enum hpack_habit habit)
{
    struct hpack_table *table = &encoder->table;
    size_t size = hpack_size(sought->name, sought->value);
    if (habit == HPACK_SECRET ||
        size > table->size_max / 4 * 3) { /* it would push all others out */
        return false;
    }
    return (habit == HPACK_SOON || seen_before(encoder, sought)) &&
           hpack_table_make_room(table, size);
}

static void add(struct hpack_encoder *encoder, const struct sought *sought)
{
    uint16_t *bucket = bucket_of(encoder, sought->hash);
    uint16_t number = (uint16_t)encoder->table.number;
    struct hpack_entry *entry = hpack_table_add(&encoder->table, sought->name, sought->value);
    entry->hash = sought->hash;
    entry->name_index = (uint8_t)sought->name_index;
    entry->older = *bucket;
    *bucket = number;
}

/* ---- places: the answers of a connection are much alike, so each field is compared to the one
 * that had its place in the last answer before it is looked for. */

/* Whether that is the entry so many before the newest. */
static bool has_place(const struct hpack_encoder *encoder, struct span name, struct span value,
                      unsigned *age)
{
    const struct hpack_table *table = &encoder->table;
    if (encoder->place >= HPACK_PLACES) {
        return false;
    }
    *age = (uint16_t)(table->number - 1 - encoder->places[encoder->place]);
    if (*age >= table->count) {
        return false;
    }
    const struct hpack_entry *entry = hpack_table_at(table, *age);
    const char *text = hpack_table_text(table, entry->at);
    return same_text(text, entry->name_bytes, name) &&
           same_text(text + entry->name_bytes, entry->value_bytes, value);
}

static void note_place(struct hpack_encoder *encoder, unsigned age)
{
    if (encoder->place < HPACK_PLACES) {
        encoder->places[encoder->place] = (uint16_t)(encoder->table.number - 1 - age);
    }
}

/* ---- fields */

static __attribute__((noinline)) uint8_t *encode_sought(struct hpack_encoder *encoder, uint8_t *out,
                                                        struct span name, struct span value)
{
    struct sought sought = {.name = name, .value = value, .hash = hpack_hash(name)};
    find_static(&sought);
    if (!sought.is_whole) {
        find_dynamic(encoder, &sought);
    }
    if (sought.is_whole) {
        if (sought.index > HPACK_STATIC) {
            note_place(encoder, sought.index - HPACK_STATIC - 1);
        }
        return put_integer(out, HPACK_INDEXED, HPACK_INDEXED_BITS, sought.index);
    }
    enum hpack_habit habit =
        sought.name_index > 0 ? hpack_static[sought.name_index].habit : HPACK_AGAIN;
    if (is_added(encoder, &sought, habit)) {
        add(encoder, &sought);
        note_place(encoder, 0);
        out = put_integer(out, HPACK_ADDED, HPACK_ADDED_BITS, sought.index);
    } else {
        unsigned first = habit == HPACK_SECRET ? HPACK_GUARDED : 0;
        out = put_integer(out, first, HPACK_PLAIN_BITS, sought.index);
    }
    if (sought.index == 0) {
        out = put_string(out, name);
    }
    return put_string(out, value);
}

uint8_t *hpack_encode(struct hpack_encoder *encoder, uint8_t *out, struct span name,
                      struct span value)
{
    unsigned age;
    if (has_place(encoder, name, value, &age)) {
        out = put_integer(out, HPACK_INDEXED, HPACK_INDEXED_BITS, HPACK_STATIC + 1 + age);
    } else {
        out = encode_sought(encoder, out, name, value);
    }
    encoder->place += encoder->place < HPACK_PLACES;
    return out;
}

uint8_t *hpack_encode_status(struct hpack_encoder *encoder, uint8_t *out, unsigned status)
{
    static const uint16_t known[] = {200, 204, 206, 304, 400, 404, 500};
    assert(status >= 100 && status <= 999);
    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i] == status) {
            return put_integer(out, HPACK_INDEXED, HPACK_INDEXED_BITS, HPACK_STATUS + i);
        }
    }
    const char digits[] = {
        (char)('0' + status / 100),
        (char)('0' + status / 10 % 10),
        (char)('0' + status % 10),
    };
    return hpack_encode(encoder, out, SPAN(":status"), (struct span){digits, sizeof digits});
}
