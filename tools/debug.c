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

enum { OP_CALL = 0x85, OP_CALLX = 0x8d, OP_EXIT = 0x95, SRC_LOCAL = 1, REGS_ALL = 0x7ff };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo)
{
    (void)signo;
    interrupted = 1;
}

/* ---- while the program runs ------------------------------------------------------------------ */

/* What the instruction that ran last did to the chain of calls. */
static void follow(struct debug_run *r)
{
    if (r->insn == VM_NO_INSN) {
        return;
    }
    const struct vm_insn *last = &r->debug->insns[r->insn];
    if (last->code == OP_CALLX || (last->code == OP_CALL && last->src == SRC_LOCAL)) {
        assert(r->depth < VM_CALL_DEPTH_MAX);
        r->calls[r->depth++] = r->insn;
    } else if (last->code == OP_EXIT) {
        assert(r->depth > 0);
        r->depth--;
    }
}

static bool same_line(const struct vm_line *a, const struct vm_line *b)
{
    return a && b && a->line == b->line && a->file == b->file;
}

static bool goal_reached(const struct tool_debug *d, const struct debug_run *r)
{
    const struct vm_line *line = vm_program_line_at(d->program, r->insn);
    bool here = r->base + r->depth == d->goal_depth;
    bool outside = r->base + r->depth < d->goal_depth;
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
    struct debug_run *r = context;
    struct tool_debug *d = r->debug;

    follow(r);
    r->insn = insn;
    memcpy(r->regs, regs, sizeof r->regs);
    if (d->refused || interrupted || d->at[insn] || goal_reached(d, r)) {
        d->stopped = true;
        vm_run_pause(r->run);
    }
}

/* ---- between ----------------------------------------------------------------------------------
 */

static void show_line(const struct tool_debug *d)
{
    const struct vm_line *line = vm_program_line_at(d->program, d->current->insn);
    size_t length;

    if (line && tool_source_line(d->sources, line->file, line->line, &length)) {
        fprintf(stderr, "%5u  ", line->line);
        tool_source_print(d->sources, line->file, line->line, stderr);
    }
    tool_print_around(d->program, d->current->insn, 0, 0);
}

static void show_stop(struct tool_debug *d)
{
    uint32_t number = d->at[d->current->insn];

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
    tool_print_place(d->program, d->current->insn);
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
    memcpy(d->regs, d->current->regs, sizeof d->regs);
    show_stop(d);
    bool goes_on = debug_prompt(d);
    memcpy(d->regs_shown, d->regs, sizeof d->regs_shown);
    d->goal_depth = d->current->base + d->current->depth;
    d->goal_line = vm_program_line_at(d->program, d->current->insn);
    return goes_on;
}

static void drop_run(struct tool_debug *d)
{
    struct debug_run *r = d->current;

    d->current = r->caller;
    free(r);
}

void tool_debug_end(struct tool_debug *d, struct vm_run *run, bool faulted)
{
    if (!d->current || d->current->run != run) {
        return; /* not one that was attached to */
    }
    if (faulted && !d->refused) {
        const struct vm_fault *fault = vm_run_fault(run);
        d->over = true;
        d->regs_known = fault->regs_known;
        memcpy(d->regs, fault->regs, sizeof d->regs);
        (void)debug_prompt(d);
        d->over = false;
        d->regs_known = REGS_ALL;
    }
    drop_run(d);
}

void tool_debug_finish(const struct tool_debug *d)
{
    if (!d->was_hit && !d->refused) {
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
        while (d->current) {
            drop_run(d);
        }
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
    struct debug_run *r;

    if (!d->program) {
        d->regs_known = REGS_ALL;
        d->refused = !learn_program(d, vm_run_program(run));
    }
    if (vm_run_program(run) != d->program) {
        return true;
    }
    r = calloc(1, sizeof *r);
    if (!r) {
        tool_refuse("out of memory");
        return false;
    }
    if (!d->current) {
        d->goal = DEBUG_BREAKPOINT;
    }
    *r = (struct debug_run){.caller = d->current, .debug = d, .run = run, .insn = VM_NO_INSN};
    r->base = d->current ? d->current->base + d->current->depth + 1 : 0;
    d->current = r;
    vm_run_set_trace(run, on_insn, r);
    return !d->refused;
}
