/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a site: reads the headers of its tar once and indexes the regular files by path.
 *
 * Files, directories and their paths live in memory that never moves after site_open: paths in an
 * arena of chunks, files in one array whose order is the index's numbering. Members below
 * `.zeroserve/` stay out of that index; of them only the objects of scripts are kept, in memory.
 */
#include "server/site.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/date.h"
#include "server/limits.h"
#include "server/log.h"
#include "server/pack.h"
#include "server/path_index.h"
#include "server/tar.h"

#define PRIVATE_DIR ".zeroserve/"
#define SCRIPT_DIR  ".zeroserve/scripts/"

enum { CHUNK_BYTES = 64 << 10 };
_Static_assert(LIM_TAR_PATH_BYTES < CHUNK_BYTES, "a path fits a chunk");
_Static_assert(SITE_DATE_BYTES == DATE_BYTES + 1, "one size of dates");
_Static_assert(LIM_TAR_PATH_BYTES <= UINT16_MAX, "path_bytes is 16 bits");

struct chunk {
    struct chunk *next;
    size_t used;
    char bytes[];
};

/* An object before it is read; `name` still ends in `.o`, which counts when names are sorted. */
struct script_member {
    char *name;
    uint64_t offset, bytes;
};

struct site {
    int fd; /* -1: no tar */
    struct chunk *chunks;
    struct site_file *files; /* file_index.count of them */
    uint32_t file_capacity;
    struct path_index file_index;
    struct path_index dir_index;
    struct script_member members[LIM_SCRIPTS];
    struct site_script scripts[LIM_SCRIPTS];
    unsigned script_count;
};

struct site *site_empty(void)
{
    struct site *site = calloc(1, sizeof *site);
    if (site != NULL) {
        site->fd = -1;
        path_index_init(&site->file_index);
        path_index_init(&site->dir_index);
    }
    return site;
}

void site_free(struct site *site)
{
    if (site == NULL) {
        return;
    }
    for (unsigned i = 0; i < site->script_count; i++) {
        free(site->members[i].name);
        free((void *)site->scripts[i].object);
    }
    while (site->chunks != NULL) {
        struct chunk *next = site->chunks->next;
        free(site->chunks);
        site->chunks = next;
    }
    path_index_free(&site->file_index);
    path_index_free(&site->dir_index);
    free(site->files);
    if (site->fd >= 0) {
        close(site->fd);
    }
    free(site);
}

/* ---- building the index ---- */

/* A NUL-terminated copy that lives as long as the site; NULL: out of memory. */
static const char *path_keep(struct site *site, const char *path, size_t bytes)
{
    struct chunk *chunk = site->chunks;
    if (chunk == NULL || CHUNK_BYTES - chunk->used < bytes + 1) {
        chunk = malloc(sizeof *chunk + CHUNK_BYTES);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->next = site->chunks;
        chunk->used = 0;
        site->chunks = chunk;
    }
    char *copy = chunk->bytes + chunk->used;
    memcpy(copy, path, bytes);
    copy[bytes] = '\0';
    chunk->used += bytes + 1;
    return copy;
}

/* The directories above a path, which outlives the index. */
static bool add_directories(struct site *site, const char *path, size_t bytes)
{
    for (size_t end = bytes; end-- > 0;) {
        if (path[end] != '/') {
            continue;
        }
        struct span dir = {path, end};
        if (path_index_find(&site->dir_index, dir) != PATH_INDEX_NONE) {
            return true; /* and so are those above it */
        }
        if (!path_index_add(&site->dir_index, dir)) {
            return false;
        }
    }
    return true;
}

static bool files_grow(struct site *site)
{
    uint32_t capacity = site->file_capacity + site->file_capacity / 2 + 64;
    struct site_file *files = realloc(site->files, capacity * sizeof *files);
    if (files == NULL) {
        return false;
    }
    site->files = files;
    site->file_capacity = capacity;
    return true;
}

/* A later member of the same path takes the place of the earlier. False: out of memory. */
static bool add_file(struct site *site, const struct tar_member *m)
{
    uint32_t number = path_index_find(&site->file_index, (struct span){m->path, m->path_bytes});
    const char *path = number != PATH_INDEX_NONE ? site->files[number].path
                                                 : path_keep(site, m->path, m->path_bytes);
    if (path == NULL) {
        return false;
    }
    if (number == PATH_INDEX_NONE) {
        number = site->file_index.count;
        if ((number == site->file_capacity && !files_grow(site)) ||
            !path_index_add(&site->file_index, (struct span){path, m->path_bytes}) ||
            !add_directories(site, path, m->path_bytes)) {
            return false;
        }
    }
    site->files[number] = (struct site_file){
        .offset = m->offset,
        .bytes = m->bytes,
        .mtime = m->mtime,
        .path = path,
        .mtime_ns = m->mtime_ns,
        .path_bytes = (uint16_t)m->path_bytes,
        .codings = ENCODING_BIT(ENCODING_IDENTITY),
    };
    return true;
}

