/* SPDX-License-Identifier: Apache-2.0 */
/* Files that zs-vm is given, and the programs in them. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "loader/loader.h"
#include "server/pack.h"
#include "server/script.h"
#include "tools/tool.h"

#define FILE_BYTES_MAX                                                                             \
    (256u << 20) /* more is a mistake; memory for the guest has its own limit                      \
                  */
#define READ_BYTES (64u << 10)

int tool_refuse(const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fputs("zs-vm: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return TOOL_REFUSED;
}

/* Appends what `file` holds. False with errno. */
static bool read_all(FILE *file, uint8_t **bytes, size_t *length)
{
    size_t room = 0;

    for (;;) {
        if (room - *length < READ_BYTES) {
            room = room ? 2 * room : READ_BYTES;
            uint8_t *grown = room > 2 * FILE_BYTES_MAX ? NULL : realloc(*bytes, room);
            if (!grown) {
                errno = room > 2 * FILE_BYTES_MAX ? EFBIG : ENOMEM;
                return false;
            }
            *bytes = grown;
        }
        size_t got = fread(*bytes + *length, 1, READ_BYTES, file);
        *length += got;
        if (got < READ_BYTES) {
            return !ferror(file);
        }
    }
}

bool tool_read(const char *path, uint8_t **bytes, size_t *length)
{
    FILE *file = fopen(path, "rbe");

    *bytes = NULL;
    *length = 0;
    bool fine = file && read_all(file, bytes, length);
    int error = errno;
    if (file) {
        fclose(file);
    }
    if (!fine) {
        free(*bytes);
        *bytes = NULL;
        tool_refuse("%s: %s", path, strerror(error));
    }
    return fine;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

bool tool_read_object(const char *path, uint8_t **bytes, size_t *length)
{
    char error[512];

    if (!ends_with(path, ".c")) {
        return tool_read(path, bytes, length);
    }
    if (!pack_compile(path, bytes, length, error, sizeof error)) {
        tool_refuse("%s", error);
        return false;
    }
    return true;
}

struct vm_program *tool_load(const char *path)
{
    struct ld_helpers helpers;
    struct vm_diag diag;
    uint8_t *bytes;
    size_t length;

    if (!tool_read_object(path, &bytes, &length)) {
        return NULL;
    }
    helpers.helpers = script_helpers(&helpers.count);
    struct vm_program *program = ends_with(path, ".bin")
                                     ? ld_load_raw(path, bytes, length, &helpers, &diag)
                                     : ld_load(path, bytes, length, &helpers, &diag);
    free(bytes);
    if (!program) {
        tool_refuse("%s: %s", path, diag.text);
    }
    return program;
}
