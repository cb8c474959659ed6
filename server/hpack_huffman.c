/* SPDX-License-Identifier: Apache-2.0 */
/* Huffman codes of RFC 7541 5.2 and appendix B. They are canonical: of the codes of one length each
 * is one more than that before, and so are their symbols in order. Those of up to 8 bits, which are
 * nearly all that occur, are decoded by the next 8 bits; longer ones by their length, which the
 * next 32 bits tell.
 */
#include <endian.h>

#include "server/hpack_int.h"

enum {
    SHORT_BITS = 8,
    LONG_BITS_MAX = 30,
    PADDING_BITS_MAX = 7,
    SHORTS = 3, /* taken at a time */
};

struct code {
    uint32_t code;
    uint32_t bits;
};

/* clang-format off */
static const struct code codes[256] = {
    {0x1ff8, 13}, {0x7fffd8, 23}, {0xfffffe2, 28}, {0xfffffe3, 28}, {0xfffffe4, 28},
    {0xfffffe5, 28}, {0xfffffe6, 28}, {0xfffffe7, 28}, {0xfffffe8, 28}, {0xffffea, 24},
    {0x3ffffffc, 30}, {0xfffffe9, 28}, {0xfffffea, 28}, {0x3ffffffd, 30}, {0xfffffeb, 28},
    {0xfffffec, 28}, {0xfffffed, 28}, {0xfffffee, 28}, {0xfffffef, 28}, {0xffffff0, 28},
    {0xffffff1, 28}, {0xffffff2, 28}, {0x3ffffffe, 30}, {0xffffff3, 28}, {0xffffff4, 28},
    {0xffffff5, 28}, {0xffffff6, 28}, {0xffffff7, 28}, {0xffffff8, 28}, {0xffffff9, 28},
    {0xffffffa, 28}, {0xffffffb, 28}, {0x14, 6}, {0x3f8, 10}, {0x3f9, 10},
    {0xffa, 12}, {0x1ff9, 13}, {0x15, 6}, {0xf8, 8}, {0x7fa, 11},
    {0x3fa, 10}, {0x3fb, 10}, {0xf9, 8}, {0x7fb, 11}, {0xfa, 8},
    {0x16, 6}, {0x17, 6}, {0x18, 6}, {0x0, 5}, {0x1, 5},
    {0x2, 5}, {0x19, 6}, {0x1a, 6}, {0x1b, 6}, {0x1c, 6},
    {0x1d, 6}, {0x1e, 6}, {0x1f, 6}, {0x5c, 7}, {0xfb, 8},
    {0x7ffc, 15}, {0x20, 6}, {0xffb, 12}, {0x3fc, 10}, {0x1ffa, 13},
    {0x21, 6}, {0x5d, 7}, {0x5e, 7}, {0x5f, 7}, {0x60, 7},
    {0x61, 7}, {0x62, 7}, {0x63, 7}, {0x64, 7}, {0x65, 7},
    {0x66, 7}, {0x67, 7}, {0x68, 7}, {0x69, 7}, {0x6a, 7},
    {0x6b, 7}, {0x6c, 7}, {0x6d, 7}, {0x6e, 7}, {0x6f, 7},
    {0x70, 7}, {0x71, 7}, {0x72, 7}, {0xfc, 8}, {0x73, 7},
    {0xfd, 8}, {0x1ffb, 13}, {0x7fff0, 19}, {0x1ffc, 13}, {0x3ffc, 14},
    {0x22, 6}, {0x7ffd, 15}, {0x3, 5}, {0x23, 6}, {0x4, 5},
    {0x24, 6}, {0x5, 5}, {0x25, 6}, {0x26, 6}, {0x27, 6},
    {0x6, 5}, {0x74, 7}, {0x75, 7}, {0x28, 6}, {0x29, 6},
    {0x2a, 6}, {0x7, 5}, {0x2b, 6}, {0x76, 7}, {0x2c, 6},
    {0x8, 5}, {0x9, 5}, {0x2d, 6}, {0x77, 7}, {0x78, 7},
    {0x79, 7}, {0x7a, 7}, {0x7b, 7}, {0x7ffe, 15}, {0x7fc, 11},
    {0x3ffd, 14}, {0x1ffd, 13}, {0xffffffc, 28}, {0xfffe6, 20}, {0x3fffd2, 22},
    {0xfffe7, 20}, {0xfffe8, 20}, {0x3fffd3, 22}, {0x3fffd4, 22}, {0x3fffd5, 22},
    {0x7fffd9, 23}, {0x3fffd6, 22}, {0x7fffda, 23}, {0x7fffdb, 23}, {0x7fffdc, 23},
    {0x7fffdd, 23}, {0x7fffde, 23}, {0xffffeb, 24}, {0x7fffdf, 23}, {0xffffec, 24},
    {0xffffed, 24}, {0x3fffd7, 22}, {0x7fffe0, 23}, {0xffffee, 24}, {0x7fffe1, 23},
    {0x7fffe2, 23}, {0x7fffe3, 23}, {0x7fffe4, 23}, {0x1fffdc, 21}, {0x3fffd8, 22},
    {0x7fffe5, 23}, {0x3fffd9, 22}, {0x7fffe6, 23}, {0x7fffe7, 23}, {0xffffef, 24},
    {0x3fffda, 22}, {0x1fffdd, 21}, {0xfffe9, 20}, {0x3fffdb, 22}, {0x3fffdc, 22},
    {0x7fffe8, 23}, {0x7fffe9, 23}, {0x1fffde, 21}, {0x7fffea, 23}, {0x3fffdd, 22},
    {0x3fffde, 22}, {0xfffff0, 24}, {0x1fffdf, 21}, {0x3fffdf, 22}, {0x7fffeb, 23},
    {0x7fffec, 23}, {0x1fffe0, 21}, {0x1fffe1, 21}, {0x3fffe0, 22}, {0x1fffe2, 21},
    {0x7fffed, 23}, {0x3fffe1, 22}, {0x7fffee, 23}, {0x7fffef, 23}, {0xfffea, 20},
    {0x3fffe2, 22}, {0x3fffe3, 22}, {0x3fffe4, 22}, {0x7ffff0, 23}, {0x3fffe5, 22},
    {0x3fffe6, 22}, {0x7ffff1, 23}, {0x3ffffe0, 26}, {0x3ffffe1, 26}, {0xfffeb, 20},
    {0x7fff1, 19}, {0x3fffe7, 22}, {0x7ffff2, 23}, {0x3fffe8, 22}, {0x1ffffec, 25},
    {0x3ffffe2, 26}, {0x3ffffe3, 26}, {0x3ffffe4, 26}, {0x7ffffde, 27}, {0x7ffffdf, 27},
    {0x3ffffe5, 26}, {0xfffff1, 24}, {0x1ffffed, 25}, {0x7fff2, 19}, {0x1fffe3, 21},
    {0x3ffffe6, 26}, {0x7ffffe0, 27}, {0x7ffffe1, 27}, {0x3ffffe7, 26}, {0x7ffffe2, 27},
    {0xfffff2, 24}, {0x1fffe4, 21}, {0x1fffe5, 21}, {0x3ffffe8, 26}, {0x3ffffe9, 26},
    {0xffffffd, 28}, {0x7ffffe3, 27}, {0x7ffffe4, 27}, {0x7ffffe5, 27}, {0xfffec, 20},
    {0xfffff3, 24}, {0xfffed, 20}, {0x1fffe6, 21}, {0x3fffe9, 22}, {0x1fffe7, 21},
    {0x1fffe8, 21}, {0x7ffff3, 23}, {0x3fffea, 22}, {0x3fffeb, 22}, {0x1ffffee, 25},
    {0x1ffffef, 25}, {0xfffff4, 24}, {0xfffff5, 24}, {0x3ffffea, 26}, {0x7ffff4, 23},
    {0x3ffffeb, 26}, {0x7ffffe6, 27}, {0x3ffffec, 26}, {0x3ffffed, 26}, {0x7ffffe7, 27},
    {0x7ffffe8, 27}, {0x7ffffe9, 27}, {0x7ffffea, 27}, {0x7ffffeb, 27}, {0xffffffe, 28},
    {0x7ffffec, 27}, {0x7ffffed, 27}, {0x7ffffee, 27}, {0x7ffffef, 27}, {0x7fffff0, 27},
    {0x3ffffee, 26},
};

