/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the headers of a tar: ustar, GNU long names, pax. No I/O of its own: bytes come from a
 * source, so that tests and fuzzers drive it over memory. Members are never copied, only located.
 *
 *   Accepted   regular files; later members of the same path are the caller's to prefer
 *   Skipped    directories, links, devices, fifos, volume labels, pax global headers
 *   Refused    compressed and sparse archives, wrong checksums, numbers that do not fit, members
 *              that are not wholly in the file, `..` in a path, an archive without its end
 */
#ifndef SERVER_TAR_H
#define SERVER_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAR_BLOCK_BYTES 512u

struct tar_source {
    /* Fills all of `out` from `offset`; the range lies below `bytes`. False: it could not. */
    bool (*read)(void *context, void *out, size_t bytes, uint64_t offset);
    void *context;
    uint64_t bytes; /* of the whole archive, at most INT64_MAX */
};

struct tar_member {
    const char *path; /* no leading '/', no empty, `.` or `..` segment; NUL-terminated; valid until
                         the next call */
    size_t path_bytes;
    uint64_t offset; /* of the content */
    uint64_t bytes;
    int64_t mtime; /* seconds since 1970 */
    uint32_t mtime_ns;
};

enum tar_result { TAR_FILE, TAR_END, TAR_BAD };

struct tar_reader;
/* NULL: out of memory. Borrows what source.context points to. */
struct tar_reader *tar_reader_create(const struct tar_source *source);
void tar_reader_free(struct tar_reader *reader);

/* The next regular file. After TAR_END or TAR_BAD it must not be called again. */
enum tar_result tar_next(struct tar_reader *reader, struct tar_member *member);
/* After TAR_BAD: `offset 1536: checksum of header does not match`. Lives as long as the reader. */
const char *tar_reader_error(const struct tar_reader *reader);

/* Byte layout of a header block, for reading and for writing. */
struct tar_header {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char type;
    char linkname[100];
    char magic[6];
    char version[2];
    char uname[32];
    char gname[32];
    char devmajor[8];
    char devminor[8];
    char prefix[155];
    char padding[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK_BYTES, "a header is one block");

/* Sum of the bytes of a header with the checksum field taken as spaces. */
uint32_t tar_checksum(const struct tar_header *header);

#endif
