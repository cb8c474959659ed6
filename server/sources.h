/* SPDX-License-Identifier: Apache-2.0 */
/* The scripts to run, in order: plugins, then the site's. Names are unique. */
#ifndef SERVER_SOURCES_H
#define SERVER_SOURCES_H

#include <stdbool.h>
#include <stddef.h>

#include "server/limits.h"
#include "server/script.h"
#include "server/site.h"

struct sources {
    struct script_source items[LIM_SCRIPTS]; /* a prefix of it; borrowed or owned, as told below */
    void *owned[LIM_SCRIPTS][3];             /* name, object, origin; NULL when borrowed */
    unsigned count;
};

/* Each adds to a struct that was zeroed at first. False: one line in `error`; what was added before
 * stays. */

/* A .c, which is compiled, or a .o. Its name is that of the file, without the ending. */
bool sources_add_file(struct sources *sources, const char *path, char *error, size_t error_bytes);
/* All .c and .o of a directory, sorted by name. */
bool sources_add_directory(struct sources *sources, const char *path, char *error,
                           size_t error_bytes);
/* Borrows from the site, and `origin`, for messages. */
bool sources_add_site(struct sources *sources, const struct site *site, const char *origin,
                      char *error, size_t error_bytes);
void sources_free(struct sources *sources);

/* Does the path end in .c or .o? */
bool sources_is_script(const char *path);
/* In .c? */
bool sources_is_source(const char *path);

#endif
