/* SPDX-License-Identifier: Apache-2.0 */
/* uBPF as a column: the same linked instructions, run by the libubpf.so that the command line
 * names. uBPF takes host addresses, so addresses of constants and data are replaced by those of a
 * copy; its bounds checks are off, as its compiler has none. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/programs/program.h"
#include "vm/engine.h"

struct ubpf_vm;
typedef uint64_t ubpf_compiled(void *memory, size_t length);

static struct {
    struct ubpf_vm *(*create)(void);
    void (*destroy)(struct ubpf_vm *vm);
    bool (*toggle_bounds_check)(struct ubpf_vm *vm, bool enable);
    int (*register_helper)(struct ubpf_vm *vm, unsigned index, const char *name, void *fn);
    int (*load)(struct ubpf_vm *vm, const void *code, uint32_t bytes, char **message);
    ubpf_compiled *(*compile)(struct ubpf_vm *vm, char **message);
    int (*exec)(const struct ubpf_vm *vm, void *memory, size_t length, uint64_t *result);
} api;

struct ubpf_program {
    struct ubpf_vm *vm;
    ubpf_compiled *compiled;
    uint8_t *memory; /* constants, then data, laid out as in guest memory */
    const struct vm_program *program;
};

bool bench_ubpf_open(const char *library)
{
    const struct {
        const char *name;
        void **at;
    } symbols[] = {
        {"ubpf_create", (void **)&api.create},
        {"ubpf_destroy", (void **)&api.destroy},
        {"ubpf_toggle_bounds_check", (void **)&api.toggle_bounds_check},
        {"ubpf_register", (void **)&api.register_helper},
        {"ubpf_load", (void **)&api.load},
        {"ubpf_compile", (void **)&api.compile},
        {"ubpf_exec", (void **)&api.exec},
    };
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);

    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        *symbols[i].at = handle != NULL ? dlsym(handle, symbols[i].name) : NULL;
        if (*symbols[i].at == NULL) {
            fprintf(stderr, "bench: no uBPF column: %s\n", dlerror());
            return false;
        }
    }
    return true;
}

static uint32_t image_bytes(const struct vm_program *p)
{
    return vm_data_address(p->rodata_bytes) - VM_IMAGE_BASE + p->data_bytes_total;
}

/* The instructions with addresses in `memory` in place of guest addresses. */
static struct vm_insn *relocate(const struct vm_program *p, const uint8_t *memory)
{
    struct vm_insn *insns = malloc(p->insn_count * sizeof *insns);

    if (insns == NULL) {
        bench_die("out of memory");
    }
    memcpy(insns, p->insns, p->insn_count * sizeof *insns);
    for (uint32_t i = 0; i + 1 < p->insn_count; i++) {
        uint64_t at = (uint64_t)p->ops[i].imm - VM_IMAGE_BASE;

        if (p->ops[i].ix == VM_IX_LDDW && at < image_bytes(p)) {
            insns[i].imm = (int32_t)((uintptr_t)memory + at);
            insns[i + 1].imm = (int32_t)(((uintptr_t)memory + at) >> 32);
        }
    }
    return insns;
}

static void reset_memory(const struct ubpf_program *u)
{
    const struct vm_program *p = u->program;
    uint8_t *data = u->memory + (vm_data_address(p->rodata_bytes) - VM_IMAGE_BASE);

    if (p->data_bytes != 0) {
        memcpy(data, p->data, p->data_bytes);
    }
    memset(data + p->data_bytes, 0, p->data_bytes_total - p->data_bytes);
}

struct ubpf_program *bench_ubpf_load(const struct vm_program *program)
{
    struct ubpf_program *u = calloc(1, sizeof *u);
    struct vm_insn *insns;
    char *message = NULL;

    if (u == NULL || (u->memory = calloc(1, image_bytes(program) + 1)) == NULL) {
        bench_die("out of memory");
    }
    u->program = program;
    if (program->rodata_bytes != 0) {
        memcpy(u->memory, program->rodata, program->rodata_bytes);
    }
    insns = relocate(program, u->memory);
    u->vm = api.create();
    api.toggle_bounds_check(u->vm, false);
    for (uint32_t i = 0; i < program->helper_count; i++) {
        api.register_helper(u->vm, i, program->helpers[i]->name, (void *)bench_helper);
    }
    if (api.load(u->vm, insns, program->insn_count * 8, &message) == 0) {
        u->compiled = api.compile(u->vm, &message);
    }
    free(insns);
    if (u->compiled == NULL) {
        fprintf(stderr, "bench: uBPF refuses %s: %s\n", vm_program_name(program),
                message != NULL ? message : "");
        bench_ubpf_free(u);
        u = NULL;
    }
    free(message);
    return u;
}

void bench_ubpf_free(struct ubpf_program *u)
{
    if (u != NULL) {
        api.destroy(u->vm);
        free(u->memory);
        free(u);
    }
}

bool bench_ubpf_run(struct ubpf_program *u, bool jit, uint64_t n, uint64_t *result, double *ns)
{
    void *argument = (void *)(uintptr_t)n; /* the first argument is r1 */
    bool done = true;
    double before;

    reset_memory(u);
    before = bench_now_ns();
    if (jit) {
        *result = u->compiled(argument, 0);
    } else {
        done = api.exec(u->vm, argument, 0, result) == 0;
    }
    *ns = bench_now_ns() - before - bench_clock_cost_ns();
    return done;
}
