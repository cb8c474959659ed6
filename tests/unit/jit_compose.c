/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers put together of narrow loads: one load does for them, and a fault is that of the load the
 * interpreter stops at, with its registers. */
#include "tests/support/jit_run.h"

#include "tests/support/asm.h"
#include "vm/limits.h"

#define LDX8(d, s, o)  INSN(0x71, d, s, o, 0)
#define LDX32(d, s, o) INSN(0x61, d, s, o, 0)
#define OR_REG(d, s)   INSN(0x4f, d, s, 0, 0)
#define OR32_REG(d, s) INSN(0x4c, d, s, 0, 0)
#define LSH32(d, i)    INSN(0x64, d, 0, 0, i)
#define VALUE          0x1122334455667788
#define STACK_START    (VM_STACK_TOP - VM_PAGE_BYTES) /* of what is mapped for a small frame */

static void add_bytes_le(struct builder *b, unsigned base, int off)
{
    add(b, LDX8(0, base, off + 1));
    add(b, LSH(0, 8));
    add(b, LDX8(3, base, off));
    add(b, OR_REG(0, 3));
    add(b, LDX8(3, base, off + 3));
    add(b, LSH(3, 24));
    add(b, OR_REG(0, 3));
    add(b, LDX8(3, base, off + 2));
    add(b, LSH(3, 16));
    add(b, OR_REG(0, 3));
}

static void add_bytes_be(struct builder *b, unsigned base, int off)
{
    add(b, LDX8(0, base, off));
    for (int i = 1; i < 4; i++) {
        add(b, LSH32(0, 8));
        add(b, LDX8(3, base, off + i));
        add(b, OR32_REG(0, 3));
    }
}

static struct builder with_value(void)
{
    struct builder b = {.count = 0};
    add_lddw(&b, 0, VALUE);
    add(&b, STX64(10, -16, 0));
    return b;
}

Test(jit_compose, bytes_become_one_load)
{
    struct builder le = with_value(), be = with_value();
    uint32_t first = le.count;
    add_bytes_le(&le, 10, -15);
    cr_expect_eq((add(&le, EXIT), native_range(le.insns, le.count, first, le.count - 1)), 3,
                 "mov eax, [rbp-15]");
    expect_result(le.insns, le.count, 0x44556677);
    add_bytes_be(&be, 10, -15);
    cr_expect_eq((add(&be, EXIT), native_range(be.insns, be.count, first, be.count - 1)), 3 + 2,
                 "mov eax, [rbp-15] ; bswap eax");
    expect_result(be.insns, be.count, 0x77665544);
}

Test(jit_compose, words_become_one_load)
{
    struct builder b = with_value();
    uint32_t first = b.count;
    add(&b, LDX32(0, 10, -12));
    add(&b, LSH(0, 32));
    add(&b, LDX32(3, 10, -16));
    add(&b, OR_REG(0, 3));
    add(&b, EXIT);
    cr_expect_eq(native_range(b.insns, b.count, first, b.count - 1), 4, "mov rax, [rbp-16]");
    expect_result(b.insns, b.count, VALUE);
}

/* Several numbers between each other, and the address lost with the last byte. */
Test(jit_compose, several_become_as_many_loads)
{
    struct builder b = with_value();
    add(&b, MOV_REG(5, 10));
    uint32_t first = b.count;
    add(&b, LDX8(0, 5, -16));
    add(&b, LDX8(2, 5, -13));
    add(&b, LDX8(3, 5, -15));
    add(&b, LSH(3, 8));
    add(&b, OR_REG(0, 3));
    add(&b, LDX8(5, 5, -14));
    add(&b, LSH(5, 8));
    add(&b, OR_REG(5, 2));
    uint32_t end = b.count;
    add(&b, LSH(5, 16));
    add(&b, OR_REG(0, 5));
    add(&b, EXIT);
    cr_expect_leq(native_range(b.insns, b.count, first, end), 4 + 5 + 3 + 4,
                  "two loads, bswap ; shr");
    expect_result(b.insns, b.count, 0x66557788);
}

