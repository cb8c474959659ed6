/* SPDX-License-Identifier: Apache-2.0 */
/* Pairs of instructions that the interpreter runs as one do what the two do. A run with a trace
 * executes every instruction by itself, so it is the oracle; compiled code is a second one. */
#include <criterion/criterion.h>

#include <string.h>

#include "jit-x86_64/jit.h"
#include "vm/run.h"

#define HEAP_BYTES 256
#define REG_COUNT  3 /* r1..r3 take all places */

/* Loads and lddw have one operand, which their names in pairs.def tell. */
enum {
    VM_IX_LDDW_IMM = VM_IX_LDDW,
    VM_IX_LDX8_REG = VM_IX_LDX8,
    VM_IX_LDX16_REG = VM_IX_LDX16,
    VM_IX_LDX32_REG = VM_IX_LDX32,
    VM_IX_LDX64_REG = VM_IX_LDX64,
};

static const struct {
    uint8_t first, second; /* enum vm_ix */
    const char *text;
} pairs[] = {
#define PAIR(kind, A, a, B, b) {VM_IX_##A##_##a, VM_IX_##B##_##b, #A "_" #a " " #B "_" #b},
#include "vm/pairs.def"
};

struct outcome {
    enum vm_state state;
    uint64_t result;
    struct vm_fault fault;
};

static struct vm_thread *thread;
static uint32_t heap; /* where every run gets its memory */

static void set_up(void)
{
    thread =
        vm_thread_create(&(struct vm_thread_config){.tick_ms = 1000, .budget_ms = 10000}, NULL);
    cr_assert_not_null(thread);
}

static void tear_down(void)
{
    vm_thread_free(thread);
}

static void ignore(void *context, uint32_t insn, const uint64_t regs[11])
{
    (void)insn;
    ++*(unsigned *)context;
    cr_assert_neq(regs[10], 0);
}

static struct outcome run(const struct vm_image *image, bool traced, uint64_t skip)
{
    struct vm_run *r = vm_run_start(thread, image, NULL, NULL);
    struct outcome out = {.result = 0};
    unsigned steps = 0;
    uint8_t *memory;

    cr_assert_not_null(r);
    heap = vm_run_heap_alloc(r, HEAP_BYTES, &memory);
    for (int i = 0; i < HEAP_BYTES; i++) {
        memory[i] = (uint8_t)(i * 37 + 11);
    }
    vm_run_set_args(r, (const uint64_t[5]){heap + 16, heap + 40, 5, skip, 0});
    if (traced) {
        vm_run_set_trace(r, ignore, &steps);
    }
    do {
        out.state = vm_run_resume(r);
    } while (out.state == VM_STATE_PREEMPTED);
    out.result = out.state == VM_STATE_DONE ? vm_run_result(r) : 0;
    out.fault = *vm_run_fault(r);
    cr_assert_eq(traced, steps != 0);
    vm_run_free(r);
    return out;
}

static void expect_same(const struct outcome *got, const struct outcome *want, uint32_t regs_known,
                        const char *what, const char *text)
{
    cr_assert_eq(got->state, want->state, "%s: %s", text, what);
    cr_assert_eq(got->result, want->result, "%s: %s", text, what);
    cr_assert_eq(got->fault.kind, want->fault.kind, "%s: %s", text, what);
    cr_assert_eq(got->fault.address, want->fault.address, "%s: %s", text, what);
    cr_assert_eq(got->fault.insn, want->fault.insn, "%s: %s", text, what);
    for (unsigned i = 0; got->state == VM_STATE_FAULT && i < 11; i++) {
        cr_assert((regs_known >> i & 1) == 0 || got->fault.regs[i] == want->fault.regs[i],
                  "%s: %s: r%u", text, what, i);
    }
}

/* ---- programs ---- */

static uint32_t put(struct vm_insn *at, enum vm_ix ix, unsigned dst, unsigned src, int16_t off)
{
    const struct vm_isa_row *row = &vm_isa[ix];

    at[0] = (struct vm_insn){.code = row->code,
                             .dst = dst & 0xf,
                             .src = row->source == VM_SOURCE_REG ? src & 0xf : 0,
                             .off = off,
                             .imm = row->source == VM_SOURCE_IMM ? 3 : 0};
    if (row->group == VM_GROUP_LDDW) {
        at[0].imm = (int32_t)heap;
        at[1] = (struct vm_insn){.imm = 0};
        return 2;
    }
    return 1;
}