static bool ends_with(struct span text, struct span end)
{
    return text.len >= end.len && memcmp(text.base + text.len - end.len, end.base, end.len) == 0;
}

/* Tells each file which codings of it there are. */
static void link_codings(struct site *site)
{
    for (uint32_t i = 0; i < site->file_index.count; i++) {
        struct span path = {site->files[i].path, site->files[i].path_bytes};
        for (unsigned coding = ENCODING_IDENTITY + 1; coding < ENCODINGS; coding++) {
            struct span suffix = encoding_rows[coding].suffix;
            if (!ends_with(path, suffix)) {
                continue;
            }
            uint32_t plain =
                path_index_find(&site->file_index, (struct span){path.base, path.len - suffix.len});
            if (plain != PATH_INDEX_NONE) {
                site->files[plain].codings |= ENCODING_BIT(coding);
            }
        }
    }
}

/* ---- scripts ---- */

/* The slot for script `name`: that of an earlier member of the same name, or a new one. NULL: too
 * many. */
static struct script_member *script_slot(struct site *site, const char *name)
{
    for (unsigned i = 0; i < site->script_count; i++) {
        if (strcmp(site->members[i].name, name) == 0) {
            return &site->members[i];
        }
    }
    return site->script_count < LIM_SCRIPTS ? &site->members[site->script_count] : NULL;
}

