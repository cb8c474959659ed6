/* SPDX-License-Identifier: Apache-2.0 */
/* The x86-64 compiler: its results and faults against the interpreter's, with BMI2 and without, and
 * the sizes it predicts. What lies beneath it is tested in jit_emit.c, what makes its code short in
 * jit_short.c. */
#include "tests/support/jit_run.h"

#include <dlfcn.h>

/* ---- every instruction, every register, boundary values ------------------------------------- */

static bool is_access(const struct vm_isa_row *row)
{
    return row->group == VM_GROUP_LDX || row->group == VM_GROUP_LDSX || row->group == VM_GROUP_ST ||
           row->group == VM_GROUP_STX || row->group == VM_GROUP_ATOMIC;
}

/* An access to the prepared stack, half of the time through another register than r10, whose upper
 * half is garbage. */
static void add_access(struct builder *b, const struct vm_isa_row *row, struct vm_insn insn)
{
    bool is_load = row->group == VM_GROUP_LDX || row->group == VM_GROUP_LDSX;
    unsigned base = random_below(2) == 0 ? 10 : random_below(10);
    int bytes = row->width / 8;
    int room = 64 / bytes;
    int off = (int)random_below((uint32_t)room) * bytes - 64;
    insn.off = (int16_t)off;
    if (base != 10) {
        uint64_t shift = random_below(16) * 8;
        add_lddw(b, base, (random_value() << 32) | (VM_STACK_TOP + shift));
        insn.off = (int16_t)(off - (int)shift);
    }
    if (is_load) {
        insn.src = base & 15;
    } else {
        insn.dst = base & 15;
    }
    if (row->group == VM_GROUP_ATOMIC) {
        insn.imm = row->sub;
    }
    add(b, insn);
}

/* Some instance of row `ix`; rows that call or end are left to other tests. */
static void add_instance(struct builder *b, enum vm_ix ix)
{
    const struct vm_isa_row *row = &vm_isa[ix];
    struct vm_insn insn = INSN(row->code, random_below(10), 0, 0, 0);
    if (row->fields & F_SRC) {
        insn.src = random_below(10) & 15;
    }
    if (row->fields & F_IMM) {
        insn.imm = (int32_t)random_value();
    }
    if (is_access(row)) {
        add_access(b, row, insn);
    } else if (row->group == VM_GROUP_END) {
        insn.imm = row->sub;
        add(b, insn);
    } else if (row->group == VM_GROUP_ALU) {
        bool is_shift = ix == VM_IX_LSH64_IMM || ix == VM_IX_RSH64_IMM || ix == VM_IX_ARSH64_IMM ||
                        ix == VM_IX_LSH32_IMM || ix == VM_IX_RSH32_IMM || ix == VM_IX_ARSH32_IMM;
        insn.imm = is_shift ? insn.imm & (row->width - 1) : insn.imm;
        insn.off = row->sub;
        add(b, insn);
    } else if (row->group == VM_GROUP_JMP) {
        insn.off = 1;
        add(b, insn);
        add(b, ADD_IMM(random_below(10), 1));
    }
}

static void random_program(struct builder *b, enum vm_ix first)
{
    b->count = 0;
    add_start(b);
    for (unsigned i = 0; i < 20; i++) {
        add_instance(b, i % 4 == 0 ? first : (enum vm_ix)random_below(VM_IX_COUNT));
    }
    add_end(b);
}

