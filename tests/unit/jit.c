/* SPDX-License-Identifier: Apache-2.0 */
/* The x86-64 compiler: its results and faults against the interpreter's, with BMI2 and without, and
 * the sizes it predicts. What lies beneath it is tested in jit_emit.c. */
#include <criterion/criterion.h>

#include <inttypes.h>

#include "jit-x86_64/compile.h"
#include "jit-x86_64/jit.h"
#include "vm/engine.h"

/* ---- running programs ----------------------------------------------------------------------- */

#define INSN(c, d, s, o, i)                                                                        \
    ((struct vm_insn){                                                                             \
        .code = (c), .dst = (d), .src = (s), .off = (int16_t)(o), .imm = (int32_t)(i)})
#define MOV_IMM(d, i)     INSN(0xb7, d, 0, 0, i)
#define MOV_REG(d, s)     INSN(0xbf, d, s, 0, 0)
#define ADD_IMM(d, i)     INSN(0x07, d, 0, 0, i)
#define ADD_REG(d, s)     INSN(0x0f, d, s, 0, 0)
#define MUL_IMM(d, i)     INSN(0x27, d, 0, 0, i)
#define LDX64(d, s, o)    INSN(0x79, d, s, o, 0)
#define STX64(d, o, s)    INSN(0x7b, d, s, o, 0)
#define JA(o)             INSN(0x05, 0, 0, o, 0)
#define JA32(i)           INSN(0x06, 0, 0, 0, i)
#define JNE_IMM(d, i, o)  INSN(0x55, d, 0, o, i)
#define CALL_HELPER(i)    INSN(0x85, 0, 0, 0, i)
#define CALL_LOCAL(i)     INSN(0x85, 0, 1, 0, i)
#define CALLX(d)          INSN(0x8d, d, 0, 0, 0)
#define EXIT              INSN(0x95, 0, 0, 0, 0)
#define LDDW_LOW(d, s, v) INSN(0x18, d, s, 0, (uint32_t)(v))
#define LDDW_HIGH(v)      INSN(0, 0, 0, 0, (uint32_t)((uint64_t)(v) >> 32))
#define COUNT(array)      (uint32_t)(sizeof(array) / sizeof((array)[0]))
#define INSN_COUNT_RANDOM 512u

static struct vm_code *prepare_without_bmi2(const struct vm_program *program, struct vm_diag *diag)
{
    return jit_compile(program, &(struct jit_options){.no_bmi2 = true}, diag);
}

/* The engines under test; the first is the oracle. */
static const struct vm_engine *engine(unsigned index)
{
    static struct vm_engine without_bmi2;
    static const struct vm_engine *const all[] = {&vm_interp, &jit_x86_64, &without_bmi2};
    without_bmi2 = jit_x86_64;
    without_bmi2.prepare = prepare_without_bmi2;
    return index < COUNT(all) ? all[index] : NULL;
}

struct outcome {
    enum vm_state state;
    uint64_t result;
    struct vm_fault fault;
    unsigned preempted_count;
};

static const struct vm_helper *const *test_helpers;
static uint32_t test_helper_count;

static struct vm_program *program_of(const struct vm_insn *insns, uint32_t count)
{
    struct vm_diag diag = {.text = ""};
    struct vm_program_desc desc = {.name = "test",
                                   .insns = insns,
                                   .insn_count = count,
                                   .helpers = test_helpers,
                                   .helper_count = test_helper_count};
    struct vm_program *program = vm_program_create(&desc, &diag);
    cr_assert_not_null(program, "%s", diag.text);
    return program;
}

static struct outcome run_on(struct vm_thread *thread, const struct vm_engine *on,
                             const struct vm_program *program, const uint64_t args[5])
{
    struct vm_diag diag = {.text = ""};
    struct vm_image *image = vm_image_create(on, program, &diag);
    cr_assert_not_null(image, "%s", diag.text);
    struct vm_run *run = vm_run_start(thread, image, NULL, NULL);
    cr_assert_not_null(run);
    struct outcome out = {.state = VM_STATE_PREEMPTED};
    if (args != NULL) {
        vm_run_set_args(run, args);
    }
    while ((out.state = vm_run_resume(run)) == VM_STATE_PREEMPTED) {
        out.preempted_count++;
    }
    if (out.state == VM_STATE_DONE) {
        out.result = vm_run_result(run);
    } else {
        out.fault = *vm_run_fault(run);
    }
    vm_run_free(run);
    vm_thread_forget(thread, image);
    vm_image_free(image);
    return out;
}

