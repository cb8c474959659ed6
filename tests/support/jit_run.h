/* SPDX-License-Identifier: Apache-2.0 */
/* Programs for the tests of the x86-64 compiler: written by macros or at random, run on the
 * interpreter and on the compiler with BMI2 and without, and without its optimisations, which must
 * agree. */
#ifndef TESTS_SUPPORT_JIT_RUN_H
#define TESTS_SUPPORT_JIT_RUN_H

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
#define LSH(d, i)         INSN(0x67, d, 0, 0, i)
#define RSH(d, i)         INSN(0x77, d, 0, 0, i)
#define MOV32_REG(d, s)   INSN(0xbc, d, s, 0, 0)
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

static inline struct vm_code *prepare_without_bmi2(const struct vm_program *program,
                                                   struct vm_diag *diag)
{
    return jit_compile(program, &(struct jit_options){.no_bmi2 = true}, diag);
}

static inline struct vm_code *prepare_plain(const struct vm_program *program, struct vm_diag *diag)
{
    return jit_compile(program, &(struct jit_options){.without = JIT_OPTIMISATIONS}, diag);
}

/* The engines under test; the first is the oracle. */
static inline const struct vm_engine *engine(unsigned index)
{
    static struct vm_engine without_bmi2, plain;
    static const struct vm_engine *const all[] = {&vm_interp, &jit_x86_64, &without_bmi2, &plain};
    without_bmi2 = plain = jit_x86_64;
    plain.prepare = prepare_plain;
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

static inline struct vm_program *program_of(const struct vm_insn *insns, uint32_t count)
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

/* Native bytes of the instructions from `first` up to `end`. */
static inline uint32_t native_range(const struct vm_insn *insns, uint32_t count, uint32_t first,
                                    uint32_t end)
{
    struct vm_program *program = program_of(insns, count);
    struct vm_image *image = vm_image_create(&jit_x86_64, program, NULL);
    cr_assert_not_null(image);
    size_t bytes;
    const uint32_t *offsets;
    jit_code(image, &bytes, &offsets);
    uint32_t result = offsets[end] - offsets[first];
    vm_image_free(image);
    vm_program_free(program);
    return result;
}

static inline struct outcome run_on(struct vm_thread *thread, const struct vm_engine *on,
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
static inline struct outcome run_all(const struct vm_insn *insns, uint32_t count,
                                     const uint64_t args[5])
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

static inline void expect_result(const struct vm_insn *insns, uint32_t count, uint64_t want)
{
    struct outcome out = run_all(insns, count, NULL);
    cr_expect_eq(out.state, VM_STATE_DONE);
    cr_expect_eq(out.result, want, "%#" PRIx64 ", not %#" PRIx64, out.result, want);
}

static inline void expect_fault(const struct vm_insn *insns, uint32_t count,
                                enum vm_fault_kind kind, uint32_t address, uint32_t insn)
{
    struct outcome out = run_all(insns, count, NULL);
    cr_expect_eq(out.state, VM_STATE_FAULT);
    cr_expect_eq(out.fault.kind, kind);
    cr_expect_eq(out.fault.address, address, "%#x, not %#x", out.fault.address, address);
    cr_expect_eq(out.fault.insn, insn);
}

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

static inline uint32_t random_below(uint32_t bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % bound;
}

static inline uint64_t random_value(void)
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

static inline void add(struct builder *b, struct vm_insn insn)
{
    cr_assert(b->count < INSN_COUNT_RANDOM);
    b->insns[b->count++] = insn;
}

static inline void add_lddw(struct builder *b, unsigned reg, uint64_t value)
{
    add(b, LDDW_LOW(reg, 0, value));
    add(b, LDDW_HIGH(value));
}

/* r0..r9 and the 64 bytes of stack from r10 - 64 get values. */
static inline void add_start(struct builder *b)
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
static inline void add_end(struct builder *b)
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

static inline uint64_t helper_mix(struct vm_context *context, const struct vm_arg arg[5])
{
    uint64_t mixed = 0;
    (void)context;
    cr_assert_eq((uintptr_t)__builtin_frame_address(0) % 16, 0, "the stack is misaligned");
    for (unsigned i = 0; i < 5; i++) {
        mixed = mixed * 10 + arg[i].value;
    }
    return mixed;
}

static inline uint64_t scalar_mix(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5,
                                  struct vm_context *context)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    cr_assert_eq(frame % 16, 0, "the stack is misaligned");
    cr_assert_null(vm_context_host(context));
    return (((r1 * 10 + r2) * 10 + r3) * 10 + r4) * 10 + r5;
}

#define SCALARS                                                                                    \
    {                                                                                              \
        VM_ARG_SCALAR, VM_ARG_SCALAR, VM_ARG_SCALAR, VM_ARG_SCALAR, VM_ARG_SCALAR                  \
    }

static inline void use_helpers(void)
{
    static const struct vm_helper mix = {.name = "mix", .fn = helper_mix, .kind = SCALARS};
    static const struct vm_helper direct = {
        .name = "direct", .kind = SCALARS, .scalar = scalar_mix};
    static const struct vm_helper *const helpers[] = {&mix, &mix, &direct};
    test_helpers = helpers;
    test_helper_count = COUNT(helpers);
}

#endif
