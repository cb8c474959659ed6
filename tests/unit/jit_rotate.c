/* SPDX-License-Identifier: Apache-2.0 */
/* Rotations: two shifts and an or become one instruction where nothing else is wanted of them, and
 * all else that looks like one keeps its value. */
#include "tests/support/jit_run.h"

#define OR_REG(d, s)    INSN(0x4f, d, s, 0, 0)
#define LSH32(d, i)     INSN(0x64, d, 0, 0, i)
#define RSH32(d, i)     INSN(0x74, d, 0, 0, i)
#define OR32_REG(d, s)  INSN(0x4c, d, s, 0, 0)

#define VALUE 0x123456789abcdef0

static uint64_t rotated(unsigned left)
{
    return (uint64_t)VALUE << left | (uint64_t)VALUE >> (64 - left);
}

Test(jit_rotate, shifts_of_both_sides_are_one)
{
    static const struct vm_insn shapes[][5] = {
        {MOV_REG(3, 0), RSH(3, 51), LSH(0, 13), OR_REG(0, 3)},
        {MOV_REG(3, 0), LSH(3, 13), RSH(0, 51), OR_REG(0, 3)},
        {MOV_REG(3, 1), RSH(3, 51), MOV_REG(0, 1), LSH(0, 13), OR_REG(0, 3)},
        {MOV_REG(0, 1), LSH(0, 13), MOV_REG(3, 1), RSH(3, 51), OR_REG(0, 3)},
        {MOV_REG(0, 1), LSH(0, 13), RSH(1, 51), OR_REG(0, 1)},
    };
    for (unsigned i = 0; i < COUNT(shapes); i++) {
        struct builder b = {.count = 0};
        add_lddw(&b, 0, VALUE);
        add_lddw(&b, 1, VALUE);
        uint32_t first = b.count;
        for (unsigned n = 0; n < 5 && shapes[i][n].code != 0; n++) {
            add(&b, shapes[i][n]);
        }
        uint32_t last = b.count - 1;
        add(&b, EXIT);
        cr_expect_leq(native_range(b.insns, b.count, first, last + 1), 3 + 4, "%u: mov ; rol", i);
        expect_result(b.insns, b.count, rotated(13));
    }
}

Test(jit_rotate, of_32_bits)
{
    struct builder b = {.count = 0};
    add_lddw(&b, 0, VALUE);
    add(&b, MOV32_REG(3, 0));
    add(&b, RSH32(3, 25));
    add(&b, LSH32(0, 7));
    add(&b, OR32_REG(0, 3));
    add(&b, EXIT);
    cr_expect_eq(native_range(b.insns, b.count, 0, 6), 5 + 3, "mov eax, imm ; rol eax, 7");
    expect_result(b.insns, b.count, (uint32_t)(0x9abcdef0u << 7 | 0x9abcdef0u >> 25));
}

Test(jit_rotate, halves_that_are_wanted_are_made)
{
    static const struct vm_insn wanted[] = {MOV_REG(0, 1), MOV_REG(3, 0), RSH(3, 51), LSH(0, 13),
                                            OR_REG(0, 3),  ADD_REG(0, 3), EXIT},
                                entered[] = {MOV_REG(0, 1), MOV_REG(3, 0),
                                             RSH(3, 51),    JNE_IMM(2, 0, 1),
                                             LSH(0, 13),    OR_REG(0, 3),
                                             EXIT},
                                others[] = {MOV_REG(0, 1), MOV_REG(3, 2), RSH(3, 51),
                                            LSH(0, 13),    OR_REG(0, 3),  EXIT};
    const uint64_t args[5] = {VALUE, 3};
    cr_expect_eq(run_all(wanted, COUNT(wanted), args).result, rotated(13) + (VALUE >> 51));
    cr_expect_eq(run_all(entered, COUNT(entered), args).result, VALUE | VALUE >> 51);
    cr_expect_eq(run_all(others, COUNT(others), args).result, (uint64_t)VALUE << 13);
}

static void add_move(struct builder *b, unsigned dst, unsigned src, bool wide)
{
    if (dst != src || random_below(8) == 0) {
        add(b, wide || random_below(2) == 0 ? MOV_REG(dst, src) : MOV32_REG(dst, src));
    }
}

/* Of four registers, so that they are often the same, and not always by the right number. */
static void add_rotation(struct builder *b)
{
    unsigned one = 6 + random_below(4), two = 6 + random_below(4);
    unsigned from = random_below(3) == 0 ? two : 6 + random_below(4);
    unsigned also = random_below(8) == 0 ? 6 + random_below(4) : from;
    bool wide = random_below(3) != 0, left_first = random_below(2) == 0;
    int width = wide ? 64 : 32, left = (int)random_below((uint32_t)width);
    int right = random_below(8) == 0 ? (int)random_below((uint32_t)width) : (width - left) % width;
    add_move(b, one, from, wide);
    add(b, left_first ? wide ? LSH(one, left) : LSH32(one, left)
           : wide ? RSH(one, right)
                      : RSH32(one, right));
    add_move(b, two, also, wide);
    add(b, !left_first ? wide ? LSH(two, left) : LSH32(two, left)
           : wide ? RSH(two, right)
                       : RSH32(two, right));
    bool swapped = random_below(2) == 0;
    unsigned dst = swapped ? one : two, src = swapped ? two : one;
    add(b, wide ? OR_REG(dst, src) : OR32_REG(dst, src));
    if (random_below(4) != 0 && src != dst) {
        add(b, MOV_IMM(src, (int)random_value()));
    }
}

static void add_other(struct builder *b)
{
    unsigned dst = 6 + random_below(4), src = 6 + random_below(4);
    switch (random_below(6)) {
    case 0: add(b, MOV_REG(dst, src)); break;
    case 1: add(b, MOV32_REG(dst, src)); break;
    case 2: add(b, ADD_REG(dst, src)); break;
    case 3: add(b, ADD_IMM(dst, (int)random_value())); break;
    case 4: add(b, LSH(dst, random_below(4))); break;
    case 5: add(b, STX64(10, -8 * (1 + (int)random_below(8)), src)); break;
    }
}

Test(jit_rotate, agrees_with_the_interpreter)
{
    random_state = 23;
    for (unsigned round = 0; round < 3000; round++) {
        struct builder b = {.count = 0};
        add_start(&b);
        for (unsigned i = 0; i < 4; i++) {
            for (unsigned n = random_below(4); n > 0; n--) {
                add_other(&b);
            }
            add_rotation(&b);
        }
        add_end(&b);
        struct outcome out = run_all(b.insns, b.count, NULL);
        cr_assert_eq(out.state, VM_STATE_DONE);
    }
}
