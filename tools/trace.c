/* SPDX-License-Identifier: Apache-2.0 */
/* The VM calls before an instruction, its effect is known at the next call: a line is printed one
 * step late. Runs on the guest's native stack, so standard error is given a buffer of its own; by
 * lines, since what scripts log goes there, too. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/trace.h"

enum { TEXT_BYTES = 160, EFFECT_COLUMN = 32 };

void tool_trace_begin(struct tool_trace *trace, const struct vm_program *program,
                      struct tool_sources *sources)
{
    static char buffer[1 << 16];

    *trace = (struct tool_trace){.program = program, .sources = sources, .insn = VM_NO_INSN};
    setvbuf(stderr, buffer, _IOLBF, sizeof buffer);
}

/* A comment where the source line is another one than that of the step before. */
static void print_source_line(struct tool_trace *trace)
{
    const struct vm_line *l = vm_program_line_at(trace->program, trace->insn);

    if (l && (!trace->line || trace->line->line != l->line || trace->line->file != l->file)) {
        tool_source_comment(trace->sources, l->file, l->line, stderr);
    }
    trace->line = l;
}

static void print_insn(struct tool_trace *trace, const uint64_t regs[11])
{
    char text[TEXT_BYTES];
    uint32_t count;
    const struct vm_insn *insns = vm_program_insns(trace->program, &count);
    const struct vm_function *f = vm_program_function_at(trace->program, trace->insn);

    if (f && f->start == trace->insn) {
        fprintf(stderr, "%s:\n", f->name[0] ? f->name : "(unnamed)");
    }
    print_source_line(trace);
    vm_disasm(trace->program, insns, count, trace->insn, text, sizeof text);
    int width = fprintf(stderr, "%6u  %s", trace->insn, text);
    for (unsigned r = 0; regs && r <= 10; r++) {
        if (regs[r] != trace->regs[r]) {
            int pad = width < EFFECT_COLUMN ? EFFECT_COLUMN - width : 0;
            width += fprintf(stderr, "%*s  r%u=0x%" PRIx64, pad, "", r, regs[r]);
        }
    }
    fputc('\n', stderr);
}

void tool_trace_step(void *context, uint32_t insn, const uint64_t regs[11])
{
    struct tool_trace *trace = context;

    if (trace->insn != VM_NO_INSN) {
        print_insn(trace, regs);
    }
    trace->insn = insn;
    memcpy(trace->regs, regs, sizeof trace->regs);
}

void tool_trace_end(struct tool_trace *trace)
{
    if (trace->insn != VM_NO_INSN) {
        print_insn(trace, NULL);
    }
    trace->insn = VM_NO_INSN;
    fflush(stderr);
}
