/* SPDX-License-Identifier: Apache-2.0 */
/* Which bytes are of which class: a table with bits of CHAR_* for each, 16 bytes a row. Texts are
 * looked at sixteen bytes at a time, and byte by byte only where they are short or unusual. */
#include "server/chars.h"

#include <emmintrin.h>

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

/* ---- sixteen bytes at a time ---- */

/* Sixteen bytes, and for each of them 0 or -1. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

enum { STEP = sizeof(bytes16) };

static inline bytes16 load16(const char *text)
{
    bytes16 bytes;
    memcpy(&bytes, text, sizeof bytes);
    return bytes;
}

/* All of four to sixteen bytes, some of them more than once. */
static inline bytes16 load4_to_16(const char *text, size_t count)
{
    bool halves = count >= 8;
    uint64_t first = halves ? octets8(text) : octets4_to_8(text, count);
    uint64_t last = halves ? octets8(text + count - 8) : first;
    return (bytes16)(words2){first, last};
}

/* Where the text ends behind `from`, a multiple of STEP: at most STEP bytes, if need be with some
 * before them again. The text has four at least. */
static inline bytes16 last16(struct span text, size_t from)
{
    return from > 0 ? load16(text.base + text.len - STEP) : load4_to_16(text.base, text.len);
}

static inline bool any(bytes16 flags)
{
    words2 words = (words2)flags;
    return (words[0] | words[1]) != 0;
}

/* Flags what no field value has: controls but the tab. */
static inline bytes16 beside_value(bytes16 bytes)
{
    return (bytes16)(((bytes < 0x20) & (bytes != '\t')) | (bytes == 0x7f));
}

/* Flags what no request target has: all but visible ASCII, and '#'. */
static inline bytes16 beside_target(bytes16 bytes)
{
    return (bytes16)((bytes < 0x21) | (bytes > 0x7e) | (bytes == '#'));
}

/* Not inlined: what it looks up is short, or unusual. */
static __attribute__((noinline)) bool all_in_class(struct span text, unsigned class)
{
    return chars_all(text, class);
}

/* Whether `beside` flags none. What is short is looked up: then, whether all are in the class. */
static inline bool none_beside(struct span text, unsigned class, bytes16 (*beside)(bytes16))
{
    size_t i = 0;
    if (text.len < 4) {
        return all_in_class(text, class);
    }
    for (; text.len - i > STEP; i += STEP) {
        if (any(beside(load16(text.base + i)))) {
            return false;
        }
    }
    return !any(beside(last16(text, i)));
}

bool chars_all_value(struct span text)
{
    return none_beside(text, CHAR_VALUE, beside_value);
}

bool chars_all_target(struct span text)
{
    return none_beside(text, CHAR_TARGET, beside_target);
}

/* Flags what names of fields seldom have: all but letters, digits and '-'. */
static inline bytes16 beside_names(bytes16 bytes)
{
    return (bytes16)(((bytes | 0x20) - 'a' > 'z' - 'a') & (bytes - '0' > 9) & (bytes != '-'));
}

bool chars_all_token(struct span text)
{
    return none_beside(text, CHAR_TOKEN, beside_names) || all_in_class(text, CHAR_TOKEN);
}

size_t chars_token_bytes(struct span text)
{
    size_t i = 0;
    if (text.len >= STEP) {
        unsigned flags = (unsigned)_mm_movemask_epi8((__m128i)beside_names(load16(text.base)));
        i = flags != 0 ? (size_t)__builtin_ctz(flags) : STEP;
    }
    while (i < text.len && char_is(text.base[i], CHAR_TOKEN)) {
        i++;
    }
    return i;
}

/* Flags escapes, NUL, and each '/' with another or a '.' behind it; `next` is one byte further. */
static inline bytes16 beside_plain(bytes16 bytes, bytes16 next)
{
    return (bytes16)((bytes == '%') | (bytes == '\0') |
                     ((bytes == '/') & ((next == '/') | (next == '.'))));
}

bool chars_plain_path(struct span text)
{
    const char *at = text.base;
    size_t left = text.len; /* from `at` on; each is looked at with what is behind it */
    for (; left > STEP; at += STEP, left -= STEP) {
        if (any(beside_plain(load16(at), load16(at + 1)))) {
            return false;
        }
    }
    if (left > 4) {
        size_t count = left - 1;
        if (any(beside_plain(load4_to_16(at, count), load4_to_16(at + 1, count)))) {
            return false;
        }
        at += count;
        left = 1;
    }
    for (; left > 0; at++, left--) {
        char next = left > 1 ? at[1] : 'a';
        if (*at == '%' || *at == '\0' || (*at == '/' && (next == '/' || next == '.'))) {
            return false;
        }
    }
    return true;
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

/* Flags what is not printable ASCII, and what ends a quoted text or begins an escape. */
static inline bytes16 beside_quotable(bytes16 bytes)
{
    return (bytes16)((bytes < 0x20) | (bytes > 0x7e) | (bytes == '"') | (bytes == '\\'));
}

size_t chars_quotable_bytes(struct span text)
{
    size_t i = 0;
    for (; text.len - i >= STEP; i += STEP) {
        unsigned flags =
            (unsigned)_mm_movemask_epi8((__m128i)beside_quotable(load16(text.base + i)));
        if (flags != 0) {
            return i + (size_t)__builtin_ctz(flags);
        }
    }
    while (i < text.len && text.base[i] >= ' ' && text.base[i] < 0x7f && text.base[i] != '"' &&
           text.base[i] != '\\') {
        i++;
    }
    return i;
}

static inline bool all_ascii(bytes16 bytes)
{
    return _mm_movemask_epi8((__m128i)bytes) == 0;
}

size_t chars_ascii_prefix(struct span text)
{
    size_t i = 0;
    if (text.len < 4) {
        while (i < text.len && (uint8_t)text.base[i] < 0x80) {
            i++;
        }
        return i;
    }
    for (; text.len - i > STEP; i += STEP) {
        if (!all_ascii(load16(text.base + i))) {
            return i;
        }
    }
    return all_ascii(last16(text, i)) ? text.len : i;
}

bool chars_number(struct span text, uint64_t max, uint64_t *value)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(text.base[i] - '0');
        if (digit > 9 || digit > max || number > (max - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    if (text.len > 0) {
        *value = number;
    }
    return text.len > 0;
}
