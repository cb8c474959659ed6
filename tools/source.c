/* SPDX-License-Identifier: Apache-2.0 */
/* Source files are read once, when the first of their lines is wanted, and so are missing ones. The
 * name of a file comes from the object and so from anywhere: only regular files are opened. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/source.h"
#include "vm/vm.h"

#define SOURCE_BYTES_MAX (16u << 20)

struct tool_source_file {
    struct tool_source_file *next;
    const char *name; /* the program's pointer, which outlives this */
    char *text;       /* NULL: not found */
    size_t bytes;
    size_t *starts; /* [line_count + 1] where lines begin; the last is the end of the text */
    uint32_t line_count;
};

/* ---- reading --------------------------------------------------------------------------------- */

static bool read_open(struct tool_source_file *f, int fd)
{
    struct stat info;

    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size <= 0 ||
        info.st_size > SOURCE_BYTES_MAX) {
        return false;
    }
    f->text = malloc((size_t)info.st_size);
    ssize_t got = f->text ? pread(fd, f->text, (size_t)info.st_size, 0) : -1;
    f->bytes = got > 0 ? (size_t)got : 0;
    return got > 0;
}

/* `folder` has its final slash, or is empty. */
static bool read_below(struct tool_source_file *f, const char *folder, size_t folder_length,
                       const char *name)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%.*s%s", (int)folder_length, folder, name);

    if (length < 0 || (size_t)length >= sizeof path) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return false;
    }
    bool fine = read_open(f, fd);
    close(fd);
    return fine;
}

static void find(struct tool_source_file *f, const char *object)
{
    const char *slash = strrchr(object, '/');
    const char *last = strrchr(f->name, '/');
    size_t folder = slash ? (size_t)(slash - object) + 1 : 0;
    bool found = (f->name[0] != '/' && read_below(f, object, folder, f->name)) ||
                 read_below(f, "", 0, f->name) || (last && read_below(f, object, folder, last + 1));

    if (!found) {
        free(f->text);
        f->text = NULL;
        f->bytes = 0;
    }
}

static void split(struct tool_source_file *f)
{
    uint32_t count = 0;

    for (size_t i = 0; i < f->bytes; i++) {
        count += f->text[i] == '\n' || i + 1 == f->bytes;
    }
    f->starts = calloc((size_t)count + 1, sizeof *f->starts);
    if (!f->starts) {
        return;
    }
    for (size_t i = 0; i < f->bytes; i++) {
        if (f->text[i] == '\n' || i + 1 == f->bytes) {
            f->starts[++f->line_count] = i + 1;
        }
    }
}

static struct tool_source_file *file_of(struct tool_sources *sources, const char *name)
{
    struct tool_source_file *f = sources->files;

    while (f && strcmp(f->name, name) != 0) {
        f = f->next;
    }
    if (!f) {
        f = calloc(1, sizeof *f);
        if (!f) {
            return NULL;
        }
        f->name = name;
        find(f, sources->object);
        split(f);
        f->next = sources->files;
        sources->files = f;
    }
    return f;
}

void tool_sources_free(struct tool_sources *sources)
{
    while (sources->files) {
        struct tool_source_file *f = sources->files;
        sources->files = f->next;
        free(f->text);
        free(f->starts);
        free(f);
    }
}

/* ---- lines ----------------------------------------------------------------------------------- */

const char *tool_source_line(struct tool_sources *sources, const char *file, uint32_t line,
                             size_t *length)
{
    const struct tool_source_file *f = file_of(sources, file);

    if (!f || line == 0 || line > f->line_count) {
        return NULL;
    }
    const char *start = f->text + f->starts[line - 1];
    *length = f->starts[line] - f->starts[line - 1];
    while (*length > 0 && (start[*length - 1] == '\n' || start[*length - 1] == '\r')) {
        --*length;
    }
    return start;
}

uint32_t tool_source_line_count(struct tool_sources *sources, const char *file)
{
    const struct tool_source_file *f = file_of(sources, file);
    return f ? f->line_count : 0;
}

bool tool_source_print(struct tool_sources *sources, const char *file, uint32_t line, FILE *out)
{
    size_t length;
    const char *text = tool_source_line(sources, file, line, &length);

    if (!text) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        fputc((c < ' ' && c != '\t') || c == 0x7f ? '?' : c, out);
    }
    fputc('\n', out);
    return true;
}

void tool_source_comment(struct tool_sources *sources, const char *file, uint32_t line, FILE *out)
{
    size_t length;

    fprintf(out, "; %s:%u", vm_file_short(file), line);
    if (sources && tool_source_line(sources, file, line, &length) && length > 0) {
        fputs("  ", out);
        tool_source_print(sources, file, line, out);
    } else {
        fputc('\n', out);
    }
}
