/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a site tar from a directory: sorted, regular files only, scripts compiled, the same bytes
 * for the same input. */
#ifndef SERVER_PACK_H
#define SERVER_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Packs `directory` to `fd` (written sequentially). With `compress`, files of types that are worth
 * it get siblings .gz, .zst and .br, where there are none, if those are 5 % smaller at least.
 * `.zeroserve/scripts/ **.c` is compiled to `.o` and left out itself. False: one line in `error`;
 * compiler messages go to standard error. Scripts compile against the header that is built in. */
bool pack_directory(const char *directory, bool compress, int fd, char *error, size_t error_bytes);

/* Compiles one C file to an object. On success *object is malloc'ed and the caller's. Tries clang,
 * then bpf-gcc. */
bool pack_compile(const char *source_path, uint8_t **object, size_t *object_bytes, char *error,
                  size_t error_bytes);

/* The header for scripts, NUL-terminated. */
extern const char sdk_text[];

#endif
