/* SPDX-License-Identifier: Apache-2.0 */
/* Remainders as clang writes them are made by one division, and what only looks like one keeps its
 * value. */
#include "tests/support/jit_run.h"

#define DIV_REG(d, s)   INSN(0x3f, d, s, 0, 0)
#define MUL_REG(d, s)   INSN(0x2f, d, s, 0, 0)
#define SUB_REG(d, s)   INSN(0x1f, d, s, 0, 0)
#define DIV32_REG(d, s) INSN(0x3c, d, s, 0, 0)
#define MUL32_REG(d, s) INSN(0x2c, d, s, 0, 0)
#define SUB32_REG(d, s) INSN(0x1c, d, s, 0, 0)

Test(jit_remainder, is_what_the_division_leaves)
{
    static const struct vm_insn moved[] = {MOV_REG(3, 1), DIV_REG(3, 2), MUL_REG(3, 2),
                                           MOV_REG(0, 1), SUB_REG(0, 3), EXIT},
                                in_place[] = {MOV_REG(3, 1), DIV_REG(3, 2), MUL_REG(3, 2),
                                              SUB_REG(1, 3), MOV_REG(0, 1), EXIT},
                                mod[] = {MOV_REG(0, 1), INSN(0x9f, 0, 2, 0, 0), EXIT};
    static const uint64_t pairs[][5] = {{1000, 7},        {1000, 0},
                                        {UINT64_MAX, 10}, {UINT64_MAX, UINT64_MAX - 1},
                                        {5, UINT64_MAX},  {UINT64_MAX, 0}};
    for (unsigned i = 0; i < COUNT(pairs); i++) {
        uint64_t want = pairs[i][1] == 0 ? pairs[i][0] : pairs[i][0] % pairs[i][1];
        cr_expect_eq(run_all(moved, COUNT(moved), pairs[i]).result, want, "%u", i);
        cr_expect_eq(run_all(in_place, COUNT(in_place), pairs[i]).result, want, "%u", i);
    }
    cr_expect_eq(native_range(moved, COUNT(moved), 0, COUNT(moved)), native_range(mod, COUNT(mod), 0, COUNT(mod)));
}

/* Of four registers, so that they are often the same, and not always the right one. */
static unsigned nearly(unsigned reg)
{
    return random_below(12) == 0 ? 6 + random_below(4) : reg;
}

static void add_remainder(struct builder *b)
{
    unsigned from = 6 + random_below(4), by = 6 + random_below(4), quotient = 6 + random_below(4);
    unsigned rest = 6 + random_below(4);
    bool wide = random_below(2) == 0;
    uint8_t move = wide || random_below(2) == 0 ? 0xbf : 0xbc;
    add(b, INSN(move, nearly(quotient), from, 0, 0));
    add(b, wide ? DIV_REG(quotient, by) : DIV32_REG(quotient, by));
    add(b, wide ? MUL_REG(nearly(quotient), nearly(by)) : MUL32_REG(nearly(quotient), nearly(by)));
    if (random_below(3) != 0) {
        add(b, INSN(move, nearly(rest), nearly(from), 0, 0));
    } else {
        rest = nearly(from);
    }
    add(b, wide ? SUB_REG(rest, nearly(quotient)) : SUB32_REG(rest, nearly(quotient)));
    if (random_below(3) == 0) {
        add(b, INSN(0x16, rest, 0, 1, 0)); /* jeq32 rest, 0, +1 */
        add(b, ADD_IMM(rest, 1));
    }
    if (random_below(4) != 0 && quotient != rest) {
        add(b, MOV_IMM(quotient, (int)random_value()));
    }
    if (random_below(4) == 0) {
        add(b, MOV32_REG(rest, rest)); /* nobody wants the upper half before */
    }
}

Test(jit_remainder, agrees_with_the_interpreter)
{
    random_state = 37;
    for (unsigned round = 0; round < 3000; round++) {
        struct builder b = {.count = 0};
        add_start(&b);
        for (unsigned i = 0; i < 5; i++) {
            unsigned dst = 6 + random_below(4);
            switch (random_below(4)) {
            case 0: add(&b, MOV_REG(dst, 6 + random_below(4))); break;
            case 1: add(&b, ADD_IMM(dst, (int)random_value())); break;
            case 2: add(&b, MOV_IMM(dst, (int)random_below(4))); break;
            default: break;
            }
            add_remainder(&b);
        }
        add_end(&b);
        cr_assert_eq(run_all(b.insns, b.count, NULL).state, VM_STATE_DONE);
    }
}
