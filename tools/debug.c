/* SPDX-License-Identifier: Apache-2.0 */
/* Follows a run instruction by instruction, knows who called whom, and decides where it stops. The
 * trace function runs on the guest's native stack, all else on that of the process. */
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tools/debug_state.h"
#include "tools/report.h"
#include "tools/tool.h"

enum { OP_CALL = 0x85, OP_CALLX = 0x8d, OP_EXIT = 0x95, SRC_LOCAL = 1 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo)
{
    (void)signo;
    interrupted = 1;
}

/* ---- while the program runs ------------------------------------------------------------------ */

/* What the instruction that ran last did to the chain of calls. */
static void follow(struct tool_debug *d)
{
    if (d->insn == VM_NO_INSN) {
        return;
    }
    const struct vm_insn *last = &d->insns[d->insn];
    if (last->code == OP_CALLX || (last->code == OP_CALL && last->src == SRC_LOCAL)) {
        assert(d->depth < VM_CALL_DEPTH_MAX);
        d->calls[d->depth++] = d->insn;
    } else if (last->code == OP_EXIT) {
        assert(d->depth > 0);
        d->depth--;
    }
}

static bool same_line(const struct vm_line *a, const struct vm_line *b)
{
    return a && b && a->line == b->line && a->file == b->file;
}

static bool goal_reached(const struct tool_debug *d)
{
    const struct vm_line *line = vm_program_line_at(d->program, d->insn);
    bool here = d->depth == d->goal_depth;
    bool outside = d->depth < d->goal_depth;
    bool elsewhere = !d->goal_line || (line && !(here && same_line(line, d->goal_line)));

    switch (d->goal) {
    case DEBUG_BREAKPOINT: return false;
    case DEBUG_LINE: return elsewhere;
    case DEBUG_LINE_OVER: return outside || (here && elsewhere);
    case DEBUG_INSN: return true;
    case DEBUG_INSN_OVER: return here || outside;
    case DEBUG_RETURN: return outside;
    }
    return true;
}

static void on_insn(void *context, uint32_t insn, const uint64_t regs[11])
{
    struct tool_debug *d = context;

    follow(d);
    d->insn = insn;
    memcpy(d->regs, regs, sizeof d->regs);
    if (d->refused || interrupted || d->at[insn] || goal_reached(d)) {
        d->stopped = true;
        vm_run_pause(d->run);
    }
}

/* ---- between ----------------------------------------------------------------------------------
 */

static void show_line(const struct tool_debug *d)
{
    const struct vm_line *line = vm_program_line_at(d->program, d->insn);
    size_t length;

    if (line && tool_source_line(d->sources, line->file, line->line, &length)) {
        fprintf(stderr, "%5u  ", line->line);
        tool_source_print(d->sources, line->file, line->line, stderr);
    }
    tool_print_around(d->program, d->insn, 0, 0);
}

static void show_stop(struct tool_debug *d)
{
    uint32_t number = d->at[d->insn];

    if (interrupted) {
        fprintf(stderr, "\ninterrupted in ");
    } else if (number) {
        d->breaks[number].hits++;
        d->was_hit = true;
        fprintf(stderr, "breakpoint %u, ", number);
    } else if (d->goal == DEBUG_RETURN) {
        fprintf(stderr, "returned 0x%llx to ", (unsigned long long)d->regs[0]);
    }
    interrupted = 0;
    tool_print_place(d->program, d->insn);
    fputc('\n', stderr);
    if (!d->was_shown) {
        memcpy(d->regs_shown, d->regs, sizeof d->regs_shown);
        d->was_shown = true;
    }
    show_line(d);
    d->list_line = 0;
}

bool tool_debug_pause(struct tool_debug *d)
{
    if (!d->stopped) {
        return true;
    }
    d->stopped = false;
    if (d->refused) {
        return false;
    }
    show_stop(d);
    bool goes_on = debug_prompt(d);
    memcpy(d->regs_shown, d->regs, sizeof d->regs_shown);
    d->goal_depth = d->depth;
    d->goal_line = vm_program_line_at(d->program, d->insn);
    return goes_on;
}

void tool_debug_end(struct tool_debug *d, bool faulted)
{
    if (d->refused) {
        return;
    }
    if (faulted) {
        const struct vm_fault *fault = vm_run_fault(d->run);
        d->over = true;
        d->regs_known = fault->regs_known;
        memcpy(d->regs, fault->regs, sizeof d->regs);
        (void)debug_prompt(d);
    } else if (!d->was_hit) {
        fprintf(stderr, "zs-vm: no breakpoint was reached\n");
    }
}

/* ---- life -------------------------------------------------------------------------------------
 */

struct tool_debug *tool_debug_create(struct tool_sources *sources, const char *const *breaks,
                                     unsigned break_count)
{
    struct tool_debug *d = calloc(1, sizeof *d);

    if (d) {
        d->sources = sources;
        d->wanted = breaks;
        d->wanted_count = break_count;
    }
    return d;
}

void tool_debug_free(struct tool_debug *d)
{
    if (d) {
        free(d->at);
        free(d);
    }
}

/* The program is known with its first run. */
static bool learn_program(struct tool_debug *d, const struct vm_program *program)
{
    struct sigaction interrupt = {.sa_handler = on_interrupt};

    d->program = program;
    d->insns = vm_program_insns(program, &d->insn_count);
    d->at = calloc(d->insn_count, sizeof *d->at);
    if (!d->at) {
        tool_refuse("out of memory");
        return false;
    }
    for (unsigned i = 0; i < d->wanted_count; i++) {
        if (!debug_break_set(d, d->wanted[i])) {
            return false;
        }
    }
    sigemptyset(&interrupt.sa_mask);
    sigaction(SIGINT, &interrupt, NULL);
    return true;
}

bool tool_debug_attach(struct tool_debug *d, struct vm_run *run)
{
    d->run = run;
    d->insn = VM_NO_INSN;
    d->regs_known = 0x7ff;
    d->depth = 0;
    d->goal = DEBUG_BREAKPOINT;
    if (!d->program) {
        d->refused = !learn_program(d, vm_run_program(run));
    }
    vm_run_set_trace(run, on_insn, d);
    return !d->refused;
}