/* By the next bits: a symbol and the length of its code, which is 0 for one that is longer. */
struct decoded {
    uint8_t bits;
    uint8_t symbol;
};

static const struct decoded short_codes[1 << SHORT_BITS] = {
    {5, '0'}, {5, '0'}, {5, '0'}, {5, '0'}, {5, '0'}, {5, '0'}, {5, '0'}, {5, '0'}, {5, '1'},
    {5, '1'}, {5, '1'}, {5, '1'}, {5, '1'}, {5, '1'}, {5, '1'}, {5, '1'}, {5, '2'}, {5, '2'},
    {5, '2'}, {5, '2'}, {5, '2'}, {5, '2'}, {5, '2'}, {5, '2'}, {5, 'a'}, {5, 'a'}, {5, 'a'},
    {5, 'a'}, {5, 'a'}, {5, 'a'}, {5, 'a'}, {5, 'a'}, {5, 'c'}, {5, 'c'}, {5, 'c'}, {5, 'c'},
    {5, 'c'}, {5, 'c'}, {5, 'c'}, {5, 'c'}, {5, 'e'}, {5, 'e'}, {5, 'e'}, {5, 'e'}, {5, 'e'},
    {5, 'e'}, {5, 'e'}, {5, 'e'}, {5, 'i'}, {5, 'i'}, {5, 'i'}, {5, 'i'}, {5, 'i'}, {5, 'i'},
    {5, 'i'}, {5, 'i'}, {5, 'o'}, {5, 'o'}, {5, 'o'}, {5, 'o'}, {5, 'o'}, {5, 'o'}, {5, 'o'},
    {5, 'o'}, {5, 's'}, {5, 's'}, {5, 's'}, {5, 's'}, {5, 's'}, {5, 's'}, {5, 's'}, {5, 's'},
    {5, 't'}, {5, 't'}, {5, 't'}, {5, 't'}, {5, 't'}, {5, 't'}, {5, 't'}, {5, 't'}, {6, ' '},
    {6, ' '}, {6, ' '}, {6, ' '}, {6, '%'}, {6, '%'}, {6, '%'}, {6, '%'}, {6, '-'}, {6, '-'},
    {6, '-'}, {6, '-'}, {6, '.'}, {6, '.'}, {6, '.'}, {6, '.'}, {6, '/'}, {6, '/'}, {6, '/'},
    {6, '/'}, {6, '3'}, {6, '3'}, {6, '3'}, {6, '3'}, {6, '4'}, {6, '4'}, {6, '4'}, {6, '4'},
    {6, '5'}, {6, '5'}, {6, '5'}, {6, '5'}, {6, '6'}, {6, '6'}, {6, '6'}, {6, '6'}, {6, '7'},
    {6, '7'}, {6, '7'}, {6, '7'}, {6, '8'}, {6, '8'}, {6, '8'}, {6, '8'}, {6, '9'}, {6, '9'},
    {6, '9'}, {6, '9'}, {6, '='}, {6, '='}, {6, '='}, {6, '='}, {6, 'A'}, {6, 'A'}, {6, 'A'},
    {6, 'A'}, {6, '_'}, {6, '_'}, {6, '_'}, {6, '_'}, {6, 'b'}, {6, 'b'}, {6, 'b'}, {6, 'b'},
    {6, 'd'}, {6, 'd'}, {6, 'd'}, {6, 'd'}, {6, 'f'}, {6, 'f'}, {6, 'f'}, {6, 'f'}, {6, 'g'},
    {6, 'g'}, {6, 'g'}, {6, 'g'}, {6, 'h'}, {6, 'h'}, {6, 'h'}, {6, 'h'}, {6, 'l'}, {6, 'l'},
    {6, 'l'}, {6, 'l'}, {6, 'm'}, {6, 'm'}, {6, 'm'}, {6, 'm'}, {6, 'n'}, {6, 'n'}, {6, 'n'},
    {6, 'n'}, {6, 'p'}, {6, 'p'}, {6, 'p'}, {6, 'p'}, {6, 'r'}, {6, 'r'}, {6, 'r'}, {6, 'r'},
    {6, 'u'}, {6, 'u'}, {6, 'u'}, {6, 'u'}, {7, ':'}, {7, ':'}, {7, 'B'}, {7, 'B'}, {7, 'C'},
    {7, 'C'}, {7, 'D'}, {7, 'D'}, {7, 'E'}, {7, 'E'}, {7, 'F'}, {7, 'F'}, {7, 'G'}, {7, 'G'},
    {7, 'H'}, {7, 'H'}, {7, 'I'}, {7, 'I'}, {7, 'J'}, {7, 'J'}, {7, 'K'}, {7, 'K'}, {7, 'L'},
    {7, 'L'}, {7, 'M'}, {7, 'M'}, {7, 'N'}, {7, 'N'}, {7, 'O'}, {7, 'O'}, {7, 'P'}, {7, 'P'},
    {7, 'Q'}, {7, 'Q'}, {7, 'R'}, {7, 'R'}, {7, 'S'}, {7, 'S'}, {7, 'T'}, {7, 'T'}, {7, 'U'},
    {7, 'U'}, {7, 'V'}, {7, 'V'}, {7, 'W'}, {7, 'W'}, {7, 'Y'}, {7, 'Y'}, {7, 'j'}, {7, 'j'},
    {7, 'k'}, {7, 'k'}, {7, 'q'}, {7, 'q'}, {7, 'v'}, {7, 'v'}, {7, 'w'}, {7, 'w'}, {7, 'x'},
    {7, 'x'}, {7, 'y'}, {7, 'y'}, {7, 'z'}, {7, 'z'}, {8, '&'}, {8, '*'}, {8, ','}, {8, ';'},
    {8, 'X'}, {8, 'Z'}, {0, 0}, {0, 0},
};

