/* SPDX-License-Identifier: Apache-2.0 */
/* HPACK (RFC 7541): how HTTP/2 codes the fields of heads, by a table that both ends keep for each
 * direction of a connection. No I/O, and of memory the tables alone, once there is something in
 * them. All zero is neither: both begin with their init.
 *
 * The decoder takes blocks in any pieces. What it returns other than HPACK_FIELD and HPACK_END is
 * an error, after which it is of no use, as is the connection. The encoder cannot fail: without
 * memory it goes on without a table.
 *
 *     struct hpack_field field;
 *     while ((result = hpack_decode(&decoder, &bytes, true, room, &field)) == HPACK_FIELD) ...
 *
 *     uint8_t *end = hpack_encode_start(&encoder, out);
 *     end = hpack_encode_status(&encoder, end, 200);
 *     end = hpack_encode(&encoder, end, SPAN("content-type"), SPAN("text/plain"));
 */
#ifndef SERVER_HPACK_H
#define SERVER_HPACK_H

#include <stdbool.h>
#include <stdint.h>

#include "server/buffer.h"
#include "server/limits.h"
#include "server/span.h"

/* ---- the dynamic table of one direction; see hpack_table.c */

struct hpack_entry;

struct hpack_table {
    struct hpack_entry *entries; /* a ring, and the texts behind it; or NULL */
    char *texts;
    uint32_t mask; /* one less than the places of the ring, a power of two */
    uint32_t size; /* RFC 7541 4.1: texts and 32 for each entry */
    uint32_t size_max;
    uint32_t count;  /* of entries */
    uint32_t number; /* of the next entry; that of the first was 0 */
    uint32_t start;  /* where the texts begin and end; counted on from entry to entry */
    uint32_t end;
};

/* ---- decoder */

enum {
    /* Of a decoder's room, at least: an entry of the table fits. */
    HPACK_ROOM_BYTES = LIM_H2_TABLE_BYTES,
    /* `name_index` of names that have rules of their own; of the static table. */
    HPACK_AUTHORITY = 1,
    HPACK_METHOD = 2,
    HPACK_PATH = 4,
    HPACK_SCHEME = 6,
    HPACK_STATUS = 8,
    HPACK_CONTENT_LENGTH = 28,
    HPACK_COOKIE = 32,
    HPACK_HOST = 38,
    HPACK_TRANSFER_ENCODING = 57,
};

struct hpack_field {
    /* Either may be static; what is not lies in the room, name first and one behind the other. */
    struct span name;
    struct span value;
    size_t room_bytes;  /* of both in the room */
    uint8_t name_index; /* the first of the static table with that name; or 0 */
    bool too_long;      /* for the room: what would be there is not, its base is NULL */
    /* Of the table's entry that it came from or became, else NULL: for the caller to note what it
     * knows about the texts. 0 at first; valid until the next call. */
    uint8_t *marks;
};

enum hpack_result {
    HPACK_END,       /* all octets are used, and the block is complete if they were the last */
    HPACK_FIELD,     /* the next field; there may be more */
    HPACK_MALFORMED, /* COMPRESSION_ERROR */
    HPACK_TOO_LONG,  /* a field, beyond LIM_H2_FIELD_BYTES */
    HPACK_NO_MEMORY,
};

struct hpack_room {
    char *base;
    size_t bytes;
};

struct hpack_decoder {
    struct hpack_table table;
    struct buffer rest;  /* octets of a field that has not all come */
    uint32_t size_limit; /* of the table, as our SETTINGS tell */
    bool in_fields;      /* the block has had one: the table keeps its size */
};

/* The table has at most table_bytes (at most LIM_H2_TABLE_BYTES). */
void hpack_decoder_init(struct hpack_decoder *decoder, uint32_t table_bytes);
void hpack_decoder_release(struct hpack_decoder *decoder);
/* Takes octets of a block from `in` up to the end of the next field. is_last: those of `in` are its
 * last ones. */
enum hpack_result hpack_decode(struct hpack_decoder *decoder, struct span *in, bool is_last,
                               struct hpack_room room, struct hpack_field *field);

/* ---- encoder */

enum {
    HPACK_START_BYTES_MAX = 12, /* of hpack_encode_start */
    HPACK_STATUS_BYTES_MAX = 8, /* of hpack_encode_status */
    HPACK_FIELD_BYTES_MAX = 11, /* of hpack_encode, beside the texts, below 2^28 together */
    HPACK_SEEN = 32,
    HPACK_BUCKETS = 32,
    HPACK_PLACES = 16,
};

struct hpack_encoder {
    struct hpack_table table;
    uint32_t size_low; /* the smallest size since the last block, which the peer has to be told */
    bool resized;
    uint8_t place;                   /* of the next field in its block, up to HPACK_PLACES */
    uint16_t places[HPACK_PLACES];   /* the entries of the fields of the last block */
    uint16_t buckets[HPACK_BUCKETS]; /* the newest entry by hash of its name */
    uint16_t seen[HPACK_SEEN];       /* hashes of fields that are not in the table */
};

void hpack_encoder_init(struct hpack_encoder *encoder);
void hpack_encoder_release(struct hpack_encoder *encoder);
/* SETTINGS_HEADER_TABLE_SIZE of the peer. */
void hpack_encoder_resize(struct hpack_encoder *encoder, uint32_t table_bytes);
/* The beginning of a block. Returns the place behind what was written, as does hpack_encode. */
uint8_t *hpack_encode_start(struct hpack_encoder *encoder, uint8_t *out);
/* ":status", first of an answer. */
uint8_t *hpack_encode_status(struct hpack_encoder *encoder, uint8_t *out, unsigned status);
/* The next field, whose name is in lower case. */
uint8_t *hpack_encode(struct hpack_encoder *encoder, uint8_t *out, struct span name,
                      struct span value);

#endif
