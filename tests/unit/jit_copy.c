/* SPDX-License-Identifier: Apache-2.0 */
/* Loops that copy: several elements a round where that makes no difference, and faults that cannot
 * be told from those of the loop itself. */
#include "tests/support/jit_run.h"
#include "tests/support/verify.h"
#include "vm/limits.h"

#define LDX8(d, s, o)    INSN(0x71, d, s, o, 0)
#define STX8(d, o, s)    INSN(0x73, d, s, o, 0)
#define JLT_REG(d, s, o) INSN(0xad, d, s, o, 0)
#define JGT_REG(d, s, o) INSN(0x2d, d, s, o, 0)
#define JNE_REG(d, s, o) INSN(0x5d, d, s, o, 0)
#define STACK_WORDS      32 /* that are filled and looked at */
#define CODE_BYTES       80 /* of what goes before a loop, and more than its padding */

/* A loop with r1 and r2 as addresses, r4 as counter and r3 as limit, r5 and r0 free. Returns where
 * it begins. */
static uint32_t add_word_loop(struct builder *b)
{
    uint32_t head = b->count;
    add(b, LDX64(5, 2, 0));
    add(b, STX64(1, 0, 5));
    add(b, ADD_IMM(2, 8));
    add(b, ADD_IMM(1, 8));
    add(b, ADD_IMM(4, 1));
    add(b, JLT_REG(4, 3, -6));
    return head;
}

static uint32_t add_byte_loop(struct builder *b)
{
    uint32_t head = b->count;
    add(b, MOV_REG(5, 1));
    add(b, ADD_REG(5, 4));
    add(b, MOV_REG(0, 2));
    add(b, ADD_REG(0, 4));
    add(b, LDX8(0, 0, 0));
    add(b, STX8(5, 0, 0));
    add(b, ADD_IMM(4, 1));
    add(b, JLT_REG(4, 3, -8));
    return head;
}

/* Fills with r2 what is at r1. */
static uint32_t add_fill_loop(struct builder *b, unsigned bytes)
{
    static const uint8_t stores[] = {[1] = 0x73, [2] = 0x6b, [4] = 0x63, [8] = 0x7b};
    uint32_t head = b->count;
    add(b, INSN(stores[bytes], 1, 2, 0, 0));
    add(b, ADD_IMM(1, bytes));
    add(b, ADD_IMM(4, 1));
    add(b, JLT_REG(4, 3, -4));
    return head;
}

/* Until the source is at its end, which is in r3. */
static uint32_t add_pointer_loop(struct builder *b)
{
    uint32_t head = b->count;
    add(b, LDX8(5, 2, 0));
    add(b, ADD_IMM(2, 1));
    add(b, STX8(1, 0, 5));
    add(b, ADD_IMM(1, 1));
    add(b, JNE_REG(2, 3, -5));
    return head;
}

typedef uint32_t loop_fn(struct builder *b);

static void add_fill(struct builder *b)
{
    for (int i = 1; i <= STACK_WORDS; i++) {
        add_lddw(b, 0, 0x0102030405060708 * (uint64_t)i + (uint64_t)i);
        add(b, STX64(10, -8 * i, 0));
    }
}

static void add_fold(struct builder *b)
{
    for (int i = 1; i <= STACK_WORDS; i++) {
        add(b, LDX64(5, 10, -8 * i));
        add(b, MUL_IMM(0, 31));
        add(b, ADD_REG(0, 5));
    }
}

/* Copies from the middle of what is filled to `distance` from there. */
static void expect_copied(loop_fn *add_loop, int distance, int32_t limit)
{
    struct builder b = {.count = 0};
    add_fill(&b);
    add(&b, MOV_REG(2, 10));
    add(&b, ADD_IMM(2, -8 * STACK_WORDS + 64));
    add(&b, MOV_REG(1, 2));
    add(&b, ADD_IMM(1, distance));
    add(&b, MOV_IMM(3, limit));
    if (add_loop == add_pointer_loop) {
        add(&b, ADD_REG(3, 2));
    }
    add(&b, MOV_IMM(4, 0));
    (void)add_loop(&b);
    add(&b, MOV_REG(0, 4));
    add(&b, ADD_REG(0, 1));
    add(&b, ADD_REG(0, 2));
    add_fold(&b);
    add(&b, EXIT);
    cr_expect_eq(run_all(b.insns, b.count, NULL).state, VM_STATE_DONE);
}

