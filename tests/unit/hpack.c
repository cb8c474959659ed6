/* SPDX-License-Identifier: Apache-2.0 */
/* HPACK: the examples of RFC 7541 appendix C, whole and in pieces of all sizes, each error by a
 * table, and what the encoder puts into its table. That it agrees with another implementation is
 * fuzz/hpack.c's to show.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/hpack_int.h"

enum { OUT_BYTES = 1 << 17, ROOM_BYTES = HPACK_ROOM_BYTES };

/* ---- memory: the linker has the server's calls of malloc come here */

static unsigned malloc_fails; /* one in so many; 0: none */

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    bool fails = malloc_fails > 0 && (unsigned)rand() % malloc_fails == 0;
    return fails ? NULL : __real_malloc(bytes);
}

/* ---- octets in hexadecimal digits, fields in lines */

struct octets {
    uint8_t bytes[OUT_BYTES];
    size_t count;
};

static struct span span_from(const struct octets *octets)
{
    return (struct span){(const char *)octets->bytes, octets->count};
}

static struct octets *octets_of(const char *hex)
{
    static struct octets octets;
    unsigned byte;
    for (octets.count = 0; sscanf(hex + 2 * octets.count, "%2x", &byte) == 1; octets.count++) {
        octets.bytes[octets.count] = (uint8_t)byte;
    }
    return &octets;
}

static const char *hex_of(const uint8_t *bytes, const uint8_t *end)
{
    static char text[1024];
    size_t count = (size_t)(end - bytes);
    cr_assert_lt(count * 2, sizeof text);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
    return text;
}

static char lines[OUT_BYTES];

static void put_line(const struct hpack_field *field)
{
    size_t used = strlen(lines);
    int bytes = snprintf(lines + used, sizeof lines - used, "%.*s: %.*s\n", (int)field->name.len,
                         field->name.base, (int)field->value.len, field->value.base);
    cr_assert(bytes > 0 && (size_t)bytes < sizeof lines - used);
}

/* Decodes a piece, which is copied so that reads outside of it are seen, and adds its fields to
 * `lines`. */
static enum hpack_result decode_piece(struct hpack_decoder *decoder, struct span piece,
                                      bool is_last)
{
    static char room[ROOM_BYTES];
    char *copy = malloc(piece.len + 1);
    cr_assert_not_null(copy);
    struct span in = {copy, piece.len};
    (void)span_put(copy, piece);
    struct hpack_field field;
    enum hpack_result result;
    while ((result = hpack_decode(decoder, &in, is_last, (struct hpack_room){room, sizeof room},
                                  &field)) == HPACK_FIELD) {
        put_line(&field);
    }
    free(copy);
    return result;
}

static enum hpack_result decode_block(struct hpack_decoder *decoder, struct span block,
                                      size_t piece)
{
    lines[0] = '\0';
    for (;;) {
        struct span part = span_take(&block, piece);
        enum hpack_result result = decode_piece(decoder, part, block.len == 0);
        if (result != HPACK_END || block.len == 0) {
            return result;
        }
    }
}

/* ---- appendix C */

struct example {
    const char *block;
    const char *fields;
    uint32_t table_bytes; /* after it */
};

static void expect_examples(const struct example *examples, size_t count, uint32_t table_max)
{
    for (size_t piece = 1; piece < 100; piece++) {
        struct hpack_decoder decoder;
        hpack_decoder_init(&decoder, table_max);
        for (size_t i = 0; i < count; i++) {
            const struct octets *block = octets_of(examples[i].block);
            cr_assert_eq(decode_block(&decoder, span_from(block), piece), HPACK_END);
            cr_assert_str_eq(lines, examples[i].fields, "block %zu in pieces of %zu", i, piece);
            cr_assert_eq(decoder.table.size, examples[i].table_bytes, "block %zu", i);
        }
        hpack_decoder_release(&decoder);
    }
}

#define EXPECT_EXAMPLES(examples, table_max)                                                       \
    expect_examples(examples, sizeof(examples) / sizeof(examples)[0], table_max)

#define REQUEST_1 ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n"
#define REQUEST_2 REQUEST_1 "cache-control: no-cache\n"
#define REQUEST_3                                                                                  \
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n"              \
    "custom-key: custom-value\n"
