/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder of HPACK. A field is decoded once all of it is there: where it lies, or gathered when
 * it came in pieces, of which only lengths are looked at until then. All texts that are not static
 * are copied to the caller's room, so that whatever happens to the table or to the input, they
 * stay; the caller would have to copy them anyway.
 */
#include <assert.h>

#include "server/hpack_int.h"

/* ---- parts of a field */

/* What begins somewhere and may end before the octets do. */
struct integer {
    const uint8_t *end; /* behind it; NULL: it is not all there */
    uint32_t value;
};

/* What is malformed has the value of what is too large for anything. */
#define TOO_LARGE UINT32_MAX

static __attribute__((noinline)) struct integer
read_long_integer(const uint8_t *at, const uint8_t *end, uint64_t value)
{
    for (unsigned shift = 0; at < end; shift += 7) {
        uint8_t octet = *at++;
        value += (uint64_t)(octet & 0x7f) << shift;
        if (value >= TOO_LARGE || (shift == 28 && octet >= 0x80)) {
            return (struct integer){at, TOO_LARGE};
        }
        if (octet < 0x80) {
            return (struct integer){at, (uint32_t)value};
        }
    }
    return (struct integer){NULL, 0};
}

/* RFC 7541 5.1 */
static inline struct integer read_integer(const uint8_t *at, const uint8_t *end, unsigned bits)
{
    uint32_t prefix_max = (1u << bits) - 1;
    uint32_t value = *at & prefix_max;
    return value < prefix_max ? (struct integer){at + 1, value}
                              : read_long_integer(at + 1, end, prefix_max);
}

/* A string as it is coded. */
struct string {
    struct span octets;
    bool is_huffman;
};

/* HPACK_FIELD, or HPACK_END if not all of it is there. */
static inline enum hpack_result read_string(const uint8_t **at, const uint8_t *end,
                                            struct string *string)
{
    if (*at == end) {
        return HPACK_END;
    }
    string->is_huffman = (**at & HPACK_HUFFMAN) != 0;
    struct integer length = read_integer(*at, end, HPACK_STRING_BITS);
    if (length.end == NULL) {
        return HPACK_END;
    }
    if (length.value > LIM_H2_FIELD_BYTES) {
        return length.value == TOO_LARGE ? HPACK_MALFORMED : HPACK_TOO_LONG;
    }
    if (length.value > end - length.end) {
        return HPACK_END;
    }
    string->octets = (struct span){(const char *)length.end, length.value};
    *at = length.end + length.value;
    return HPACK_FIELD;
}

/* ---- texts in the room */

static struct span put(struct hpack_room room, struct hpack_field *field, struct span text)
{
    char *at = room.base + field->room_bytes;
    (void)span_put(at, text);
    field->room_bytes += text.len;
    return (struct span){at, text.len};
}

/* False: malformed. */
static bool put_string(struct hpack_room room, struct hpack_field *field,
                       const struct string *string, struct span *text)
{
    char *at = room.base + field->room_bytes;
    size_t left = room.bytes - field->room_bytes;
    size_t length = string->octets.len;
    if (string->is_huffman) {
        length = hpack_huffman_decode(at, left, string->octets);
        if (length == HPACK_NO_TEXT) {
            return false;
        }
    } else if (length <= left) {
        (void)span_put(at, string->octets);
    }
    if (length <= left) {
        *text = (struct span){at, length};
        field->room_bytes += length;
    } else {
        *text = (struct span){NULL, length};
        field->too_long = true;
    }
    return true;
}

/* ---- fields */

static inline void put_static(uint32_t index, struct hpack_field *field)
{
    const struct hpack_static *entry = &hpack_static[index];
    *field = (struct hpack_field){
        .name = entry->name, .value = entry->value, .name_index = entry->name_index};
}

/* False: there is no such entry. */
static __attribute__((noinline)) bool put_entry(const struct hpack_table *table, uint32_t index,
                                                struct hpack_room room, struct hpack_field *field)
{
    uint32_t age = index - 1 - HPACK_STATIC;
    if (index == 0 || age >= table->count) {
        return false;
    }
    struct hpack_entry *entry = hpack_table_at(table, age);
    struct span text = {hpack_table_text(table, entry->at), entry->value_bytes};
    size_t name_bytes = 0;
    if (entry->name_index > 0) {
        text.base += entry->name_bytes;
        field->name = hpack_static[entry->name_index].name;
    } else {
        name_bytes = entry->name_bytes;
        text.len += name_bytes;
        field->name = (struct span){room.base, name_bytes};
    }
    (void)span_put(room.base, text);
    field->value = (struct span){room.base + name_bytes, entry->value_bytes};
    field->room_bytes = text.len;
    field->name_index = entry->name_index;
    field->too_long = false;
    field->marks = &entry->marks;
    return true;
}

