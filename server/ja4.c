/* SPDX-License-Identifier: Apache-2.0 */
/* JA4. One pass over the ClientHello collects its lists; the text is made of these. Every read
 * goes through struct reader, which gives zeros and remembers when it is asked for more than there
 * is. */
#include "server/ja4.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/chars.h"
#include "server/sha256.h"

enum { LIST_MAX = 256, HASH_CHARS = 12, HASHED_BYTES = LIST_MAX * 10 + 1 };
enum {
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_SIGNATURES = 13,
    EXTENSION_ALPN = 16,
    EXTENSION_VERSIONS = 43
};

struct list {
    uint16_t items[LIST_MAX];
    unsigned count;
    bool full;
};

struct hello {
    unsigned version;
    bool names_server;
    char alpn[2];
    unsigned extension_count; /* with server_name and ALPN, which are not in the list */
    struct list ciphers, extensions, signatures;
};

/* ---- reading ---- */

struct reader {
    const unsigned char *at;
    const unsigned char *end;
    bool failed;
};

static unsigned read_number(struct reader *reader, unsigned bytes)
{
    unsigned number = 0;
    if ((size_t)(reader->end - reader->at) < bytes) {
        reader->failed = true;
        reader->at = reader->end;
        return 0;
    }
    while (bytes-- > 0) {
        number = number << 8 | *reader->at++;
    }
    return number;
}

/* A vector, and the length of so many bytes before it. */
static struct reader read_vector(struct reader *reader, unsigned length_bytes)
{
    size_t bytes = read_number(reader, length_bytes);
    if ((size_t)(reader->end - reader->at) < bytes) {
        reader->failed = true;
        bytes = 0;
    }
    struct reader inner = {reader->at, reader->at + bytes, false};
    reader->at += bytes;
    return inner;
}