Test(jit_copy, every_length_and_distance)
{
    for (int32_t limit = 1; limit <= 13; limit += 3) {
        for (int distance = -64; distance <= 64; distance += 8) {
            expect_copied(add_word_loop, distance, limit);
        }
    }
    for (int32_t limit = 1; limit <= 100; limit += 11) {
        for (int distance = -35; distance <= 35; distance += 7) {
            expect_copied(add_byte_loop, distance, limit);
            expect_copied(add_pointer_loop, distance, limit);
        }
    }
}

Test(jit_copy, fills)
{
    for (unsigned bytes = 1; bytes <= 8; bytes *= 2) {
        for (int32_t limit = 1; limit < 150 / (int32_t)bytes; limit += 5) {
            struct builder b = {.count = 0};
            add_fill(&b);
            add(&b, MOV_REG(1, 10));
            add(&b, ADD_IMM(1, -8 * STACK_WORDS + 3));
            add_lddw(&b, 2, 0x1122334455667788);
            add(&b, MOV_IMM(3, limit));
            add(&b, MOV_IMM(4, 0));
            uint32_t head = add_fill_loop(&b, bytes);
            add(&b, MOV_REG(0, 1));
            add(&b, ADD_REG(0, 2));
            add_fold(&b);
            add(&b, EXIT);
            cr_expect_gt(native_range(b.insns, b.count, head - 1, head), CODE_BYTES);
            cr_expect_eq(run_all(b.insns, b.count, NULL).state, VM_STATE_DONE);
        }
    }
}

/* Off the end of the stack; the frame's address is the host's affair. */
Test(jit_copy, fills_fault)
{
    for (int left = 8; left <= 96; left += 8) {
        struct builder b = {.count = 0};
        add(&b, MOV_REG(1, 10));
        add(&b, ADD_IMM(1, -left));
        add(&b, MOV_IMM(2, 7));
        add(&b, STX64(10, -8, 2));
        add(&b, MOV_IMM(3, 1000));
        add(&b, MOV_IMM(4, 0));
        uint32_t head = add_fill_loop(&b, 8);
        add(&b, EXIT);
        expect_fault(b.insns, b.count, VM_FAULT_WRITE, VM_STACK_TOP, head);
        b.insns[head].src = 10;
        expect_fault(b.insns, b.count, VM_FAULT_WRITE, VM_STACK_TOP, head);
        cr_expect_lt(native_range(b.insns, b.count, head - 1, head), CODE_BYTES);
    }
}

/* Arrays whose addresses are made in the loop: a constant, and one of the frame, 120 bytes long. */
static uint32_t add_array_loop(struct builder *b)
{
    uint32_t head = b->count;
    add(b, MOV_REG(5, 10));
    add(b, ADD_IMM(5, -120));
    add(b, ADD_REG(5, 4));
    add_lddw(b, 0, VM_STACK_TOP - 8 * STACK_WORDS);
    add(b, ADD_REG(0, 4));
    add(b, LDX8(0, 0, 0));
    add(b, STX8(5, 0, 0));
    add(b, ADD_IMM(4, 1));
    add(b, JLT_REG(4, 3, -10));
    return head;
}

Test(jit_copy, arrays)
{
    for (int32_t limit = 1; limit < 180; limit += 11) {
        struct builder b = {.count = 0};
        add_fill(&b);
        add(&b, MOV_IMM(3, limit));
        add(&b, MOV_IMM(4, 0));
        uint32_t head = add_array_loop(&b);
        cr_expect_gt((add_fold(&b), add(&b, EXIT), native_range(b.insns, b.count, head - 1, head)),
                     CODE_BYTES);
        struct outcome out = run_all(b.insns, b.count, NULL);
        cr_expect_eq(out.state, limit <= 120 ? VM_STATE_DONE : VM_STATE_FAULT);
        cr_expect_eq(out.fault.address, limit <= 120 ? 0 : VM_STACK_TOP);
    }
}

static uint32_t before_loop(loop_fn *add_loop, struct vm_insn last)
{
    struct builder b = {.count = 0};
    add(&b, MOV_IMM(4, 0));
    uint32_t head = add_loop(&b);
    b.insns[b.count - 1] = last.code != 0 ? last : b.insns[b.count - 1];
    add(&b, EXIT);
    return native_range(b.insns, b.count, head - 1, head);
}

