/* SPDX-License-Identifier: Apache-2.0 */
/* The debugger's commands. Where standard input is no terminal, what was read is shown, so that the
 * transcript of a test reads like a session. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/debug_state.h"
#include "tools/report.h"

enum {
    MEMORY_BYTES_DEFAULT = 64,
    MEMORY_BYTES_MAX = 4096,
    MEMORY_A_LINE = 16,
    LIST_LINES = 10,
    LIST_INSNS = 5,
    WORDS_MAX = 4,
};

enum verdict { STAY, GO, QUIT };

struct words {
    unsigned count;
    char *word[WORDS_MAX];
};

typedef enum verdict command_fn(struct tool_debug *d, const struct words *w);

/* ---- numbers ----------------------------------------------------------------------------------
 */

/* 12, 0x10, r1, r10-8, 0x4000000+r2. */
static bool parse_value(const struct tool_debug *d, const char *text, uint64_t *out)
{
    bool minus = false;

    *out = 0;
    do {
        char *end;
        uint64_t term;
        errno = 0;
        if (text[0] == 'r' && isdigit((unsigned char)text[1])) {
            unsigned long r = strtoul(text + 1, &end, 10);
            if (r > 10 || (d->regs_known >> r & 1) == 0) {
                return false;
            }
            term = d->regs[r];
        } else if (isdigit((unsigned char)text[0])) {
            term = strtoull(text, &end, 0);
        } else {
            return false;
        }
        *out = minus ? *out - term : *out + term;
        minus = *end == '-';
        text = end + 1;
        if (errno != 0 || (*end != '\0' && *end != '+' && *end != '-')) {
            return false;
        }
        if (*end == '\0') {
            return true;
        }
    } while (true);
}

/* ---- going on ---------------------------------------------------------------------------------
 */

static enum verdict go(struct tool_debug *d, enum debug_goal goal)
{
    if (d->over) {
        fprintf(stderr, "the program has ended; quit leaves\n");
        return STAY;
    }
    d->goal = goal;
    return GO;
}

static enum verdict do_step(struct tool_debug *d, const struct words *w)
{
    (void)w;
    return go(d, DEBUG_LINE);
}

static enum verdict do_next(struct tool_debug *d, const struct words *w)
{
    (void)w;
    return go(d, DEBUG_LINE_OVER);
}

static enum verdict do_stepi(struct tool_debug *d, const struct words *w)
{
    (void)w;
    return go(d, DEBUG_INSN);
}

static enum verdict do_nexti(struct tool_debug *d, const struct words *w)
{
    (void)w;
    return go(d, DEBUG_INSN_OVER);
}

static enum verdict do_finish(struct tool_debug *d, const struct words *w)
{
    (void)w;
    if (d->current->base + d->current->depth == 0 && !d->over) {
        fprintf(stderr, "this function was not called by another; continue runs it to its end\n");
        return STAY;
    }
    return go(d, DEBUG_RETURN);
}

static enum verdict do_continue(struct tool_debug *d, const struct words *w)
{
    (void)w;
    return go(d, DEBUG_BREAKPOINT);
}

static enum verdict do_quit(struct tool_debug *d, const struct words *w)
{
    (void)d;
    (void)w;
    return QUIT;
}

/* ---- looking ----------------------------------------------------------------------------------
 */

static enum verdict do_regs(struct tool_debug *d, const struct words *w)
{
    uint32_t changed = 0;

    (void)w;
    for (unsigned i = 0; i < 11 && !d->over; i++) {
        changed |= (uint32_t)(d->regs[i] != d->regs_shown[i]) << i;
    }
    tool_print_registers(d->regs, d->regs_known, changed);
    return STAY;
}

static void print_bytes(uint64_t address, const uint8_t *bytes, uint32_t count)
{
    fprintf(stderr, "0x%08" PRIx64 " ", address);
    for (uint32_t i = 0; i < MEMORY_A_LINE; i++) {
        if (i < count) {
            fprintf(stderr, " %02x", bytes[i]);
        } else {
            fprintf(stderr, "   ");
        }
    }
    fprintf(stderr, "  ");
    for (uint32_t i = 0; i < count; i++) {
        fputc(bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i] : '.', stderr);
    }
    fputc('\n', stderr);
}