static inline enum hpack_result put_indexed(const struct hpack_decoder *decoder, uint32_t index,
                                            struct hpack_room room, struct hpack_field *field)
{
    if (index - 1 < HPACK_STATIC) {
        put_static(index, field);
        return HPACK_FIELD;
    }
    return put_entry(&decoder->table, index, room, field) ? HPACK_FIELD : HPACK_MALFORMED;
}

static enum hpack_result decode_indexed(const struct hpack_decoder *decoder, const uint8_t **at,
                                        const uint8_t *end, struct hpack_room room,
                                        struct hpack_field *field)
{
    struct integer index = read_integer(*at, end, HPACK_INDEXED_BITS);
    if (index.end == NULL) {
        return HPACK_END;
    }
    *at = index.end;
    return put_indexed(decoder, index.value, room, field);
}

/* A name by its index, or as it came. False: malformed. */
static bool put_name(const struct hpack_decoder *decoder, uint32_t index,
                     const struct string *string, struct hpack_room room, struct hpack_field *field)
{
    const struct hpack_table *table = &decoder->table;
    if (index == 0) {
        if (!put_string(room, field, string, &field->name)) {
            return false;
        }
        unsigned known =
            field->too_long ? 0 : hpack_static_find(field->name, hpack_hash(field->name));
        field->name_index = (uint8_t)known;
    } else if (index <= HPACK_STATIC) {
        field->name_index = hpack_static[index].name_index;
    } else if (index - 1 - HPACK_STATIC < table->count) {
        const struct hpack_entry *entry = hpack_table_at(table, index - 1 - HPACK_STATIC);
        field->name_index = entry->name_index;
        if (entry->name_index == 0) {
            struct span name = {hpack_table_text(table, entry->at), entry->name_bytes};
            field->name = put(room, field, name);
        }
    } else {
        return false;
    }
    if (field->name_index > 0) {
        field->name = hpack_static[field->name_index].name;
        field->room_bytes = 0;
    }
    return true;
}

/* False: out of memory. */
static bool add_entry(struct hpack_table *table, struct hpack_field *field)
{
    size_t size = hpack_size(field->name, field->value);
    if (!hpack_table_make_room(table, size)) {
        return false;
    }
    if (size <= table->size_max) {
        assert(!field->too_long);
        struct hpack_entry *entry = hpack_table_add(table, field->name, field->value);
        entry->name_index = field->name_index;
        field->marks = &entry->marks;
    }
    return true;
}

/* A literal as it is coded. */
struct literal {
    bool added;
    uint32_t name_index; /* or 0, then `name` is set */
    struct string name;
    struct string value;
};

static enum hpack_result read_literal(const uint8_t **at, const uint8_t *end,
                                      struct literal *literal)
{
    const uint8_t *start = *at;
    literal->added = (*start & HPACK_ADDED) != 0;
    struct integer index = literal->added ? read_integer(start, end, HPACK_ADDED_BITS)
                                          : read_integer(start, end, HPACK_PLAIN_BITS);
    if (index.end == NULL) {
        return HPACK_END;
    }
    literal->name_index = index.value;
    *at = index.end;
    enum hpack_result result =
        index.value == 0 ? read_string(at, end, &literal->name) : HPACK_FIELD;
    if (result == HPACK_FIELD) {
        result = read_string(at, end, &literal->value);
    }
    /* So much is gathered at most, and what comes with it. */
    const uint8_t *last = result == HPACK_END ? end : *at;
    return last - start > (ptrdiff_t)LIM_H2_FIELD_BYTES ? HPACK_TOO_LONG : result;
}

static enum hpack_result decode_literal(struct hpack_decoder *decoder, const uint8_t **at,
                                        const uint8_t *end, struct hpack_room room,
                                        struct hpack_field *field)
{
    struct literal literal;
    const uint8_t *next = *at;
    enum hpack_result result = read_literal(&next, end, &literal);
    if (result != HPACK_FIELD) {
        return result;
    }
    *at = next;
    *field = (struct hpack_field){0};
    if (!put_name(decoder, literal.name_index, &literal.name, room, field) ||
        !put_string(room, field, &literal.value, &field->value)) {
        return HPACK_MALFORMED;
    }
    bool fine = !literal.added || add_entry(&decoder->table, field);
    return fine ? HPACK_FIELD : HPACK_NO_MEMORY;
}

