/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the tar of a site: ustar, with a pax header before members whose path, size or time does
 * not fit.
 *
 * First the tree is listed and sorted, then members are written in one pass. Nothing of the machine
 * gets in: owner 0, mode 0644, whole seconds, paths below the root. A file that changes while it is
 * copied is an error, because its header is already written.
 */
#include "server/pack.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/compress.h"
#include "server/file.h"
#include "server/limits.h"
#include "server/log.h"
#include "server/site.h"
#include "server/tar.h"

#define PRIVATE_DIR ".zeroserve/"
#define SCRIPT_DIR  ".zeroserve/scripts/"

enum { OUT_BYTES = 256 << 10 };
#define OCTAL_MAX 077777777777ull /* of the size and mtime fields: 11 digits */

/* Growing list of malloc'ed paths below the root. */
struct list {
    char **paths;
    size_t count, capacity;
};

struct pack {
    const char *directory; /* as the user gave it */
    int root;              /* descriptor of it */
    int out;
    bool compress;
    struct stat out_stat; /* the tar may lie in the directory itself */
    struct list files, dirs;
    char *error;
    size_t error_bytes;
    size_t buffered;
    uint8_t buffer[OUT_BYTES];
};

__attribute__((format(printf, 2, 3))) static bool fail(struct pack *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->error, p->error_bytes, format, args);
    va_end(args);
    return false;
}

static bool fail_at(struct pack *p, const char *path, const char *reason)
{
    return fail(p, "%s/%s: %s", p->directory, path, reason);
}

/* ---- listing ---- */

static bool list_add(struct list *list, const char *path)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 64;
        char **paths = reallocarray(list->paths, capacity, sizeof *paths);
        if (paths == NULL) {
            return false;
        }
        list->paths = paths;
        list->capacity = capacity;
    }
    char *copy = strdup(path);
    if (copy == NULL) {
        return false;
    }
    list->paths[list->count++] = copy;
    return true;
}

static void list_free(struct list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->paths[i]);
    }
    free(list->paths);
}

static int path_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Notes a file or directory for later; what is neither is left out. */
static bool list_entry(struct pack *p, const char *path)
{
    struct stat st;
    if (fstatat(p->root, path, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return fail_at(p, path, strerror(errno));
    }
    if (S_ISREG(st.st_mode) && st.st_dev == p->out_stat.st_dev && st.st_ino == p->out_stat.st_ino) {
        log_line("note: %s/%s is the tar being written; left out", p->directory, path);
        return true;
    }
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
        return list_add(S_ISREG(st.st_mode) ? &p->files : &p->dirs, path) ||
               fail_at(p, path, "out of memory");
    }
    log_line("note: %s/%s is %s; left out", p->directory, path,
             S_ISLNK(st.st_mode) ? "a symbolic link" : "not a regular file");
    return true;
}