#define ANSWER(status, date)                                                                       \
    ":status: " status "\ncache-control: private\ndate: " date                                     \
    "\nlocation: https://www.example.com\n"
#define DATE_1   "Mon, 21 Oct 2013 20:13:21 GMT"
#define DATE_2   "Mon, 21 Oct 2013 20:13:22 GMT"
#define COOKIE   "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
#define ANSWER_3 ANSWER("200", DATE_2) "content-encoding: gzip\nset-cookie: " COOKIE "\n"

Test(hpack, examples_of_fields)
{
    const struct example name[] = {
        {"400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key: custom-header\n", 55},
    };
    const struct example others[] = {
        {"040c2f73616d706c652f70617468", ":path: /sample/path\n", 0},
        {"100870617373776f726406736563726574", "password: secret\n", 0},
        {"82", ":method: GET\n", 0},
    };
    EXPECT_EXAMPLES(name, 4096);
    EXPECT_EXAMPLES(others, 4096);
}

Test(hpack, examples_of_requests)
{
    const struct example plain[] = {
        {"828684410f7777772e6578616d706c652e636f6d", REQUEST_1, 57},
        {"828684be58086e6f2d6361636865", REQUEST_2, 110},
        {"828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", REQUEST_3, 164},
    };
    const struct example coded[] = {
        {"828684418cf1e3c2e5f23a6ba0ab90f4ff", REQUEST_1, 57},
        {"828684be5886a8eb10649cbf", REQUEST_2, 110},
        {"828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", REQUEST_3, 164},
    };
    EXPECT_EXAMPLES(plain, 4096);
    EXPECT_EXAMPLES(coded, 4096);
}

Test(hpack, examples_of_answers)
{
    const struct example plain[] = {
        {"4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d5"
         "4"
         "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
         ANSWER("302", DATE_1), 222},
        {"4803333037c1c0bf", ANSWER("307", DATE_1), 222},
        {"88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6"
         "f"
         "3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b207"
         "6"
         "657273696f6e3d31",
         ANSWER_3, 215},
    };
    const struct example coded[] = {
        {"488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78"
         "f"
         "0b97c8e9ae82ae43d3",
         ANSWER("302", DATE_1), 222},
        {"4883640effc1c0bf", ANSWER("307", DATE_1), 222},
        {"88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335d"
         "f"
         "dfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
         ANSWER_3, 215},
    };
    EXPECT_EXAMPLES(plain, 256);
    EXPECT_EXAMPLES(coded, 256);
}

