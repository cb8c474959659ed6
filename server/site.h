/* SPDX-License-Identifier: Apache-2.0 */
/* A site: one immutable tar, indexed by path. Files are byte ranges of the tar and are never
 * unpacked. A directory is packed into a memory file first, so that there is one way to serve.
 * Shared by all workers; nothing in it changes after site_open. */
#ifndef SERVER_SITE_H
#define SERVER_SITE_H

#include <stdint.h>

#include "server/encoding.h"
#include "server/span.h"

#define SITE_ETAG_BYTES 14 /* 11 characters, with quotes and NUL */
#define SITE_DATE_BYTES 30 /* IMF-fixdate with NUL */

/* Kept small: a site may have millions. What is seldom needed is computed by the calls below. */
struct site_file {
    uint64_t offset; /* of the content, in the tar */
    uint64_t bytes;
    int64_t mtime;    /* seconds since 1970 */
    const char *path; /* without leading '/', NUL-terminated, in the site's memory */
    uint32_t mtime_ns;
    uint16_t path_bytes;
    uint8_t codings; /* ENCODING_BIT of each there is: itself, and siblings such as <path>.gz */
};

/* Content-Type by the extension of the path; static. */
struct span site_file_type(const struct site_file *file);
/* Strong, quoted, NUL-terminated: from path, size and time of the member, so it is the same after a
 * restart. */
void site_file_etag(const struct site_file *file, char out[SITE_ETAG_BYTES]);
/* IMF-fixdate, NUL-terminated. Times before 1970 or after 9999 are moved to the nearest that can be
 * written. */
void site_file_last_modified(const struct site_file *file, char out[SITE_DATE_BYTES]);

struct site;

/* Opens `path`: a tar, or a directory. NULL: one line in `error` saying file, what and where. */
struct site *site_open(const char *path, char *error, size_t error_bytes);
/* Takes over `fd`, an open tar; `name` for messages. */
struct site *site_from_fd(int fd, const char *name, char *error, size_t error_bytes);
/* A site without files, for serving a bare script. */
struct site *site_empty(void);
void site_free(struct site *site);

/* Descriptor of the tar, for reading ranges; -1 for an empty site. */
int site_fd(const struct site *site);
uint64_t site_file_count(const struct site *site);
/* File at `path` (no leading '/'), or NULL. Never finds anything below `.zeroserve/`, which is not
 * served. */
const struct site_file *site_find(const struct site *site, struct span path);
/* The sibling that holds `file` in a coding it has. */
const struct site_file *site_find_coded(const struct site *site, const struct site_file *file,
                                        enum encoding coding);
/* Is there any served file below directory `path` (no leading '/', no final '/'; "" is the root)?
 */
bool site_is_directory(const struct site *site, struct span path);

/* Objects `.zeroserve/scripts/...`, sorted by bytes of the name. `name` is the path below
 * .zeroserve/scripts without `.o`. */
struct site_script {
    const char *name;
    const uint8_t *object;
    size_t object_bytes;
};
unsigned site_script_count(const struct site *site);
const struct site_script *site_script(const struct site *site, unsigned index);

/* Content-Type for a path, by its extension; application/octet-stream when unknown. */
struct span mime_type(struct span path);

#endif