static enum verdict do_mem(struct tool_debug *d, const struct words *w)
{
    uint64_t address;
    uint64_t length = MEMORY_BYTES_DEFAULT;

    if (w->count < 2 || !parse_value(d, w->word[1], &address) ||
        (w->count > 2 && !parse_value(d, w->word[2], &length)) || length == 0 ||
        length > MEMORY_BYTES_MAX) {
        fprintf(stderr,
                "mem ADDRESS [LENGTH]: numbers, registers and sums, as in mem r10-8 8; "
                "at most %u bytes\n",
                MEMORY_BYTES_MAX);
        return STAY;
    }
    address = (uint32_t)address;
    for (uint64_t at = 0; at < length; at += MEMORY_A_LINE) {
        uint32_t count = (uint32_t)(length - at < MEMORY_A_LINE ? length - at : MEMORY_A_LINE);
        const uint8_t *bytes = vm_run_memory(d->current->run, address + at, count);
        if (!bytes) {
            fprintf(stderr, "0x%" PRIx64 "..0x%" PRIx64 " is not readable\n", address + at,
                    address + at + count);
            return STAY;
        }
        print_bytes(address + at, bytes, count);
    }
    return STAY;
}

static enum verdict do_backtrace(struct tool_debug *d, const struct words *w)
{
    unsigned number = 0;

    (void)w;
    for (const struct debug_run *r = d->current; r; r = r->caller) {
        for (uint32_t i = 0; i <= r->depth; i++) {
            fprintf(stderr, "#%u  ", number++);
            tool_print_place(d->program, i == 0 ? r->insn : r->calls[r->depth - i]);
            fputc('\n', stderr);
        }
    }
    return STAY;
}

static enum verdict do_dis(struct tool_debug *d, const struct words *w)
{
    (void)w;
    tool_print_around(d->program, d->current->insn, LIST_INSNS, LIST_INSNS);
    return STAY;
}

static enum verdict do_list(struct tool_debug *d, const struct words *w)
{
    const struct vm_line *line = vm_program_line_at(d->program, d->current->insn);
    uint64_t from = d->list_line;

    if (!line || tool_source_line_count(d->sources, line->file) == 0) {
        fprintf(stderr, "no source%s%s; dis shows instructions\n", line ? " file " : "",
                line ? line->file : "");
        return STAY;
    }
    if (w->count > 1 && !parse_value(d, w->word[1], &from)) {
        fprintf(stderr, "list [LINE]\n");
        return STAY;
    }
    if (from == 0) {
        from = line->line;
    }
    if (w->count > 1 || d->list_line == 0) {
        from = from > LIST_LINES / 2 ? from - LIST_LINES / 2 : 1;
    }
    uint32_t count = tool_source_line_count(d->sources, line->file);
    for (uint64_t i = from; i < from + LIST_LINES && i <= count; i++) {
        fprintf(stderr, "%s%5u  ", i == line->line ? "->" : "  ", (unsigned)i);
        tool_source_print(d->sources, line->file, (uint32_t)i, stderr);
    }
    d->list_line = from + LIST_LINES <= count ? (uint32_t)from + LIST_LINES : 1;
    return STAY;
}

/* ---- breakpoints ------------------------------------------------------------------------------
 */

static enum verdict do_break(struct tool_debug *d, const struct words *w)
{
    if (w->count > 1) {
        (void)debug_break_set(d, w->word[1]);
    } else {
        debug_break_list(d);
    }
    return STAY;
}

static enum verdict do_delete(struct tool_debug *d, const struct words *w)
{
    uint64_t number = 0;