Test(jit, agrees_with_the_interpreter_on_every_row)
{
    struct vm_thread *thread =
        vm_thread_create(&(struct vm_thread_config){.budget_ms = 20000}, NULL);
    static struct builder b;
    for (unsigned round = 0; round < 12; round++) {
        for (unsigned ix = 0; ix < VM_IX_COUNT; ix++) {
            random_state = round * 1000 + ix;
            random_program(&b, (enum vm_ix)ix);
            struct vm_program *program = program_of(b.insns, b.count);
            struct outcome want = run_on(thread, engine(0), program, NULL);
            cr_assert_eq(want.state, VM_STATE_DONE, "row %u round %u", ix, round);
            for (unsigned i = 1; engine(i) != NULL; i++) {
                struct outcome got = run_on(thread, engine(i), program, NULL);
                cr_assert_eq(got.state, VM_STATE_DONE);
                cr_assert_eq(got.result, want.result, "engine %u, %s (row %u), round %u", i,
                             vm_isa[ix].mnemonic, ix, round);
            }
            vm_program_free(program);
        }
    }
    vm_thread_free(thread);
}

/* dst and src in all pairs, for what x86 ties to rax, rcx and rdx. */
static void check_pairs(enum vm_ix ix)
{
    struct vm_thread *thread =
        vm_thread_create(&(struct vm_thread_config){.budget_ms = 20000}, NULL);
    static struct builder b;
    for (unsigned pair = 0; pair < 100; pair++) {
        random_state = ix * 100 + pair;
        b.count = 0;
        add_start(&b);
        for (unsigned i = 0; i < 8; i++) {
            add_lddw(&b, pair / 10, random_value());
            add_lddw(&b, pair % 10, random_value());
            add(&b, INSN(vm_isa[ix].code, pair / 10, pair % 10, vm_isa[ix].sub, 0));
            add(&b, STX64(10, -8 * (int)(i % 8 + 1), pair / 10));
        }
        add_end(&b);
        struct vm_program *program = program_of(b.insns, b.count);
        struct outcome want = run_on(thread, engine(0), program, NULL);
        for (unsigned i = 1; engine(i) != NULL; i++) {
            struct outcome got = run_on(thread, engine(i), program, NULL);
            cr_expect_eq(got.result, want.result, "engine %u: %s r%u, r%u", i, vm_isa[ix].mnemonic,
                         pair / 10, pair % 10);
        }
        vm_program_free(program);
    }
    vm_thread_free(thread);
}

Test(jit, divides_and_shifts_in_all_register_pairs)
{
    static const enum vm_ix rows[] = {
        VM_IX_DIV64_REG,  VM_IX_SDIV64_REG, VM_IX_MOD64_REG,  VM_IX_SMOD64_REG, VM_IX_DIV32_REG,
        VM_IX_SDIV32_REG, VM_IX_MOD32_REG,  VM_IX_SMOD32_REG, VM_IX_LSH64_REG,  VM_IX_RSH64_REG,
        VM_IX_ARSH64_REG, VM_IX_LSH32_REG,  VM_IX_RSH32_REG,  VM_IX_ARSH32_REG};
    for (unsigned i = 0; i < COUNT(rows); i++) {
        check_pairs(rows[i]);
    }
}

/* ---- calls ---------------------------------------------------------------------------------- */

Test(jit, helpers_take_five_arguments_and_leave_zeros)
{
    static const struct vm_insn insns[] = {
        MOV_IMM(1, 1),  MOV_IMM(2, 2),  MOV_IMM(3, 3), MOV_IMM(4, 4), MOV_IMM(5, 5), MOV_IMM(6, 70),
        MOV_IMM(9, 90), CALL_HELPER(1), ADD_REG(0, 1), ADD_REG(0, 2), ADD_REG(0, 3), ADD_REG(0, 4),
        ADD_REG(0, 5),  ADD_REG(0, 6),  ADD_REG(0, 9), EXIT,
    };
    use_helpers();
    expect_result(insns, COUNT(insns), 12345 + 160);
}

Test(jit, scalar_helpers_leave_zeros_and_saved_registers)
{
    static const struct vm_insn insns[] = {
        MOV_IMM(1, 1),  MOV_IMM(2, 2),  MOV_IMM(3, 3), MOV_IMM(4, 4), MOV_IMM(5, 5), MOV_IMM(6, 70),
        MOV_IMM(9, 90), CALL_HELPER(2), ADD_REG(0, 1), ADD_REG(0, 2), ADD_REG(0, 3), ADD_REG(0, 4),
        ADD_REG(0, 5),  ADD_REG(0, 6),  ADD_REG(0, 9), EXIT,
    };
    use_helpers();
    expect_result(insns, COUNT(insns), 12345 + 160);
}