/* if r4 != 0 jump to `second`; first; second; then r0 tells all registers and whether a jump of
 * `second` was taken. */
static uint32_t build(struct vm_insn out[32], enum vm_ix first, enum vm_ix second,
                      const unsigned reg[4])
{
    uint32_t n = 0;
    uint32_t skipped = vm_isa[first].group == VM_GROUP_LDDW ? 2 : 1;
    int16_t off = vm_isa[second].group == VM_GROUP_JMP ? 1 : 0;

    out[n++] = (struct vm_insn){.code = 0x55, .dst = 4, .off = (int16_t)skipped};
    n += put(out + n, first, reg[0], reg[1], 0);
    n += put(out + n, second, reg[2], reg[3], off);
    out[n++] = (struct vm_insn){.code = 0x07, .dst = 0, .imm = 1}; /* add r0, 1 */
    for (unsigned i = 1; i <= REG_COUNT; i++) {
        out[n++] = (struct vm_insn){.code = 0x27, .dst = 0, .imm = 0x10001};
        out[n++] = (struct vm_insn){.code = 0x0f, .dst = 0, .src = i & 0xf};
    }
    out[n++] = (struct vm_insn){.code = 0x95};
    return n;
}

static void check(const struct vm_insn *insns, uint32_t count, const char *text)
{
    struct vm_program_desc desc = {.name = text, .insns = insns, .insn_count = count};
    struct vm_diag diag = {.text = ""};
    struct vm_program *program = vm_program_create(&desc, &diag);
    struct vm_image *interpreted, *compiled;

    cr_assert_not_null(program, "%s: %s", text, diag.text);
    interpreted = vm_image_create(&vm_interp, program, &diag);
    compiled = vm_image_create(&jit_x86_64, program, &diag);
    cr_assert(interpreted != NULL && compiled != NULL);
    for (uint64_t skip = 0; skip < 2; skip++) {
        struct outcome want = run(interpreted, true, skip);
        struct outcome paired = run(interpreted, false, skip);
        struct outcome native = run(compiled, false, skip);

        expect_same(&paired, &want, VM_REGS_ALL, "in a pair", text);
        expect_same(&native, &want, native.fault.regs_known, "compiled", text);
    }
    vm_thread_forget(thread, interpreted);
    vm_thread_forget(thread, compiled);
    vm_image_free(interpreted);
    vm_image_free(compiled);
    vm_program_free(program);
}

/* All ways to give r1..r3 to four places. */
static void check_pair(size_t index)
{
    for (unsigned choice = 0; choice < REG_COUNT * REG_COUNT * REG_COUNT * REG_COUNT; choice++) {
        unsigned reg[4];
        struct vm_insn insns[32];
        unsigned rest = choice;
        uint32_t count;

        for (int i = 0; i < 4; i++) {
            reg[i] = 1 + rest % REG_COUNT;
            rest /= REG_COUNT;
        }
        count = build(insns, pairs[index].first, pairs[index].second, reg);
        check(insns, count, pairs[index].text);
    }
}

Test(interp_pairs, do_what_the_two_do, .init = set_up, .fini = tear_down)
{
    heap = VM_HEAP_BASE;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        check_pair(i);
    }
}

/* A pair at the end of a loop that never ends is left by the tick. */
Test(interp_pairs, loops_of_pairs_are_switched_out, .init = set_up, .fini = tear_down)
{
    const struct vm_insn loop[] = {{.code = 0x07, .dst = 1, .imm = 1},  /* add r1, 1 */
                                   {.code = 0x55, .dst = 1, .off = -2}, /* jne r1, 0, -2 */
                                   {.code = 0x95}};
    struct vm_program_desc desc = {.name = "loop", .insns = loop, .insn_count = 3};
    struct vm_program *program = vm_program_create(&desc, NULL);
    struct vm_image *image = vm_image_create(&vm_interp, program, NULL);
    struct vm_run *r = vm_run_start(thread, image, NULL, NULL);

    atomic_store(&vm_arena_context(&r->arena)->pending, 1);
    cr_assert_eq(vm_run_resume(r), VM_STATE_PREEMPTED);
    vm_run_free(r);
    vm_thread_forget(thread, image);
    vm_image_free(image);
    vm_program_free(program);
}
