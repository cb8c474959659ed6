/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed bytes: a pointer and a length, never NUL-terminated. Whoever hands out a span says how
 * long it lives. */
#ifndef SERVER_SPAN_H
#define SERVER_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *base; /* may be NULL when len is 0 */
    size_t len;
};

#define SPAN(literal) ((struct span){"" literal, sizeof(literal) - 1})

static inline struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

/* Takes at most `max` octets from the beginning. */
static inline struct span span_take(struct span *from, size_t max)
{
    struct span taken = {from->base, from->len < max ? from->len : max};
    if (taken.len > 0) {
        from->base += taken.len;
        from->len -= taken.len;
    }
    return taken;
}

/* Octets as a word, in the order of memory, wherever they lie. */
static inline uint64_t octets8(const char *text)
{
    uint64_t word;
    memcpy(&word, text, sizeof word);
    return word;
}

static inline uint32_t octets4(const char *text)
{
    uint32_t word;
    memcpy(&word, text, sizeof word);
    return word;
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.base, b.base, a.len) == 0);
}

/* Sets large objects to zero. The C library does it with wide stores; of a size that it knows, gcc
 * makes `rep stos`, which takes longer to begin than to clear a kilobyte. */
static inline void bytes_clear(void *object, size_t bytes)
{
    __asm__("" : "+r"(bytes)); /* unknown from here on */
    memset(object, 0, bytes);
}

/* Copies it to `out`. Returns the place behind. */
static inline char *span_put(char *out, struct span text)
{
    if (text.len > 0) {
        memcpy(out, text.base, text.len);
    }
    return out + text.len;
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* All of four to eight octets, as one word that has some of them twice. */
static inline uint64_t octets4_to_8(const char *text, size_t bytes)
{
    return octets4(text) | (uint64_t)octets4(text + bytes - 4) << 32;
}

/* Flags, by their highest bits, octets of the word that are 'A' to 'Z'. */
static inline uint64_t octets8_uppers(uint64_t word)
{
    const uint64_t each = 0x0101010101010101;
    uint64_t low = word & 0x7f * each;
    uint64_t from_a = low + (0x80 - 'A') * each;
    uint64_t past_z = low + (0x80 - 'Z' - 1) * each;
    return from_a & ~past_z & ~word & 0x80 * each;
}

/* Whether the first four octets are these letters, which are in lower case, in either case. */
static inline bool octets4_are_letters(const char *text, const char *letters)
{
    return (octets4(text) | 0x20202020u) == octets4(letters);
}

/* Writes the text with its upper case letters in lower case, also over itself. Returns the place
 * behind. */
char *span_put_lower(char *out, struct span text);
/* The same in memory of its own, with a NUL behind. NULL: out of memory. */
char *span_copy_lower(struct span text);

/* Of two octets that are equal but for case; of few others. */
static inline bool ascii_alike(char a, char b)
{
    return ((a ^ b) & ~0x20) == 0;
}

/* For span_equal_nocase alone: the same for two texts of one length. */
bool octets_equal_nocase(const char *a, const char *b, size_t bytes);

/* Whether it is one of these, without regard to case. */
bool span_is_one_of(struct span name, const struct span *list, size_t count);

/* Returns, from a function, whether `name` is one of the literals that NAMES(ROW) lists, without
 * regard to case. They are shorter than 32; most names have the length of none of them. */
#define SPAN_RETURN_IS_NAMED(name, NAMES)                                                          \
    static const struct span span_names[] = {NAMES(SPAN_NAME)};                                    \
    const uint32_t span_lengths = 0 NAMES(SPAN_LENGTH_BIT);                                        \
    return (name).len < 32 && (span_lengths >> (name).len & 1) != 0 &&                             \
           span_is_one_of(name, span_names, sizeof span_names / sizeof span_names[0])
#define SPAN_NAME(literal)       SPAN(literal),
#define SPAN_LENGTH_BIT(literal) | 1u << (sizeof(literal) - 1)

/* ASCII case-insensitive, as field names and URI schemes compare. */
static inline bool span_equal_nocase(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || (ascii_alike(a.base[0], b.base[0]) &&
                                             octets_equal_nocase(a.base, b.base, a.len)));
}

#endif
