/* SPDX-License-Identifier: Apache-2.0 */
/* What a fault tells: the registers before the instruction, on both engines, and which argument of
 * a helper was no good. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/asm.h"
#include "tests/support/machine.h"

#define EVERY_REGISTER                                                                             \
    "lddw r0, 0x1000000000000000\n"                                                                \
    "mov r1, 0x11\n"                                                                               \
    "mov r2, -2\n"                                                                                 \
    "mov r3, 0x33\n"                                                                               \
    "mov r4, 0x44\n"                                                                               \
    "lddw r5, 0x5500000000\n"                                                                      \
    "mov r6, 0x66\n"                                                                               \
    "mov r7, 0x77\n"                                                                               \
    "lddw r8, 0x8888888888888888\n"                                                                \
    "mov r9, 0x99\n"
/* What comes after the fault reads them all, so that compiled code keeps them. */
#define USE_EVERY_REGISTER                                                                         \
    "add r0, r1\nadd r0, r2\nadd r0, r3\nadd r0, r4\nadd r0, r5\n"                                 \
    "add r0, r6\nadd r0, r7\nadd r0, r8\nadd r0, r9\nadd r0, r10\nexit\n"

static const uint64_t every_register[11] = {
    0x1000000000000000, 0x11, (uint64_t)-2, 0x33, 0x44, 0x5500000000, 0x66, 0x77,
    0x8888888888888888, 0x99, 0x2020000};

/* What the outcome names belongs to the program: the caller frees it. */
static struct vm_program *run(const struct vm_engine *engine, const char *text,
                              struct t_outcome *out)
{
    struct t_asm a;
    struct vm_diag diag = {.text = ""};

    cr_assert(t_assemble(&a, text, t_helpers, t_helper_count), "%s", a.error);
    struct vm_program *program = t_program(a.insns, a.count, &diag);
    cr_assert_not_null(program, "%s", diag.text);
    cr_assert(t_run_program(engine, program, &(struct t_input){0}, out, &diag), "%s", diag.text);
    cr_assert_eq(out->state, VM_STATE_FAULT);
    t_asm_free(&a);
    return program;
}

/* `wanted` are the registers that must be known, on either engine. */
static void expect(const char *text, enum vm_fault_kind kind, uint32_t wanted)
{
    struct t_outcome out[T_ENGINE_COUNT];
    struct vm_program *program[T_ENGINE_COUNT];

    for (int e = 0; e < T_ENGINE_COUNT; e++) {
        const struct vm_fault *f = &out[e].fault;
        program[e] = run(t_engines[e], text, &out[e]);
        cr_assert_eq(f->kind, kind);
        cr_assert_eq(f->regs_known & wanted, wanted, "%s: known %#x", vm_engine_name(t_engines[e]),
                     f->regs_known);
        for (int i = 0; i < 11; i++)
            if (wanted >> i & 1)
                cr_assert_eq(f->regs[i], every_register[i], "%s: r%d is %#lx",
                             vm_engine_name(t_engines[e]), i, f->regs[i]);
    }
    cr_assert_null(t_difference(&out[0], &out[1]), "%s", t_difference(&out[0], &out[1]));
    for (int e = 0; e < T_ENGINE_COUNT; e++)
        vm_program_free(program[e]);
    t_thread_end();
}

Test(fault_registers, loads_and_stores)
{
    expect(EVERY_REGISTER "ldxdw r1, [r1+0]\n" USE_EVERY_REGISTER, VM_FAULT_READ, 0x7ff);
    expect(EVERY_REGISTER "stxdw [r4+8], r5\n" USE_EVERY_REGISTER, VM_FAULT_WRITE, 0x7ff);
    expect(EVERY_REGISTER "stb [r3-1], 7\n" USE_EVERY_REGISTER, VM_FAULT_WRITE, 0x7ff);
}