/* Runs on all engines, which must agree; returns what the oracle says. */
static struct outcome run_all(const struct vm_insn *insns, uint32_t count, const uint64_t args[5])
{
    struct vm_thread *thread =
        vm_thread_create(&(struct vm_thread_config){.budget_ms = 20000}, NULL);
    cr_assert_not_null(thread);
    struct vm_program *program = program_of(insns, count);
    struct outcome want = run_on(thread, engine(0), program, args);
    for (unsigned i = 1; engine(i) != NULL; i++) {
        struct outcome got = run_on(thread, engine(i), program, args);
        cr_expect_eq(got.state, want.state, "engine %u: state %d, not %d", i, got.state,
                     want.state);
        cr_expect_eq(got.result, want.result, "engine %u: %#" PRIx64 ", not %#" PRIx64, i,
                     got.result, want.result);
        cr_expect_eq(got.fault.kind, want.fault.kind, "engine %u: fault %d, not %d", i,
                     got.fault.kind, want.fault.kind);
        cr_expect_eq(got.fault.address, want.fault.address, "engine %u: address %#x, not %#x", i,
                     got.fault.address, want.fault.address);
        cr_expect_eq(got.fault.insn, want.fault.insn, "engine %u: instruction %u, not %u", i,
                     got.fault.insn, want.fault.insn);
    }
    vm_program_free(program);
    vm_thread_free(thread);
    return want;
}

static void expect_result(const struct vm_insn *insns, uint32_t count, uint64_t want)
{
    struct outcome out = run_all(insns, count, NULL);
    cr_expect_eq(out.state, VM_STATE_DONE);
    cr_expect_eq(out.result, want, "%#" PRIx64 ", not %#" PRIx64, out.result, want);
}

static void expect_fault(const struct vm_insn *insns, uint32_t count, enum vm_fault_kind kind,
                         uint32_t address, uint32_t insn)
{
    struct outcome out = run_all(insns, count, NULL);
    cr_expect_eq(out.state, VM_STATE_FAULT);
    cr_expect_eq(out.fault.kind, kind);
    cr_expect_eq(out.fault.address, address, "%#x, not %#x", out.fault.address, address);
    cr_expect_eq(out.fault.insn, insn);
}

/* ---- every instruction, every register, boundary values ------------------------------------- */

static const uint64_t boundary[] = {0,
                                    1,
                                    2,
                                    31,
                                    32,
                                    63,
                                    64,
                                    0x7f,
                                    0x80,
                                    0xff,
                                    0x7fff,
                                    0x8000,
                                    0x7fffffff,
                                    0x80000000,
                                    0xffffffff,
                                    0x100000000,
                                    0x123456789abcdef0,
                                    0x7fffffffffffffff,
                                    0x8000000000000000,
                                    0xfffffffffffffffe,
                                    0xffffffffffffffff};

static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % bound;
}

static uint64_t random_value(void)
{
    if (random_below(4) == 0) {
        return (uint64_t)random_below(UINT32_MAX) << 32 | random_below(UINT32_MAX);
    }
    return boundary[random_below(COUNT(boundary))];
}

struct builder {
    struct vm_insn insns[INSN_COUNT_RANDOM];
    uint32_t count;
};

static void add(struct builder *b, struct vm_insn insn)
{
    cr_assert(b->count < INSN_COUNT_RANDOM);
    b->insns[b->count++] = insn;
}

static void add_lddw(struct builder *b, unsigned reg, uint64_t value)
{
    add(b, LDDW_LOW(reg, 0, value));
    add(b, LDDW_HIGH(value));
}

/* r0..r9 and the 64 bytes of stack from r10 - 64 get values. */
static void add_start(struct builder *b)
{
    for (int slot = -64; slot < 0; slot += 8) {
        add_lddw(b, 0, random_value());
        add(b, STX64(10, slot, 0));
    }
    for (unsigned reg = 0; reg < 10; reg++) {
        add_lddw(b, reg, random_value());
    }
}

