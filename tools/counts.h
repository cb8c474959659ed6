/* SPDX-License-Identifier: Apache-2.0 */
/* How often each instruction of a program ran, told by source line: as a profile for people, or as
 * coverage in the format of lcov. */
#ifndef TOOLS_COUNTS_H
#define TOOLS_COUNTS_H

#include "vm/vm.h"

struct tool_counts {
    const struct vm_program *program;
    uint64_t *insns; /* runs of each instruction */
};

/* False: out of memory. Ends with tool_counts_free, also then. */
bool tool_counts_begin(struct tool_counts *counts, const struct vm_program *program);
/* A vm_trace_fn over a struct tool_counts. */
vm_trace_fn tool_counts_step;
/* Prints the lines that ran, busiest first, to standard error. False: out of memory. */
bool tool_counts_profile(const struct tool_counts *counts);
/* Writes every known line to `path`. Relative names of sources get `folder`, `folder_length`
 * characters, in front. False with errno. */
bool tool_counts_coverage(const struct tool_counts *counts, const char *path, const char *folder,
                          size_t folder_length);
void tool_counts_free(struct tool_counts *counts);

#endif