Test(jit_copy, is_recognised)
{
    const struct vm_insn same = {.code = 0};
    cr_expect_gt(before_loop(add_word_loop, same), CODE_BYTES);
    cr_expect_gt(before_loop(add_byte_loop, same), CODE_BYTES);
    cr_expect_gt(before_loop(add_pointer_loop, same), CODE_BYTES);
    cr_expect_gt(before_loop(add_word_loop, JGT_REG(3, 4, -6)), CODE_BYTES);
    cr_expect_lt(before_loop(add_word_loop, JGT_REG(4, 3, -6)), CODE_BYTES,
                 "goes on above the limit");
    cr_expect_lt(before_loop(add_word_loop, JLT_REG(4, 1, -6)), CODE_BYTES, "the limit moves");
    cr_expect_lt(before_loop(add_word_loop, JLT_REG(5, 3, -6)), CODE_BYTES,
                 "what is copied counts");
    cr_expect_lt(before_loop(add_word_loop, JLT_REG(4, 3, -5)), CODE_BYTES, "loads once");
}

/* A counter that is above its limit already: one round, not as many as fit into 64 bits. */
Test(jit_copy, counts_without_wrapping)
{
    static const uint64_t starts[] = {5, UINT64_MAX - 1, UINT64_MAX - 40, (uint64_t)INT64_MAX};
    for (unsigned i = 0; i < COUNT(starts); i++) {
        struct builder b = {.count = 0};
        add_fill(&b);
        add(&b, MOV_REG(2, 10));
        add(&b, ADD_IMM(2, -128));
        add(&b, MOV_REG(1, 10));
        add(&b, ADD_IMM(1, -256));
        add(&b, MOV_IMM(3, 5));
        add_lddw(&b, 4, starts[i]);
        (void)add_word_loop(&b);
        add(&b, MOV_REG(0, 4));
        add_fold(&b);
        add(&b, EXIT);
        cr_expect_eq(run_all(b.insns, b.count, NULL).state, VM_STATE_DONE);
    }
}

/* Source or target ends with the stack, so many bytes behind where the loop begins. */
static void expect_fault_at(loop_fn *add_loop, int32_t left, bool is_source)
{
    struct builder b = {.count = 0};
    add_fill(&b);
    add(&b, MOV_REG(is_source ? 2 : 1, 10));
    add(&b, ADD_IMM(is_source ? 2 : 1, -left));
    add(&b, MOV_REG(is_source ? 1 : 2, 10));
    add(&b, ADD_IMM(is_source ? 1 : 2, -8 * STACK_WORDS));
    add(&b, MOV_IMM(3, 1000));
    if (add_loop == add_pointer_loop) {
        add(&b, ADD_REG(3, 2));
    }
    add(&b, MOV_IMM(4, 0));
    (void)add_loop(&b);
    add(&b, MOV_REG(0, 5));
    add(&b, EXIT);
    struct outcome out = run_all(b.insns, b.count, NULL);
    cr_expect_eq(out.state, VM_STATE_FAULT);
    cr_expect_eq(out.fault.address, VM_STACK_TOP, "%#x", out.fault.address);
}

Test(jit_copy, faults_where_the_loop_would)
{
    for (int32_t left = 8; left <= 104; left += 8) {
        expect_fault_at(add_word_loop, left, true);
        expect_fault_at(add_word_loop, left, false);
    }
    for (int32_t left = 1; left <= 99; left += 7) {
        expect_fault_at(add_byte_loop, left, true);
        expect_fault_at(add_byte_loop, left, false);
        expect_fault_at(add_pointer_loop, left, true);
        expect_fault_at(add_pointer_loop, left, false);
    }
}

/* Addresses without an upper half, and just used: what is known before the loop is not known in it.
 */
Test(jit_copy, is_proven)
{
    static loop_fn *const loops[] = {add_word_loop, add_byte_loop, add_pointer_loop};
    for (unsigned i = 0; i < COUNT(loops); i++) {
        for (int is_used = 0; is_used < 2; is_used++) {
            struct builder b = {.count = 0};
            add(&b, MOV32_REG(1, 1));
            add(&b, LDX64(2, 1, 8));
            add(&b, MOV_IMM(4, 0));
            if (is_used) {
                add(&b, STX64(1, 0, 4));
            }
            (void)loops[i](&b);
            add(&b, EXIT);
            struct vm_program *program = program_of(b.insns, b.count);
            struct vm_diag diag = {.text = ""};
            cr_expect(t_verify(program, &diag), "%s", diag.text);
            vm_program_free(program);
        }
    }
}
