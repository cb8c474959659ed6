/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind server/chars.h: bits of CHAR_* for each byte, 16 bytes a row. */
#include "server/chars.h"

/* clang-format off */
const uint8_t char_class[256] = {
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x02, 0x3f, 0x06, 0x23, 0x3f, 0x27, 0x3f, 0x3f, 0x1e, 0x1e, 0x3f, 0x3f, 0x1e, 0x7f, 0x7f, 0x16,
    0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x16, 0x1e, 0x06, 0x1e, 0x06, 0x06,
    0x16, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f,
    0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x06, 0x06, 0x06, 0x27, 0x7f,
    0x27, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f,
    0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x06, 0x27, 0x06, 0x3f, 0x00,
    0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
    0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
    0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
    0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
    0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
    0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
    0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
    0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02,
};
/* clang-format on */

/* ---- eight bytes at a time; high bits of bytes are flags ---- */

#define EACH(byte) ((byte)*0x0101010101010101u)

/* What is added below has no high bits, so that no sum carries into the next byte. */

/* Flags bytes below 0x20, and 0x7f. */
static uint64_t controls(uint64_t word)
{
    uint64_t low = word & EACH(0x7f);
    uint64_t below_20 = ~((low + EACH(0x60)) | word);
    uint64_t other = word ^ EACH(0x7f);
    uint64_t is_7f = ~(((other & EACH(0x7f)) + EACH(0x7f)) | other);
    return (below_20 | is_7f) & EACH(0x80);
}

/* Sixteen bytes, and for each of them 0 or -1. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

static bool any_controls(const char *text)
{
    bytes16 bytes;
    memcpy(&bytes, text, sizeof bytes);
    words2 found = (words2)((bytes < 0x20) | (bytes == 0x7f));
    return (found[0] | found[1]) != 0;
}

bool chars_all_value(struct span text)
{
    size_t i = 0;
    if (text.len >= 16) {
        while (i + 16 <= text.len && !any_controls(text.base + i)) {
            i += 16;
        }
        if (i + 16 > text.len && !any_controls(text.base + text.len - 16)) {
            return true; /* the last few with some before them again */
        }
    }
    while (i + 8 <= text.len && controls(octets8(text.base + i)) == 0) {
        i += 8;
    }
    if (text.len >= 8 && i + 8 > text.len && controls(octets8(text.base + text.len - 8)) == 0) {
        return true; /* the last few with some before them again */
    }
    /* A tab is allowed: from here on by the table. */
    return chars_all((struct span){text.base + i, text.len - i}, CHAR_VALUE);
}

/* Flags bytes that no request target has: all but visible ASCII, and '#'. */
static uint64_t beside_target(uint64_t word)
{
    uint64_t low = word & EACH(0x7f);
    uint64_t from_21 = low + EACH(0x80 - 0x21);
    uint64_t is_7f = low + EACH(0x01);
    uint64_t not_hash = (low ^ EACH('#')) + EACH(0x7f);
    return (~from_21 | is_7f | ~not_hash | word) & EACH(0x80);
}

bool chars_all_target(struct span text)
{
    size_t i = 0;
    if (text.len < 8) {
        return chars_all(text, CHAR_TARGET);
    }
    for (; i + 8 <= text.len; i += 8) {
        if (beside_target(octets8(text.base + i)) != 0) {
            return false;
        }
    }
    return beside_target(octets8(text.base + text.len - 8)) == 0;
}

bool chars_any_upper(struct span text)
{
    size_t i = 0;
    while (i + 8 <= text.len) {
        if (octets8_uppers(octets8(text.base + i)) != 0) {
            return true;
        }
        i += 8;
    }
    if (text.len >= 8) {
        return octets8_uppers(octets8(text.base + text.len - 8)) != 0;
    }
    if (text.len >= 4) {
        return octets8_uppers(octets4_to_8(text.base, text.len)) != 0;
    }
    for (; i < text.len; i++) {
        if (text.base[i] >= 'A' && text.base[i] <= 'Z') {
            return true;
        }
    }
    return false;
}

/* Flags bytes that are `byte`, which is ASCII. */
static uint64_t equal_to(uint64_t word, uint8_t byte)
{
    uint64_t other = word ^ EACH(byte);
    return ~(((other & EACH(0x7f)) + EACH(0x7f)) | other) & EACH(0x80);
}

/* Flags escapes, NUL, and each '/' with another or a '.' behind it; `next` is one byte further. */
static uint64_t not_plain(uint64_t word, uint64_t next)
{
    _Static_assert(('.' | 1) == '/', "one bit apart");
    return equal_to(word, '%') | equal_to(word, '\0') |
           (equal_to(word, '/') & equal_to(next | EACH(1), '/'));
}

bool chars_plain_path(struct span text)
{
    const size_t step = 8;
    size_t i = 0;
    for (; i + step < text.len; i += step) {
        if (not_plain(octets8(text.base + i), octets8(text.base + i + 1)) != 0) {
            return false;
        }
    }
    if (i > 0) { /* the last few with some before them again, but the very last has none behind it */
        const char *last = text.base + text.len - 1;
        i = text.len - 1;
        if (not_plain(octets8(last - step), octets8(last - step + 1)) != 0) {
            return false;
        }
    }
    for (; i < text.len; i++) {
        char c = text.base[i];
        char next = i + 1 < text.len ? text.base[i + 1] : 'a';
        if (c == '%' || c == '\0' || (c == '/' && (next == '/' || next == '.'))) {
            return false;
        }
    }
    return true;
}

size_t chars_ascii_prefix(struct span text)
{
    size_t i = 0;
    while (i + 8 <= text.len && (octets8(text.base + i) & EACH(0x80)) == 0) {
        i += 8;
    }
    if (text.len >= 8) {
        bool all = i + 8 > text.len && (octets8(text.base + text.len - 8) & EACH(0x80)) == 0;
        return all ? text.len : i;
    }
    if (text.len >= 4) {
        return ((octets4(text.base) | octets4(text.base + text.len - 4)) & 0x80808080u) == 0
                   ? text.len
                   : 0;
    }
    while (i < text.len && (uint8_t)text.base[i] < 0x80) {
        i++;
    }
    return i;
}