/* The symbols with longer codes, in the order of these. */
static const uint8_t long_symbols[182] = {
    0x21, 0x22, 0x28, 0x29, 0x3f, 0x27, 0x2b, 0x7c, 0x23, 0x3e, 0x00, 0x24, 0x40, 0x5b, 0x5d, 0x7e,
    0x5e, 0x7d, 0x3c, 0x60, 0x7b, 0x5c, 0xc3, 0xd0, 0x80, 0x82, 0x83, 0xa2, 0xb8, 0xc2, 0xe0, 0xe2,
    0x99, 0xa1, 0xa7, 0xac, 0xb0, 0xb1, 0xb3, 0xd1, 0xd8, 0xd9, 0xe3, 0xe5, 0xe6, 0x81, 0x84, 0x85,
    0x86, 0x88, 0x92, 0x9a, 0x9c, 0xa0, 0xa3, 0xa4, 0xa9, 0xaa, 0xad, 0xb2, 0xb5, 0xb9, 0xba, 0xbb,
    0xbd, 0xbe, 0xc4, 0xc6, 0xe4, 0xe8, 0xe9, 0x01, 0x87, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8f, 0x93,
    0x95, 0x96, 0x97, 0x98, 0x9b, 0x9d, 0x9e, 0xa5, 0xa6, 0xa8, 0xae, 0xaf, 0xb4, 0xb6, 0xb7, 0xbc,
    0xbf, 0xc5, 0xe7, 0xef, 0x09, 0x8e, 0x90, 0x91, 0x94, 0x9f, 0xab, 0xce, 0xd7, 0xe1, 0xec, 0xed,
    0xc7, 0xcf, 0xea, 0xeb, 0xc0, 0xc1, 0xc8, 0xc9, 0xca, 0xcd, 0xd2, 0xd5, 0xda, 0xdb, 0xee, 0xf0,
    0xf2, 0xf3, 0xff, 0xcb, 0xcc, 0xd3, 0xd4, 0xd6, 0xdd, 0xde, 0xdf, 0xf1, 0xf4, 0xf5, 0xf6, 0xf7,
    0xf8, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x0b, 0x0c, 0x0e,
    0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
    0x7f, 0xdc, 0xf9, 0x0a, 0x0d, 0x16,
};

