/* SPDX-License-Identifier: Apache-2.0 */
/* Writes small tars into memory, well-formed or not, for tests of what reads them. Independent of
 * server/pack.c but for the checksum. */
#ifndef TESTS_SUPPORT_TARBALL_H
#define TESTS_SUPPORT_TARBALL_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/site.h"
#include "server/tar.h"

struct tarball {
    size_t used;
    uint8_t bytes[256 << 10];
};

static inline void tarball_seal(struct tar_header *h)
{
    snprintf(h->checksum, sizeof h->checksum, "%06o", tar_checksum(h) & 0777777);
}

static inline void tarball_block(struct tarball *t, const void *bytes, size_t count)
{
    size_t padded = (count + TAR_BLOCK_BYTES - 1) / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES;
    assert(t->used + padded <= sizeof t->bytes);
    memset(t->bytes + t->used, 0, padded);
    if (count != 0) {
        memcpy(t->bytes + t->used, bytes, count);
    }
    t->used += padded;
}

/* Appends a member and returns its header, to be spoilt and sealed again. */
static inline struct tar_header *tarball_add(struct tarball *t, const char *path, char type,
                                             const void *content, size_t bytes)
{
    struct tar_header h;
    size_t at = t->used, name_bytes = strlen(path);
    memset(&h, 0, sizeof h);
    memcpy(h.name, path, name_bytes < sizeof h.name ? name_bytes : sizeof h.name);
    snprintf(h.mode, sizeof h.mode, "%07o", 0644);
    snprintf(h.size, sizeof h.size, "%011o", (unsigned)bytes & 07777777777);
    snprintf(h.mtime, sizeof h.mtime, "%011o", 1700000000);
    h.type = type;
    memcpy(h.magic, "ustar", sizeof h.magic);
    memcpy(h.version, "00", sizeof h.version);
    tarball_seal(&h);
    tarball_block(t, &h, sizeof h);
    tarball_block(t, content, bytes);
    return (struct tar_header *)(t->bytes + at);
}

static inline struct tar_header *tarball_file(struct tarball *t, const char *path,
                                              const char *content)
{
    return tarball_add(t, path, '0', content, strlen(content));
}

static inline void tarball_end(struct tarball *t)
{
    static const uint8_t zeros[2 * TAR_BLOCK_BYTES];
    tarball_block(t, zeros, sizeof zeros);
}

/* A source over memory; `context` is the struct. */
static inline bool tarball_read(void *context, void *out, size_t bytes, uint64_t offset)
{
    const struct tarball *t = context;
    assert(offset <= t->used && bytes <= t->used - offset);
    if (bytes != 0) {
        memcpy(out, t->bytes + offset, bytes);
    }
    return true;
}

/* The tar as a descriptor, which is the caller's; -1: none. */
static inline int tarball_fd(const struct tarball *t)
{
    int fd = memfd_create("tarball", MFD_CLOEXEC);
    if (fd >= 0 && write(fd, t->bytes, t->used) != (ssize_t)t->used) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Ends the tar, which is freed, and serves it; with a tar of our own that cannot fail. */
static inline struct site *tarball_site(struct tarball *t)
{
    char error[256] = "";
    tarball_end(t);
    struct site *site = site_from_fd(tarball_fd(t), "test", error, sizeof error);
    if (site == NULL) {
        fprintf(stderr, "tarball_site: %s\n", error);
        abort();
    }
    free(t);
    return site;
}

#endif
