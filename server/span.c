/* SPDX-License-Identifier: Apache-2.0 */
/* Letters of ASCII eight at a time; the last few with some before them again. */
#include "server/span.h"

#include <stdlib.h>

static uint64_t octets8_lower(uint64_t word)
{
    return word | octets8_uppers(word) >> 2; /* 0x80 >> 2 is what tells the cases apart */
}

/* Whether they differ by the one bit alone, and only where there are letters. Not inlined: names
 * are mostly written alike. */
static __attribute__((noinline)) bool octets8_differ_by_case(uint64_t a, uint64_t b)
{
    const uint64_t case_bits = 0x2020202020202020;
    uint64_t differ = a ^ b;
    return (differ & ~case_bits) == 0 && (differ << 2 & ~octets8_uppers(a & ~differ)) == 0;
}

static inline bool octets8_equal_nocase(uint64_t a, uint64_t b)
{
    return a == b || octets8_differ_by_case(a, b);
}

bool octets_equal_nocase(const char *a, const char *b, size_t bytes)
{
    if (bytes >= 8) {
        for (size_t i = 0; i + 8 < bytes; i += 8) {
            if (!octets8_equal_nocase(octets8(a + i), octets8(b + i))) {
                return false;
            }
        }
        return octets8_equal_nocase(octets8(a + bytes - 8), octets8(b + bytes - 8));
    }
    if (bytes >= 4) {
        return octets8_equal_nocase(octets4_to_8(a, bytes), octets4_to_8(b, bytes));
    }
    for (size_t i = 0; i < bytes; i++) {
        if (ascii_lower(a[i]) != ascii_lower(b[i])) {
            return false;
        }
    }
    return true;
}

bool span_is_one_of(struct span name, const struct span *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (span_equal_nocase(name, list[i])) {
            return true;
        }
    }
    return false;
}

static void put8_lower(char *out, const char *text)
{
    uint64_t word = octets8_lower(octets8(text));
    memcpy(out, &word, sizeof word);
}

char *span_put_lower(char *out, struct span text)
{
    size_t i = 0;
    if (text.len >= 8) {
        for (; i + 8 < text.len; i += 8) {
            put8_lower(out + i, text.base + i);
        }
        put8_lower(out + text.len - 8, text.base + text.len - 8);
        return out + text.len;
    }
    for (; i < text.len; i++) {
        out[i] = ascii_lower(text.base[i]);
    }
    return out + text.len;
}

char *span_copy_lower(struct span text)
{
    char *copy = malloc(text.len + 1);
    if (copy != NULL) {
        *span_put_lower(copy, text) = '\0';
    }
    return copy;
}
