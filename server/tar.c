/* SPDX-License-Identifier: Apache-2.0 */
/* Tar reader (POSIX.1-2017 pax "ustar Interchange Format" and "pax Header Block"; GNU tar manual,
 * "Basic Tar Format").
 *
 * Headers are read through a window, so that many small members cost few reads. What an extended
 * header ('x', 'L') says is kept in `ext` until the member it belongs to. Every offset below
 * `offset` was checked against the size of the source, which is at most INT64_MAX: sums of two such
 * numbers do not wrap.
 */
#include "server/tar.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/chars.h"
#include "server/limits.h"

enum { WINDOW_BYTES = 64 << 10 };

/* From extended headers, for the next member only. */
struct extension {
    bool any; /* an extended header was read; a member must follow */
    bool has_path, has_size, has_mtime;
    char path[LIM_TAR_PATH_BYTES + 1];
    size_t path_bytes;
    uint64_t size;
    int64_t mtime;
    uint32_t mtime_ns;
};

struct tar_reader {
    struct tar_source source;
    uint64_t offset;      /* of the next header */
    uint64_t entry_count; /* members, skipped ones too */
    struct extension ext;
    char path[LIM_TAR_PATH_BYTES + 1]; /* of the member handed out */
    uint8_t *records;                  /* content of an extended header; records_capacity bytes */
    size_t records_capacity;
    uint64_t window_offset;
    size_t window_bytes; /* valid */
    char error[256];
    uint8_t window[WINDOW_BYTES];
};

struct tar_reader *tar_reader_create(const struct tar_source *source)
{
    assert(source->bytes <= INT64_MAX);
    struct tar_reader *r = calloc(1, sizeof *r);
    if (r != NULL) {
        r->source = *source;
    }
    return r;
}

void tar_reader_free(struct tar_reader *reader)
{
    if (reader != NULL) {
        free(reader->records);
        free(reader);
    }
}

const char *tar_reader_error(const struct tar_reader *reader)
{
    return reader->error;
}

__attribute__((format(printf, 3, 4))) static bool fail(struct tar_reader *r, uint64_t offset,
                                                       const char *format, ...)
{
    int head = snprintf(r->error, sizeof r->error, "offset %llu: ", (unsigned long long)offset);
    assert(head > 0 && (size_t)head < sizeof r->error);
    va_list args;
    va_start(args, format);
    vsnprintf(r->error + head, sizeof r->error - (size_t)head, format, args);
    va_end(args);
    return false;
}

static bool source_read(struct tar_reader *r, void *out, size_t bytes, uint64_t offset)
{
    assert(offset <= r->source.bytes && bytes <= r->source.bytes - offset);
    if (!r->source.read(r->source.context, out, bytes, offset)) {
        return fail(r, offset, "cannot be read");
    }
    return true;
}

/* `bytes` at `offset`, if the window holds them all; else NULL. */
static const uint8_t *window_at(const struct tar_reader *r, uint64_t offset, uint64_t bytes)
{
    if (offset < r->window_offset || offset - r->window_offset > r->window_bytes ||
        bytes > r->window_bytes - (offset - r->window_offset)) {
        return NULL;
    }
    return r->window + (offset - r->window_offset);
}

/* The block at `offset`, in the window; NULL: failed, the error is set. */
static const uint8_t *block_at(struct tar_reader *r, uint64_t offset)
{
    assert(r->source.bytes - offset >= TAR_BLOCK_BYTES);
    if (window_at(r, offset, TAR_BLOCK_BYTES) == NULL) {
        uint64_t left = r->source.bytes - offset;
        size_t bytes = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
        r->window_bytes = 0;
        if (!source_read(r, r->window, bytes, offset)) {
            return NULL;
        }
        r->window_offset = offset;
        r->window_bytes = bytes;
    }
    return window_at(r, offset, TAR_BLOCK_BYTES);
}

/* ---- fields of a header ---- */

uint32_t tar_checksum(const struct tar_header *header)
{
    const uint8_t *bytes = (const uint8_t *)header;
    uint32_t sum = 0;
    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
        sum += bytes[i];
    }
    for (size_t i = 0; i < sizeof header->checksum; i++) {
        sum += (uint32_t)' ' - (uint8_t)header->checksum[i];
    }
    return sum;
}