/* 0x0a0a, 0x1a1a ... 0xfafa */
static bool is_grease(unsigned value)
{
    return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

static void add(struct list *list, unsigned value)
{
    if (is_grease(value)) {
        return;
    }
    if (list->count == LIST_MAX) {
        list->full = true;
        return;
    }
    list->items[list->count++] = (uint16_t)value;
}

static bool read_list(struct reader *reader, struct list *list)
{
    while (reader->at != reader->end && !reader->failed) {
        add(list, read_number(reader, 2));
    }
    return !reader->failed;
}

static bool is_alphanumeric(unsigned char c)
{
    return char_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* First and last character of the first protocol, or of its bytes in hexadecimal. */
static bool read_alpn(struct reader *reader, char alpn[2])
{
    struct reader names = read_vector(reader, 2);
    struct reader name = read_vector(&names, 1);
    if (reader->failed || names.failed) {
        return false;
    }
    if (name.at != name.end) {
        unsigned char first = name.at[0];
        unsigned char last = name.end[-1];
        bool plain = is_alphanumeric(first) && is_alphanumeric(last);
        char digits[4];
        char_put_hex(char_put_hex(digits, first, 2), last, 2);
        alpn[0] = plain ? (char)first : digits[0];
        alpn[1] = plain ? (char)last : digits[3];
    }
    return true;
}

static bool read_versions(struct reader *reader, unsigned *version)
{
    struct reader versions = read_vector(reader, 1);
    unsigned best = 0;
    while (versions.at != versions.end && !versions.failed) {
        unsigned value = read_number(&versions, 2);
        best = !is_grease(value) && value > best ? value : best;
    }
    *version = best != 0 ? best : *version;
    return !reader->failed && !versions.failed;
}

static bool read_extension(struct reader *reader, struct hello *hello)
{
    unsigned type = read_number(reader, 2);
    struct reader body = read_vector(reader, 2);
    struct reader signatures;
    if (reader->failed || is_grease(type)) {
        return !reader->failed;
    }
    hello->extension_count++;
    switch (type) {
    case EXTENSION_SERVER_NAME: hello->names_server = true; return true;
    case EXTENSION_ALPN: return read_alpn(&body, hello->alpn);
    case EXTENSION_SIGNATURES:
        add(&hello->extensions, type);
        signatures = read_vector(&body, 2);
        return !body.failed && read_list(&signatures, &hello->signatures);
    case EXTENSION_VERSIONS:
        add(&hello->extensions, type);
        return read_versions(&body, &hello->version);
    default: add(&hello->extensions, type); return true;
    }
}

static bool read_hello(struct span bytes, struct hello *hello)
{
    const unsigned char *base = (const unsigned char *)bytes.base;
    struct reader reader = {base, base + bytes.len, false};
    memset(hello, 0, sizeof *hello);
    hello->alpn[0] = hello->alpn[1] = '0';
    hello->version = read_number(&reader, 2);
    for (unsigned i = 0; i < 8; i++) {
        read_number(&reader, 4); /* random */
    }
    read_vector(&reader, 1); /* session id */
    struct reader ciphers = read_vector(&reader, 2);
    read_vector(&reader, 1); /* compression methods */
    if (reader.failed || !read_list(&ciphers, &hello->ciphers) || hello->ciphers.full) {
        return false;
    }
    if (reader.at == reader.end) {
        return true;
    }
    struct reader extensions = read_vector(&reader, 2);
    while (extensions.at != extensions.end) {
        if (!read_extension(&extensions, hello)) {
            return false;
        }
    }
    return !reader.failed && reader.at == reader.end && !hello->extensions.full &&
           !hello->signatures.full;
}

/* ---- writing ---- */

static const char *version_text(unsigned version)
{
    switch (version) {
    case 0x0304: return "13";
    case 0x0303: return "12";
    case 0x0302: return "11";
    case 0x0301: return "10";
    case 0x0300: return "s3";
    case 0x0002: return "s2";
    default: return "00";
    }
}

static int compare(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static void sort(struct list *list)
{
    qsort(list->items, list->count, sizeof list->items[0], compare);
}

/* "1301,1302"; returns where it ends. */
static size_t join(const struct list *list, char *text, size_t at)
{
    char *out = text + at;
    for (unsigned i = 0; i < list->count; i++) {
        if (i > 0) {
            *out++ = ',';
        }
        out = char_put_hex(out, list->items[i], 4);
    }
    return (size_t)(out - text);
}

/* The first 12 digits of SHA-256; zeros when there is nothing to hash. */
static bool hash(const char *text, size_t bytes, char out[HASH_CHARS + 1])
{
    uint8_t digest[SHA256_BYTES] = {0};
    if (bytes > 0 && !sha256((struct span){text, bytes}, SPAN(""), digest)) {
        return false;
    }
    for (unsigned i = 0; i < HASH_CHARS / 2; i++) {
        out = char_put_hex(out, digest[i], 2);
    }
    *out = '\0';
    return true;
}

static unsigned two_digits(unsigned count)
{
    return count < 99 ? count : 99;
}

bool ja4_fingerprint(struct span bytes, char text[JA4_BYTES])
{
    struct hello hello;
    char hashed[HASHED_BYTES];
    char ciphers[HASH_CHARS + 1];
    char extensions[HASH_CHARS + 1];
    text[0] = '\0';
    if (!read_hello(bytes, &hello)) {
        return false;
    }
    sort(&hello.ciphers);
    sort(&hello.extensions);
    if (!hash(hashed, join(&hello.ciphers, hashed, 0), ciphers)) {
        return false;
    }
    size_t at = join(&hello.extensions, hashed, 0);
    if (hello.signatures.count > 0) {
        hashed[at++] = '_';
        at = join(&hello.signatures, hashed, at);
    }
    if (!hash(hashed, at, extensions)) {
        return false;
    }
    snprintf(text, JA4_BYTES, "t%s%c%02u%02u%.2s_%s_%s", version_text(hello.version),
             hello.names_server ? 'd' : 'i', two_digits(hello.ciphers.count),
             two_digits(hello.extension_count), hello.alpn, ciphers, extensions);
    return true;
}
