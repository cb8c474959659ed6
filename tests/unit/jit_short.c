/* SPDX-License-Identifier: Apache-2.0 */
/* What makes compiled code short and fast, where it could go wrong: division by constants, calls
 * that save only what is wanted, instructions lowered together, addresses used again. */
#include "tests/support/jit_run.h"

/* ---- division by constants ------------------------------------------------------------------ */

/* Every constant that is special, or near one that is, by dividends next to its multiples. */
static void check_constant(struct vm_thread *thread, enum vm_ix ix, unsigned dst, int32_t divisor)
{
    static struct builder b;
    b.count = 0;
    for (unsigned reg = 0; reg < 10; reg++) {
        add_lddw(&b, reg, random_value());
    }
    for (unsigned i = 0; i < 24; i++) {
        uint64_t multiple = random_value() / (i % 2 + 1) * (uint64_t)(int64_t)divisor;
        add_lddw(&b, dst, i < 12 ? boundary[random_below(COUNT(boundary))] : multiple + i % 3 - 1);
        add(&b, INSN(vm_isa[ix].code, dst, 0, vm_isa[ix].sub, divisor));
        add(&b, MUL_IMM(9, 31));
        add(&b, ADD_REG(9, dst));
    }
    add(&b, STX64(10, -8, 9));
    add_end(&b);
    struct vm_program *program = program_of(b.insns, b.count);
    struct outcome want = run_on(thread, engine(0), program, NULL);
    struct outcome got = run_on(thread, engine(1), program, NULL);
    cr_assert_eq(want.state, VM_STATE_DONE);
    cr_expect_eq(got.result, want.result, "%s r%u, %d", vm_isa[ix].mnemonic, dst, divisor);
    vm_program_free(program);
}