/* The size of the table. */
static enum hpack_result resize(struct hpack_decoder *decoder, const uint8_t **at,
                                const uint8_t *end)
{
    struct integer size = read_integer(*at, end, HPACK_RESIZING_BITS);
    if (size.end == NULL) {
        return HPACK_END;
    }
    if (decoder->in_fields || size.value > decoder->size_limit) {
        return HPACK_MALFORMED;
    }
    hpack_table_resize(&decoder->table, size.value);
    *at = size.end;
    return HPACK_FIELD;
}

/* The next field; `at` gets behind it. HPACK_END: it is not all there, and `at` its beginning. */
static enum hpack_result decode(struct hpack_decoder *decoder, const uint8_t **at,
                                const uint8_t *end, struct hpack_room room,
                                struct hpack_field *field)
{
    enum hpack_result result = HPACK_FIELD;
    while (result == HPACK_FIELD && *at < end &&
           (**at & (HPACK_INDEXED | HPACK_ADDED | HPACK_RESIZING)) == HPACK_RESIZING) {
        result = resize(decoder, at, end);
    }
    if (result != HPACK_FIELD) {
        return result;
    }
    if (*at == end) {
        return HPACK_END;
    }
    decoder->in_fields = true;
    return (**at & HPACK_INDEXED) != 0 ? decode_indexed(decoder, at, end, room, field)
                                       : decode_literal(decoder, at, end, room, field);
}

/* ---- a block */

void hpack_decoder_init(struct hpack_decoder *decoder, uint32_t table_bytes)
{
    *decoder = (struct hpack_decoder){.size_limit = table_bytes};
    hpack_table_init(&decoder->table, table_bytes);
}

void hpack_decoder_release(struct hpack_decoder *decoder)
{
    hpack_table_release(&decoder->table);
    buffer_release(&decoder->rest);
}

/* Behind what there is of a field. */
static bool gather(struct hpack_decoder *decoder, struct span *in)
{
    return buffer_append(&decoder->rest, span_take(in, in->len), SIZE_MAX / 2);
}

/* Whatever comes, in pieces or not. */
static __attribute__((noinline)) enum hpack_result decode_any(struct hpack_decoder *decoder,
                                                              struct span *in, bool is_last,
                                                              struct hpack_room room,
                                                              struct hpack_field *field)
{
    struct buffer *rest = &decoder->rest;
    bool gathered = buffer_bytes(rest) > 0;
    if (gathered && !gather(decoder, in)) {
        return HPACK_NO_MEMORY;
    }
    struct span source = gathered ? buffer_span(rest) : *in;
    const uint8_t *start = (const uint8_t *)source.base;
    const uint8_t *at = start;
    enum hpack_result result = decode(decoder, &at, start + source.len, room, field);
    size_t used = (size_t)(at - start);
    if (gathered) {
        buffer_consume(rest, used);
    } else {
        (void)span_take(in, used);
    }
    if (result != HPACK_END) {
        return result;
    }
    if (is_last) {
        decoder->in_fields = false;
        buffer_release(rest);
        return used < source.len ? HPACK_MALFORMED : HPACK_END;
    }
    if (!gathered && in->len > 0 && !gather(decoder, in)) {
        return HPACK_NO_MEMORY;
    }
    return HPACK_END;
}

/* Most fields are an octet, and nothing is gathered: these, and the end of a block, on a short way.
 */
enum hpack_result hpack_decode(struct hpack_decoder *decoder, struct span *in, bool is_last,
                               struct hpack_room room, struct hpack_field *field)
{
    assert(room.bytes >= HPACK_ROOM_BYTES);
    if (decoder->rest.base != NULL || (in->len == 0 && !is_last)) {
        return decode_any(decoder, in, is_last, room, field);
    }
    if (in->len == 0) {
        decoder->in_fields = false;
        return HPACK_END;
    }
    uint8_t first = (uint8_t)in->base[0];
    if (first < HPACK_INDEXED || first == UINT8_MAX) {
        return decode_any(decoder, in, is_last, room, field);
    }
    in->base++;
    in->len--;
    decoder->in_fields = true;
    return put_indexed(decoder, first - HPACK_INDEXED, room, field);
}
