/* SPDX-License-Identifier: Apache-2.0 */
/* HPACK beside nghttp2's. Of any octets both decoders find the same fields, or both none; what one
 * encoder writes for the heads of a connection, both decoders read; and their tables have the same
 * size after each block.
 *
 * Input: one byte tells what it is, and how large the tables are. Then either blocks, each behind
 * its length; or records of a byte that chooses a name (with its upper bits how it is coded, or
 * the end of the block), one for the length of a value, and the value.
 */
#include "fuzz/fuzz.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

#include "server/hpack.h"

enum {
    FIELDS_MAX = 64,
    TEXT_BYTES = 1 << 16,
    ROOM_BYTES = 8192, /* no field is longer */
};

/* A header list with its texts; those of fields that are decoded are copies. */
struct list {
    nghttp2_nv items[FIELDS_MAX];
    size_t count;
    char text[TEXT_BYTES];
    size_t text_bytes;
};

struct bytes {
    struct span left;
    uint32_t random; /* sizes of pieces */
};

static uint8_t *copy(struct list *list, struct span text)
{
    check(text.len <= sizeof list->text - list->text_bytes);
    char *at = list->text + list->text_bytes;
    (void)span_put(at, text);
    list->text_bytes += text.len;
    return (uint8_t *)at;
}

/* False: it is full. */
static bool put(struct list *list, struct span name, struct span value, uint8_t flags)
{
    if (list->count == FIELDS_MAX || name.len + value.len > TEXT_BYTES - list->text_bytes) {
        return false;
    }
    nghttp2_nv *item = &list->items[list->count++];
    *item = (nghttp2_nv){.namelen = name.len, .valuelen = value.len, .flags = flags};
    item->name = copy(list, name);
    item->value = copy(list, value);
    return true;
}

static void check_same(const struct list *a, const struct list *b)
{
    check(a->count == b->count);
    for (size_t i = 0; i < a->count; i++) {
        const nghttp2_nv *x = &a->items[i];
        const nghttp2_nv *y = &b->items[i];
        check(x->namelen == y->namelen && memcmp(x->name, y->name, x->namelen) == 0);
        check(x->valuelen == y->valuelen && memcmp(x->value, y->value, x->valuelen) == 0);
    }
}

/* ---- decoders: false when the octets are malformed; a list that is full ends the block, too */

static bool decode_theirs(nghttp2_hd_inflater *inflater, struct span block, struct list *list)
{
    list->count = list->text_bytes = 0;
    int flags = 0;
    while ((flags & NGHTTP2_HD_INFLATE_FINAL) == 0) {
        nghttp2_nv item;
        flags = 0;
        ssize_t used = nghttp2_hd_inflate_hd2(inflater, &item, &flags, (const uint8_t *)block.base,
                                              block.len, 1);
        if (used < 0) {
            return false;
        }
        (void)span_take(&block, (size_t)used);
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0 &&
            !put(list, (struct span){(const char *)item.name, item.namelen},
                 (struct span){(const char *)item.value, item.valuelen}, 0)) {
            return false;
        }
    }
    check(nghttp2_hd_inflate_end_headers(inflater) == 0);
    return true;
}

/* What the last call noted about a field has to be there when its entry comes again. */
static void check_marks(const struct hpack_field *field)
{
    if (field->marks != NULL) {
        uint8_t mark = (uint8_t)(1 + (field->name.len * 7 + field->value.len) % 255);
        check(*field->marks == 0 || *field->marks == mark);
        *field->marks = mark;
    }
}

/* The whole of `piece` is a copy, so that reads outside of it are seen. */
static enum hpack_result decode_piece(struct hpack_decoder *decoder, struct span piece,
                                      bool is_last, struct list *list)
{
    char *copied = malloc(piece.len > 0 ? piece.len : 1);
    char *room = malloc(ROOM_BYTES);
    check(copied != NULL && room != NULL);
    (void)span_put(copied, piece);
    struct span in = {copied, piece.len};
    struct hpack_field field;
    enum hpack_result result;
    while ((result = hpack_decode(decoder, &in, is_last, (struct hpack_room){room, ROOM_BYTES},
                                  &field)) == HPACK_FIELD) {
        check_marks(&field);
        check(!field.too_long);
        if (!put(list, field.name, field.value, 0)) {
            result = HPACK_MALFORMED;
            break;
        }
    }
    check(result != HPACK_END || in.len == 0);
    free(room);
    free(copied);
    return result;
}

