/* SPDX-License-Identifier: Apache-2.0 */
/* `zs-vm run --trace`: each executed instruction and the registers it changed, on standard error.
 */
#ifndef TOOLS_TRACE_H
#define TOOLS_TRACE_H

#include "tools/source.h"
#include "vm/vm.h"

struct tool_trace {
    const struct vm_program *program;
    struct tool_sources *sources;
    uint32_t insn; /* the one under way, or VM_NO_INSN */
    uint64_t regs[11];
    const struct vm_line *line; /* of the step before, or NULL */
};

void tool_trace_begin(struct tool_trace *trace, const struct vm_program *program,
                      struct tool_sources *sources);
/* A vm_trace_fn over a struct tool_trace. */
vm_trace_fn tool_trace_step;
/* The run is over, well or not: prints the instruction that was under way. */
void tool_trace_end(struct tool_trace *trace);

#endif