/* The tick nearly always comes inside the helper, and the run must be switched out all the same. */
Test(jit, scalar_helpers_yield_when_they_return)
{
    static const struct vm_insn insns[] = {
        LDDW_LOW(6, 0, 1000000), LDDW_HIGH(0),   MOV_IMM(7, 0),     MOV_REG(5, 6), CALL_HELPER(2),
        ADD_REG(7, 0),           ADD_IMM(6, -1), JNE_IMM(6, 0, -5), MOV_REG(0, 7), EXIT,
    };
    use_helpers();
    expect_result(insns, COUNT(insns), 1000000ull * 1000001 / 2);
}

/* One function of this program and one of the C library: no place is near both. */
Test(jit, scalar_helpers_may_be_far_apart)
{
    struct vm_helper far = {.name = "labs", .kind = {VM_ARG_SCALAR}};
    struct vm_helper near = {.name = "mix", .kind = SCALARS, .scalar = scalar_mix};
    const struct vm_helper *const helpers[] = {&near, &far};
    static const struct vm_insn insns[] = {CALL_HELPER(0), MOV_REG(1, 0), ADD_IMM(1, -7),
                                           CALL_HELPER(1), EXIT};
    void *labs_ = dlsym(RTLD_DEFAULT, "labs");
    cr_assert_not_null(labs_);
    memcpy(&far.scalar, &labs_, sizeof(labs_));
    test_helpers = helpers;
    test_helper_count = COUNT(helpers);
    expect_result(insns, COUNT(insns), 7);
}

Test(jit, scalar_helpers_with_pointers_are_refused)
{
    static const struct vm_helper bad = {
        .name = "bad", .kind = {VM_ARG_READ8}, .scalar = scalar_mix};
    static const struct vm_helper *const helpers[] = {&bad};
    static const struct vm_insn insns[] = {CALL_HELPER(0), EXIT};
    struct vm_diag diag;
    struct vm_program_desc desc = {
        .name = "test", .insns = insns, .insn_count = 2, .helpers = helpers, .helper_count = 1};
    cr_expect_null(vm_program_create(&desc, &diag));
    cr_expect_eq(diag.error, VM_ERROR_USAGE);
    cr_expect_str_eq(diag.text, "helper bad: a scalar function takes no pointers");
}

Test(jit, local_calls_keep_saved_registers_frames_and_alignment)
{
    /* f(n) = n == 0 ? mix(1, 0, 0, 0, 0) : f(n - 1) + n, with n kept in r6 and on the stack. */
    static const struct vm_insn insns[] = {
        MOV_IMM(6, 1000),
        MOV_IMM(1, 20),
        CALL_LOCAL(2),
        ADD_REG(0, 6),
        EXIT,
        /* 5: */
        JNE_IMM(1, 0, 3),
        MOV_IMM(1, 1),
        CALL_HELPER(0),
        EXIT,
        /* 9: */
        MOV_REG(6, 1),
        STX64(10, -8, 1),
        ADD_IMM(1, -1),
        CALL_LOCAL(-8),
        LDX64(7, 10, -8),
        ADD_REG(0, 7),
        ADD_REG(0, 6),
        EXIT,
    };
    use_helpers();
    expect_result(insns, COUNT(insns), 10000 + 20 * 21 + 1000);
}