/* Some writers of old summed signed bytes. */
static int32_t checksum_signed(const struct tar_header *header)
{
    const int8_t *bytes = (const int8_t *)header;
    int32_t sum = 0;
    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
        sum += bytes[i];
    }
    for (size_t i = 0; i < sizeof header->checksum; i++) {
        sum += ' ' - (int8_t)header->checksum[i];
    }
    return sum;
}

/* GNU base-256: big-endian two's complement below a marker bit. */
static bool number_base256(const char *field, size_t bytes, int64_t *out)
{
    bool negative = ((uint8_t)field[0] & 0x40) != 0;
    uint64_t value = negative ? UINT64_MAX : 0;
    const uint64_t spill = negative ? UINT64_MAX : 0;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)field[i];
        if (i == 0) {
            byte = negative ? (uint8_t)(byte | 0x80) : (uint8_t)(byte & 0x7f);
        }
        if (value >> 55 != spill >> 55) {
            return false;
        }
        value = value << 8 | byte;
    }
    *out = (int64_t)value;
    return (*out < 0) == negative;
}

/* Octal digits between optional spaces, ended by space, NUL or the field; or base-256. An empty
 * field is 0. */
static bool number(const char *field, size_t bytes, int64_t *out)
{
    if (((uint8_t)field[0] & 0x80) != 0) {
        return number_base256(field, bytes, out);
    }
    size_t i = 0;
    while (i < bytes && field[i] == ' ') {
        i++;
    }
    uint64_t value = 0;
    for (; i < bytes && field[i] >= '0' && field[i] <= '7'; i++) {
        value = value << 3 | (uint64_t)(field[i] - '0'); /* 12 digits at most: 36 bits */
    }
    for (; i < bytes; i++) {
        if (field[i] != ' ' && field[i] != '\0') {
            return false;
        }
    }
    *out = (int64_t)value;
    return true;
}

static bool checksum_is_right(const struct tar_header *header)
{
    int64_t stored;
    return number(header->checksum, sizeof header->checksum, &stored) &&
           (stored == tar_checksum(header) || stored == checksum_signed(header));
}

/* ---- paths ---- */

/* Joins prefix and name of a header into r->path; returns its length. */
static size_t header_path(struct tar_reader *r, const struct tar_header *h)
{
    size_t bytes = 0;
    if (memcmp(h->magic, "ustar", sizeof h->magic) == 0 && h->prefix[0] != '\0') {
        bytes = strnlen(h->prefix, sizeof h->prefix);
        memcpy(r->path, h->prefix, bytes);
        r->path[bytes++] = '/';
    }
    size_t name_bytes = strnlen(h->name, sizeof h->name);
    memcpy(r->path + bytes, h->name, name_bytes);
    bytes += name_bytes;
    r->path[bytes] = '\0';
    return bytes;
}

/* Drops empty and `.` segments, in place. False: there is a `..`, or nothing is left. */
static bool path_clean(char *path, size_t *bytes)
{
    size_t out = 0;
    for (size_t at = 0; at < *bytes;) {
        const char *slash = memchr(path + at, '/', *bytes - at);
        size_t end = slash != NULL ? (size_t)(slash - path) : *bytes;
        size_t length = end - at;
        if (length == 2 && path[at] == '.' && path[at + 1] == '.') {
            return false;
        }
        if (length > 1 || (length == 1 && path[at] != '.')) {
            if (out != 0) {
                path[out++] = '/';
            }
            memmove(path + out, path + at, length);
            out += length;
        }
        at = end + 1;
    }
    path[out] = '\0';
    *bytes = out;
    return out != 0;
}

/* ---- extended headers ---- */

static bool ext_set_path(struct tar_reader *r, uint64_t at, const char *path, size_t bytes)
{
    if (bytes > LIM_TAR_PATH_BYTES) {
        return fail(r, at, "path longer than %u bytes", LIM_TAR_PATH_BYTES);
    }
    if (memchr(path, '\0', bytes) != NULL) {
        return fail(r, at, "path with a NUL byte");
    }
    memcpy(r->ext.path, path, bytes);
    r->ext.path_bytes = bytes;
    r->ext.has_path = true;
    return true;
}

