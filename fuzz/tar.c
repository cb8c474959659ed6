/* SPDX-License-Identifier: Apache-2.0 */
/* Reads any bytes as a tar, from memory.
 *
 * The first byte of the input chooses: odd, and the checksum of every block that could be a header
 * is made right first, so that mutations reach what lies behind it. Whatever the bytes are, members
 * lie in the file and do not overlap, paths are clean, and a refusal says why.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "server/limits.h"
#include "server/tar.h"

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

struct memory {
    const uint8_t *bytes;
    size_t count;
};

static bool memory_read(void *context, void *out, size_t bytes, uint64_t offset)
{
    const struct memory *memory = context;
    must(offset <= memory->count && bytes <= memory->count - offset);
    if (bytes != 0) {
        memcpy(out, memory->bytes + offset, bytes);
    }
    return true;
}

static void check_path(const struct tar_member *member)
{
    const char *at = member->path;
    must(member->path_bytes > 0 && member->path_bytes <= LIM_TAR_PATH_BYTES);
    must(strlen(at) == member->path_bytes);
    for (;;) {
        size_t length = strcspn(at, "/");
        must(length != 0);
        must(!(length == 1 && at[0] == '.'));
        must(!(length == 2 && at[0] == '.' && at[1] == '.'));
        if (at[length] == '\0') {
            return;
        }
        at += length + 1;
    }
}

static void seal_blocks(uint8_t *bytes, size_t count)
{
    for (size_t at = 0; at + TAR_BLOCK_BYTES <= count; at += TAR_BLOCK_BYTES) {
        struct tar_header *header = (struct tar_header *)(bytes + at);
        if (memcmp(header->magic, "ustar", 5) == 0) {
            snprintf(header->checksum, sizeof header->checksum, "%06o",
                     tar_checksum(header) & 0777777);
        }
    }
}

static void read_all(const struct memory *memory)
{
    struct tar_source source = {memory_read, (void *)memory, memory->count};
    struct tar_reader *reader = tar_reader_create(&source);
    struct tar_member member;
    enum tar_result result;
    uint64_t end = 0;
    must(reader != NULL);
    while ((result = tar_next(reader, &member)) == TAR_FILE) {
        must(member.offset >= end + TAR_BLOCK_BYTES && member.offset <= memory->count);
        must(member.bytes <= memory->count - member.offset);
        must(member.mtime_ns < 1000000000);
        check_path(&member);
        end = member.offset + member.bytes;
    }
    if (result == TAR_BAD) {
        must(strncmp(tar_reader_error(reader), "offset ", 7) == 0);
    }
    tar_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint8_t *copy = malloc(size);
    must(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    if ((data[0] & 1) != 0) {
        seal_blocks(copy, size - 1);
    }
    struct memory memory = {copy, size - 1};
    read_all(&memory);
    free(copy);
    return 0;
}
