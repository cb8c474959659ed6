/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files, for what is small: objects and sources of scripts. */
#ifndef SERVER_FILE_H
#define SERVER_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads regular file `path`, at most `bytes_max`. *out is malloc'ed and the caller's. False: one
 * line in `error`, naming the path. */
bool file_read(const char *path, size_t bytes_max, uint8_t **out, size_t *bytes, char *error,
               size_t error_bytes);

/* Writes all of it. False: errno. */
bool file_write_all(int fd, const void *bytes, size_t count);

#endif