static bool add_script(struct site *site, const struct tar_member *m, char *error,
                       size_t error_bytes)
{
    const char *name = m->path + sizeof SCRIPT_DIR - 1;
    struct span path = {m->path, m->path_bytes};
    if (ends_with(path, SPAN(".c"))) {
        log_line("note: %s is source and does not run; `zeroserve --pack` compiles it", m->path);
    }
    if (!ends_with(path, SPAN(".o"))) {
        return true;
    }
    struct script_member *slot = script_slot(site, name);
    if (slot == NULL) {
        snprintf(error, error_bytes, "more than %u scripts", LIM_SCRIPTS);
        return false;
    }
    if (m->bytes > LIM_SCRIPT_OBJECT_BYTES) {
        snprintf(error, error_bytes, "%s is larger than %u bytes", m->path,
                 LIM_SCRIPT_OBJECT_BYTES);
        return false;
    }
    if (slot->name == NULL && (slot->name = strdup(name)) == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    site->script_count += slot == &site->members[site->script_count];
    slot->offset = m->offset;
    slot->bytes = m->bytes;
    return true;
}

static int member_order(const void *a, const void *b)
{
    return strcmp(((const struct script_member *)a)->name, ((const struct script_member *)b)->name);
}

static bool fd_read(void *context, void *out, size_t bytes, uint64_t offset)
{
    int fd = *(const int *)context;
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(fd, (char *)out + done, bytes - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

/* Sorts the scripts and reads their objects. */
static bool load_scripts(struct site *site, char *error, size_t error_bytes)
{
    qsort(site->members, site->script_count, sizeof site->members[0], member_order);
    for (unsigned i = 0; i < site->script_count; i++) {
        struct script_member *m = &site->members[i];
        uint8_t *object = malloc((size_t)m->bytes + 1);
        if (object == NULL || !fd_read(&site->fd, object, (size_t)m->bytes, m->offset)) {
            free(object);
            snprintf(error, error_bytes, "%s%s cannot be read", SCRIPT_DIR, m->name);
            return false;
        }
        m->name[strlen(m->name) - 2] = '\0';
        site->scripts[i] = (struct site_script){m->name, object, (size_t)m->bytes};
    }
    return true;
}

/* ---- opening ---- */

static bool add_member(struct site *site, const struct tar_member *m, char *error,
                       size_t error_bytes)
{
    if (strncmp(m->path, SCRIPT_DIR, sizeof SCRIPT_DIR - 1) == 0) {
        return add_script(site, m, error, error_bytes);
    }
    if (strncmp(m->path, PRIVATE_DIR, sizeof PRIVATE_DIR - 1) == 0 || add_file(site, m)) {
        return true;
    }
    snprintf(error, error_bytes, "out of memory");
    return false;
}

static bool read_members(struct site *site, struct tar_reader *reader, char *error,
                         size_t error_bytes)
{
    struct tar_member member;
    enum tar_result result;
    while ((result = tar_next(reader, &member)) == TAR_FILE) {
        if (!add_member(site, &member, error, error_bytes)) {
            return false;
        }
    }
    if (result == TAR_BAD) {
        snprintf(error, error_bytes, "%s", tar_reader_error(reader));
        return false;
    }
    if (site->file_index.count == 0 && site->script_count == 0) {
        snprintf(error, error_bytes, "holds no files");
        return false;
    }
    link_codings(site);
    return load_scripts(site, error, error_bytes);
}

static bool read_tar(struct site *site, char *error, size_t error_bytes)
{
    struct stat st;
    if (fstat(site->fd, &st) != 0) {
        snprintf(error, error_bytes, "%s", strerror(errno));
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        snprintf(error, error_bytes, "not a regular file");
        return false;
    }
    struct tar_source source = {fd_read, &site->fd, (uint64_t)st.st_size};
    struct tar_reader *reader = tar_reader_create(&source);
    if (reader == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    bool fine = read_members(site, reader, error, error_bytes);
    tar_reader_free(reader);
    return fine;
}

struct site *site_from_fd(int fd, const char *name, char *error, size_t error_bytes)
{
    char reason[512] = "out of memory";
    struct site *site = site_empty();
    if (site == NULL) {
        close(fd);
    } else {
        site->fd = fd;
        if (read_tar(site, reason, sizeof reason)) {
            return site;
        }
    }
    snprintf(error, error_bytes, "%s: %s", name, reason);
    site_free(site);
    return NULL;
}

static struct site *open_directory(const char *path, char *error, size_t error_bytes)
{
    int fd = memfd_create("zeroserve-site", MFD_CLOEXEC);
    if (fd < 0) {
        snprintf(error, error_bytes, "%s: memory file: %s", path, strerror(errno));
        return NULL;
    }
    if (!pack_directory(path, false, fd, error, error_bytes)) {
        close(fd);
        return NULL;
    }
    return site_from_fd(fd, path, error, error_bytes);
}

struct site *site_open(const char *path, char *error, size_t error_bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not hold us up */
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(error, error_bytes, "%s: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    if (S_ISDIR(st.st_mode)) {
        close(fd);
        return open_directory(path, error, error_bytes);
    }
    return site_from_fd(fd, path, error, error_bytes);
}

/* ---- questions ---- */

int site_fd(const struct site *site)
{
    return site->fd;
}

uint64_t site_file_count(const struct site *site)
{
    return site->file_index.count;
}

const struct site_file *site_find(const struct site *site, struct span path)
{
    if (path.len == 0) {
        return NULL;
    }
    uint32_t number = path_index_find(&site->file_index, path);
    return number != PATH_INDEX_NONE ? &site->files[number] : NULL;
}

const struct site_file *site_find_coded(const struct site *site, const struct site_file *file,
                                        enum encoding coding)
{
    char path[LIM_TAR_PATH_BYTES + 8];
    struct span suffix = encoding_rows[coding].suffix;
    assert((file->codings & ENCODING_BIT(coding)) != 0);
    assert(file->path_bytes + suffix.len <= sizeof path);
    memcpy(path, file->path, file->path_bytes);
    memcpy(path + file->path_bytes, suffix.base, suffix.len);
    return site_find(site, (struct span){path, file->path_bytes + suffix.len});
}

bool site_is_directory(const struct site *site, struct span path)
{
    if (path.len == 0) {
        return site->file_index.count != 0;
    }
    return path_index_find(&site->dir_index, path) != PATH_INDEX_NONE;
}

unsigned site_script_count(const struct site *site)
{
    return site->script_count;
}

const struct site_script *site_script(const struct site *site, unsigned index)
{
    return index < site->script_count ? &site->scripts[index] : NULL;
}

/* ---- what is told about a file ---- */

struct span site_file_type(const struct site_file *file)
{
    return mime_type((struct span){file->path, file->path_bytes});
}

/* The finaliser of MurmurHash3, which no two numbers leave as the same. */
static uint64_t spread(uint64_t hash)
{
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53;
    return hash ^ hash >> 33;
}

/* Short, for HTTP/2 codes each character of it in each answer: 64 bits in the alphabet of
 * base64url. No step loses a difference, so versions of which one fact is another never share a
 * tag. */
void site_file_etag(const struct site_file *file, char out[SITE_ETAG_BYTES])
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint64_t hash = spread(file->bytes);
    hash = spread(hash + (uint64_t)file->mtime);
    hash = spread(hash + file->mtime_ns);
    for (size_t i = 0; i < file->path_bytes; i++) { /* FNV-1a */
        hash = (hash ^ (uint8_t)file->path[i]) * 0x100000001b3;
    }
    hash = spread(hash);
    *out++ = '"';
    for (unsigned i = 0; i < SITE_ETAG_BYTES - 3; i++, hash >>= 6) {
        *out++ = alphabet[hash & 63];
    }
    memcpy(out, "\"", 2);
}

void site_file_last_modified(const struct site_file *file, char out[SITE_DATE_BYTES])
{
    date_format(file->mtime, out);
}
