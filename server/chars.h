/* SPDX-License-Identifier: Apache-2.0 */
/* What a byte may be in HTTP and in URIs. One table, so that every parser means the same. */
#ifndef SERVER_CHARS_H
#define SERVER_CHARS_H

#include <stdint.h>

#include "server/span.h"

enum {
    CHAR_TOKEN = 1 << 0,  /* tchar, RFC 9110 5.6.2: methods, field names */
    CHAR_VALUE = 1 << 1,  /* in a field value, RFC 9110 5.5: visible, space, tab, 0x80 and above */
    CHAR_TARGET = 1 << 2, /* in a request target: visible ASCII but '#' */
    CHAR_HOST = 1 << 3,   /* in a reg-name, RFC 3986 3.2.2, without '%' */
    CHAR_PATH = 1 << 4,   /* in a path without escaping, RFC 3986 3.3, and '/' */
    CHAR_LOWER = 1 << 5,  /* a tchar that is no upper case letter: field names of HTTP/2 */
    CHAR_NAME = 1 << 6,   /* in a name that is looked up: letters, digits, '-', '_' and dots */
};

extern const uint8_t char_class[256];

static inline bool char_is(char c, unsigned classes)
{
    return (char_class[(uint8_t)c] & classes) != 0;
}

static inline bool chars_all(struct span text, unsigned classes)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!char_is(text.base[i], classes)) {
            return false;
        }
    }
    return true;
}

/* Whether all of it may be in a token (CHAR_TOKEN). */
bool chars_all_token(struct span text);
/* Whether all of it may be in a field value (CHAR_VALUE). */
bool chars_all_value(struct span text);
/* The same for a request target (CHAR_TARGET). */
bool chars_all_target(struct span text);
/* How many octets at the start may be in a token (CHAR_TOKEN). */
size_t chars_token_bytes(struct span text);
/* Whether a path has neither escapes, NUL, nor a segment that is empty or begins with a dot. */
bool chars_plain_path(struct span text);
/* Whether any of it is an upper case letter of ASCII. */
bool chars_any_upper(struct span text);
/* How many octets at the start are printable ASCII, but neither '"' nor a backslash. */
size_t chars_quotable_bytes(struct span text);
/* How many bytes at the start are ASCII for sure: all, or fewer by some. The rest is to be looked
 * at one by one. */
size_t chars_ascii_prefix(struct span text);

/* The number that all of the text is, 1*DIGIT. False, and *value is as it was: it is none, or more
 * than `max`. */
bool chars_number(struct span text, uint64_t max, uint64_t *value);

static inline bool char_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* What may stand around values and the elements of lists: OWS, RFC 9110 5.6.3. */
static inline bool char_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The text without blanks at its ends. */
static inline struct span chars_trim(struct span text)
{
    while (text.len > 0 && char_blank(text.base[0])) {
        text.base++;
        text.len--;
    }
    while (text.len > 0 && char_blank(text.base[text.len - 1])) {
        text.len--;
    }
    return text;
}

/* Value of a hexadecimal digit, or -1. */
static inline int char_hex(char c)
{
    if (char_digit(c)) {
        return c - '0';
    }
    char lower = ascii_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Writes the last `digits` hexadecimal digits of the number, in lower case. Returns where they end.
 */
static inline char *char_put_hex(char *out, unsigned value, unsigned digits)
{
    for (unsigned shift = 4 * digits; shift > 0; shift -= 4) {
        *out++ = "0123456789abcdef"[value >> (shift - 4) & 15];
    }
    return out;
}

enum { CHAR_DECIMAL_MAX = 20 }; /* digits of a uint64_t */

/* Writes the number in decimal digits, the last of them just before `end`. Returns the first. */
static inline char *char_decimal(char *end, uint64_t value)
{
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return end;
}

/* The same from `out` on. Returns where they end. */
static inline char *char_put_decimal(char *out, uint64_t value)
{
    char digits[CHAR_DECIMAL_MAX];
    char *first = char_decimal(digits + sizeof digits, value);
    size_t count = (size_t)(digits + sizeof digits - first);
    memcpy(out, first, count);
    return out + count;
}

#endif