    if (w->count > 1 && (!parse_value(d, w->word[1], &number) || number == 0 ||
                         number > DEBUG_BREAKS_MAX || !debug_break_delete(d, (uint32_t)number))) {
        fprintf(stderr, "no breakpoint %s\n", w->word[1]);
    } else if (w->count == 1) {
        (void)debug_break_delete(d, 0);
    }
    return STAY;
}

/* ---- commands ---------------------------------------------------------------------------------
 */

static command_fn do_help;

/* A beginning of a name means the first row that fits. */
static const struct command {
    const char *name;
    const char *alias;
    command_fn *fn;
    const char *help;
} commands[] = {
    {"step", "s", do_step, "run to another source line"},
    {"next", "n", do_next, "the same, but not into functions"},
    {"finish", "fin", do_finish, "run until the function returns"},
    {"continue", "c", do_continue, "run to the next breakpoint"},
    {"stepi", "si", do_stepi, "run one instruction"},
    {"nexti", "ni", do_nexti, "the same, but not into functions"},
    {"regs", "r", do_regs, "registers; * where changed since the last stop"},
    {"mem", "x", do_mem, "mem ADDRESS [LENGTH]: memory, as in mem r10-8 8"},
    {"backtrace", "bt", do_backtrace, "who called whom"},
    {"list", "l", do_list, "list [LINE]: source around here, then what follows"},
    {"dis", "di", do_dis, "instructions around here"},
    {"break", "b", do_break, "break FILE:LINE, :LINE, FUNCTION or INSN; alone: list them"},
    {"delete", "d", do_delete, "delete [NUMBER]: a breakpoint, or all"},
    {"quit", "q", do_quit, "end the program and leave"},
    {"help", "h", do_help, "this"},
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static enum verdict do_help(struct tool_debug *d, const struct words *w)
{
    (void)d;
    (void)w;
    for (unsigned i = 0; i < COMMAND_COUNT; i++) {
        fprintf(stderr, "  %-10s %-4s %s\n", commands[i].name, commands[i].alias, commands[i].help);
    }
    fprintf(stderr, "An empty line repeats the last command.\n");
    return STAY;
}

static const struct command *find_command(const char *word)
{
    for (unsigned i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(word, commands[i].alias) == 0) {
            return &commands[i];
        }
    }
    for (unsigned i = 0; i < COMMAND_COUNT; i++) {
        if (strncmp(word, commands[i].name, strlen(word)) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static enum verdict execute(struct tool_debug *d, char *line)
{
    struct words w = {0};
    char *rest = NULL;

    for (char *word = strtok_r(line, " \t\r\n", &rest); word && w.count < WORDS_MAX;
         word = strtok_r(NULL, " \t\r\n", &rest)) {
        w.word[w.count++] = word;
    }
    if (w.count == 0) {
        return STAY;
    }
    const struct command *command = find_command(w.word[0]);
    if (!command) {
        fprintf(stderr, "%s: no such command; help lists them\n", w.word[0]);
        return STAY;
    }
    return command->fn(d, &w);
}

/* Reads a line into d->last; an empty one leaves what was there. False: no more input. */
static bool read_line(struct tool_debug *d)
{
    char line[sizeof d->last];
    bool terminal = isatty(STDIN_FILENO);

    fputs("(zs-vm) ", stderr);
    fflush(stderr);
    while (!fgets(line, sizeof line, stdin)) {
        if (!ferror(stdin) || errno != EINTR) {
            fputc('\n', stderr);
            return false;
        }
        clearerr(stdin);
        fputs("\n(zs-vm) ", stderr);
    }
    line[strcspn(line, "\r\n")] = '\0';
    if (!terminal) {
        fprintf(stderr, "%s\n", line);
    }
    if (line[strspn(line, " \t")] != '\0') {
        memcpy(d->last, line, sizeof line);
    }
    return true;
}

bool debug_prompt(struct tool_debug *d)
{
    enum verdict verdict = STAY;
    char line[sizeof d->last];

    while (verdict == STAY) {
        if (!read_line(d)) {
            return false;
        }
        memcpy(line, d->last, sizeof line);
        verdict = execute(d, line);
    }
    return verdict == GO;
}