Test(jit, zeros_after_helpers_are_seen_wherever_they_are_read)
{
    /* r4 on a later path, r5 by a callee, r3 by the caller of the function that calls the helper.
     */
    static const struct vm_insn insns[] = {
        MOV_IMM(3, 3),
        MOV_IMM(4, 4),
        MOV_IMM(5, 5),
        CALL_LOCAL(4),
        MUL_IMM(0, 10),
        ADD_REG(0, 3),
        ADD_REG(0, 1),
        EXIT,
        /* 8: */
        CALL_HELPER(0),
        MOV_IMM(0, 2),
        MOV_IMM(1, 0),
        JNE_IMM(0, 1, 1),
        EXIT,
        ADD_REG(0, 4),
        CALL_LOCAL(1),
        EXIT,
        /* 16: */
        ADD_REG(0, 5),
        MOV_IMM(1, 6),
        EXIT,
    };
    use_helpers();
    expect_result(insns, COUNT(insns), 26);
}

Test(jit, saves_what_callees_of_callees_change)
{
    static const struct vm_insn insns[] = {
        MOV_IMM(6, 1),
        MOV_IMM(7, 20),
        MOV_IMM(8, 300),
        MOV_IMM(9, 4000),
        CALL_LOCAL(5),
        ADD_REG(0, 6),
        ADD_REG(0, 7),
        ADD_REG(0, 8),
        ADD_REG(0, 9),
        EXIT,
        /* 10: reads its caller's r9, keeps its own r8 */
        MOV_REG(8, 9),
        CALL_LOCAL(2),
        ADD_REG(0, 8),
        EXIT,
        /* 14: */
        MOV_IMM(6, 70000),
        MOV_REG(0, 6),
        MOV_IMM(8, 0),
        EXIT,
    };
    expect_result(insns, COUNT(insns), 74000 + 4321);
}

Test(jit, endless_recursion_is_a_fault)
{
    static const struct vm_insn insns[] = {CALL_LOCAL(1), EXIT, CALL_LOCAL(-1), EXIT};
    expect_fault(insns, COUNT(insns), VM_FAULT_CALL_DEPTH, 0, 2);
}

Test(jit, depth_counts_frames_not_calls)
{
    /* 100 calls in a row, each of which returns. */
    static const struct vm_insn insns[] = {
        MOV_IMM(6, 100),
        CALL_LOCAL(4),
        ADD_IMM(6, -1),
        JNE_IMM(6, 0, -3),
        MOV_REG(0, 6),
        EXIT,
        /* 6: */
        EXIT,
    };
    expect_result(insns, COUNT(insns), 0);
}

/* r6 = the address `low`, then callx r6; the function at 5 returns 7. */
static struct outcome callx_to(uint32_t low)
{
    const struct vm_insn insns[] = {
        LDDW_LOW(6, 0, low),
        LDDW_HIGH(0xabcd00000000),
        CALLX(6),
        ADD_IMM(0, 1),
        EXIT,
        /* 5: */
        MOV_IMM(0, 7),
        EXIT,
        /* 7: makes 5 a function, never runs */
        CALL_LOCAL(-3),
        EXIT,
    };
    struct vm_function functions[] = {{"main", 0, 0, 0}, {"seven", 5, 0, 0}, {"other", 7, 0, 0}};
    struct vm_program_desc desc = {.name = "callx",
                                   .insns = insns,
                                   .insn_count = COUNT(insns),
                                   .functions = functions,
                                   .function_count = COUNT(functions)};
    struct vm_diag diag = {.text = ""};
    struct vm_program *program = vm_program_create(&desc, &diag);
    cr_assert_not_null(program, "%s", diag.text);
    struct vm_thread *thread = vm_thread_create(&(struct vm_thread_config){.budget_ms = 0}, NULL);
    struct outcome want = run_on(thread, engine(0), program, NULL);
    struct outcome got = run_on(thread, engine(1), program, NULL);
    cr_expect_eq(got.state, want.state);
    cr_expect_eq(got.fault.insn, want.fault.insn);
    vm_thread_free(thread);
    vm_program_free(program);
    return got;
}

