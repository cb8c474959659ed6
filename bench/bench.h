/* SPDX-License-Identifier: Apache-2.0 */
/* The benchmark of the engine: what its parts share.
 *
 * Every number is a minimum: noise only ever adds time. Whatever is compared takes turns, round
 * after round, so that a slow phase of the machine meets all columns alike.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vm/vm.h"

/* ---- clock.c ---- */

double bench_now_ns(void);
/* What an empty interval measures; programs.c takes it off. */
double bench_clock_cost_ns(void);
/* Keeps the smaller one; a minimum starts at 0, which stands for "not measured". */
void bench_keep_min(double *minimum, double value);

/* ---- vmside.c: running one image ---- */

struct bench_vm {
    struct vm_thread *thread;
};

/* Ends the process with a line on standard error. */
void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Reads an object file. */
struct vm_program *bench_load(const char *path);
struct vm_image *bench_image(const struct vm_engine *engine, const struct vm_program *program);
/* Starts a run with r1 = n, resumes it to its end and gives it back. Returns r0, and the time the
 * resuming took in *ns. */
uint64_t bench_run(struct vm_thread *thread, const struct vm_image *image, uint64_t n, double *ns);
/* How many instructions such a run executes. */
uint64_t bench_count_insns(struct vm_thread *thread, const struct vm_image *interpreted,
                           uint64_t n);

/* ---- programs.c: bench/programs, each in all columns ---- */

enum bench_column {
    BENCH_GCC,
    BENCH_CLANG,
    BENCH_JIT,
    BENCH_UNCAGED,
    BENCH_INTERP,
    BENCH_UBPF_JIT,
    BENCH_UBPF_INTERP,
    BENCH_COLUMN_COUNT
};

#define BENCH_PROGRAM_COUNT_MAX 64

struct bench_program {
    char name[32];
    double ns[BENCH_COLUMN_COUNT]; /* one run; 0 where the column does not exist */
    double native_ns;              /* the better compiler's */
    uint64_t insns;                /* executed by one run */
};

struct bench_programs {
    struct bench_program at[BENCH_PROGRAM_COUNT_MAX];
    unsigned count;
};

/* Measures the programs in `folder` whose names contain `filter` (or all, when NULL). */
void bench_programs(struct bench_programs *out, struct vm_thread *thread, const char *folder,
                    const char *ubpf, const char *filter, unsigned rounds);

/* ---- costs.c: what is not a program ---- */

#define BENCH_COST_COUNT_MAX 32

struct bench_cost {
    const char *name;
    double value;
    const char *unit;
    double bar; /* at most, in the same unit; 0 for none */
};

struct bench_costs {
    struct bench_cost at[BENCH_COST_COUNT_MAX];
    unsigned count;
};

void bench_cost_add(struct bench_costs *out, const char *name, double value, const char *unit,
                    double bar);
void bench_costs(struct bench_costs *out, struct vm_thread *thread, unsigned rounds);

/* ---- chains.c: scripts of the server ---- */

/* Their objects are in `folder`. On a thread without a vm_thread. */
void bench_chains(struct bench_costs *out, const char *folder, unsigned rounds);

/* ---- ubpf.c: another VM as a column, from a shared library ---- */

struct ubpf_program;

/* False, with a line on standard error, when `library` cannot be used. */
bool bench_ubpf_open(const char *library);
/* NULL when uBPF refuses the program. */
struct ubpf_program *bench_ubpf_load(const struct vm_program *program);
void bench_ubpf_free(struct ubpf_program *program);
/* False where its interpreter gives up. */
bool bench_ubpf_run(struct ubpf_program *program, bool jit, uint64_t n, uint64_t *result,
                    double *ns);

/* ---- report.c ---- */

void bench_print(const struct bench_programs *programs, const struct bench_costs *costs);
void bench_write_json(FILE *out, const struct bench_programs *programs,
                      const struct bench_costs *costs);

#endif