static bool list_directory(struct pack *p, const char *dir)
{
    int fd = openat(p->root, dir[0] != '\0' ? dir : ".",
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    bool fine = stream != NULL;
    if (!fine) {
        fail_at(p, dir, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    struct dirent *entry;
    while (fine && (errno = 0, entry = readdir(stream)) != NULL) {
        char path[LIM_TAR_PATH_BYTES + 1];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        int length =
            snprintf(path, sizeof path, "%s%s%s", dir, dir[0] != '\0' ? "/" : "", entry->d_name);
        fine = length > 0 && (size_t)length < sizeof path ? list_entry(p, path)
                                                          : fail_at(p, dir, "path too long");
    }
    if (fine && errno != 0) {
        fine = fail_at(p, dir, strerror(errno));
    }
    closedir(stream);
    return fine;
}

/* All regular files below the root, sorted by the bytes of their paths. */
static bool list_tree(struct pack *p)
{
    if (!list_directory(p, "")) {
        return false;
    }
    for (size_t i = 0; i < p->dirs.count; i++) {
        if (!list_directory(p, p->dirs.paths[i])) {
            return false;
        }
    }
    if (p->files.count == 0) {
        return fail(p, "%s: holds no files", p->directory);
    }
    if (p->files.count > LIM_TAR_ENTRIES) {
        return fail(p, "%s: more than %u files", p->directory, LIM_TAR_ENTRIES);
    }
    qsort(p->files.paths, p->files.count, sizeof p->files.paths[0], path_order);
    return true;
}

/* ---- writing ---- */

static bool flush(struct pack *p)
{
    if (!file_write_all(p->out, p->buffer, p->buffered)) {
        return fail(p, "cannot write the tar: %s", strerror(errno));
    }
    p->buffered = 0;
    return true;
}

static bool put(struct pack *p, const void *bytes, size_t count)
{
    const uint8_t *from = bytes;
    while (count > 0) {
        size_t room = OUT_BYTES - p->buffered;
        size_t part = count < room ? count : room;
        memcpy(p->buffer + p->buffered, from, part);
        p->buffered += part;
        from += part;
        count -= part;
        if (p->buffered == OUT_BYTES && !flush(p)) {
            return false;
        }
    }
    return true;
}

/* Zeros up to the next block, after content of `bytes`. */
static bool put_padding(struct pack *p, uint64_t bytes)
{
    static const uint8_t zeros[TAR_BLOCK_BYTES];
    return put(p, zeros, (size_t)(-bytes & (TAR_BLOCK_BYTES - 1)));
}

/* Octal digits and a final NUL. */
static void octal(char *field, size_t bytes, uint64_t value)
{
    field[--bytes] = '\0';
    while (bytes > 0) {
        field[--bytes] = (char)('0' + (value & 7));
        value >>= 3;
    }
    assert(value == 0);
}

/* Where to cut a path into prefix and name: the index of a '/', 0 for none needed, -1: cannot. */
static ptrdiff_t path_cut(const char *path, size_t bytes)
{
    const struct tar_header *h = NULL;
    if (bytes <= sizeof h->name) {
        return 0;
    }
    for (size_t at = bytes - 1; at > 0; at--) {
        if (path[at] == '/' && at <= sizeof h->prefix && bytes - at - 1 <= sizeof h->name) {
            return (ptrdiff_t)at;
        }
    }
    return -1;
}

static void header_fill(struct tar_header *h, const char *path, char type, uint64_t bytes,
                        int64_t mtime)
{
    size_t path_bytes = strlen(path);
    ptrdiff_t cut = path_cut(path, path_bytes);
    const char *name = cut > 0 ? path + cut + 1 : path;
    size_t name_bytes = strlen(name);
    memset(h, 0, sizeof *h);
    if (cut > 0) {
        memcpy(h->prefix, path, (size_t)cut);
    }
    memcpy(h->name, name, name_bytes < sizeof h->name ? name_bytes : sizeof h->name);
    octal(h->mode, sizeof h->mode, 0644);
    octal(h->uid, sizeof h->uid, 0);
    octal(h->gid, sizeof h->gid, 0);
    octal(h->size, sizeof h->size, bytes <= OCTAL_MAX ? bytes : 0);
    octal(h->mtime, sizeof h->mtime,
          mtime >= 0 && (uint64_t)mtime <= OCTAL_MAX ? (uint64_t)mtime : 0);
    h->type = type;
    memcpy(h->magic, "ustar", sizeof h->magic);
    memcpy(h->version, "00", sizeof h->version);
    octal(h->checksum, sizeof h->checksum - 1, tar_checksum(h));
    h->checksum[sizeof h->checksum - 1] = ' ';
}

/* Appends `<length> <key>=<value>\n`, where length counts its own digits. */
static size_t pax_record(char *out, size_t room, const char *key, const char *value)
{
    size_t rest = strlen(key) + strlen(value) + 3;
    size_t length = rest + 1;
    for (size_t before = 0; before != length;) {
        before = length;
        length = rest + (size_t)snprintf(NULL, 0, "%zu", length);
    }
    int written = snprintf(out, room, "%zu %s=%s\n", length, key, value);
    assert((size_t)written == length && length < room);
    return length;
}

/* The extended header of a member that a plain one cannot describe. */
static bool put_pax(struct pack *p, const char *path, uint64_t bytes, int64_t mtime)
{
    char records[LIM_TAR_PATH_BYTES + 256];
    char number[24];
    size_t used = 0;
    if (path_cut(path, strlen(path)) < 0) {
        used += pax_record(records + used, sizeof records - used, "path", path);
    }
    if (bytes > OCTAL_MAX) {
        snprintf(number, sizeof number, "%llu", (unsigned long long)bytes);
        used += pax_record(records + used, sizeof records - used, "size", number);
    }
    if (mtime < 0 || (uint64_t)mtime > OCTAL_MAX) {
        snprintf(number, sizeof number, "%lld", (long long)mtime);
        used += pax_record(records + used, sizeof records - used, "mtime", number);
    }
    if (used == 0) {
        return true;
    }
    struct tar_header header;
    header_fill(&header, "PaxHeader", 'x', used, 0);
    return put(p, &header, sizeof header) && put(p, records, used) && put_padding(p, used);
}

static bool put_header(struct pack *p, const char *path, uint64_t bytes, int64_t mtime)
{
    struct tar_header header;
    header_fill(&header, path, '0', bytes, mtime);
    return put_pax(p, path, bytes, mtime) && put(p, &header, sizeof header);
}

/* ---- members ---- */

/* Copies exactly `bytes` from fd and sees that there is no more. */
static bool put_content(struct pack *p, int fd, const char *path, uint64_t bytes)
{
    uint64_t left = bytes;
    for (;;) {
        if (p->buffered == OUT_BYTES && !flush(p)) {
            return false;
        }
        uint8_t *room = p->buffer + p->buffered;
        size_t want = OUT_BYTES - p->buffered;
        ssize_t n = read(fd, room, left < want ? (size_t)left + 1 : want);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_at(p, path, strerror(errno));
        }
        if ((uint64_t)n > left || (n == 0 && left != 0)) {
            return fail_at(p, path, "changed size while it was packed");
        }
        if (n == 0) {
            return put_padding(p, bytes);
        }
        p->buffered += (size_t)n;
        left -= (uint64_t)n;
    }
}

static bool is_listed(const struct pack *p, const char *path)
{
    return bsearch(&path, p->files.paths, p->files.count, sizeof p->files.paths[0], path_order) !=
           NULL;
}

/* The siblings of a file, unless the directory has its own, or little is gained. */
static bool put_siblings(struct pack *p, const char *path, const uint8_t *content, size_t bytes,
                         int64_t mtime)
{
    for (unsigned coding = ENCODING_IDENTITY + 1; coding < ENCODINGS; coding++) {
        char sibling[LIM_TAR_PATH_BYTES + 1];
        int length =
            snprintf(sibling, sizeof sibling, "%s%s", path, encoding_rows[coding].suffix.base);
        if ((size_t)length >= sizeof sibling || is_listed(p, sibling)) {
            continue;
        }
        size_t made;
        uint8_t *coded = compress_bytes((enum encoding)coding, content, bytes, &made);
        if (coded == NULL) {
            return fail_at(p, sibling, "cannot be compressed: out of memory");
        }
        bool fine = made > bytes - bytes / 20 || (put_header(p, sibling, made, mtime) &&
                                                  put(p, coded, made) && put_padding(p, made));
        free(coded);
        if (!fine) {
            return false;
        }
    }
    return true;
}

/* Reads again what was just packed: it must still be the same. */
static bool compress_file(struct pack *p, int fd, const char *path, const struct stat *before)
{
    struct stat after;
    size_t bytes = (size_t)before->st_size;
    uint8_t *content = malloc(bytes);
    if (content == NULL) {
        return fail_at(p, path, "out of memory");
    }
    size_t done = 0;
    ssize_t n = 0;
    while (done < bytes && (n = pread(fd, content + done, bytes - done, (off_t)done)) > 0) {
        done += (size_t)n;
    }
    bool same = done == bytes && fstat(fd, &after) == 0 && after.st_size == before->st_size &&
                after.st_mtim.tv_sec == before->st_mtim.tv_sec &&
                after.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
    bool fine = same ? put_siblings(p, path, content, bytes, before->st_mtime)
                     : fail_at(p, path, "changed while it was packed");
    free(content);
    return fine;
}

static bool is_compressible(const struct pack *p, const char *path, off_t bytes)
{
    return p->compress && bytes > 0 && bytes <= LIM_COMPRESS_BYTES &&
           strncmp(path, PRIVATE_DIR, sizeof PRIVATE_DIR - 1) != 0 &&
           compress_type(mime_type(span_of(path)));
}

static bool pack_file(struct pack *p, const char *path)
{
    struct stat st;
    int fd = openat(p->root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool fine;
    if (fd < 0 || fstat(fd, &st) != 0) {
        fine = fail_at(p, path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        fine = fail_at(p, path, "is no longer a regular file");
    } else {
        fine = put_header(p, path, (uint64_t)st.st_size, st.st_mtime) &&
               put_content(p, fd, path, (uint64_t)st.st_size) &&
               (!is_compressible(p, path, st.st_size) || compress_file(p, fd, path, &st));
    }
    if (fd >= 0) {
        close(fd);
    }
    return fine;
}

static bool is_script(const char *path, const char *ending)
{
    size_t bytes = strlen(path), end = strlen(ending);
    return strncmp(path, SCRIPT_DIR, sizeof SCRIPT_DIR - 1) == 0 &&
           bytes > sizeof SCRIPT_DIR - 1 + end && strcmp(path + bytes - end, ending) == 0;
}

/* The object takes the place of the source and its time. */
static bool pack_script(struct pack *p, const char *path)
{
    char *source = NULL;
    char object_path[LIM_TAR_PATH_BYTES + 1];
    struct stat st;
    uint8_t *object;
    size_t bytes;
    if (fstatat(p->root, path, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return fail_at(p, path, strerror(errno));
    }
    if (asprintf(&source, "%s/%s", p->directory, path) < 0) {
        return fail_at(p, path, "out of memory");
    }
    bool fine = pack_compile(source, &object, &bytes, p->error, p->error_bytes);
    free(source);
    if (!fine) {
        return false;
    }
    snprintf(object_path, sizeof object_path, "%.*s.o", (int)(strlen(path) - 2), path);
    fine = put_header(p, object_path, bytes, st.st_mtime) && put(p, object, bytes) &&
           put_padding(p, bytes);
    free(object);
    return fine;
}

/* Is there a source beside this object, sorted before it? */
static bool object_has_source(const struct pack *p, const char *path)
{
    char *source = strdup(path);
    if (source == NULL) {
        return false;
    }
    source[strlen(source) - 1] = 'c';
    bool found = bsearch(&source, p->files.paths, p->files.count, sizeof p->files.paths[0],
                         path_order) != NULL;
    free(source);
    return found;
}

static bool pack_entry(struct pack *p, const char *path)
{
    if (is_script(path, ".c")) {
        return pack_script(p, path);
    }
    if (is_script(path, ".o") && object_has_source(p, path)) {
        log_line("note: %s/%s is made anew from its source", p->directory, path);
        return true;
    }
    return pack_file(p, path);
}

/* Compression takes long, so a terminal is told how far it is. */
static void tell_progress(const struct pack *p, size_t done)
{
    char line[64];
    if (!p->compress || !isatty(STDERR_FILENO)) {
        return;
    }
    int length = snprintf(line, sizeof line, "\rcompressed %zu of %zu files%s", done,
                          p->files.count, done == p->files.count ? "\n" : "");
    (void)file_write_all(STDERR_FILENO, line, (size_t)length);
}

static bool pack_all(struct pack *p)
{
    static const uint8_t end[2 * TAR_BLOCK_BYTES];
    if (!list_tree(p)) {
        return false;
    }
    for (size_t i = 0; i < p->files.count; i++) {
        if (!pack_entry(p, p->files.paths[i])) {
            return false;
        }
        tell_progress(p, i + 1);
    }
    return put(p, end, sizeof end) && flush(p);
}

bool pack_directory(const char *directory, bool compress, int fd, char *error, size_t error_bytes)
{
    struct pack *p = calloc(1, sizeof *p);
    if (p == NULL) {
        snprintf(error, error_bytes, "%s: out of memory", directory);
        return false;
    }
    p->directory = directory;
    p->error = error;
    p->error_bytes = error_bytes;
    p->out = fd;
    p->compress = compress;
    p->root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool fine = p->root >= 0 && fstat(fd, &p->out_stat) == 0;
    fine = fine ? pack_all(p) : fail(p, "%s: %s", directory, strerror(errno));
    if (p->root >= 0) {
        close(p->root);
    }
    list_free(&p->files);
    list_free(&p->dirs);
    free(p);
    return fine;
}