Test(jit, callx_reaches_function_starts_alone)
{
    struct outcome good = callx_to(VM_CODE_BASE + 8 * 5);
    cr_expect_eq(good.state, VM_STATE_DONE);
    cr_expect_eq(good.result, 8);
    static const uint32_t bad[] = {0,
                                   1,
                                   VM_CODE_BASE - 8,
                                   VM_CODE_BASE + 8 * 1, /* half of an lddw */
                                   VM_CODE_BASE + 8 * 4,
                                   VM_CODE_BASE + 8 * 5 + 1,
                                   VM_CODE_BASE + 8 * 5 + 4,
                                   VM_CODE_BASE + 8 * 6,
                                   VM_CODE_BASE + 8 * 9,
                                   VM_CODE_BASE + 8 * 4096,
                                   0xffffffff};
    for (unsigned i = 0; i < COUNT(bad); i++) {
        struct outcome out = callx_to(bad[i]);
        cr_expect_eq(out.state, VM_STATE_FAULT, "%#x", bad[i]);
        cr_expect_eq(out.fault.kind, VM_FAULT_CALLX);
        cr_expect_eq(out.fault.address, bad[i], "%#x, not %#x", out.fault.address, bad[i]);
        cr_expect_eq(out.fault.insn, 2);
    }
}

/* ---- faults --------------------------------------------------------------------------------- */

Test(jit, accesses_outside_fault_at_both_ends_of_the_window)
{
    static const uint32_t registers[] = {0, 1, 0x8000, VM_CODE_BASE, 0xffff0000, 0xffffffff};
    static const int16_t offsets[] = {-32768, -1, 0, 1, 32767};
    static const enum vm_ix rows[] = {VM_IX_LDX8,  VM_IX_LDX64,  VM_IX_LDSX32, VM_IX_ST16,
                                      VM_IX_STX64, VM_IX_AADD32, VM_IX_AFOR64, VM_IX_ACMPXCHG64};
    for (unsigned n = 0; n < COUNT(registers) * COUNT(offsets) * COUNT(rows); n++) {
        uint32_t at = registers[n % COUNT(registers)];
        int16_t off = offsets[n / COUNT(registers) % COUNT(offsets)];
        const struct vm_isa_row *row = &vm_isa[rows[n / COUNT(registers) / COUNT(offsets)]];
        bool is_load = row->group == VM_GROUP_LDX || row->group == VM_GROUP_LDSX;
        struct vm_insn insns[] = {
            MOV_IMM(2, 0),
            LDDW_LOW(1, 0, at),
            LDDW_HIGH(UINT64_MAX),
            INSN(row->code, is_load ? 2 : 1, is_load ? 1 : 2, off, 0),
            EXIT,
        };
        insns[3].imm = row->group == VM_GROUP_ATOMIC ? row->sub : 0;
        insns[3].src = row->group == VM_GROUP_ST ? 0 : insns[3].src;
        struct outcome out = run_all(insns, COUNT(insns), NULL);
        cr_expect_eq(out.state, VM_STATE_FAULT, "%#x%+d", at, off);
        cr_expect_eq(out.fault.insn, 3);
    }
}

Test(jit, misaligned_atomics_fault_before_touching_memory)
{
    for (int off = 1; off < 8; off++) {
        const struct vm_insn wide[] = {MOV_REG(1, 10), ADD_IMM(1, -16), INSN(0xdb, 1, 0, off, 0x01),
                                       EXIT};
        expect_fault(wide, COUNT(wide), VM_FAULT_MISALIGNED, VM_STACK_TOP - 16 + (uint32_t)off, 2);
        const struct vm_insn unmapped[] = {MOV_IMM(1, off), INSN(0xdb, 1, 0, 8, 0xf1), EXIT};
        expect_fault(unmapped, COUNT(unmapped), VM_FAULT_MISALIGNED, 8 + (uint32_t)off, 1);
    }
    const struct vm_insn aligned[] = {MOV_REG(1, 10),   ADD_IMM(1, -15),
                                      MOV_IMM(0, 5),    INSN(0xdb, 1, 0, 7, 0x00),
                                      LDX64(0, 10, -8), EXIT};
    expect_result(aligned, COUNT(aligned), 5);
}

