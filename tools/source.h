/* SPDX-License-Identifier: Apache-2.0 */
/* Text of source lines, for listings. Files are looked for below the folder of the object, below
 * the current one, and by their last name next to the object; a file that is not found, or is not
 * a regular one, has no lines and nothing is said. */
#ifndef TOOLS_SOURCE_H
#define TOOLS_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct tool_source_file;

struct tool_sources {
    const char *object; /* path of what was loaded; borrowed */
    struct tool_source_file *files;
};

void tool_sources_free(struct tool_sources *sources);

/* Line `line` of `file` without its newline; *length bytes, not NUL-terminated. NULL: not known. */
const char *tool_source_line(struct tool_sources *sources, const char *file, uint32_t line,
                             size_t *length);
uint32_t tool_source_line_count(struct tool_sources *sources, const char *file);

/* Writes the line and a newline; what would drive the terminal becomes '?'. False: not known. */
bool tool_source_print(struct tool_sources *sources, const char *file, uint32_t line, FILE *out);

/* Writes "; auth.c:42" and, when `sources` is not NULL and the line is known, its text. */
void tool_source_comment(struct tool_sources *sources, const char *file, uint32_t line, FILE *out);

#endif