Test(jit_short, divides_by_constants)
{
    static const enum vm_ix rows[] = {VM_IX_DIV64_IMM,  VM_IX_SDIV64_IMM, VM_IX_MOD64_IMM,
                                      VM_IX_SMOD64_IMM, VM_IX_DIV32_IMM,  VM_IX_SDIV32_IMM,
                                      VM_IX_MOD32_IMM,  VM_IX_SMOD32_IMM};
    struct vm_thread *thread =
        vm_thread_create(&(struct vm_thread_config){.budget_ms = 20000}, NULL);
    random_state = 7;
    for (unsigned n = 0; n < COUNT(rows) * 32 * 6; n++) {
        uint32_t power = (uint32_t)1 << n / COUNT(rows) % 32;
        uint32_t near[] = {power, power - 1, power + 1, -power, power * 5 / 4, random_below(power)};
        int32_t divisor = (int32_t)near[n / COUNT(rows) / 32];
        check_constant(thread, rows[n % COUNT(rows)], n * 7 % 9, divisor);
        check_constant(thread, rows[n % COUNT(rows)], n % 2 * 3, divisor);
    }
    vm_thread_free(thread);
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* Native bytes of instruction `insn`. */
static uint32_t native_bytes(const struct vm_insn *insns, uint32_t count, uint32_t insn)
{
    return native_range(insns, count, insn, insn + 1);
}

Test(jit_short, calls_do_only_what_is_wanted)
{
    static const struct vm_insn leaf[] = {CALL_LOCAL(2), ADD_IMM(0, 1), EXIT, MOV_IMM(0, 1), EXIT};
    cr_expect_eq(native_bytes(leaf, COUNT(leaf), 0), 2 + 5 + 2, "push r11, call, pop r11");
    use_helpers();
    static const struct vm_insn none[] = {CALL_HELPER(0), EXIT};
    static const struct vm_insn two[] = {CALL_HELPER(0), ADD_REG(0, 1), ADD_REG(0, 3), EXIT};
    cr_expect_eq(native_bytes(two, COUNT(two), 0) - native_bytes(none, COUNT(none), 0), 2 + 2,
                 "two are cleared");
}

/* ---- instructions lowered together ----------------------------------------------------------- */

#define ARSH(d, i) INSN(0xc7, d, 0, 0, i)

Test(jit_short, shift_pairs_widen)
{
    static const uint64_t values[] = {0x89abcdef, 0x1234567800000000, 0xfffffffe7fffffff,
                                      UINT64_MAX};
    for (unsigned n = 0; n < COUNT(values) * 5; n++) {
        int count = (int[]){32, 33, 48, 63, 31}[n % 5];
        uint64_t value = values[n / 5];
        struct builder b = {.count = 0};
        add_lddw(&b, 2, value);
        add(&b, MOV_REG(3, 2));
        add(&b, LSH(3, 32));
        add(&b, RSH(3, count));
        add(&b, MOV_REG(4, 2));
        add(&b, LSH(4, 32));
        add(&b, ARSH(4, count));
        add(&b, LSH(2, 32));
        add(&b, RSH(2, count));
        add(&b, MOV_REG(0, 3));
        add(&b, MUL_IMM(0, 31));
        add(&b, ADD_REG(0, 4));
        add(&b, MUL_IMM(0, 31));
        add(&b, ADD_REG(0, 2));
        add(&b, EXIT);
        uint64_t zero = value << 32 >> count, sign = (uint64_t)((int64_t)(value << 32) >> count);
        expect_result(b.insns, b.count, (zero * 31 + sign) * 31 + zero);
    }
    static const struct vm_insn pair[] = {MOV_REG(0, 1), LSH(0, 32), RSH(0, 32), EXIT};
    cr_expect_eq(native_bytes(pair, COUNT(pair), 0), 0);
    cr_expect_eq(native_bytes(pair, COUNT(pair), 1), 0);
    cr_expect_eq(native_bytes(pair, COUNT(pair), 2), 0);
    cr_expect_eq(native_bytes(pair, COUNT(pair), 3), 2 + 1, "mov eax, edi ; ret");
}

Test(jit_short, jumps_into_shift_pairs_run_what_is_left)
{
    /* Once through all, once from the lsh, once from the rsh. */
    for (int into = 0; into < 3; into++) {
        const struct vm_insn insns[] = {LDDW_LOW(1, 0, 0x100000005),
                                        LDDW_HIGH(0x100000005),
                                        LDDW_LOW(0, 0, 0x700000009),
                                        LDDW_HIGH(0x700000009),
                                        JNE_IMM(1, 0, into),
                                        MOV_REG(0, 1),
                                        LSH(0, 32),
                                        RSH(0, 32),
                                        EXIT};
        expect_result(insns, COUNT(insns), (uint64_t[]){5, 9, 7}[into]);
    }
}

Test(jit_short, flags_of_the_instruction_before_a_jump)
{
    static const uint8_t rows[] = {0x57, 0x5f, 0x54, 0x4f, 0x47, 0x4c, 0xaf, 0xa7, 0xac, 0x07,
                                   0x0f, 0x04, 0x0c, 0x17, 0x1f, 0x1c, 0x14, 0x67, 0xb7, 0x87};
    static const uint8_t jumps[] = {0x15, 0x55, 0x25, 0x35, 0xa5, 0xb5, 0x65, 0x75,
                                    0xc5, 0xd5, 0x45, 0x16, 0x56, 0x66, 0xc6, 0xb6};
    static const uint64_t values[] = {0,         1, 0x80000000, 0x100000000, 0x7fffffffffffffff,
                                      UINT64_MAX};
    for (unsigned n = 0; n < COUNT(rows) * COUNT(jumps); n++) {
        uint8_t code = rows[n % COUNT(rows)], jump = jumps[n / COUNT(rows)];
        bool has_src = (code & 8) != 0, has_imm = !has_src && code != 0x87;
        struct builder b = {.count = 0};
        add(&b, MOV_IMM(0, 1));
        for (unsigned v = 0; v < COUNT(values) * 2; v++) {
            add_lddw(&b, 2, values[v / 2]);
            add_lddw(&b, 3, values[(v * 5 + n) % COUNT(values)]);
            add(&b, MUL_IMM(0, 2));
            add(&b, INSN(code, 2, has_src ? 3 : 0, 0, has_imm ? 1 : 0));
            add(&b, INSN(jump, v % 2 + 2, 0, 1, 0));
            add(&b, ADD_IMM(0, 1));
        }
        /* The second slot of lddw, which looks like an addition to r0, is none. */
        add(&b, MOV_REG(4, 0));
        add_lddw(&b, 0, values[n % COUNT(values)]);
        add(&b, INSN(jump, 0, 0, 1, 0));
        add(&b, ADD_IMM(4, 1000));
        add(&b, MOV_REG(0, 4));
        add(&b, EXIT);
        run_all(b.insns, b.count, NULL);
    }
}

/* ---- addresses held in r11 ------------------------------------------------------------------ */

Test(jit_short, held_addresses_follow_their_register)
{
    /* r1 = r10 - 64 all along, but for what is put between a store and the load after it. The
     * words at r1 and r1 + 8 are 11 and 22; every load comes to r2 and is added up in r0. */
    static const struct vm_insn between[][3] = {
        {ADD_IMM(1, 8)},
        {INSN(0x04, 1, 0, 0, 8)},
        {LDX64(1, 1, 16)},
        {INSN(0x3f, 3, 4, 0, 0), ADD_IMM(1, 8)},
        {INSN(0x3f, 3, 4, 0, 0)},
        {INSN(0x97, 3, 0, 0, 7)},
        {INSN(0x37, 3, 0, 0, 1000)},
        {INSN(0x6f, 3, 4, 0, 0)},
        {INSN(0xdb, 10, 3, -8, 0x01)},
        {INSN(0xdb, 10, 3, -8, 0x41)},
        {INSN(0x55, 3, 0, 1, 0), ADD_IMM(1, 8)},
        {INSN(0x15, 3, 0, 1, 0), ADD_IMM(1, 8)},
        {LDX64(5, 10, -48)},
        {LDX64(5, 5, 0)},
        {INSN(0xdc, 1, 0, 0, 64), INSN(0xdc, 1, 0, 0, 64)},
        {INSN(0xbf, 1, 5, 0, 0)},
    };
    static const uint64_t want[] = {22, 22, 22, 22, 11, 11, 11, 11, 11, 11, 11, 22, 11, 11, 11, 22};
    for (unsigned n = 0; n < COUNT(between); n++) {
        struct builder b = {.count = 0};
        add(&b, MOV_REG(1, 10));
        add(&b, ADD_IMM(1, -64));
        add(&b, MOV_REG(5, 1));
        add(&b, ADD_IMM(5, 8));
        add(&b, MOV_IMM(3, 1000));
        add(&b, MOV_IMM(4, 3));
        add(&b, INSN(0x7a, 1, 0, 8, 22));
        add(&b, STX64(1, 16, 5));
        add(&b, INSN(0x7a, 1, 0, 0, 11));
        for (unsigned i = 0; i < 3 && between[n][i].code != 0; i++) {
            add(&b, between[n][i]);
        }
        add(&b, LDX64(0, 1, 0));
        add(&b, EXIT);
        struct outcome out = run_all(b.insns, b.count, NULL);
        cr_expect_eq(out.state, VM_STATE_DONE, "case %u", n);
        cr_expect_eq(out.result, want[n], "case %u: %" PRIu64, n, out.result);
    }
}

/* ---- sums that wait ------------------------------------------------------------------------- */

#define LDX8(d, s, o)    INSN(0x71, d, s, o, 0)
#define LDX32(d, s, o)   INSN(0x61, d, s, o, 0)
#define STX8(d, o, s)    INSN(0x73, d, s, o, 0)
#define JGE_IMM(d, i, o) INSN(0x35, d, 0, o, i)

/* r6..r9 are settled in all orders, whoever names whom. */
Test(jit_short, sums_keep_their_values)
{
    random_state = 11;
    for (unsigned round = 0; round < 3000; round++) {
        struct builder b = {.count = 0};
        add_start(&b);
        for (unsigned i = 0; i < 14; i++) {
            unsigned dst = 6 + random_below(4), src = 6 + random_below(4);
            switch (random_below(12)) {
            case 9: add(&b, MUL_IMM(dst, (int)random_value())); break;
            case 10: add(&b, INSN(0x57, dst, 0, 0, random_below(2) == 0 ? 255 : 65535)); break;
            case 11: add(&b, INSN(0x54, dst, 0, 0, random_below(2) == 0 ? 255 : 65535)); break;
            case 0: add(&b, MOV_REG(dst, src)); break;
            case 1: add(&b, MOV32_REG(dst, src)); break;
            case 2: add(&b, ADD_REG(dst, src)); break;
            case 3: add(&b, ADD_IMM(dst, (int)random_value())); break;
            case 4: add(&b, LSH(dst, random_below(5))); break;
            case 5: add(&b, INSN(0x0c, dst, src, 0, 0)); break;
            case 6: add(&b, MOV_IMM(dst, (int)random_value())); break;
            case 7: add(&b, INSN(0x17, dst, 0, 0, (int)random_value())); break;
            case 8: add(&b, STX64(10, -8 * (1 + (int)random_below(8)), src)); break;
            }
        }
        add_end(&b);
        struct outcome out = run_all(b.insns, b.count, NULL);
        cr_assert_eq(out.state, VM_STATE_DONE);
    }
}

Test(jit_short, small_products_are_sums)
{
    static const int factors[] = {2, 3, 5, 6, 9, -3};
    for (unsigned i = 0; i < COUNT(factors); i++) {
        for (unsigned n = 0; n < COUNT(boundary); n++) {
            uint64_t value = boundary[n], factor = (uint64_t)(int64_t)factors[i];
            struct builder b = {.count = 0};
            add_lddw(&b, 1, value);
            add(&b, STX64(10, -8, 1));
            add(&b, LDX64(2, 10, -8));
            add(&b, MUL_IMM(2, factors[i]));
            add(&b, LDX64(3, 10, -8));
            add(&b, INSN(0x24, 3, 0, 0, factors[i])); /* mul32 */
            add(&b, MOV32_REG(4, 1));
            add(&b, MUL_IMM(4, factors[i])); /* of what has no upper half */
            add(&b, MOV_REG(0, 2));
            add(&b, ADD_REG(0, 3));
            add(&b, ADD_REG(0, 4));
            add(&b, EXIT);
            expect_result(b.insns, b.count,
                          value * factor + (uint32_t)(value * factor) + (uint32_t)value * factor);
        }
    }
    static const struct vm_insn tripled[] = {LDX64(0, 1, 8), MUL_IMM(0, 3), EXIT};
    cr_expect_eq(native_range(tripled, COUNT(tripled), 1, 3), 4 + 1, "lea rax, [rax+rax*2] ; ret");
}

Test(jit_short, moves_become_sources)
{
    static const struct vm_insn byte[] = {MOV_REG(0, 1), INSN(0x57, 0, 0, 0, 255), EXIT},
                                product[] = {MOV_REG(0, 1), MUL_IMM(0, 10), EXIT},
                                compared[] = {MOV_REG(0, 1), INSN(0x57, 0, 0, 0, 255),
                                              JNE_IMM(0, 0, 0), EXIT};
    cr_expect_eq(native_bytes(byte, COUNT(byte), 1), 4, "movzx eax, dil");
    cr_expect_eq(native_bytes(product, COUNT(product), 1), 4, "imul rax, rdi, 10");
    cr_expect_eq(native_bytes(compared, COUNT(compared), 2), 2, "jne, by the flags of and");
}

Test(jit_short, addresses_are_sums)
{
    static const struct vm_insn sum[] = {MOV_REG(3, 1), ADD_REG(3, 2), LDX8(0, 3, 4), EXIT};
    cr_expect_eq(native_bytes(sum, COUNT(sum), 0), 0);
    cr_expect_eq(native_bytes(sum, COUNT(sum), 1), 0);
    cr_expect_eq(native_bytes(sum, COUNT(sum), 2), 4 + 6, "lea r11d, [rdi+rsi] ; movzx");
    static const struct vm_insn scaled[] = {MOV32_REG(3, 2), LSH(3, 2),      MOV_REG(4, 1),
                                            ADD_REG(4, 3),   LDX32(0, 4, 0), EXIT};
    cr_expect_eq(native_bytes(scaled, COUNT(scaled), 4), 4 + 4, "lea r11d, [rdi+4*rsi] ; mov");
    static const struct vm_insn frame[] = {MOV_REG(3, 10), ADD_IMM(3, -8), STX8(3, 1, 1), EXIT};
    cr_expect_eq(native_bytes(frame, COUNT(frame), 2), 4, "mov [rbp-7], dil");
    static const struct vm_insn constant[] = {LDDW_LOW(3, 0, 0x10000), LDDW_HIGH(0), LDX32(0, 3, 8),
                                              EXIT};
    cr_expect_eq(native_bytes(constant, COUNT(constant), 2), 8, "mov eax, [r12+0x10008]");
}

/* In a loop over memory, r1 is below 2^32 and has just been an address: it is counted up in 64
 * bits, which takes a prefix, unless the step is large. */
Test(jit_short, pointers_are_stepped)
{
    static const struct vm_insn loop[] = {MOV_IMM(0, 0),   LDX8(3, 1, 0),           ADD_REG(0, 3),
                                          ADD_IMM(1, 1),   INSN(0x55, 3, 0, -4, 0), LDX8(3, 1, 2),
                                          ADD_IMM(1, 100), LDX8(3, 1, 0),           EXIT};
    cr_expect_eq(native_bytes(loop, COUNT(loop), 3), 4, "add rdi, 1");
    cr_expect_eq(native_bytes(loop, COUNT(loop), 6), 3, "add edi, 100");
}

/* The fault comes while r3 and r4 are sums of others, and r5 has just become one. */
Test(jit_short, faults_tell_what_waits)
{
    static const struct vm_insn insns[] = {
        MOV_IMM(1, 0x100), MUL_IMM(1, 16), MOV_REG(3, 1), ADD_IMM(3, 5),          MOV_REG(4, 1),
        LSH(4, 3),         LDX8(0, 3, 0),  ADD_REG(0, 4), INSN(0xaf, 0, 3, 0, 0), EXIT,
    };
    struct vm_thread *thread = vm_thread_create(&(struct vm_thread_config){0}, NULL);
    struct vm_program *program = program_of(insns, COUNT(insns));
    struct outcome out = run_on(thread, &jit_x86_64, program, NULL);
    cr_expect_eq(out.state, VM_STATE_FAULT);
    cr_expect_eq(out.fault.address, 0x1005);
    cr_expect_eq(out.fault.regs_known & 0x18, 0x18);
    cr_expect_eq(out.fault.regs[3], 0x1005);
    cr_expect_eq(out.fault.regs[4], 0x8000);
    vm_program_free(program);
    vm_thread_free(thread);
}

/* ---- jumps ---------------------------------------------------------------------------------- */

Test(jit_short, a_jump_over_a_jump_is_one)
{
    /* Counts r1 down to 0: `jeq r1, 0, +1 ; ja loop`, then with the jump entered from elsewhere. */
    static const struct vm_insn loop[] = {MOV_IMM(0, 0),          ADD_IMM(0, 3), ADD_IMM(1, -1),
                                          INSN(0x15, 1, 0, 1, 0), JA(-4),        EXIT};
    struct outcome out = run_all(loop, COUNT(loop), (uint64_t[5]){7});
    cr_expect_eq(out.result, 21);
    cr_expect_eq(native_bytes(loop, COUNT(loop), 4), 0, "jne does it");
    static const struct vm_insn entered[] = {
        JA(3), MOV_IMM(0, 9), ADD_IMM(1, -1), INSN(0x15, 1, 0, 1, 0), JA(-4), EXIT};
    out = run_all(entered, COUNT(entered), (uint64_t[5]){7});
    cr_expect_eq(out.result, 9);
    cr_expect_eq(native_bytes(entered, COUNT(entered), 4), 2);
}

/* Wherever a short loop would lie, it is in one line of 64 bytes; jumps across what fills the line
 * still arrive. */
Test(jit_short, short_loops_lie_in_one_line)
{
    for (unsigned before = 0; before < 40; before++) {
        struct builder b = {.count = 0};
        add(&b, MOV_IMM(0, 0));
        add(&b, INSN(0x15, 1, 0, before + 4, 0)); /* jeq r1, 0: over the loop */
        for (unsigned i = 0; i < before; i++) {
            add(&b, ADD_IMM(0, 1));
        }
        add(&b, ADD_REG(0, 1));
        uint32_t head = b.count - 1;
        add(&b, ADD_REG(0, 1));
        add(&b, ADD_IMM(1, -1));
        add(&b, JNE_IMM(1, 0, -4));
        add(&b, EXIT);
        struct vm_program *program = program_of(b.insns, b.count);
        struct vm_image *image = vm_image_create(&jit_x86_64, program, NULL);
        cr_assert_not_null(image);
        size_t bytes;
        const uint32_t *offsets;
        jit_code(image, &bytes, &offsets);
        cr_expect_eq(offsets[head] / 64, (offsets[head + 4] - 1) / 64, "%u before", before);
        vm_image_free(image);
        vm_program_free(program);
        cr_expect_eq(run_all(b.insns, b.count, (uint64_t[5]){3}).result, before + 12);
        cr_expect_eq(run_all(b.insns, b.count, NULL).result, 0);
    }
}

Test(jit_short, loops_go_on_by_one_jump)
{
    static const struct vm_insn loop[] = {MOV_IMM(2, 5),          ADD_IMM(0, 3), ADD_IMM(1, -1),
                                          INSN(0x15, 1, 0, 2, 0), JA(-4),        EXIT,
                                          ADD_REG(0, 2),          EXIT};
    struct outcome out = run_all(loop, COUNT(loop), (uint64_t[5]){7});
    cr_expect_eq(out.result, 26, "r2 is wanted where the loop is left");
}

Test(jit_short, moves_depend_on_what_was_loaded)
{
    for (int offset = 0; offset < 4; offset++) {
        /* min(loaded, 0x30), as clang writes it, and beside a jump. */
        const struct vm_insn over[] = {INSN(0x62, 10, 0, -4, 0x40302010),
                                       LDX8(0, 10, offset - 4),
                                       MOV_IMM(2, 0x30),
                                       INSN(0xad, 0, 2, 1, 0),
                                       MOV_REG(0, 2),
                                       EXIT};
        expect_result(over, COUNT(over), offset == 3 ? 0x30 : 0x10 * (offset + 1));
        const struct vm_insn beside[] = {INSN(0x62, 10, 0, -4, 0x40302010),
                                         LDX8(3, 10, offset - 4),
                                         MOV32_REG(0, 3),
                                         JGE_IMM(3, 0x30, 3),
                                         INSN(0x04, 0, 0, 0, 7),
                                         JA(0),
                                         EXIT,
                                         EXIT};
        expect_result(beside, COUNT(beside), 0x10 * (offset + 1) + (offset < 2 ? 7 : 0));
    }
    static const struct vm_insn select[] = {LDX8(0, 10, -4), INSN(0xad, 0, 2, 1, 0), MOV_REG(0, 2),
                                            EXIT};
    cr_expect_eq(native_bytes(select, COUNT(select), 1), 3 + 4, "cmp ; cmovae");
    static const struct vm_insn computed[] = {ADD_IMM(0, 1), INSN(0xad, 0, 2, 1, 0), MOV_REG(0, 2),
                                              EXIT};
    cr_expect_eq(native_bytes(computed, COUNT(computed), 1), 3 + 2, "cmp ; jb");
}

/* Conditions that are kept as 0 or 1, and what only looks so: the register is compared itself, is
 * set to something else, or is entered with something else. */
Test(jit_short, conditions_become_numbers)
{
    static const uint8_t jumps[] = {0x1d, 0x5d, 0x2d, 0x3d, 0xad, 0xbd, 0x6d, 0x7d, 0xcd,
                                    0xdd, 0x4d, 0x1e, 0x5e, 0x2e, 0xae, 0x6e, 0xce, 0x4e};
    random_state = 31;
    for (unsigned round = 0; round < 2000; round++) {
        struct builder b = {.count = 0};
        add_start(&b);
        for (unsigned i = 0; i < 6; i++) {
            unsigned dst = 1 + random_below(9), one = random_below(2);
            unsigned left = 6 + random_below(4), right = 6 + random_below(4);
            uint8_t move = random_below(2) == 0 ? 0xb7 : 0xb4;
            add(&b, INSN(move, dst, 0, 0, random_below(8) == 0 ? random_below(3) : one));
            for (unsigned n = random_below(4); n > 0; n--) {
                add(&b, n % 2 == 0 ? MOV_REG(6 + random_below(4), left)
                                   : ADD_IMM(6 + random_below(4), (int)random_below(3) - 1));
            }
            unsigned over = random_below(8) == 0 ? 2 : 1;
            bool has_imm = random_below(3) == 0;
            uint8_t jump = jumps[random_below(COUNT(jumps))];
            add(&b, has_imm ? INSN(jump & ~8, left, 0, over, (int)random_value())
                            : INSN(jump, left, right, over, 0));
            add(&b, INSN(move, dst, 0, 0, random_below(8) == 0 ? random_below(3) : 1 - one));
            add(&b, ADD_REG(1 + random_below(5), dst));
        }
        add_end(&b);
        cr_assert_eq(run_all(b.insns, b.count, NULL).state, VM_STATE_DONE);
    }
    static const struct vm_insn is_less[] = {MOV_IMM(0, 1), INSN(0xad, 1, 2, 1, 0), MOV_IMM(0, 0),
                                             EXIT};
    cr_expect_eq(native_bytes(is_less, COUNT(is_less), 1), 3 + 3 + 3, "cmp ; setb ; movzx");
}

/* ---- halves --------------------------------------------------------------------------------- */

/* Copies r3 bytes: the pointers stay below 2^32, and need no move. */
Test(jit_short, pointers_have_no_upper_half)
{
    static const struct vm_insn copy[] = {LDX8(4, 2, 0), STX8(1, 0, 4),  ADD_IMM(1, 1),
                                          ADD_IMM(2, 1), ADD_IMM(3, -1), JNE_IMM(3, 0, -6),
                                          EXIT};
    cr_expect_eq(native_bytes(copy, COUNT(copy), 0), 3 + 5, "its start is jumped to");
    static const struct vm_insn entered[] = {MOV_IMM(0, 0),     LDX8(4, 2, 0), STX8(1, 0, 4),
                                             ADD_IMM(1, 1),     ADD_IMM(2, 1), ADD_IMM(3, -1),
                                             JNE_IMM(3, 0, -6), EXIT};
    cr_expect_eq(native_bytes(entered, COUNT(entered), 1), 5, "movzx ecx, byte [r12+rsi]");
    cr_expect_eq(native_bytes(entered, COUNT(entered), 3), 4, "add rdi, 1");
    cr_expect_eq(native_bytes(entered, COUNT(entered), 5), 4, "add rdx, -1");
}

Test(jit_short, upper_halves_that_are_read_are_right)
{
    static const struct vm_insn carry[] = {LDDW_LOW(1, 0, 0xffffffff),
                                           LDDW_HIGH(0xffffffff),
                                           ADD_IMM(1, 1),
                                           MOV_REG(0, 1),
                                           RSH(0, 32),
                                           EXIT};
    expect_result(carry, COUNT(carry), 1);
    static const struct vm_insn kept[] = {MOV_IMM(6, -1), CALL_LOCAL(2), MOV_REG(0, 6), EXIT,
                                          ADD_IMM(6, 1),  MOV_REG(0, 6), EXIT};
    expect_result(kept, COUNT(kept), UINT64_MAX);
}