/* ---- sizes ---------------------------------------------------------------------------------- */

#define FAR_COUNT 30000u

/* Two rounds through much code, entered in the middle, with long jumps both ways across it. */
static const struct vm_insn *far_program(uint32_t *count)
{
    static struct vm_insn insns[FAR_COUNT + 8];
    uint32_t n = 0;
    insns[n++] = MOV_IMM(0, 1);
    insns[n++] = MOV_IMM(6, 2);
    insns[n++] = JA32(FAR_COUNT / 2);
    while (n < FAR_COUNT) {
        insns[n++] = MUL_IMM(0, 1000003);
        insns[n++] = ADD_IMM(0, 12345);
        insns[n++] = JNE_IMM(6, 77, 1);
        insns[n++] = MOV_IMM(0, 0);
    }
    insns[n++] = ADD_IMM(6, -1);
    insns[n] = JNE_IMM(6, 0, 3 - (int)n - 1);
    n++;
    insns[n++] = EXIT;
    *count = n;
    return insns;
}

Test(jit, near_jumps_cross_much_code)
{
    uint32_t count;
    const struct vm_insn *insns = far_program(&count);
    struct outcome out = run_all(insns, count, NULL);
    cr_expect_eq(out.state, VM_STATE_DONE);
    struct vm_program *program = program_of(insns, count);
    struct vm_image *image = vm_image_create(&jit_x86_64, program, NULL);
    cr_assert_not_null(image);
    size_t bytes;
    const uint32_t *offsets;
    const uint8_t *text = jit_code(image, &bytes, &offsets);
    cr_expect_gt(bytes, 65536);
    cr_expect_eq(text[offsets[3] - 5], 0xe9, "a far jump is near");
    cr_expect_eq(offsets[6] - offsets[5], 4 + 2, "cmp and a short jump over one instruction");
    vm_image_free(image);
    vm_program_free(program);
}

Test(jit, jumps_are_short_up_to_the_last_byte)
{
    /* `gap` instructions of 3 bytes and one of 2 around the reach of a short jump. */
    for (unsigned gap = 30; gap < 60; gap++) {
        struct builder b = {.count = 0};
        add(&b, MOV_IMM(1, 3));
        add(&b, JNE_IMM(1, 0, (int)gap));
        for (unsigned i = 0; i < gap; i++) {
            add(&b, INSN(0xaf, 8, 9, 0, 0));
        }
        add(&b, ADD_IMM(1, -1));
        add(&b, JNE_IMM(1, 0, -(int)gap - 1));
        add(&b, MOV_IMM(0, 9));
        add(&b, EXIT);
        expect_result(b.insns, b.count, 9);
        struct vm_program *program = program_of(b.insns, b.count);
        struct vm_image *image = vm_image_create(&jit_x86_64, program, NULL);
        size_t bytes;
        const uint32_t *offsets;
        jit_code(image, &bytes, &offsets);
        uint32_t forward = offsets[2] - offsets[1] - 5 - 3; /* without mov and test */
        cr_expect_eq(forward, 3 * gap <= 127 ? 2 : 6, "gap %u: %u", gap, forward);
        vm_image_free(image);
        vm_program_free(program);
    }
}