Test(fault_registers, atomics)
{
    expect(EVERY_REGISTER "atomic_fetch_or [r4+4], r5\n" USE_EVERY_REGISTER, VM_FAULT_WRITE, 0x7ff);
    expect(EVERY_REGISTER "atomic_add [r9+0], r5\n" USE_EVERY_REGISTER, VM_FAULT_MISALIGNED, 0x7ff);
    expect(EVERY_REGISTER "atomic_fetch_xor [r3+0], r0\n" USE_EVERY_REGISTER, VM_FAULT_MISALIGNED,
           0x7ff);
}

Test(fault_registers, callx)
{
    expect(EVERY_REGISTER "callx r7\n" USE_EVERY_REGISTER, VM_FAULT_CALLX, 0x7fe);
}

/* r0 is written by the helper, so nobody keeps what it was. */
Test(fault_registers, helpers)
{
    expect(EVERY_REGISTER "call sum_bytes\n" USE_EVERY_REGISTER, VM_FAULT_HELPER, 0x7c6);
    expect(EVERY_REGISTER "call refuse\n" USE_EVERY_REGISTER, VM_FAULT_HELPER, 0x7c0);
}

/* Registers the program never reads again are not told wrong, but left out. */
Test(fault_registers, dead_ones)
{
    struct t_outcome out;
    struct vm_program *program;

    program = run(&jit_x86_64, "mov r0, 1\ncall minus_one\nldxb r0, [r6+8]\nexit\n", &out);
    cr_assert_eq(out.fault.regs_known & 1u << 6, 1u << 6);
    cr_assert_eq(out.fault.regs[6], 0);
    cr_assert_eq(out.fault.regs_known & 0x3e, 0, "host values must not show");
    vm_program_free(program);
    t_thread_end();
}

static void format(const char *parameters, uint32_t argument, uint64_t bytes, const char *wanted)
{
    struct vm_fault fault = {.kind = VM_FAULT_HELPER,
                             .insn = VM_NO_INSN,
                             .function = "f",
                             .helper = "h",
                             .text = "is not readable",
                             .argument = argument,
                             .parameters = parameters,
                             .span_start = 16,
                             .span_bytes = bytes};
    char text[128];

    vm_fault_format(&fault, text, sizeof text);
    cr_assert_str_eq(text, wanted);
}

Test(fault_text, names_the_argument)
{
    static const char list[] = "(const char *msg, zs_u64 len, void *out_2)";

    format(list, 1, 5, "h: argument 1 (msg): 0x10..0x15 is not readable in f");
    format(list, 2, 5, "h: argument 2 (len): 0x10..0x15 is not readable in f");
    format(list, 3, 0, "h: argument 3 (out_2): 0x10 is not readable in f");
    format(list, 4, 5, "h: argument 4: 0x10..0x15 is not readable in f");
    format(NULL, 1, 5, "h: argument 1: 0x10..0x15 is not readable in f");
    format("", 5, 5, "h: argument 5: 0x10..0x15 is not readable in f");
    format("(", 2, 5, "h: argument 2: 0x10..0x15 is not readable in f");
    format(list, 0, 5, "h: is not readable in f");
}

/* r1 is an address later: of its upper half nothing is told, rather than what a shift made of a
 * lower half alone. */
Test(fault_registers, upper_halves_are_right_or_zero)
{
    static struct t_outcome out[T_ENGINE_COUNT];
    struct vm_program *program[T_ENGINE_COUNT];

    for (int e = 0; e < T_ENGINE_COUNT; e++)
        program[e] =
            run(t_engines[e],
                "stdw [r10-8], -1\n stdw [r10-16], 4\n ldxdw r1, [r10-8]\n"
                "ldxdw r3, [r10-16]\n lddw r4, 0x123456789abcdef\n mul r1, r4\n lsh r1, r3\n"
                "mov r2, 8\n ldxb r0, [r2+0]\n ldxb r0, [r1+0]\n exit\n",
                &out[e]);
    cr_expect_null(t_difference(&out[0], &out[1]), "r1 is %#lx, want %#lx", out[1].fault.regs[1],
                   out[0].fault.regs[1]);
    for (int e = 0; e < T_ENGINE_COUNT; e++)
        vm_program_free(program[e]);
}