Test(hpack, examples_of_strings)
{
    const struct {
        const char *text;
        const char *code;
    } rows[] = {
        {"www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"},
        {"no-cache", "a8eb10649cbf"},
        {"custom-key", "25a849e95ba97d7f"},
        {"custom-value", "25a849e95bb8e8b4bf"},
        {"302", "6402"},
        {"307", "640eff"},
        {"private", "aec3771a4b"},
        {DATE_1, "d07abe941054d444a8200595040b8166e082a62d1bff"},
        {"https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"},
        {COOKIE,
         "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1"
         "063d5007"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t out[64];
        struct span text = span_of(rows[i].text);
        cr_expect_str_eq(hex_of(out, hpack_huffman_encode(out, text)), rows[i].code);
        cr_expect_eq(hpack_huffman_bytes(text), strlen(rows[i].code) / 2);
    }
}

/* ---- Huffman codes */

Test(hpack, every_string_of_two_octets_comes_back)
{
    for (unsigned pair = 0; pair <= UINT16_MAX; pair++) {
        const char text[] = {(char)(pair >> 8), (char)pair};
        uint8_t code[8];
        char decoded[2];
        uint8_t *end = hpack_huffman_encode(code, (struct span){text, 2});
        struct span coded = {(const char *)code, (size_t)(end - code)};
        cr_assert_eq(hpack_huffman_bytes((struct span){text, 2}), coded.len);
        cr_assert_eq(hpack_huffman_decode(decoded, 2, coded), 2, "%04x", pair);
        cr_assert_arr_eq(decoded, text, 2, "%04x", pair);
        coded.len--;
        size_t shorter = hpack_huffman_decode(decoded, 2, coded);
        cr_assert(shorter == HPACK_NO_TEXT || shorter < 2, "%04x", pair);
    }
}

Test(hpack, a_text_beyond_the_room_is_counted)
{
    char decoded[] = "......";
    struct span code = SPAN("\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff");
    for (size_t room = 0; room < 6; room++) {
        cr_expect_eq(hpack_huffman_decode(decoded, room, code), strlen("www.example.com"));
        cr_expect_eq(decoded[room], '.', "%zu octets of room", room);
    }
}

/* ---- what is malformed, and what is not */

Test(hpack, malformed_blocks)
{
    const struct {
        const char *block;
        const char *what;
    } rows[] = {
        {"80", "index 0"},
        {"be", "index beyond the table"},
        {"ff00", "the same of a long index"},
        {"7f200176", "name beyond the table"},
        {"ffffffffff10", "index of more than 32 bits"},
        {"ff808080808000", "index of too many octets"},
        {"0f80808080800076", "the same of a name"},
        {"3fe21f", "table size beyond the setting"},
        {"8220", "table size behind a field"},
        {"0001617f80808080808000", "length of too many octets"},
        {"00016181ff", "eight bits of padding"},
        {"0001618207ff", "eight bits of padding behind a symbol"},
        {"00016184ffffffff", "EOS"},
        {"000161851fffffffff", "EOS behind a symbol"},
        {"00016181fe", "a symbol that ends too early"},
        {"0001618106", "padding of other bits than ones"},
        {"00", "no name"},
        {"000161", "no value"},
        {"0001610276", "a value that is cut"},
        {"0f", "an integer that is cut"},
        {"3f", "a size that is cut"},
        {"ff", "an index that is cut"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct octets *block = octets_of(rows[i].block);
        for (size_t piece = 1; piece <= block->count; piece++) {
            struct hpack_decoder decoder;
            hpack_decoder_init(&decoder, 4096);
            cr_expect_eq(decode_block(&decoder, span_from(block), piece), HPACK_MALFORMED, "%s",
                         rows[i].what);
            hpack_decoder_release(&decoder);
        }
    }
}

Test(hpack, unusual_blocks)
{
    const struct example fine[] = {
        {"", "", 0},
        {"20", "", 0},
        {"3fe11f", "", 0},
        {"203fe11f82", ":method: GET\n", 0},
        {"0f80000176", "accept-charset: v\n", 0},
        {"0f80808080000176", "accept-charset: v\n", 0},
        {"000000", ": \n", 0},
        {"000080", ": \n", 0},
        {"40000176", ": v\n", 33},
    };
    EXPECT_EXAMPLES(fine, 4096);
}

/* Whatever a block is cut to, it ends behind a field or is malformed. */
Test(hpack, blocks_that_are_cut)
{
    for (size_t length = 0; length < 24; length++) {
        struct hpack_decoder decoder;
        hpack_decoder_init(&decoder, 4096);
        struct span before =
            span_from(octets_of("828684418cf1e3c2e5f23a6ba0ab90f4ff5886a8eb10649cbf"));
        cr_assert_eq(decode_block(&decoder, before, SIZE_MAX), HPACK_END);
        struct span block =
            span_from(octets_of("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"));
        block.len = length;
        cr_expect_eq(decode_block(&decoder, block, SIZE_MAX),
                     length <= 4 ? HPACK_END : HPACK_MALFORMED, "%zu octets", length);
        hpack_decoder_release(&decoder);
    }
}

/* ---- limits of the decoder */

static void put_literal(struct octets *octets, uint8_t first, size_t name_bytes, size_t value_bytes)
{
    uint8_t *at = octets->bytes;
    *at++ = first;
    const size_t lengths[] = {name_bytes, value_bytes};
    for (unsigned i = 0; i < 2; i++) {
        *at++ = 0x7f;
        size_t rest = lengths[i] - 0x7f;
        for (; rest >= 0x80; rest >>= 7) {
            *at++ = (uint8_t)(rest | 0x80);
        }
        *at++ = (uint8_t)rest;
        size_t left = (size_t)(octets->bytes + sizeof octets->bytes - at);
        size_t bytes = lengths[i] < left ? lengths[i] : left;
        memset(at, 'a' + (int)i, bytes);
        at += bytes;
    }
    octets->count = (size_t)(at - octets->bytes);
}

static struct octets large;

/* One that fits neither the room nor the table is told by its lengths, and empties the table. */
Test(hpack, fields_beyond_the_room)
{
    static char room[ROOM_BYTES];
    struct hpack_decoder decoder;
    struct hpack_field field;
    hpack_decoder_init(&decoder, 4096);
    struct span first = span_from(octets_of("4001610162"));
    cr_assert_eq(decode_block(&decoder, first, SIZE_MAX), HPACK_END);
    cr_assert_eq(decoder.table.count, 1);
    put_literal(&large, 0x40, 200, 4000);
    struct span in = span_from(&large);
    struct hpack_room there = {room, sizeof room};
    cr_assert_eq(hpack_decode(&decoder, &in, true, there, &field), HPACK_FIELD);
    cr_expect(field.too_long && field.name.len == 200 && field.value.len == 4000);
    cr_expect(field.name.base != NULL && field.value.base == NULL && field.marks == NULL);
    cr_expect_eq(decoder.table.count, 0);
    cr_expect_eq(hpack_decode(&decoder, &in, true, there, &field), HPACK_END);
    hpack_decoder_release(&decoder);
}

Test(hpack, a_field_that_is_longer_than_what_is_gathered)
{
    for (size_t piece = 1000; piece <= OUT_BYTES; piece *= 4) {
        struct hpack_decoder decoder;
        hpack_decoder_init(&decoder, 4096);
        put_literal(&large, 0, 40000, LIM_H2_FIELD_BYTES - 40000);
        cr_expect_eq(decode_block(&decoder, span_from(&large), piece), HPACK_TOO_LONG);
        hpack_decoder_release(&decoder);
    }
}

Test(hpack, no_memory_before_there_is_an_entry)
{
    struct hpack_decoder decoder;
    hpack_decoder_init(&decoder, 4096);
    for (unsigned i = 0; i < 3; i++) {
        struct span block =
            span_from(octets_of("203fe11f82040c2f73616d706c652f7061746810016101628884"));
        cr_assert_eq(decode_block(&decoder, block, i + 4), HPACK_END);
    }
    cr_expect_null(decoder.table.entries);
    cr_expect_null(decoder.rest.base);
    hpack_decoder_release(&decoder);
}

/* What the caller notes about an entry is there when it comes again, and goes with it. */
Test(hpack, marks)
{
    static char room[ROOM_BYTES];
    struct hpack_decoder decoder;
    struct hpack_field field;
    struct hpack_room there = {room, sizeof room};
    struct span in = span_from(octets_of("400161016282bebf"));
    hpack_decoder_init(&decoder, 4096);
    cr_assert_eq(hpack_decode(&decoder, &in, true, there, &field), HPACK_FIELD);
    cr_assert_not_null(field.marks);
    cr_expect_eq(*field.marks, 0);
    *field.marks = 7;
    cr_assert_eq(hpack_decode(&decoder, &in, true, there, &field), HPACK_FIELD);
    cr_expect_null(field.marks, "of a static one");
    cr_assert_eq(hpack_decode(&decoder, &in, true, there, &field), HPACK_FIELD);
    cr_expect_eq(*field.marks, 7);
    cr_assert_eq(hpack_decode(&decoder, &in, true, there, &field), HPACK_MALFORMED);
    hpack_decoder_release(&decoder);
}

/* RFC 7541 4.4: the entry whose name a new one has may be evicted by it. */
Test(hpack, an_entry_named_by_one_that_it_evicts)
{
    const struct example examples[] = {
        {"40036162630176", "abc: v\n", 36},
        {"7e0177", "abc: w\n", 36},
        {"7e023031be", "abc: 01\nabc: 01\n", 37},
    };
    EXPECT_EXAMPLES(examples, 40);
}

/* ---- the static table */

Test(hpack, every_static_name_is_found)
{
    for (unsigned i = 1; i <= HPACK_STATIC; i++) {
        struct span name = hpack_static[i].name;
        cr_expect_eq(hpack_static_find(name, hpack_hash(name)), hpack_static[i].name_index);
        cr_expect(span_equal(hpack_static[hpack_static[i].name_index].name, name));
        cr_expect(i == 1 || hpack_static[i].name_index == i ||
                  hpack_static[i].name_index == hpack_static[i - 1].name_index);
    }
    cr_expect_eq(hpack_static_find(SPAN(""), hpack_hash(SPAN(""))), 0);
    cr_expect_eq(hpack_static_find(SPAN("Date"), hpack_hash(SPAN("date"))), 0);
    cr_expect(span_equal(hpack_static[HPACK_AUTHORITY].name, SPAN(":authority")));
    cr_expect(span_equal(hpack_static[HPACK_STATUS].value, SPAN("200")));
    cr_expect(span_equal(hpack_static[HPACK_CONTENT_LENGTH].name, SPAN("content-length")));
    cr_expect(span_equal(hpack_static[HPACK_COOKIE].name, SPAN("cookie")));
    cr_expect(span_equal(hpack_static[HPACK_HOST].name, SPAN("host")));
    cr_expect(span_equal(hpack_static[HPACK_TRANSFER_ENCODING].name, SPAN("transfer-encoding")));
}

/* ---- the encoder */

static void expect_code(struct hpack_encoder *encoder, const char *name, const char *value,
                        const char *code)
{
    uint8_t out[256];
    cr_expect_str_eq(hex_of(out, hpack_encode(encoder, out, span_of(name), span_of(value))), code,
                     "%s: %s", name, value);
}

static void expect_start(struct hpack_encoder *encoder, const char *code)
{
    uint8_t out[HPACK_START_BYTES_MAX];
    cr_expect_str_eq(hex_of(out, hpack_encode_start(encoder, out)), code);
}

Test(hpack, what_is_added_to_the_table)
{
    struct hpack_encoder encoder;
    hpack_encoder_init(&encoder);
    expect_start(&encoder, "");
    expect_code(&encoder, "accept-encoding", "gzip, deflate", "90");
    expect_code(&encoder, "cache-control", "private", "5885aec3771a4b"); /* at once */
    expect_code(&encoder, "cache-control", "private", "be");
    expect_code(&encoder, "etag", "302", "0f13826402"); /* when it comes again */
    expect_code(&encoder, "etag", "307", "0f1303333037");
    expect_code(&encoder, "etag", "302", "62826402");
    expect_code(&encoder, "etag", "302", "be");
    expect_code(&encoder, "custom-key", "1", "008825a849e95ba97d7f0131");
    expect_code(&encoder, "custom-key", "1", "408825a849e95ba97d7f0131");
    expect_code(&encoder, "custom-key", "1", "be");
    expect_code(&encoder, "custom-key", "2", "0f2f0132"); /* by the name of an entry */
    expect_code(&encoder, "cache-control", "private", "c0");
    for (unsigned i = 0; i < 3; i++) {
        expect_code(&encoder, "set-cookie", "302", "1f28826402"); /* never */
    }
    cr_expect_eq(encoder.table.count, 3);
    hpack_encoder_release(&encoder);
}

Test(hpack, codes_of_status)
{
    const struct {
        unsigned status;
        const char *code;
    } rows[] = {{200, "88"}, {204, "89"},       {206, "8a"}, {304, "8b"}, {400, "8c"},
                {404, "8d"}, {302, "48826402"}, {500, "8e"}, {302, "be"}};
    struct hpack_encoder encoder;
    hpack_encoder_init(&encoder);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t out[16];
        expect_start(&encoder, "");
        cr_expect_str_eq(hex_of(out, hpack_encode_status(&encoder, out, rows[i].status)),
                         rows[i].code);
    }
    hpack_encoder_release(&encoder);
}

Test(hpack, sizes_are_told_to_the_peer)
{
    struct hpack_encoder encoder;
    hpack_encoder_init(&encoder);
    hpack_encoder_resize(&encoder, 65536); /* more than is wanted */
    expect_start(&encoder, "");
    expect_code(&encoder, "server", "302", "76826402");
    hpack_encoder_resize(&encoder, 100);
    expect_start(&encoder, "3f45");
    expect_start(&encoder, "");
    expect_code(&encoder, "server", "302", "be");
    hpack_encoder_resize(&encoder, 10); /* which empties it, and back */
    hpack_encoder_resize(&encoder, 100);
    expect_start(&encoder, "2a3f45");
    expect_code(&encoder, "server", "302", "76826402");
    hpack_encoder_resize(&encoder, 4096);
    hpack_encoder_resize(&encoder, 0);
    expect_start(&encoder, "20");
    expect_code(&encoder, "server", "302", "0f27826402");
    cr_expect_eq(encoder.table.count, 0);
    hpack_encoder_release(&encoder);
}

Test(hpack, a_large_field_does_not_evict_the_others)
{
    static char text[3100];
    static uint8_t out[4096];
    struct hpack_encoder encoder;
    memset(text, 'a', sizeof text);
    hpack_encoder_init(&encoder);
    expect_code(&encoder, "server", "302", "76826402");
    for (unsigned i = 0; i < 3; i++) {
        (void)hpack_encode(&encoder, out, SPAN("via"), (struct span){text, sizeof text});
    }
    cr_expect_eq(encoder.table.count, 1);
    (void)hpack_encode(&encoder, out, SPAN("via"), (struct span){text, 3000});
    cr_expect_eq(encoder.table.count, 2);
    hpack_encoder_release(&encoder);
}

/* ---- both */

/* Values of all lengths under a few names, some of them often: the table turns over many times.
 * One in `fails` allocations of the encoder does. */
static void expect_round_trips(unsigned blocks, unsigned fails)
{
    static char expected[sizeof lines];
    static uint8_t out[OUT_BYTES];
    struct hpack_encoder encoder;
    struct hpack_decoder decoder;
    hpack_encoder_init(&encoder);
    hpack_decoder_init(&decoder, LIM_H2_TABLE_BYTES);
    for (unsigned block = 0; block < blocks; block++) {
        if (rand() % 50 == 0) {
            hpack_encoder_resize(&encoder, (uint32_t)(rand() % 6000));
        }
        uint8_t *end = hpack_encode_start(&encoder, out);
        size_t used = 0;
        expected[0] = '\0';
        for (int fields = rand() % 40; fields > 0; fields--) {
            static const char *const names[] = {"etag", "server", "x-one", "x-two", "set-cookie"};
            const char *name = names[rand() % 5];
            char value[400];
            int length = rand() % (rand() % 20 == 0 ? 399 : 30);
            memset(value, 'a' + rand() % 3, sizeof value);
            value[length] = '\0';
            malloc_fails = fails;
            end = hpack_encode(&encoder, end, span_of(name), span_of(value));
            malloc_fails = 0;
            used +=
                (size_t)snprintf(expected + used, sizeof expected - used, "%s: %s\n", name, value);
        }
        struct span coded = {(const char *)out, (size_t)(end - out)};
        cr_assert_eq(decode_block(&decoder, coded, (size_t)(rand() % 500) + 1), HPACK_END);
        cr_assert_str_eq(lines, expected);
        cr_assert(fails > 0 || decoder.table.size == encoder.table.size);
    }
    hpack_encoder_release(&encoder);
    hpack_decoder_release(&decoder);
}

Test(hpack, what_is_encoded_is_decoded)
{
    srand(1);
    expect_round_trips(5000, 0);
}

/* What it could not add is not in the other end's table either. */
Test(hpack, an_encoder_without_memory_goes_on)
{
    srand(2);
    for (unsigned connection = 0; connection < 500; connection++) {
        expect_round_trips(20, connection % 5 + 1);
    }
}

Test(hpack, a_decoder_without_memory_says_so)
{
    static char room[ROOM_BYTES];
    struct span added = span_from(octets_of("400161016282"));
    for (size_t piece = 1; piece <= added.len; piece++) {
        struct hpack_decoder decoder;
        struct hpack_field field;
        struct span in = {added.base, piece};
        hpack_decoder_init(&decoder, 4096);
        malloc_fails = 1;
        enum hpack_result result =
            hpack_decode(&decoder, &in, false, (struct hpack_room){room, sizeof room}, &field);
        malloc_fails = 0;
        cr_expect_eq(result, HPACK_NO_MEMORY, "%zu octets", piece);
        hpack_decoder_release(&decoder);
    }
}