/* Decimal digits at *text below `end`; moves *text behind them. False: none, or too large. */
static bool decimal(const char **text, const char *end, uint64_t *out)
{
    const char *p = *text;
    uint64_t value = 0;
    for (; p < end && char_digit(*p); p++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) {
            return false;
        }
    }
    bool some = p != *text;
    *text = p;
    *out = value;
    return some && value <= INT64_MAX;
}

/* [-]seconds[.fraction], rounded down to nanoseconds. */
static bool pax_time(const char *text, const char *end, int64_t *seconds, uint32_t *ns)
{
    bool negative = text < end && *text == '-';
    uint64_t whole;
    uint32_t fraction = 0;
    text += negative;
    if (!decimal(&text, end, &whole)) {
        return false;
    }
    if (text < end && *text == '.') {
        text++;
        for (uint32_t unit = 100000000; text < end && char_digit(*text); text++) {
            fraction += (uint32_t)(*text - '0') * unit;
            unit /= 10;
        }
    }
    *seconds = negative ? -(int64_t)whole : (int64_t)whole;
    *ns = fraction;
    if (negative && fraction != 0) {
        *seconds -= 1;
        *ns = 1000000000 - fraction;
    }
    return text == end;
}

static bool key_is(const char *key, size_t bytes, const char *name)
{
    return bytes == strlen(name) && memcmp(key, name, bytes) == 0;
}

/* An empty value takes back what an earlier record said. */
static bool pax_apply(struct tar_reader *r, uint64_t at, const char *key, size_t key_bytes,
                      const char *value, size_t value_bytes)
{
    struct extension *ext = &r->ext;
    const char *end = value + value_bytes;
    static const char sparse[] = "GNU.sparse.";
    if (key_bytes >= sizeof sparse - 1 && memcmp(key, sparse, sizeof sparse - 1) == 0) {
        return fail(r, at, "sparse members are not supported; make the tar without --sparse");
    }
    if (key_is(key, key_bytes, "path")) {
        ext->has_path = false;
        return value_bytes == 0 || ext_set_path(r, at, value, value_bytes);
    }
    if (key_is(key, key_bytes, "size")) {
        ext->has_size = value_bytes != 0;
        if (ext->has_size && (!decimal(&value, end, &ext->size) || value != end)) {
            return fail(r, at, "size in a pax header is not a number");
        }
    }
    if (key_is(key, key_bytes, "mtime")) {
        ext->has_mtime = value_bytes != 0;
        if (ext->has_mtime && !pax_time(value, end, &ext->mtime, &ext->mtime_ns)) {
            return fail(r, at, "mtime in a pax header is not a time");
        }
    }
    return true;
}

/* Records are `<bytes of the whole record> <key>=<value>\n`. */
static bool pax_parse(struct tar_reader *r, uint64_t at, const char *text, size_t bytes)
{
    const char *end = text + bytes;
    while (text < end) {
        const char *p = text;
        uint64_t length;
        if (!decimal(&p, end, &length) || length > (size_t)(end - text) || p == end || *p != ' ' ||
            length <= (size_t)(p - text) + 1 || text[length - 1] != '\n') {
            return fail(r, at, "malformed record in a pax header");
        }
        const char *key = p + 1;
        const char *record_end = text + length - 1;
        const char *equals = memchr(key, '=', (size_t)(record_end - key));
        if (equals == NULL || equals == key) {
            return fail(r, at, "malformed record in a pax header");
        }
        if (!pax_apply(r, at, key, (size_t)(equals - key), equals + 1,
                       (size_t)(record_end - equals - 1))) {
            return false;
        }
        text += length;
    }
    return true;
}