static enum hpack_result decode_ours(struct hpack_decoder *decoder, struct span block,
                                     struct list *list, struct bytes *bytes)
{
    list->count = list->text_bytes = 0;
    for (;;) {
        bytes->random = bytes->random * 1664525u + 1013904223u;
        unsigned below = (bytes->random >> 30) == 0 ? 4 : (bytes->random >> 30) == 1 ? 64 : 100000;
        struct span piece = span_take(&block, (bytes->random >> 8) % below);
        bool is_last = block.len == 0 && (bytes->random & 0x80) != 0;
        enum hpack_result result = decode_piece(decoder, piece, is_last, list);
        if (is_last || result != HPACK_END) {
            return result;
        }
    }
}

/* ---- both ways */

/* Both ends of one direction. */
struct decoders {
    struct hpack_decoder ours;
    nghttp2_hd_inflater *theirs;
};

static void open_decoders(struct decoders *decoders, uint32_t table_bytes)
{
    hpack_decoder_init(&decoders->ours, table_bytes);
    check(nghttp2_hd_inflate_new(&decoders->theirs) == 0);
    if (table_bytes < LIM_H2_TABLE_BYTES) { /* it now waits for the encoder to say so */
        check(nghttp2_hd_inflate_change_table_size(decoders->theirs, table_bytes) == 0);
    }
}

static void close_decoders(struct decoders *decoders)
{
    hpack_decoder_release(&decoders->ours);
    nghttp2_hd_inflate_del(decoders->theirs);
}

static void check_tables(const struct decoders *decoders)
{
    check(nghttp2_hd_inflate_get_dynamic_table_size(decoders->theirs) == decoders->ours.table.size);
}

static void play_octets(struct bytes *bytes, uint32_t table_bytes)
{
    static struct list ours;
    static struct list theirs;
    struct decoders decoders;
    open_decoders(&decoders, table_bytes);
    if (table_bytes < LIM_H2_TABLE_BYTES) {
        struct hpack_encoder encoder;
        uint8_t start[HPACK_START_BYTES_MAX];
        hpack_encoder_init(&encoder);
        hpack_encoder_resize(&encoder, table_bytes);
        size_t length = (size_t)(hpack_encode_start(&encoder, start) - start);
        check(decode_theirs(decoders.theirs, (struct span){(char *)start, length}, &theirs));
    }
    while (bytes->left.len > 0) {
        struct span block = span_take(&bytes->left, take_octet(&bytes->left) + 1u);
        bool fine = decode_theirs(decoders.theirs, block, &theirs);
        enum hpack_result result = decode_ours(&decoders.ours, block, &ours, bytes);
        check(fine == (result == HPACK_END));
        check_same(&ours, &theirs);
        if (!fine) {
            break;
        }
        check_tables(&decoders);
    }
    close_decoders(&decoders);
}

/* Reads what was encoded and frees it. */
static void check_block(struct decoders *decoders, uint8_t *block, size_t length,
                        const struct list *list, struct bytes *bytes)
{
    static struct list decoded;
    struct span octets = {(const char *)block, length};
    check(decode_theirs(decoders->theirs, octets, &decoded));
    check_same(&decoded, list);
    check(decode_ours(&decoders->ours, octets, &decoded, bytes) == HPACK_END);
    check_same(&decoded, list);
    check_tables(decoders);
    free(block);
}

