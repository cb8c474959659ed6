/* SPDX-License-Identifier: Apache-2.0 */
/* Loads that become operands: the same value, flags and fault as without. */
#include "tests/support/jit_run.h"
#include "tests/support/verify.h"

#define LDX32(d, s, o)    INSN(0x61, d, s, o, 0)
#define SUB_REG(d, s)     INSN(0x1f, d, s, 0, 0)
#define OR_REG(d, s)      INSN(0x4f, d, s, 0, 0)
#define AND_REG(d, s)     INSN(0x5f, d, s, 0, 0)
#define XOR_REG(d, s)     INSN(0xaf, d, s, 0, 0)
#define SUB32_REG(d, s)   INSN(0x1c, d, s, 0, 0)
#define JSLT_IMM(d, i, o) INSN(0xc5, d, 0, o, i)
#define MEMORY            0xfffffffff0f0f0f0
#define VALUE             0x1234567887654321

static struct builder with_values(void)
{
    struct builder b = {.count = 0};
    add_lddw(&b, 1, MEMORY);
    add(&b, STX64(10, -8, 1));
    add_lddw(&b, 1, VALUE);
    add(&b, STX64(10, -16, 1));
    add(&b, LDX64(0, 10, -16)); /* so that it is in its register */
    return b;
}

static void expect_operand(struct vm_insn load, struct vm_insn user, uint32_t bytes, uint64_t want)
{
    struct builder b = with_values();
    uint32_t first = b.count;
    add(&b, load);
    add(&b, user);
    add(&b, EXIT);
    cr_expect_eq(native_range(b.insns, b.count, first, first + 2), bytes);
    expect_result(b.insns, b.count, want);
}

Test(jit_fold, loads_become_operands)
{
    uint64_t m = MEMORY, v = VALUE;
    expect_operand(LDX64(3, 10, -8), ADD_REG(0, 3), 4, v + m);
    expect_operand(LDX64(3, 10, -8), SUB_REG(0, 3), 4, v - m);
    expect_operand(LDX64(3, 10, -8), OR_REG(0, 3), 4, v | m);
    expect_operand(LDX64(3, 10, -8), XOR_REG(0, 3), 4, v ^ m);
    expect_operand(LDX64(3, 10, -8), AND_REG(0, 3), 4, v & m);
    expect_operand(LDX32(3, 10, -8), AND_REG(0, 3), 3, v & (uint32_t)m);
    expect_operand(LDX32(3, 10, -8), SUB32_REG(0, 3), 3, (uint32_t)(v - m));
}

Test(jit_fold, others_do_not)
{
    uint64_t m = MEMORY, v = VALUE;
    expect_operand(LDX32(3, 10, -8), XOR_REG(0, 3), 3 + 3, v ^ (uint32_t)m);
    expect_operand(LDX64(3, 10, -8), SUB32_REG(0, 3), 4 + 2, (uint32_t)(v - m));
    struct builder wanted = with_values();
    add(&wanted, LDX64(3, 10, -8));
    add(&wanted, SUB_REG(0, 3));
    add(&wanted, XOR_REG(0, 3));
    add(&wanted, EXIT);
    expect_result(wanted.insns, wanted.count, (v - m) ^ m);
    for (uint64_t skip = 0; skip < 2; skip++) {
        struct builder entered = with_values();
        const uint64_t args[5] = {0, skip};
        add(&entered, MOV_IMM(3, 1));
        add(&entered, JNE_IMM(2, 0, 1));
        add(&entered, LDX64(3, 10, -8));
        add(&entered, SUB_REG(0, 3));
        add(&entered, EXIT);
        cr_expect_eq(run_all(entered.insns, entered.count, args).result, skip ? v - 1 : v - m);
    }
}

/* The sign of 64 bits is not that of the 32 that are enough to compute it. */
Test(jit_fold, flags_are_those_of_the_instruction)
{
    struct builder b = {.count = 0};
    add_lddw(&b, 1, MEMORY);
    add(&b, STX64(10, -8, 1));
    add_lddw(&b, 2, UINT64_MAX);
    add(&b, MOV_IMM(0, 1));
    add(&b, LDX32(3, 10, -8));
    add(&b, AND_REG(2, 3));
    add(&b, JSLT_IMM(2, 0, 1));
    add(&b, MOV_IMM(0, 2));
    add(&b, EXIT);
    expect_result(b.insns, b.count, 2);
}

/* An address stays one when its upper half is masked away by what is in memory. */
Test(jit_fold, masks_from_memory_are_proven)
{
    struct builder b = {.count = 0};
    add_lddw(&b, 1, UINT64_MAX);
    add(&b, STX64(10, -8, 1));
    add(&b, INSN(0xbc, 2, 10, 0, 0));
    add(&b, LDX64(3, 10, -8));
    add(&b, AND_REG(2, 3));
    add(&b, LDX64(0, 2, -8));
    add(&b, ADD_REG(0, 2));
    add(&b, INSN(0x1f, 0, 10, 0, 0));
    add(&b, EXIT);
    expect_result(b.insns, b.count, UINT64_MAX);
    struct vm_program *program = program_of(b.insns, b.count);
    struct vm_diag diag = {.text = ""};
    cr_expect(t_verify(program, &diag), "%s", diag.text);
    vm_program_free(program);
}

Test(jit_fold, a_fault_is_the_load)
{
    struct builder b = {.count = 0};
    add(&b, MOV_IMM(0, 5));
    add(&b, MOV_IMM(2, 8));
    add(&b, LDX64(3, 2, 4));
    add(&b, SUB_REG(0, 3));
    add(&b, ADD_REG(0, 2));
    add(&b, EXIT);
    expect_fault(b.insns, b.count, VM_FAULT_READ, 12, 2);
    struct vm_program *program = program_of(b.insns, b.count);
    struct vm_thread *thread = vm_thread_create(&(struct vm_thread_config){0}, NULL);
    struct vm_fault fault = run_on(thread, &jit_x86_64, program, NULL).fault;
    cr_expect_eq(fault.regs_known & 5, 5, "%#x", fault.regs_known);
    cr_expect_eq(fault.regs[0], 5);
    cr_expect_eq(fault.regs[2], 8);
    vm_thread_free(thread);
    vm_program_free(program);
}
