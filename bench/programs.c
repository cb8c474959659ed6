/* SPDX-License-Identifier: Apache-2.0 */
/* Runs every program of a folder in all columns, taking turns, and compares what they return.
 *
 * The folder has <name>.bpf.o, <name>.gcc.so and <name>.clang.so for each program. The uncaged
 * column is the compiler without its confinement: guest addresses are host addresses there, so the
 * program's memory is laid out once more at the bottom of this process's own address space.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/bench.h"
#include "jit-x86_64/jit.h"
#include "vm/engine.h"

#define ARGUMENT 16 /* r1 of every program */
#define SAMPLES  4  /* a column's turn: so many runs, the first of them to warm up */
#define SUFFIX   ".bpf.o"

extern const struct vm_engine jit_x86_64_uncaged;

typedef uint64_t native_fn(uint64_t n);

struct subject {
    struct bench_program *row;
    struct vm_program *program;
    struct vm_image *images[BENCH_COLUMN_COUNT]; /* of the columns that are engines */
    native_fn *native[BENCH_COLUMN_COUNT];
    struct ubpf_program *ubpf;
    bool dropped[BENCH_COLUMN_COUNT]; /* columns that failed this program */
    uint64_t expected;
};

static const struct vm_engine *engine_of(enum bench_column column)
{
    return column == BENCH_JIT       ? &jit_x86_64
           : column == BENCH_UNCAGED ? &jit_x86_64_uncaged
           : column == BENCH_INTERP  ? &vm_interp
                                     : NULL;
}

/* ---- low memory, for the uncaged column ---- */

static bool map_low(void)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE;
    uint8_t *image = (uint8_t *)VM_IMAGE_BASE;
    uint8_t *stack = (uint8_t *)VM_STACK_BOTTOM;

    return mmap(image, VM_IMAGE_BYTES_MAX, PROT_READ | PROT_WRITE, flags, -1, 0) == image &&
           mmap(stack, VM_STACK_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0) == stack;
}

static void fill_low(const struct vm_program *program)
{
    uint8_t *data = (uint8_t *)(uintptr_t)vm_data_address(program->rodata_bytes);

    if (program->rodata_bytes != 0) {
        memcpy((uint8_t *)VM_IMAGE_BASE, program->rodata, program->rodata_bytes);
    }
    if (program->data_bytes != 0) {
        memcpy(data, program->data, program->data_bytes);
    }
    memset(data + program->data_bytes, 0, program->data_bytes_total - program->data_bytes);
}

/* ---- one program ---- */

static native_fn *open_native(const char *folder, const char *name, const char *compiler)
{
    char path[512];
    void *library;
    void *symbol;

    snprintf(path, sizeof path, "%s/%s.%s.so", folder, name, compiler);
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    symbol = library != NULL ? dlsym(library, "entry") : NULL;
    if (symbol == NULL) {
        bench_die("%s", dlerror());
    }
    return (native_fn *)symbol;
}

static void open_subject(struct subject *s, const char *folder, bool ubpf)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s" SUFFIX, folder, s->row->name);
    s->program = bench_load(path);
    s->native[BENCH_GCC] = open_native(folder, s->row->name, "gcc");
    s->native[BENCH_CLANG] = open_native(folder, s->row->name, "clang");
    for (int c = 0; c < BENCH_COLUMN_COUNT; c++) {
        if (engine_of(c) != NULL) {
            s->images[c] = bench_image(engine_of(c), s->program);
        }
    }
    s->ubpf = ubpf ? bench_ubpf_load(s->program) : NULL;
    s->expected = s->native[BENCH_GCC](ARGUMENT);
}

static void close_subject(struct subject *s, struct vm_thread *thread)
{
    for (int c = 0; c < BENCH_COLUMN_COUNT; c++) {
        if (s->images[c] != NULL) {
            vm_thread_forget(thread, s->images[c]);
            vm_image_free(s->images[c]);
        }
    }
    bench_ubpf_free(s->ubpf);
    vm_program_free(s->program);
}

static uint64_t run_native(native_fn *fn, double *ns)
{
    double before = bench_now_ns();
    uint64_t result = fn(ARGUMENT);

    *ns = bench_now_ns() - before - bench_clock_cost_ns();
    return result;
}