/* By length: the next 32 bits are at most `last` if the code is no longer than that. `code` is the
 * first one, of long_symbols[first]. */
static const struct {
    uint32_t bits;
    uint32_t last;
    uint32_t code;
    uint32_t first;
} lengths[] = {
    {10, 0xff3fffff, 0x3f8, 0},
    {11, 0xff9fffff, 0x7fa, 5},
    {12, 0xffbfffff, 0xffa, 8},
    {13, 0xffefffff, 0x1ff8, 10},
    {14, 0xfff7ffff, 0x3ffc, 16},
    {15, 0xfffdffff, 0x7ffc, 18},
    {19, 0xfffe5fff, 0x7fff0, 21},
    {20, 0xfffedfff, 0xfffe6, 24},
    {21, 0xffff47ff, 0x1fffdc, 32},
    {22, 0xffffafff, 0x3fffd2, 45},
    {23, 0xffffe9ff, 0x7fffd8, 71},
    {24, 0xfffff5ff, 0xffffea, 100},
    {25, 0xfffff7ff, 0x1ffffec, 112},
    {26, 0xfffffbbf, 0x3ffffe0, 116},
    {27, 0xfffffe1f, 0x7ffffde, 131},
    {28, 0xffffffef, 0xfffffe2, 150},
    {30, 0xffffffff, 0x3ffffffc, 179},
};
/* clang-format on */

/* ---- to codes */

