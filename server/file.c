/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files: see file.h. */
#include "server/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Content of fd; NULL and errno. One byte more is asked for, so a file that grows is noticed. */
static uint8_t *read_content(int fd, size_t size, size_t *bytes)
{
    uint8_t *content = malloc(size + 1);
    *bytes = 0;
    while (content != NULL) {
        ssize_t n = read(fd, content + *bytes, size + 1 - *bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        *bytes += n > 0 ? (size_t)n : 0;
        if (n == 0 && *bytes == size) {
            return content;
        }
        if (n <= 0 || *bytes > size) {
            int reason = n < 0 ? errno : EBUSY;
            free(content);
            errno = reason;
            return NULL;
        }
    }
    return NULL;
}

bool file_read(const char *path, size_t bytes_max, uint8_t **out, size_t *bytes, char *error,
               size_t error_bytes)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const char *reason = NULL;
    *out = NULL;
    if (fd < 0 || fstat(fd, &st) != 0) {
        reason = strerror(errno);
    } else if (!S_ISREG(st.st_mode)) {
        reason = "not a regular file";
    } else if (st.st_size > (off_t)bytes_max) {
        reason = "too large";
    } else {
        *out = read_content(fd, (size_t)st.st_size, bytes);
        reason = *out == NULL ? strerror(errno) : NULL;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (reason != NULL) {
        snprintf(error, error_bytes, "%s: %s", path, reason);
    }
    return reason == NULL;
}

bool file_write_all(int fd, const void *bytes, size_t count)
{
    const char *at = bytes;
    while (count > 0) {
        ssize_t n = write(fd, at, count);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        at += n;
        count -= (size_t)n;
    }
    return true;
}