/* False where uBPF gives up; all others end the benchmark. */
static bool run_column(struct subject *s, struct vm_thread *thread, enum bench_column column,
                       uint64_t *result, double *ns)
{
    if (column >= BENCH_UBPF_JIT) {
        return bench_ubpf_run(s->ubpf, column == BENCH_UBPF_JIT, ARGUMENT, result, ns);
    }
    if (column == BENCH_UNCAGED) {
        fill_low(s->program);
    }
    *result = s->native[column] != NULL ? run_native(s->native[column], ns)
                                        : bench_run(thread, s->images[column], ARGUMENT, ns);
    return true;
}

static bool has_column(const struct subject *s, enum bench_column column)
{
    return column < BENCH_UBPF_JIT || (s->ubpf != NULL && !s->dropped[column]);
}

/* Another VM's mistakes are its own: it loses this number. */
static void drop_column(struct subject *s, enum bench_column column, const char *what)
{
    fprintf(stderr, "bench: %s: uBPF's %s %s\n", s->row->name,
            column == BENCH_UBPF_JIT ? "compiler" : "interpreter", what);
    s->dropped[column] = true;
    s->row->ns[column] = 0;
}

static bool is_right(struct subject *s, enum bench_column column, uint64_t result)
{
    if (result == s->expected) {
        return true;
    }
    if (column < BENCH_UBPF_JIT) {
        bench_die("%s: column %d returns %#llx, natively it is %#llx", s->row->name, (int)column,
                  (unsigned long long)result, (unsigned long long)s->expected);
    }
    drop_column(s, column, "returns something else");
    return false;
}

static void take_turn(struct subject *s, struct vm_thread *thread, enum bench_column column)
{
    for (int i = 0; i < SAMPLES && has_column(s, column); i++) {
        uint64_t result;
        double ns;

        if (!run_column(s, thread, column, &result, &ns)) {
            drop_column(s, column, "gives up");
        } else if (is_right(s, column, result) && i != 0) {
            bench_keep_min(&s->row->ns[column], ns);
        }
    }
}

/* ---- all of them ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct bench_program *)a)->name, ((const struct bench_program *)b)->name);
}

static void find_programs(struct bench_programs *out, const char *folder, const char *filter)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;

    if (dir == NULL) {
        bench_die("cannot read %s", folder);
    }
    while ((entry = readdir(dir)) != NULL && out->count < BENCH_PROGRAM_COUNT_MAX) {
        const char *dot = strstr(entry->d_name, SUFFIX);
        struct bench_program *row = &out->at[out->count];

        if (dot != NULL && (filter == NULL || strstr(entry->d_name, filter) != NULL)) {
            *row = (struct bench_program){.insns = 0};
            snprintf(row->name, sizeof row->name, "%.*s", (int)(dot - entry->d_name),
                     entry->d_name);
            out->count++;
        }
    }
    closedir(dir);
    qsort(out->at, out->count, sizeof out->at[0], by_name);
}

void bench_programs(struct bench_programs *out, struct vm_thread *thread, const char *folder,
                    const char *ubpf, const char *filter, unsigned rounds)
{
    struct subject *subjects = calloc(BENCH_PROGRAM_COUNT_MAX, sizeof *subjects);

    if (subjects == NULL || !map_low()) {
        bench_die("cannot map low memory: is vm.mmap_min_addr above %u?", VM_IMAGE_BASE);
    }
    if (ubpf != NULL && !bench_ubpf_open(ubpf)) {
        ubpf = NULL;
    }
    find_programs(out, folder, filter);
    for (unsigned i = 0; i < out->count; i++) {
        subjects[i].row = &out->at[i];
        open_subject(&subjects[i], folder, ubpf != NULL);
        out->at[i].insns = bench_count_insns(thread, subjects[i].images[BENCH_INTERP], ARGUMENT);
    }
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < out->count; i++) {
            for (enum bench_column c = 0; c < BENCH_COLUMN_COUNT; c++) {
                take_turn(&subjects[i], thread, c);
            }
        }
    }
    for (unsigned i = 0; i < out->count; i++) {
        struct bench_program *row = &out->at[i];

        row->native_ns = row->ns[BENCH_GCC];
        bench_keep_min(&row->native_ns, row->ns[BENCH_CLANG]);
        close_subject(&subjects[i], thread);
    }
    free(subjects);
}