static void encode_ours(struct hpack_encoder *encoder, struct decoders *decoders,
                        const struct list *list, struct bytes *bytes)
{
    size_t bound = HPACK_START_BYTES_MAX;
    for (size_t i = 0; i < list->count; i++) {
        bound += HPACK_FIELD_BYTES_MAX + list->items[i].namelen + list->items[i].valuelen;
    }
    uint8_t *block = malloc(bound);
    check(block != NULL);
    uint8_t *end = hpack_encode_start(encoder, block);
    check(end - block <= HPACK_START_BYTES_MAX);
    for (size_t i = 0; i < list->count; i++) {
        const nghttp2_nv *item = &list->items[i];
        uint8_t *start = end;
        end = hpack_encode(encoder, end, (struct span){(const char *)item->name, item->namelen},
                           (struct span){(const char *)item->value, item->valuelen});
        check((size_t)(end - start) <= HPACK_FIELD_BYTES_MAX + item->namelen + item->valuelen);
    }
    check_block(decoders, block, (size_t)(end - block), list, bytes);
    check(encoder->table.size == decoders->ours.table.size);
}

static void encode_theirs(nghttp2_hd_deflater *deflater, struct decoders *decoders,
                          const struct list *list, struct bytes *bytes)
{
    size_t bound = nghttp2_hd_deflate_bound(deflater, list->items, list->count);
    uint8_t *block = malloc(bound);
    check(block != NULL);
    ssize_t length = nghttp2_hd_deflate_hd(deflater, block, bound, list->items, list->count);
    check(length >= 0);
    check_block(decoders, block, (size_t)length, list, bytes);
}

static struct span choose_name(unsigned choice, struct bytes *bytes)
{
    static const char *const names[] = {
        ":status", "date",   "etag",  "content-type", "set-cookie", "authorization",
        "server",  "cookie", "x-one", "x-two",        "x-three",    "last-modified",
    };
    unsigned count = sizeof names / sizeof names[0];
    return choice < count ? span_of(names[choice]) : span_take(&bytes->left, choice);
}

/* The next header list. */
static void take_list(struct bytes *bytes, struct list *list)
{
    unsigned choice;
    list->count = list->text_bytes = 0;
    do {
        choice = take_octet(&bytes->left);
        struct span name = choose_name(choice & 0x1f, bytes);
        unsigned length = take_octet(&bytes->left);
        struct span value = length < 0xe0 ? span_take(&bytes->left, length % 32)
                                          : span_take(&bytes->left, (length - 0xe0) * 160u);
        bool is_secret = (choice & 0x60) == 0x60;
        if (!put(list, name, value, is_secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)) {
            return;
        }
    } while (choice < 0xc0 && bytes->left.len > 0);
}

static void play_fields(struct bytes *bytes, uint32_t table_bytes)
{
    static struct list list;
    struct decoders of_ours;
    struct decoders of_theirs;
    struct hpack_encoder encoder;
    nghttp2_hd_deflater *deflater;
    open_decoders(&of_ours, LIM_H2_TABLE_BYTES);
    open_decoders(&of_theirs, LIM_H2_TABLE_BYTES);
    hpack_encoder_init(&encoder);
    check(nghttp2_hd_deflate_new(&deflater, LIM_H2_TABLE_BYTES) == 0);
    while (bytes->left.len > 0) {
        take_list(bytes, &list);
        encode_ours(&encoder, &of_ours, &list, bytes);
        encode_theirs(deflater, &of_theirs, &list, bytes);
        for (unsigned sizes = take_octet(&bytes->left); sizes >= 0xe0 && bytes->left.len > 0;
             sizes = take_octet(&bytes->left)) {
            uint32_t size = (sizes & 1) != 0 ? table_bytes : (sizes & 0x1f) * 300u;
            hpack_encoder_resize(&encoder, size);
            check(nghttp2_hd_inflate_change_table_size(of_ours.theirs, size) == 0);
            check(nghttp2_hd_deflate_change_table_size(deflater, size) == 0);
        }
    }
    nghttp2_hd_deflate_del(deflater);
    hpack_encoder_release(&encoder);
    close_decoders(&of_theirs);
    close_decoders(&of_ours);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t table_sizes[] = {LIM_H2_TABLE_BYTES, 0, 31, 64, 100, 256, 300, 1000};
    if (size < 2) {
        return 0;
    }
    struct bytes bytes = {{(const char *)data + 1, size - 1}, data[0]};
    uint32_t table_bytes = table_sizes[data[0] >> 1 & 7];
    if ((data[0] & 1) != 0) {
        play_octets(&bytes, table_bytes);
    } else {
        play_fields(&bytes, table_bytes);
    }
    return 0;
}