/* Folds all registers and the stack into r0. */
static void add_end(struct builder *b)
{
    for (unsigned reg = 1; reg < 10; reg++) {
        add(b, MUL_IMM(0, 31));
        add(b, ADD_REG(0, reg));
    }
    for (int slot = -64; slot < 0; slot += 8) {
        add(b, LDX64(1, 10, slot));
        add(b, MUL_IMM(0, 31));
        add(b, ADD_REG(0, 1));
    }
    add(b, EXIT);
}

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

Test(jit, divides_by_constants)
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

static uint64_t helper_mix(struct vm_context *context, const struct vm_arg arg[5])
{
    uint64_t mixed = 0;
    (void)context;
    cr_assert_eq((uintptr_t)__builtin_frame_address(0) % 16, 0, "the stack is misaligned");
    for (unsigned i = 0; i < 5; i++) {
        mixed = mixed * 10 + arg[i].value;
    }
    return mixed;
}

#define SCALARS                                                                                    \
    {                                                                                              \
        VM_ARG_SCALAR, VM_ARG_SCALAR, VM_ARG_SCALAR, VM_ARG_SCALAR, VM_ARG_SCALAR                  \
    }

static void use_helpers(void)
{
    static const struct vm_helper mix = {.name = "mix", .fn = helper_mix, .kind = SCALARS};
    static const struct vm_helper *const helpers[] = {&mix, &mix};
    test_helpers = helpers;
    test_helper_count = COUNT(helpers);
}

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

/* Native bytes of instruction `insn`. */
static uint32_t native_bytes(const struct vm_insn *insns, uint32_t count, uint32_t insn)
{
    struct vm_program *program = program_of(insns, count);
    struct vm_image *image = vm_image_create(&jit_x86_64, program, NULL);
    cr_assert_not_null(image);
    size_t bytes;
    const uint32_t *offsets;
    jit_code(image, &bytes, &offsets);
    uint32_t result = offsets[insn + 1] - offsets[insn];
    vm_image_free(image);
    vm_program_free(program);
    return result;
}

Test(jit, calls_do_only_what_is_wanted)
{
    static const struct vm_insn leaf[] = {CALL_LOCAL(2), ADD_IMM(0, 1), EXIT, MOV_IMM(0, 1), EXIT};
    cr_expect_eq(native_bytes(leaf, COUNT(leaf), 0), 2 + 5 + 2, "push r11, call, pop r11");
    use_helpers();
    static const struct vm_insn none[] = {CALL_HELPER(0), EXIT};
    static const struct vm_insn two[] = {CALL_HELPER(0), ADD_REG(0, 1), ADD_REG(0, 3), EXIT};
    cr_expect_eq(native_bytes(two, COUNT(two), 0) - native_bytes(none, COUNT(none), 0), 2 + 2,
                 "two are cleared");
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

/* ---- instructions lowered together ----------------------------------------------------------- */

#define LSH(d, i)  INSN(0x67, d, 0, 0, i)
#define RSH(d, i)  INSN(0x77, d, 0, 0, i)
#define ARSH(d, i) INSN(0xc7, d, 0, 0, i)

Test(jit, shift_pairs_widen)
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
    cr_expect_eq(native_bytes(pair, COUNT(pair), 2), 2, "mov eax, edi");
}

Test(jit, jumps_into_shift_pairs_run_what_is_left)
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

Test(jit, flags_of_the_instruction_before_a_jump)
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

Test(jit, held_addresses_follow_their_register)
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
    cr_expect_eq(text[offsets[2]], 0xe9, "a far jump is near");
    cr_expect_eq(offsets[6] - offsets[5], 4 + 2, "cmp and a short jump over one instruction");
    vm_image_free(image);
    vm_program_free(program);
}

Test(jit, jumps_are_short_up_to_the_last_byte)
{
    /* `gap` moves of 3 bytes and one of 2 around the reach of a short jump. */
    for (unsigned gap = 30; gap < 60; gap++) {
        struct builder b = {.count = 0};
        add(&b, MOV_IMM(1, 3));
        add(&b, JNE_IMM(1, 0, (int)gap));
        for (unsigned i = 0; i < gap; i++) {
            add(&b, MOV_REG(2, 3));
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
        uint32_t forward = offsets[2] - offsets[1] - 3; /* without the test */
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
    cr_expect_eq(jit_x86_64.insn_at(image->code, text + offsets[0] - 1), VM_NO_INSN);
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
