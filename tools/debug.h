/* SPDX-License-Identifier: Apache-2.0 */
/* `zs-vm run --break`: stops a run of the interpreter at breakpoints and asks standard input what
 * to do. All it says goes to standard error.
 *
 * The run is stopped by its trace function, which pauses it: vm_run_resume returns
 * VM_STATE_WAITING, and then tool_debug_pause holds the conversation. */
#ifndef TOOLS_DEBUG_H
#define TOOLS_DEBUG_H

#include "tools/source.h"
#include "vm/vm.h"

struct tool_debug;

/* `breaks` are FILE:LINE, names of functions, or indices of instructions; borrowed, as is
 * `sources`. NULL: out of memory. */
struct tool_debug *tool_debug_create(struct tool_sources *sources, const char *const *breaks,
                                     unsigned break_count);
void tool_debug_free(struct tool_debug *debug);

/* Before the first resume of `run`. False: a breakpoint is nowhere, the message has been printed,
 * and the run will pause at once and tool_debug_pause will give up. */
bool tool_debug_attach(struct tool_debug *debug, struct vm_run *run);

/* After vm_run_resume returned VM_STATE_WAITING. False: the user has enough of it. */
bool tool_debug_pause(struct tool_debug *debug);

/* The run is over, but not freed. A faulted one can be looked at. */
void tool_debug_end(struct tool_debug *debug, struct vm_run *run, bool faulted);

/* After the last run. */
void tool_debug_finish(const struct tool_debug *debug);

#endif
