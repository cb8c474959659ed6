/* SPDX-License-Identifier: Apache-2.0 */
/* Breakpoints: where FILE:LINE is among the instructions. A line without code stands for the next
 * one that has some; a line that was compiled into several functions stops in each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/debug_state.h"
#include "tools/tool.h"

enum { OP_LDDW = 0x18 };

static bool parse_u32(const char *text, uint32_t *out)
{
    char *end;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    *out = (uint32_t)value;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && value < UINT32_MAX;
}

/* Whether `file` of the program is what somebody called `name` of `length` bytes. */
static bool is_file(const char *file, const char *name, size_t length)
{
    const char *slash = strrchr(file, '/');
    const char *last = slash ? slash + 1 : file;

    return (strlen(file) == length && memcmp(file, name, length) == 0) ||
           (strlen(last) == length && memcmp(last, name, length) == 0);
}

/* The line that begins at instruction `insn`, or NULL. */
static const struct vm_line *line_from(const struct tool_debug *d, uint32_t insn)
{
    const struct vm_line *line = vm_program_line_at(d->program, insn);
    return line && line->insn == insn ? line : NULL;
}

/* The first line of the file from `line` on that has code, or 0. */
static uint32_t line_with_code(const struct tool_debug *d, const char *file, size_t length,
                               uint32_t line, bool *file_known)
{
    uint32_t found = 0;

    *file_known = false;
    for (uint32_t i = 0; i < d->insn_count; i++) {
        const struct vm_line *l = line_from(d, i);
        if (l && is_file(l->file, file, length)) {
            *file_known = true;
            if (l->line >= line && (found == 0 || l->line < found)) {
                found = l->line;
            }
        }
    }
    return found;
}

/* Marks the first instruction of the line in each function. Returns the first of all. */
static uint32_t mark_line(struct tool_debug *d, const char *file, size_t length, uint32_t line,
                          uint8_t number)
{
    const struct vm_function *last = NULL;
    uint32_t first = VM_NO_INSN;

    for (uint32_t i = 0; i < d->insn_count; i++) {
        const struct vm_line *l = line_from(d, i);
        const struct vm_function *f = vm_program_function_at(d->program, i);
        if (l && f != last && l->line == line && is_file(l->file, file, length)) {
            d->at[i] = number;
            first = first == VM_NO_INSN ? i : first;
            last = f;
        }
    }
    return first;
}

static uint8_t free_number(const struct tool_debug *d)
{
    for (uint8_t i = 1; i <= DEBUG_BREAKS_MAX; i++) {
        if (!d->breaks[i].used) {
            return i;
        }
    }
    return 0;
}

/* The file a line without one means: where the program stands, or else the first there is. */
static const char *current_file(const struct tool_debug *d)
{
    uint32_t insn = d->current && d->current->insn != VM_NO_INSN ? d->current->insn : 0;
    const struct vm_line *line = vm_program_line_at(d->program, insn);

    for (uint32_t i = 0; !line && i < d->insn_count; i++) {
        line = vm_program_line_at(d->program, i);
    }
    return line ? line->file : "";
}

static bool set_at_line(struct tool_debug *d, const char *where, const char *colon, uint8_t number)
{
    const char *file = colon > where ? where : current_file(d);
    size_t length = colon > where ? (size_t)(colon - where) : strlen(file);
    bool file_known;
    uint32_t wanted;

    if (!parse_u32(colon + 1, &wanted)) {
        tool_refuse("%s: want FILE:LINE, a function or the number of an instruction", where);
        return false;
    }
    if (vm_program_line_count(d->program) == 0) {
        tool_refuse("%s: the object has no line information; compile with -g", where);
        return false;
    }
    uint32_t line = line_with_code(d, file, length, wanted, &file_known);
    if (line == 0) {
        tool_refuse(file_known ? "%s: no code at this line or below" : "%s: no code of this file",
                    where);
        return false;
    }
    uint32_t insn = mark_line(d, file, length, line, number);
    snprintf(d->breaks[number].what, sizeof d->breaks[number].what, "%.*s:%u, instruction %u",
             (int)(length < 60 ? length : 60), file, line, insn);
    fprintf(stderr, "breakpoint %u at %s", number, d->breaks[number].what);
    fprintf(stderr, line == wanted ? "\n" : " (no code at line %u)\n", wanted);
    return true;
}

/* Whether an instruction begins there: the second slot of an lddw is none. */
static bool is_start(const struct tool_debug *d, uint32_t insn)
{
    uint32_t i = vm_program_function_at(d->program, insn)->start;

    while (i < insn) {
        i += d->insns[i].code == OP_LDDW ? 2 : 1;
    }
    return i == insn;
}

static bool set_at_insn(struct tool_debug *d, const char *where, uint8_t number)
{
    const struct vm_entry *entry = NULL;
    uint32_t insn = VM_NO_INSN;

    if (!parse_u32(where, &insn)) {
        insn = VM_NO_INSN;
        for (uint32_t i = 0; i < vm_program_function_count(d->program); i++) {
            const struct vm_function *f = vm_program_function(d->program, i);
            insn = strcmp(f->name, where) == 0 ? f->start : insn;
        }
        entry = insn == VM_NO_INSN ? vm_program_find_entry(d->program, where) : NULL;
        insn = entry ? entry->insn : insn;
    }
    if (insn == VM_NO_INSN) {
        tool_refuse("%s: no such function; zs-vm inspect lists them", where);
        return false;
    }
    if (insn >= d->insn_count) {
        tool_refuse("%s: the program has %u instructions", where, d->insn_count);
        return false;
    }
    if (!is_start(d, insn)) {
        tool_refuse("%s: the second half of instruction %u", where, insn - 1);
        return false;
    }
    d->at[insn] = number;
    snprintf(d->breaks[number].what, sizeof d->breaks[number].what, "%.60s, instruction %u",
             vm_program_function_at(d->program, insn)->name, insn);
    fprintf(stderr, "breakpoint %u at %s\n", number, d->breaks[number].what);
    return true;
}

bool debug_break_set(struct tool_debug *d, const char *where)
{
    const char *colon = strrchr(where, ':');
    uint8_t number = free_number(d);

    if (number == 0) {
        tool_refuse("%s: %u breakpoints are the limit", where, DEBUG_BREAKS_MAX);
        return false;
    }
    bool fine = colon ? set_at_line(d, where, colon, number) : set_at_insn(d, where, number);
    if (fine) {
        d->breaks[number].used = true;
        d->breaks[number].hits = 0;
    }
    return fine;
}

bool debug_break_delete(struct tool_debug *d, uint32_t number)
{
    if (number > DEBUG_BREAKS_MAX || (number != 0 && !d->breaks[number].used)) {
        return false;
    }
    for (uint32_t i = 0; i < d->insn_count; i++) {
        if (number == 0 || d->at[i] == number) {
            d->at[i] = 0;
        }
    }
    for (uint32_t i = 1; i <= DEBUG_BREAKS_MAX; i++) {
        if (number == 0 || i == number) {
            d->breaks[i].used = false;
        }
    }
    return true;
}

void debug_break_list(const struct tool_debug *d)
{
    bool any = false;

    for (uint32_t i = 1; i <= DEBUG_BREAKS_MAX; i++) {
        if (d->breaks[i].used) {
            fprintf(stderr, "%3u  %s, hits: %u\n", i, d->breaks[i].what, d->breaks[i].hits);
            any = true;
        }
    }
    if (!any) {
        fprintf(stderr, "no breakpoints\n");
    }
}
