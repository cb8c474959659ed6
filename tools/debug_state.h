/* SPDX-License-Identifier: Apache-2.0 */
/* The debugger from the inside: debug.c follows the program and decides where it stops,
 * debug_break.c keeps breakpoints, debug_prompt.c talks. */
#ifndef TOOLS_DEBUG_STATE_H
#define TOOLS_DEBUG_STATE_H

#include "tools/debug.h"
#include "vm/limits.h"

enum { DEBUG_BREAKS_MAX = 99 };

/* Until where the program goes on. */
enum debug_goal {
    DEBUG_BREAKPOINT,
    DEBUG_LINE,      /* another source line, or instruction where lines are not known */
    DEBUG_LINE_OVER, /* the same, not in what it calls */
    DEBUG_INSN,
    DEBUG_INSN_OVER,
    DEBUG_RETURN, /* the caller */
};

struct debug_break {
    bool used;
    uint32_t hits;
    char what[96]; /* "auth.c:42" */
};

/* A run under way. One may wait for another that it called: see zs_call of zeroserve.h. */
struct debug_run {
    struct debug_run *caller; /* or NULL */
    struct tool_debug *debug;
    struct vm_run *run;
    uint32_t insn; /* about to run; VM_NO_INSN before the first */
    uint64_t regs[11];
    uint32_t calls[VM_CALL_DEPTH_MAX + 1]; /* instructions that called, outermost first */
    uint32_t depth;
    uint32_t base; /* calls below this run */
};

struct tool_debug {
    struct tool_sources *sources;
    const char *const *wanted; /* of the command line */
    unsigned wanted_count;
    const struct vm_program *program;
    const struct vm_insn *insns;
    uint32_t insn_count;
    struct debug_run *current;                       /* innermost run, or NULL */
    struct debug_break breaks[DEBUG_BREAKS_MAX + 1]; /* number 0 is none */
    uint8_t *at; /* [insn_count] number of the breakpoint there */

    uint64_t regs[11];       /* of the stop, or of a fault */
    uint64_t regs_shown[11]; /* at the stop before */
    uint32_t regs_known;     /* of a fault, not all may be */

    enum debug_goal goal;
    uint32_t goal_depth; /* where it was set, all runs counted */
    const struct vm_line *goal_line;

    bool stopped; /* the run has paused for a conversation */
    bool over;
    bool refused; /* a breakpoint of the command line is nowhere */
    bool was_hit;
    bool was_shown;
    uint32_t list_line; /* next to be listed; 0: around the current one */
    char last[128];     /* command, for an empty line */
};

/* ---- debug_break.c ---- */

/* Sets one at FILE:LINE, :LINE, FUNCTION or INSN; says which, or why not. */
bool debug_break_set(struct tool_debug *d, const char *where);
/* 0: all. */
bool debug_break_delete(struct tool_debug *d, uint32_t number);
void debug_break_list(const struct tool_debug *d);

/* ---- debug_prompt.c ---- */

/* Talks until the program shall go on. False: quit. */
bool debug_prompt(struct tool_debug *d);

#endif