Test(jit_compose, what_is_wanted_or_entered_is_made)
{
    struct builder wanted = with_value(), entered = with_value(), lost = with_value();
    add_bytes_le(&wanted, 10, -15);
    add(&wanted, ADD_REG(0, 3)); /* what was shifted last */
    add(&wanted, EXIT);
    expect_result(wanted.insns, wanted.count, 0x44556677 + 0x550000);
    uint32_t first = entered.count;
    add(&entered, MOV_IMM(0, 0));
    add(&entered, MOV_IMM(3, 0));
    add(&entered, JNE_IMM(1, 0, 4)); /* behind the second byte */
    add_bytes_le(&entered, 10, -15);
    add(&entered, EXIT);
    cr_expect_gt(native_range(entered.insns, entered.count, first, entered.count - 1), 20);
    for (uint64_t skip = 0; skip < 2; skip++) {
        const uint64_t args[5] = {skip};
        cr_expect_eq(run_all(entered.insns, entered.count, args).result,
                     skip != 0 ? 0x44550000 : 0x44556677);
    }
    /* A byte that is lost still must be there. */
    add_lddw(&lost, 2, STACK_START - 1);
    add(&lost, LDX8(3, 2, 0));
    add(&lost, LDX8(0, 2, 1));
    add(&lost, LDX8(3, 2, 2));
    add(&lost, LSH(3, 8));
    add(&lost, OR_REG(0, 3));
    add(&lost, EXIT);
    expect_fault(lost.insns, lost.count, VM_FAULT_STACK, STACK_START - 1, 5);
}

/* Around both ends of a page, the order of the loads decides which of them faults, and where. */
Test(jit_compose, faults_are_those_of_the_first_load)
{
    static const uint32_t edges[] = {STACK_START, VM_STACK_TOP, VM_IMAGE_BASE, 0};
    for (unsigned i = 0; i < COUNT(edges); i++) {
        for (int by = -5; by <= 1; by++) {
            for (int is_be = 0; is_be < 2; is_be++) {
                struct builder b = {.count = 0};
                add_lddw(&b, 2, (uint64_t)7 << 32 | (uint32_t)(edges[i] + (uint32_t)by));
                add(&b, STX64(10, -16, 2)); /* a frame, so that there is a stack */
                (is_be ? add_bytes_be : add_bytes_le)(&b, 2, 0);
                add(&b, EXIT);
                (void)run_all(b.insns, b.count, NULL);
            }
        }
    }
}

/* Two loads cross the end of the stack, the second of them first. */
Test(jit_compose, faults_with_several_numbers)
{
    for (int by = -9; by <= 1; by++) {
        struct builder b = {.count = 0};
        add_lddw(&b, 2, (uint32_t)(VM_STACK_TOP + (uint32_t)by));
        add(&b, STX64(10, -16, 2));
        add(&b, LDX8(4, 2, 5));
        add(&b, LDX8(0, 2, 1));
        add(&b, LSH(4, 8));
        add(&b, LSH(0, 8));
        add(&b, LDX8(3, 2, 0));
        add(&b, OR_REG(0, 3));
        add(&b, LDX8(2, 2, 4));
        add(&b, OR_REG(4, 2));
        add(&b, ADD_REG(0, 4));
        add(&b, EXIT);
        (void)run_all(b.insns, b.count, NULL);
    }
}

/* Those that the loads before it have not written. */
Test(jit_compose, a_fault_tells_registers)
{
    struct builder b = {.count = 0};
    add(&b, MOV_IMM(0, 11));
    add(&b, MOV_IMM(3, 33));
    add_lddw(&b, 2, VM_STACK_TOP - 1);
    add(&b, STX64(10, -16, 2));
    uint32_t first = b.count;
    add(&b, LDX8(4, 2, 0));
    add(&b, LDX8(5, 2, 1));
    add(&b, LSH(5, 8));
    add(&b, OR_REG(4, 5));
    add(&b, ADD_REG(0, 2));
    add(&b, ADD_REG(0, 3));
    add(&b, ADD_REG(0, 4));
    add(&b, EXIT);
    struct outcome out = run_all(b.insns, b.count, NULL);
    cr_assert_eq(out.fault.insn, first + 1);
    struct vm_program *program = program_of(b.insns, b.count);
    struct vm_thread *thread = vm_thread_create(&(struct vm_thread_config){0}, NULL);
    struct vm_fault fault = run_on(thread, &jit_x86_64, program, NULL).fault;
    cr_expect_eq(fault.regs_known & 0x1d, 0xd, "%#x: r0, r2 and r3, not r4", fault.regs_known);
    cr_expect_eq(fault.regs[0], 11);
    cr_expect_eq(fault.regs[2], VM_STACK_TOP - 1);
    cr_expect_eq(fault.regs[3], 33);
    vm_thread_free(thread);
    vm_program_free(program);
}
