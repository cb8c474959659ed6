/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions are counted one by one while the program runs, and put together by line afterwards:
 * a line's cost is the sum over its instructions, how often it ran is the most any of them did. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/counts.h"

enum { OP_LDDW = 0x18 };

/* A source line of one function; where no line is known, the function. */
struct place {
    const char *file; /* "" when unknown */
    uint32_t line;
    const char *function;
    uint64_t total;
    uint64_t most;
};

bool tool_counts_begin(struct tool_counts *counts, const struct vm_program *program)
{
    uint32_t count;

    (void)vm_program_insns(program, &count);
    counts->program = program;
    counts->insns = calloc((size_t)count + 1, sizeof *counts->insns);
    return counts->insns != NULL;
}

void tool_counts_free(struct tool_counts *counts)
{
    free(counts->insns);
}

void tool_counts_step(void *context, uint32_t insn, const uint64_t regs[11])
{
    struct tool_counts *counts = context;

    (void)regs;
    counts->insns[insn]++;
}

/* ---- by line --------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const struct place *x = a;
    const struct place *y = b;
    int order = strcmp(x->file, y->file);

    if (order == 0) {
        order = (x->line > y->line) - (x->line < y->line);
    }
    return order != 0 ? order : strcmp(x->function, y->function);
}

static int by_cost(const void *a, const void *b)
{
    const struct place *x = a;
    const struct place *y = b;
    int order = (x->total < y->total) - (x->total > y->total);
    return order != 0 ? order : by_place(a, b);
}

static struct place place_of(const struct tool_counts *counts, uint32_t insn)
{
    const struct vm_line *line = vm_program_line_at(counts->program, insn);
    const struct vm_function *f = vm_program_function_at(counts->program, insn);

    return (struct place){.file = line ? line->file : "",
                          .line = line ? line->line : 0,
                          .function = f && f->name[0] ? f->name : "(unnamed)",
                          .total = counts->insns[insn],
                          .most = counts->insns[insn]};
}

/* Sums up neighbours that are the same place. */
static uint32_t merge(struct place *places, uint32_t count)
{
    uint32_t merged = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (merged && by_place(&places[merged - 1], &places[i]) == 0) {
            struct place *p = &places[merged - 1];
            p->total += places[i].total;
            p->most = p->most > places[i].most ? p->most : places[i].most;
        } else {
            places[merged++] = places[i];
        }
    }
    return merged;
}

/* Every place of the program, in order; malloc'ed. NULL: out of memory. */
static struct place *collect(const struct tool_counts *counts, uint32_t *count)
{
    uint32_t insn_count;
    const struct vm_insn *insns = vm_program_insns(counts->program, &insn_count);
    struct place *places = calloc((size_t)insn_count + 1, sizeof *places);

    *count = 0;
    if (!places) {
        return NULL;
    }
    for (uint32_t i = 0; i < insn_count; i += insns[i].code == OP_LDDW ? 2 : 1) {
        places[(*count)++] = place_of(counts, i);
    }
    qsort(places, *count, sizeof *places, by_place);
    *count = merge(places, *count);
    return places;
}

/* ---- profile --------------------------------------------------------------------------------- */

bool tool_counts_profile(const struct tool_counts *counts)
{
    uint32_t count;
    uint64_t all = 0;
    struct place *places = collect(counts, &count);

    if (!places) {
        return false;
    }
    qsort(places, count, sizeof *places, by_cost);
    for (uint32_t i = 0; i < count; i++) {
        all += places[i].total;
    }
    fprintf(stderr, "instructions   share  line\n");
    for (uint32_t i = 0; i < count && places[i].total; i++) {
        const struct place *p = &places[i];
        fprintf(stderr, "%12" PRIu64 "  %5.1f%%  ", p->total, 100 * (double)p->total / (double)all);
        if (p->line) {
            fprintf(stderr, "%s:%u in %s\n", vm_file_short(p->file), p->line, p->function);
        } else {
            fprintf(stderr, "%s\n", p->function);
        }
    }
    free(places);
    return true;
}

/* ---- coverage -------------------------------------------------------------------------------- */

/* Functions that begin in `file`: where, and how often they were entered. */
static void write_functions(FILE *out, const struct tool_counts *counts, const char *file)
{
    for (uint32_t i = 0; i < vm_program_function_count(counts->program); i++) {
        const struct vm_function *f = vm_program_function(counts->program, i);
        const struct vm_line *line = vm_program_line_at(counts->program, f->start);
        if (f->name[0] && line && strcmp(line->file, file) == 0) {
            fprintf(out, "FN:%u,%s\nFNDA:%" PRIu64 ",%s\n", line->line, f->name,
                    counts->insns[f->start], f->name);
        }
    }
}

/* The record of the source that places[0] is in. Returns how many places it took. */
static uint32_t write_source(FILE *out, const struct tool_counts *counts,
                             const struct place *places, uint32_t count)
{
    uint32_t used = 0;
    uint32_t found = 0;
    uint32_t hit = 0;

    write_functions(out, counts, places[0].file);
    while (used < count && strcmp(places[used].file, places[0].file) == 0) {
        uint32_t line = places[used].line;
        uint64_t most = 0;
        /* A line that was inlined stands in several functions. */
        for (; used < count && places[used].line == line &&
               strcmp(places[used].file, places[0].file) == 0;
             used++) {
            most += places[used].most;
        }
        fprintf(out, "DA:%u,%" PRIu64 "\n", line, most);
        found++;
        hit += most != 0;
    }
    fprintf(out, "LF:%u\nLH:%u\nend_of_record\n", found, hit);
    return used;
}

bool tool_counts_coverage(const struct tool_counts *counts, const char *path, const char *folder,
                          size_t folder_length)
{
    uint32_t count;
    struct place *places = collect(counts, &count);
    FILE *out = places ? fopen(path, "we") : NULL;

    if (!out) {
        free(places);
        return false;
    }
    for (uint32_t i = 0; i < count;) {
        if (places[i].line == 0) {
            i++;
            continue;
        }
        bool relative = places[i].file[0] != '/';
        fprintf(out, "TN:\nSF:%.*s%s\n", relative ? (int)folder_length : 0, folder, places[i].file);
        i += write_source(out, counts, &places[i], count - i);
    }
    free(places);
    bool fine = !ferror(out);
    return fclose(out) == 0 && fine;
}