size_t hpack_huffman_bytes(struct span text)
{
    size_t bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        bits += codes[(uint8_t)text.base[i]].bits;
    }
    return (bits + 7) / 8;
}

uint8_t *hpack_huffman_encode(uint8_t *out, struct span text)
{
    uint64_t bits = 0; /* the last `count` are not written; fewer than 32 */
    unsigned count = 0;
    for (size_t i = 0; i < text.len; i++) {
        const struct code *code = &codes[(uint8_t)text.base[i]];
        bits = bits << code->bits | code->code;
        count += code->bits;
        if (count >= 32) {
            count -= 32;
            uint32_t word = htobe32((uint32_t)(bits >> count));
            memcpy(out, &word, sizeof word);
            out += sizeof word;
        }
    }
    bits = bits << PADDING_BITS_MAX | ((1 << PADDING_BITS_MAX) - 1); /* the first bits of EOS */
    for (count += PADDING_BITS_MAX; count >= 8; count -= 8) {
        *out++ = (uint8_t)(bits >> (count - 8));
    }
    return out;
}

/* ---- and back */

/* Bits that are taken from the left. */
struct reader {
    uint64_t bits;  /* the next `count`; behind them those that follow, or zeros at the end */
    unsigned count; /* as long as there are more, at least 56 after `fill` */
    const uint8_t *next;
    const uint8_t *end;
};

static inline struct reader fill(struct reader reader)
{
    if (reader.end - reader.next >= 8) {
        uint64_t word;
        memcpy(&word, reader.next, sizeof word);
        reader.bits |= be64toh(word) >> reader.count;
        reader.next += (63 - reader.count) / 8;
        reader.count |= 56; /* whole octets more, up to 63 */
        return reader;
    }
    while (reader.count <= 56 && reader.next < reader.end) {
        reader.bits |= (uint64_t)*reader.next++ << (56 - reader.count);
        reader.count += 8;
    }
    return reader;
}

/* Which of the long codes is next. EOS is told as one that is longer than all bits there are. */
static __attribute__((noinline)) struct decoded find_long(uint32_t next)
{
    unsigned i = 0;
    while (next > lengths[i].last) {
        i++;
    }
    unsigned at = (next >> (32 - lengths[i].bits)) - lengths[i].code + lengths[i].first;
    if (at == sizeof long_symbols) {
        return (struct decoded){.bits = UINT8_MAX};
    }
    return (struct decoded){(uint8_t)lengths[i].bits, long_symbols[at]};
}

/* Fewer than 8 bits are left, all of them ones. */
static bool is_padding(const struct reader *reader)
{
    return reader->count <= PADDING_BITS_MAX && reader->bits == ~(UINT64_MAX >> reader->count);
}

/* There are bits enough for any short code. False: the next one is longer. */
static inline bool take_short(struct reader *reader, char *out)
{
    const struct decoded *next = &short_codes[reader->bits >> (64 - SHORT_BITS)];
    unsigned bits = next->bits;
    *out = (char)next->symbol;
    reader->bits <<= bits;
    reader->count -= bits;
    return bits > 0;
}

/* Several, which is faster than one by one. Returns how many were short. */
static inline unsigned take_shorts(struct reader *reader, char out[SHORTS])
{
    return !take_short(reader, out)       ? 0
           : !take_short(reader, out + 1) ? 1
           : !take_short(reader, out + 2) ? 2
                                          : SHORTS;
}

size_t hpack_huffman_decode(char *out, size_t room, struct span code)
{
    const uint8_t *start = (const uint8_t *)code.base;
    struct reader reader = {.next = start, .end = start + code.len};
    size_t bytes = 0;
    for (;;) {
        if (reader.count < LONG_BITS_MAX && reader.next < reader.end) {
            reader = fill(reader);
        }
        if (reader.count >= SHORTS * SHORT_BITS && bytes + SHORTS <= room) {
            unsigned taken = take_shorts(&reader, out + bytes);
            bytes += taken;
            if (taken > 0) {
                continue;
            }
        }
        struct decoded next = short_codes[reader.bits >> (64 - SHORT_BITS)];
        if (next.bits == 0) {
            next = find_long((uint32_t)(reader.bits >> 32));
        }
        if (next.bits > reader.count) {
            return is_padding(&reader) ? bytes : HPACK_NO_TEXT;
        }
        reader.bits <<= next.bits;
        reader.count -= next.bits;
        if (bytes < room) {
            out[bytes] = (char)next.symbol;
        }
        bytes++;
    }
}