/* Content of an extended header into r->records. */
static bool records_read(struct tar_reader *r, uint64_t header_at, uint64_t bytes)
{
    if (bytes > LIM_TAR_PAX_BYTES) {
        return fail(r, header_at, "extended header larger than %u bytes", LIM_TAR_PAX_BYTES);
    }
    if (bytes > r->records_capacity) {
        uint8_t *grown = realloc(r->records, (size_t)bytes);
        if (grown == NULL) {
            return fail(r, header_at, "out of memory");
        }
        r->records = grown;
        r->records_capacity = (size_t)bytes;
    }
    const uint8_t *near = window_at(r, header_at + TAR_BLOCK_BYTES, bytes);
    if (near != NULL) {
        memcpy(r->records, near, (size_t)bytes);
        return true;
    }
    return source_read(r, r->records, (size_t)bytes, header_at + TAR_BLOCK_BYTES);
}

static bool extended_header(struct tar_reader *r, char type, uint64_t at, uint64_t bytes)
{
    r->ext.any = true;
    if (type == 'K' || bytes == 0) {
        return true; /* a long link name: links are skipped */
    }
    if (!records_read(r, at, bytes)) {
        return false;
    }
    const char *text = (const char *)r->records;
    if (type == 'L') {
        return ext_set_path(r, at, text, strnlen(text, (size_t)bytes));
    }
    return pax_parse(r, at, text, (size_t)bytes);
}

static void ext_clear(struct extension *ext)
{
    ext->any = ext->has_path = ext->has_size = ext->has_mtime = false;
}

/* ---- members ---- */

static bool type_is_extended(char type)
{
    return type == 'x' || type == 'X' || type == 'L' || type == 'K';
}

static bool type_is_file(char type)
{
    return type == '0' || type == '\0' || type == '7';
}

/* Links, devices, directories and fifos have no content, whatever their size field says. */
static bool type_has_content(char type)
{
    return type < '1' || type > '6';
}

static bool refuse_compressed(struct tar_reader *r)
{
    static const struct {
        const char *name;
        const char *unpack;
        uint8_t bytes;
        char magic[6];
    } formats[] = {
        {"gzip", "gzip -d", 2, "\x1f\x8b"},
        {"xz", "xz -d", 6,
         "\xfd"
         "7zXZ"},
        {"zstd", "zstd -d", 4, "\x28\xb5\x2f\xfd"},
        {"bzip2", "bzip2 -d", 3, "BZh"},
        {"lz4", "lz4 -d", 4, "\x04\x22\x4d\x18"},
        {"zip", "unzip", 4, "PK\x03\x04"},
    };
    uint8_t start[8] = {0};
    size_t bytes = r->source.bytes < sizeof start ? (size_t)r->source.bytes : sizeof start;
    if (!source_read(r, start, bytes, 0)) {
        return false;
    }
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (memcmp(start, formats[i].magic, formats[i].bytes) == 0) {
            return fail(r, 0, "compressed (%s) archives are not supported; unpack it with %s",
                        formats[i].name, formats[i].unpack);
        }
    }
    return true;
}

/* The next header, its checksum verified; NULL: failed. */
static const struct tar_header *header_next(struct tar_reader *r)
{
    if (r->offset == 0 && !refuse_compressed(r)) {
        return NULL;
    }
    if (r->source.bytes - r->offset < TAR_BLOCK_BYTES) {
        if (r->source.bytes == 0) {
            fail(r, 0, "the file is empty");
        } else if (r->offset == 0) {
            fail(r, 0, "not a tar archive: shorter than one header");
        } else {
            fail(r, r->offset, "truncated: the two zero blocks that end an archive are missing");
        }
        return NULL;
    }
    return (const struct tar_header *)block_at(r, r->offset);
}

static bool block_is_zero(const void *block)
{
    const uint8_t *bytes = block;
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, TAR_BLOCK_BYTES - 1) == 0;
}

/* At the first zero block. */
static enum tar_result archive_end(struct tar_reader *r)
{
    uint64_t at = r->offset;
    if (r->ext.any) {
        fail(r, at, "the archive ends after an extended header");
        return TAR_BAD;
    }
    if (r->entry_count == 0) {
        fail(r, at, "the archive is empty");
        return TAR_BAD;
    }
    r->offset += TAR_BLOCK_BYTES;
    const struct tar_header *second = header_next(r);
    if (second == NULL) {
        return TAR_BAD;
    }
    if (!block_is_zero(second)) {
        fail(r, at, "a lone zero block inside the archive");
        return TAR_BAD;
    }
    return TAR_END;
}

