/* SPDX-License-Identifier: Apache-2.0 */
/* Every case of tests/data/isa/ on every engine, and the proof that no row of isa.def is left out.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/cases.h"
#include "vm/isa.h"

#define FOLDER "tests/data/isa/"

/* clang-format off */
#define DATA_FILES(X) \
    X(alu64) X(alu32) X(div_mod) X(shifts) X(movsx) X(byteorder) X(lddw) X(loads) X(stores) \
    X(frame) X(atomics) X(jumps64) X(jumps32) X(calls) X(callx) X(faults) X(helpers) X(refusals)
/* clang-format on */

static void load(struct t_cases *cases, const char *file)
{
    char path[300];
    snprintf(path, sizeof path, FOLDER "%s", file);
    bool ok = t_cases_load(cases, path);
    cr_assert(ok, "%s", cases->error);
}

static void run_file(const char *file, const struct vm_engine *engine)
{
    struct t_cases cases;
    load(&cases, file);
    cr_assert_gt(cases.count, 0, "%s holds no case", file);
    for (size_t i = 0; i < cases.count; i++) {
        const struct t_case *c = &cases.list[i];
        char why[256];
        bool ok = t_case_run(c, engine, why, sizeof why);
        cr_expect(ok, "%s%s:%d: %s: %s: %s", FOLDER, file, c->line, c->name, vm_engine_name(engine),
                  why);
    }
    t_cases_free(&cases);
    t_thread_end();
}

#define DEFINE_TESTS(name)                                                                         \
    Test(interp, name)                                                                             \
    {                                                                                              \
        run_file(#name ".data", &vm_interp);                                                       \
    }                                                                                              \
    Test(jit, name)                                                                                \
    {                                                                                              \
        run_file(#name ".data", &jit_x86_64);                                                      \
    }
DATA_FILES(DEFINE_TESTS)

/* A file that is not in the list above would never run. */
Test(isa, every_file_is_listed)
{
#define LIST_NAME(name) #name ".data",
    static const char *const listed[] = {DATA_FILES(LIST_NAME)};
    DIR *folder = opendir(FOLDER);
    cr_assert(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        bool found = entry->d_name[0] == '.';
        for (size_t i = 0; i < sizeof listed / sizeof *listed; i++)
            found |= !strcmp(entry->d_name, listed[i]);
        cr_expect(found, "%s%s is in no test", FOLDER, entry->d_name);
    }
    closedir(folder);
}

/* ---- coverage of isa.def */

struct coverage {
    const struct vm_insn *insns;
    uint32_t executed[VM_IX_COUNT];
    uint32_t taken[VM_IX_COUNT];
    uint32_t previous; /* instruction, or VM_NO_INSN */
};

static void note(void *context, uint32_t insn, const uint64_t regs[11])
{
    struct coverage *coverage = context;
    (void)regs;
    enum vm_ix ix = vm_isa_find(&coverage->insns[insn]);
    coverage->executed[ix]++;
    if (coverage->previous != VM_NO_INSN && insn != coverage->previous + 1)
        coverage->taken[vm_isa_find(&coverage->insns[coverage->previous])]++;
    coverage->previous = insn;
}

static void trace_case(const struct t_case *c, struct coverage *coverage)
{
    struct vm_diag diag;
    struct vm_program *program = t_case_program(c, &diag);
    if (!program)
        return;
    struct vm_image *image = vm_image_create(&vm_interp, program, &diag);
    cr_assert(image, "%s", diag.text);
    struct vm_run *run = vm_run_start(t_thread(), image, NULL, NULL);
    cr_assert(run);
    uint64_t args[5] = {0};
    uint8_t *memory;
    if (c->memory.length) {
        args[0] = vm_run_heap_alloc(run, c->memory.length, &memory);
        args[1] = c->memory.length;
        memcpy(memory, c->memory.data, c->memory.length);
    }
    vm_run_set_args(run, args);
    coverage->insns = c->code.insns;
    coverage->previous = VM_NO_INSN;
    vm_run_set_trace(run, note, coverage);
    while (vm_run_resume(run) >= VM_STATE_PREEMPTED)
        continue;
    vm_run_free(run);
    vm_thread_forget(t_thread(), image);
    vm_image_free(image);
    vm_program_free(program);
}

Test(isa, every_row_runs)
{
    static struct coverage coverage;
#define TRACE_FILE(name)                                                                           \
    {                                                                                              \
        struct t_cases cases;                                                                      \
        load(&cases, #name ".data");                                                               \
        for (size_t i = 0; i < cases.count; i++)                                                   \
            trace_case(&cases.list[i], &coverage);                                                 \
        t_cases_free(&cases);                                                                      \
    }
    DATA_FILES(TRACE_FILE)
    for (int i = 0; i < VM_IX_COUNT; i++) {
        const struct vm_isa_row *row = &vm_isa[i];
        cr_expect(coverage.executed[i], "no case executes %s (0x%02x sub 0x%02x)", row->mnemonic,
                  row->code, row->sub);
        if (row->group == VM_GROUP_JMP)
            cr_expect(coverage.taken[i] && coverage.taken[i] < coverage.executed[i],
                      "%s (0x%02x) must be taken and not taken", row->mnemonic, row->code);
    }
    t_thread_end();
}