Test(jit, every_byte_of_text_maps_to_its_instruction)
{
    static const struct vm_insn insns[] = {
        LDDW_LOW(0, 0, 1), LDDW_HIGH(0x100000000), MOV_REG(1, 1), JA(0), ADD_IMM(0, 1), EXIT};
    struct vm_program *program = program_of(insns, COUNT(insns));
    struct vm_image *image = vm_image_create(&jit_x86_64, program, NULL);
    size_t bytes;
    const uint32_t *offsets;
    uintptr_t text = (uintptr_t)jit_code(image, &bytes, &offsets), start, end;
    jit_x86_64.preemptible(image->code, &start, &end);
    cr_expect_eq(start, text);
    cr_expect_eq(end, text + bytes);
    cr_expect_eq(jit_x86_64.insn_at(image->code, text - 1), VM_NO_INSN);
    cr_expect_eq(jit_x86_64.insn_at(image->code, text + bytes), VM_NO_INSN);
    cr_expect_eq(jit_x86_64.insn_at(image->code, text + offsets[COUNT(insns)]), VM_NO_INSN);
    for (uint32_t i = 0; i < COUNT(insns); i++) {
        cr_expect_leq(offsets[i], offsets[i + 1]);
        for (uint32_t at = offsets[i]; at < offsets[i + 1]; at++) {
            cr_expect_eq(jit_x86_64.insn_at(image->code, text + at), i);
        }
    }
    vm_image_free(image);
    vm_program_free(program);
}

/* As many instructions as a program may have, all `insn`. */
static void expect_too_large(struct vm_insn insn)
{
    static struct vm_insn insns[VM_INSN_COUNT_MAX];
    for (uint32_t i = 0; i < VM_INSN_COUNT_MAX - 1; i++) {
        insns[i] = insn;
    }
    insns[VM_INSN_COUNT_MAX - 1] = EXIT;
    struct vm_program *program = program_of(insns, VM_INSN_COUNT_MAX);
    struct vm_diag diag = {.text = ""};
    cr_expect_null(vm_image_create(&jit_x86_64, program, &diag));
    cr_expect_eq(diag.error, VM_ERROR_TOO_LARGE);
    cr_expect_str_eq(diag.text, "native code would be larger than 64 MiB");
    vm_program_free(program);
}

Test(jit, refuses_programs_with_too_much_code)
{
    expect_too_large(CALLX(6));                         /* seen when measuring */
    expect_too_large(INSN(0xdb, 6, 7, 4096 + 4, 0x41)); /* only with its out-of-line part */
}

/* ---- preemption ----------------------------------------------------------------------------- */

Test(jit, ticks_change_nothing)
{
    /* A loop through everything that keeps state in odd places: division, shifts, atomics, calls.
     */
    static const struct vm_insn insns[] = {
        MOV_IMM(6, 3000000),
        MOV_IMM(7, 1),
        /* 2: */
        MOV_REG(8, 6),
        INSN(0x3f, 8, 7, 0, 0),
        INSN(0x9f, 8, 6, 1, 0),
        ADD_REG(0, 8),
        INSN(0x6f, 8, 6, 0, 0),
        ADD_REG(0, 8),
        STX64(10, -8, 0),
        INSN(0xdb, 10, 8, -8, 0xa1),
        ADD_REG(0, 8),
        MOV_REG(1, 0),
        CALL_LOCAL(5),
        MOV_REG(7, 0),
        ADD_IMM(6, -1),
        JNE_IMM(6, 0, -14),
        LDX64(0, 10, -8),
        EXIT,
        /* 18: */
        MUL_IMM(1, 1000003),
        MOV_REG(0, 1),
        MOV_IMM(6, 5),
        EXIT,
    };
    struct vm_program *program = program_of(insns, COUNT(insns));
    struct vm_thread *thread =
        vm_thread_create(&(struct vm_thread_config){.tick_ms = 1, .budget_ms = 60000}, NULL);
    struct outcome want = run_on(thread, engine(0), program, NULL);
    cr_assert_eq(want.state, VM_STATE_DONE);
    for (unsigned i = 1; engine(i) != NULL; i++) {
        struct outcome got = run_on(thread, engine(i), program, NULL);
        cr_expect_eq(got.state, VM_STATE_DONE);
        cr_expect_eq(got.result, want.result);
        cr_expect_gt(got.preempted_count, 2);
    }
    vm_thread_free(thread);
    vm_program_free(program);
}