/* Size of the content, and that it lies in the file. */
static bool content_locate(struct tar_reader *r, const struct tar_header *h, uint64_t *bytes)
{
    int64_t size = 0;
    uint64_t left = r->source.bytes - r->offset - TAR_BLOCK_BYTES;
    if (type_has_content(h->type) && !number(h->size, sizeof h->size, &size)) {
        return fail(r, r->offset, "size of member is not a number");
    }
    if (size < 0) {
        return fail(r, r->offset, "size of member is negative");
    }
    *bytes = (uint64_t)size;
    if (r->ext.has_size && type_has_content(h->type) && !type_is_extended(h->type)) {
        *bytes = r->ext.size;
    }
    if (*bytes > left || (-*bytes & (TAR_BLOCK_BYTES - 1)) > left - *bytes) {
        return fail(r, r->offset, "truncated: a member of %llu bytes, %llu are left",
                    (unsigned long long)*bytes, (unsigned long long)left);
    }
    return true;
}

static bool header_check(struct tar_reader *r, const struct tar_header *h)
{
    if (!checksum_is_right(h)) {
        return fail(r, r->offset, "%schecksum of header does not match",
                    r->offset == 0 ? "not a tar archive: " : "");
    }
    if (h->type == 'S') {
        return fail(r, r->offset,
                    "sparse members are not supported; make the tar without --sparse");
    }
    if (h->type == 'M') {
        return fail(r, r->offset, "archives of several volumes are not supported");
    }
    return true;
}

/* Path and time of a regular file; `*is_file` becomes false for a directory in disguise. */
static bool member_describe(struct tar_reader *r, const struct tar_header *h,
                            struct tar_member *member, bool *is_file)
{
    size_t bytes = r->ext.path_bytes;
    if (r->ext.has_path) {
        memcpy(r->path, r->ext.path, bytes);
        r->path[bytes] = '\0';
    } else {
        bytes = header_path(r, h);
    }
    *is_file = bytes == 0 || r->path[bytes - 1] != '/'; /* tars before POSIX mark directories so */
    if (!*is_file) {
        return true;
    }
    if (!path_clean(r->path, &bytes)) {
        return fail(r, r->offset, "path '%.100s' is empty or has a '..' segment", r->path);
    }
    int64_t mtime = r->ext.mtime;
    if (!r->ext.has_mtime && !number(h->mtime, sizeof h->mtime, &mtime)) {
        return fail(r, r->offset, "mtime of member is not a number");
    }
    member->path = r->path;
    member->path_bytes = bytes;
    member->mtime = mtime;
    member->mtime_ns = r->ext.has_mtime ? r->ext.mtime_ns : 0;
    return true;
}

/* One header and what it describes. *is_file: `member` is filled. */
static bool entry_read(struct tar_reader *r, const struct tar_header *h, struct tar_member *member,
                       bool *is_file)
{
    uint64_t bytes = 0;
    *is_file = false;
    if (!header_check(r, h) || !content_locate(r, h, &bytes)) {
        return false;
    }
    char type = h->type;
    if (type_is_extended(type)) {
        if (!extended_header(r, type, r->offset, bytes)) {
            return false;
        }
    } else if (type != 'g') {
        if (++r->entry_count > LIM_TAR_ENTRIES) {
            return fail(r, r->offset, "more than %u members", LIM_TAR_ENTRIES);
        }
        if (type_is_file(type) && !member_describe(r, h, member, is_file)) {
            return false;
        }
        ext_clear(&r->ext);
    }
    member->offset = r->offset + TAR_BLOCK_BYTES;
    member->bytes = bytes;
    r->offset = member->offset + bytes + (-bytes & (TAR_BLOCK_BYTES - 1));
    return true;
}

enum tar_result tar_next(struct tar_reader *reader, struct tar_member *member)
{
    for (;;) {
        const struct tar_header *header = header_next(reader);
        bool is_file;
        if (header == NULL) {
            return TAR_BAD;
        }
        if (block_is_zero(header)) {
            return archive_end(reader);
        }
        if (!entry_read(reader, header, member, &is_file)) {
            return TAR_BAD;
        }
        if (is_file) {
            return TAR_FILE;
        }
    }
}
