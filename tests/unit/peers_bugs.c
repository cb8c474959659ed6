/* SPDX-License-Identifier: Apache-2.0 */
/* Bugs that other eBPF virtual machines had, each as a test of the contract it broke. The name says
 * where and what; numbers are those of the project's issues or CVEs. Every program runs on all
 * variants of tests/support/variants.h. What the ELF loaders of others got wrong is at the end;
 * what is about native code and where it lies is in peers_code.c. */
#include <criterion/criterion.h>
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jit-x86_64/decode.h"
#include "jit-x86_64/verify.h"
#include "loader/loader.h"
#include "tests/support/contract.h"
#include "tests/support/guest.h"
#include "tests/support/variants.h"
#include "vm/limits.h"

/* ---- functions and calls */

/* The check looked at the instruction before the last. */
Test(peers_bugs, ubpf_function_falls_off_its_end)
{
    contract_refused(VM_ERROR_FALLS_OFF, "call f\n exit\n f:\n ja f\n mov r0, 2\n");
    contract_refused(VM_ERROR_FALLS_OFF, "ja g\n g:\n call f\n f:\n mov r0, 1\n exit\n");
    contract_refused(VM_ERROR_FALLS_OFF, "call f\n exit\n f:\n exit\n lddw r0, 1\n");
    contract_refused(VM_ERROR_FALLS_OFF, "f:\n exit\n jeq r0, 0, f\n");
}

/* The same check refused what clang emits: a function whose last instruction jumps backwards. */
Test(peers_bugs, ubpf_function_may_end_in_a_jump_backwards)
{
    contract_returns(7,
                     "call f\n exit\n f:\n ja body\n out:\n exit\n body:\n mov r0, 7\n ja out\n");
    contract_returns(
        7, "call f\n exit\n f:\n ja body\n out:\n exit\n body:\n mov r0, 7\n gotol out\n");
}

/* Frames stepped 256 bytes (llvmbpf: 64) whatever the caller used. */
Test(peers_bugs, ubpf_callee_overwrites_a_frame_of_512_bytes)
{
    contract_returns(0x33,
                     "stdw [r10-512], 0x11\n stdw [r10-64], 0x22\n call f\n ldxdw r0, [r10-512]\n"
                     "ldxdw r1, [r10-64]\n add r0, r1\n exit\n"
                     "f:\n stdw [r10-8], -1\n stdw [r10-64], -1\n stdw [r10-256], -1\n"
                     "stdw [r10-448], -1\n stdw [r10-512], -1\n exit\n");
}

Test(peers_bugs, llvmbpf_callee_overwrites_an_array_of_the_caller)
{
    contract_returns(
        5, "mov r1, r10\n add r1, -100\n stb [r1+0], 5\n call f\n ldxb r0, [r10-100]\n exit\n"
           "f:\n mov r1, r10\n add r1, -100\n stb [r1+0], 9\n stb [r10-1], 9\n exit\n");
}

/* Frames stepped 4096 bytes while scripts were compiled for frames of up to 8192. */
Test(peers_bugs, async_ebpf_callee_overwrites_frames_above_4_kib)
{
    contract_returns(3,
                     "stdw [r10-8192], 1\n stdw [r10-4104], 2\n call f\n ldxdw r0, [r10-8192]\n"
                     "ldxdw r1, [r10-4104]\n add r0, r1\n exit\n"
                     "f:\n stdw [r10-8], -1\n stdw [r10-4096], -1\n stdw [r10-8192], -1\n exit\n");
}

Test(peers_bugs, rbpf_local_call_keeps_r10_of_the_caller)
{
    contract_returns(1, "mov r6, r10\n call f\n jlt r0, r6, below\n mov r0, 0\n exit\n"
                        "below:\n mov r0, 1\n exit\n f:\n mov r0, r10\n exit\n");
    contract_returns(0, "mov r6, r10\n call f\n mov r0, r10\n sub r0, r6\n exit\n f:\n exit\n");
}

/* Recursion killed the process (uBPF's and rbpf's compilers) or never ended (llvmbpf). */
Test(peers_bugs, ubpf_endless_recursion_kills_the_host)
{
    contract_faults(VM_FAULT_CALL_DEPTH, "f:\n call f\n exit\n");
    contract_faults(VM_FAULT_CALL_DEPTH, "f:\n call g\n exit\n g:\n call f\n exit\n");
    contract_faults(VM_FAULT_CALL_DEPTH, "f:\n lddw r1, &f\n callx r1\n exit\n");
    contract_faults(VM_FAULT_STACK, "call f\n exit\n f:\n stdw [r10-8192], 1\n call f\n exit\n");
}

/* An offset near the ends of 32 bits overflowed: control flow could be hijacked. */
Test(peers_bugs, rbpf_136_call_offset_overflows)
{
    contract_refused(VM_ERROR_BAD_CALL, ".raw 0x85 0 1 0 0x7fffffff\n exit\n");
    contract_refused(VM_ERROR_BAD_CALL, ".raw 0x85 0 1 0 -2147483648\n exit\n");
    contract_refused(VM_ERROR_BAD_CALL, ".raw 0x85 0 1 0 -2\n exit\n");
    contract_refused(VM_ERROR_BAD_CALL, ".raw 0x85 0 1 0 1\n exit\n");
    contract_refused(VM_ERROR_BAD_JUMP, ".raw 0x06 0 0 0 0x7fffffff\n exit\n");
    contract_refused(VM_ERROR_BAD_JUMP, ".raw 0x06 0 0 0 -2147483648\n exit\n");
    contract_refused(VM_ERROR_UNKNOWN_HELPER, ".raw 0x85 0 0 0 -1\n exit\n");
}

/* callx went to any instruction, also into the second half of a lddw. */
Test(peers_bugs, solana_128_callx_into_the_middle)
{
    contract_faults(VM_FAULT_CALLX,
                    "lddw r1, &f\n add r1, 8\n callx r1\n exit\n f:\n lddw r0, 1\n exit\n");
    contract_faults(VM_FAULT_CALLX, "lddw r1, &f\n add r1, 1\n callx r1\n exit\n f:\n exit\n");
    contract_faults(VM_FAULT_CALLX, "lddw r1, &f\n add r1, -8\n callx r1\n exit\n f:\n exit\n");
    contract_faults(VM_FAULT_CALLX, "mov r1, 0\n callx r1\n exit\n");
    contract_faults(VM_FAULT_CALLX, "mov r1, -1\n callx r1\n exit\n");
    contract_faults(VM_FAULT_CALLX, "mov r1, r10\n callx r1\n exit\n");
}

/* Neither time nor calls were counted in compiled code. */
Test(peers_bugs, solana_262_calls_escape_the_meter, .timeout = 60)
{
    t_thread_with(&(struct vm_thread_config){.tick_ms = 1, .budget_ms = 5});
    contract_faults(VM_FAULT_BUDGET, "ja -1\n exit\n");
    contract_faults(VM_FAULT_BUDGET, "lddw r6, &f\n loop:\n callx r6\n ja loop\n f:\n exit\n");
    contract_faults(VM_FAULT_BUDGET, "loop:\n call minus_one\n ja loop\n");
}

/* Call and jump distances were cut in large code. */
Test(peers_bugs, ubpf_609_call_across_large_code)
{
    enum { FILL = 2000, ROUNDS = 36 }; /* more than 64 Ki instructions in all */
    struct vm_insn *insns = calloc(FILL * ROUNDS + 8, sizeof *insns);
    struct vm_diag diag;
    uint32_t count = 0;
    insns[count++] = (struct vm_insn){.code = 0x85, .src = 1, .imm = FILL * ROUNDS + 1};
    insns[count++] = (struct vm_insn){.code = 0x06, .imm = FILL * ROUNDS - 1};
    for (uint32_t i = 0; i < FILL * ROUNDS - 1; i++)
        insns[count++] = (struct vm_insn){.code = 0x07, .dst = i % 10, .imm = (int32_t)i};
    insns[count++] = (struct vm_insn){.code = 0x95};
    insns[count++] = (struct vm_insn){.code = 0x95};
    insns[count++] = (struct vm_insn){.code = 0xb7, .imm = 42};
    insns[count++] = (struct vm_insn){.code = 0x95};
    insns[0].imm = (int32_t)count - 3;
    insns[1].imm = (int32_t)count - 5;
    struct vm_program *program = t_program(insns, count, &diag);
    cr_assert(program, "%s", diag.text);
    contract_on_all(program, &(struct t_input){0}, contract_result, 42);
    free(insns);
}

/* ---- jumps */

Test(peers_bugs, ubpf_566_jumps_into_other_functions)
{
    contract_refused(VM_ERROR_BAD_JUMP, "call f\n ja f\n exit\n f:\n mov r0, 1\n exit\n");
    contract_refused(VM_ERROR_BAD_JUMP, "call f\n jeq r0, 1, +1\n exit\n f:\n mov r0, 1\n exit\n");
    contract_refused(VM_ERROR_BAD_JUMP, "mov r0, 1\n call f\n exit\n f:\n ja -4\n");
}

Test(peers_bugs, llvmbpf_jump_targets_are_unchecked)
{
    contract_refused(VM_ERROR_BAD_JUMP, "ja +1\n exit\n");
    contract_refused(VM_ERROR_BAD_JUMP, "ja +32767\n exit\n");
    contract_refused(VM_ERROR_BAD_JUMP, "ja -2\n exit\n");
    contract_refused(VM_ERROR_BAD_JUMP, "jeq r0, 0, -32768\n exit\n");
    contract_refused(VM_ERROR_BAD_JUMP, "ja +1\n lddw r0, 0x9500000000\n exit\n");
}

/* The target of a long jump is in imm; one analysis took it from off. */
Test(peers_bugs, async_ebpf_long_jump_from_the_wrong_field)
{
    contract_returns(2, "mov r0, 2\n gotol out\n mov r0, 3\n out:\n exit\n");
    contract_refused(VM_ERROR_BAD_FIELD, ".raw 0x06 0 0 1 0\n exit\n exit\n");
    contract_refused(VM_ERROR_BAD_FIELD, ".raw 0x05 0 0 0 1\n exit\n exit\n");
}

/* Displacements were computed from sizes that changed later. Each jump here crosses a distance
 * around what a short one reaches, and lengthens or shortens those around it. */
Test(peers_bugs, linux_cve_2021_29154_jump_displacement_after_shrinking)
{
    for (unsigned distance = 8; distance < 60; distance++) {
        struct t_code code = {.count = 0};
        for (unsigned i = 0; i < 10; i++)
            t_emit(&code, VM_IX_MOV64_IMM, i, 0, 0, (int)i);
        for (unsigned i = 0; i < 150; i++) {
            t_emit(&code, VM_IX_ADD64_IMM, i % 9, 0, 0, i % 3 ? 1 : 1000);
            t_emit(&code, i % 4 ? VM_IX_JSET64_IMM : VM_IX_JGT32_REG, i % 7, (i + 3) % 9,
                   i + distance < 150 ? (int)distance : 0, 1 + (int)i);
        }
        for (unsigned i = 1; i < 10; i++)
            t_emit(&code, VM_IX_XOR64_REG, 0, i, 0, 0);
        t_emit(&code, VM_IX_EXIT, 0, 0, 0, 0);
        struct vm_diag diag;
        static struct t_outcome want;
        struct vm_program *program = contract_built(&code);
        cr_assert(t_run_program(&vm_interp, program, &(struct t_input){0}, &want, &diag));
        contract_on_all(program, &(struct t_input){0}, contract_result, want.r0);
    }
}

/* A program counter of 16 bits never got past 65535; offsets overflowed after patching. */
Test(peers_bugs, linux_cve_2018_25020_offsets_in_long_programs)
{
    enum { REACH = 32767 };
    struct vm_insn *insns = calloc(3 * REACH + 16, sizeof *insns);
    struct vm_diag diag;
    uint32_t count = 0;
    insns[count++] = (struct vm_insn){.code = 0x05, .off = REACH};
    insns[count++] = (struct vm_insn){.code = 0x95}; /* where the last jump goes */
    while (count <= REACH)
        insns[count++] = (struct vm_insn){.code = 0x07, .imm = 1000};
    insns[count++] = (struct vm_insn){.code = 0x15, .off = REACH};
    while (count <= 2 * REACH + 1)
        insns[count++] = (struct vm_insn){.code = 0x07, .imm = 1000};
    insns[count++] = (struct vm_insn){.code = 0x07, .imm = 5};
    insns[count] = (struct vm_insn){.code = 0x06, .imm = -(int32_t)count};
    count++;
    struct vm_program *program = t_program(insns, count, &diag);
    cr_assert(program, "%s", diag.text);
    contract_on_all(program, &(struct t_input){0}, contract_result, 5);
    free(insns);
}

/* ---- division */

/* 64-bit: r0 is the dividend, 32-bit results have no upper half. */
static void divides(const char *row, uint64_t dividend, uint64_t divisor, uint64_t want)
{
    char text[160];
    snprintf(text, sizeof text,
             "lddw r0, 0x%" PRIx64 "\n lddw r3, 0x%" PRIx64 "\n %s r0, r3\n exit\n", dividend,
             divisor, row);
    contract_returns(want, text);
    snprintf(text, sizeof text,
             "lddw r3, 0x%" PRIx64 "\n lddw r4, 0x%" PRIx64 "\n %s r3, r4\n mov r0, r3\n exit\n",
             dividend, divisor, row);
    contract_returns(want, text);
    if ((int64_t)divisor == (int32_t)divisor) {
        snprintf(text, sizeof text, "lddw r0, 0x%" PRIx64 "\n %s r0, %d\n exit\n", dividend, row,
                 (int32_t)divisor);
        contract_returns(want, text);
    }
}

/* The host's division instruction ran before the test for zero: SIGFPE. */
Test(peers_bugs, llvmbpf_division_by_zero_kills_the_host)
{
    static const char *const div[] = {"div", "sdiv", "div32", "sdiv32"};
    static const char *const mod[] = {"mod", "smod", "mod32", "smod32"};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t left = 0x8877665544332211;
        divides(div[i], left, 0, 0);
        divides(mod[i], left, 0, i < 2 ? left : (uint32_t)left);
    }
}

/* The divisor's low half is zero, the high half is not. */
Test(peers_bugs, linux_cve_2021_3444_32_bit_division_by_zero)
{
    uint64_t divisor = 0xfffffff000000000;
    divides("div32", 0x1122334455667788, divisor, 0);
    divides("mod32", 0x1122334455667788, divisor, 0x55667788);
    divides("sdiv32", 0x1122334455667788, divisor, 0);
    divides("smod32", 0x11223344f5667788, divisor, 0xf5667788);
}

Test(peers_bugs, rbpf_modulo_by_zero_keeps_the_upper_half)
{
    divides("mod32", UINT64_MAX, 0, 0xffffffff);
    divides("mod", UINT64_MAX, 0, UINT64_MAX);
}

/* The guard looked at the wrong operand. */
Test(peers_bugs, rvvm_256_smallest_number_by_minus_one)
{
    uint64_t least = 1ull << 63;
    divides("sdiv", least, UINT64_MAX, least);
    divides("smod", least, UINT64_MAX, 0);
    divides("sdiv", UINT64_MAX, least, 0);
    divides("smod", UINT64_MAX, least, UINT64_MAX);
    divides("sdiv32", 0x80000000, UINT64_MAX, 0x80000000);
    divides("smod32", 0x80000000, UINT64_MAX, 0);
    divides("sdiv32", 0xffffffff, 0x80000000, 0);
    divides("smod32", 0xffffffff, 0x80000000, 0xffffffff);
}

/* An immediate divisor is sign-extended to 64 bits and then taken as unsigned, or cut to 32. */
Test(peers_bugs, ubpf_139_sign_of_immediate_divisors)
{
    divides("div", UINT64_MAX - 1, (uint64_t)-2, 1);
    divides("mod", 5, (uint64_t)-2, 5);
    divides("div32", 0xfffffffe, (uint64_t)-2, 1);
    divides("mod32", 0xffffffff, (uint64_t)-2, 1);
    divides("sdiv", (uint64_t)-9, (uint64_t)-2, 4);
    divides("smod", (uint64_t)-9, (uint64_t)-2, (uint64_t)-1);
}

/* sdiv, smod and movsx were compiled as their unsigned kin. */
Test(peers_bugs, llvmbpf_signed_division_and_moves)
{
    divides("sdiv", (uint64_t)-7, 2, (uint64_t)-3);
    divides("smod", (uint64_t)-7, 2, (uint64_t)-1);
    divides("sdiv32", 0xfffffff9, 2, 0xfffffffd);
    divides("smod32", 0xfffffff9, 2, 0xffffffff);
    contract_returns(0xffffffffffffff80, "mov r1, 0x180\n movsx8to64 r0, r1\n exit\n");
    contract_returns(0xffff8000, "mov r1, 0x8000\n movsx16to32 r0, r1\n exit\n");
    contract_returns(0xffffffff80000000, "mov32 r1, 0x80000000\n movsx32to64 r0, r1\n exit\n");
}

/* Solana's 0.2.26 and 0.2.27 computed signed division by wrong widths. */
Test(peers_bugs, solana_cve_2022_23066_signed_division)
{
    divides("sdiv", 0xffffffff00000000, 0x100000000, UINT64_MAX);
    divides("sdiv32", 0x7fffffff00000006, (uint64_t)-3, 0xfffffffe);
    divides("smod32", 0x7fffffff00000007, (uint64_t)-3, 1);
}

/* A divisor was taken from the register whose number the immediate was. */
Test(peers_bugs, rbpf_divisor_immediate_or_register)
{
    contract_returns(100, "mov r0, 100\n mov r1, 7\n div r0, 1\n exit\n");
    contract_returns(14, "mov r0, 100\n mov r1, 7\n div r0, r1\n exit\n");
    contract_returns(0, "mov r0, 100\n mov r1, 7\n mod r0, 1\n exit\n");
}

/* Division clobbers two host registers, whatever the guest has in them. */
Test(peers_bugs, rbpf_88_modulo_in_every_register)
{
    for (unsigned dst = 0; dst < 10; dst++)
        for (unsigned src = 0; src < 10; src++) {
            struct t_code code = {.count = 0};
            uint64_t want = dst == src ? 0 : (1000 + dst) % (7 + src);
            for (unsigned r = 0; r < 10; r++)
                t_emit(&code, VM_IX_MOV64_IMM, r, 0, 0, r == dst ? 1000 + (int)r : 7 + (int)r);
            t_emit(&code, VM_IX_MOD64_REG, dst, src, 0, 0);
            for (unsigned r = 0; r < 10; r++) {
                want += r == dst ? 0 : 7 + r;
                if (r != 0)
                    t_emit(&code, VM_IX_ADD64_REG, 0, r, 0, 0);
            }
            t_emit(&code, VM_IX_EXIT, 0, 0, 0, 0);
            contract_on_all(contract_built(&code), &(struct t_input){0}, contract_result, want);
        }
}

/* ---- arithmetic */

Test(peers_bugs, rbpf_32_bit_results_are_not_zero_extended)
{
    static const char *const rows[] = {
        "add32 r0, r1", "sub32 r0, r1", "mul32 r0, r1", "or32 r0, r1",   "and32 r0, r1",
        "xor32 r0, r1", "lsh32 r0, r1", "rsh32 r0, r1", "arsh32 r0, r1", "mov32 r0, r1",
        "neg32 r0",     "add32 r0, -1", "mov32 r0, -1", "arsh32 r0, 31", "or32 r0, -1",
        "sub32 r0, 1",  "xor32 r0, -1", "lsh32 r0, 0",  "rsh32 r0, 0",   "add32 r0, 0",
        "or32 r0, 0",   "mov32 r0, r0", "and32 r0, -1", "div32 r0, 1",   "sdiv32 r0, -1",
        "mod32 r0, r1"};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[120];
        snprintf(text, sizeof text, "mov r0, -1\n mov r1, -5\n %s\n rsh r0, 32\n exit\n", rows[i]);
        contract_returns(0, text);
    }
}

Test(peers_bugs, solana_mov32_moves_64_bits)
{
    contract_returns(0xfffffffe, "mov r1, -2\n mov32 r0, r1\n exit\n");
    contract_returns(0xfffffffe, "mov32 r0, -2\n exit\n");
}

/* Counts at or above the width panicked, or were masked as the host does and not as the set says.
 */
Test(peers_bugs, rbpf_52_shift_counts_are_masked)
{
    contract_returns(2, "mov r0, 1\n mov r1, 65\n lsh r0, r1\n exit\n");
    contract_returns(2, "mov r0, 1\n mov r1, 33\n lsh32 r0, r1\n exit\n");
    contract_returns(1, "mov r0, 1\n mov r1, -64\n rsh r0, r1\n exit\n");
    contract_returns(0xffffffff,
                     "mov32 r0, 0x80000000\n mov r1, 0x7fffffff\n arsh32 r0, r1\n exit\n");
    contract_returns(2, "mov r0, 1\n lddw r1, 0xff00000000000001\n lsh r0, r1\n exit\n");
}

/* The count must be in the register that may be the destination. */
Test(peers_bugs, solana_shift_of_the_count_register)
{
    for (unsigned dst = 0; dst < 10; dst++)
        for (unsigned src = 0; src < 10; src++) {
            struct t_code code = {.count = 0};
            uint64_t want = dst == src ? 3 << 3 : 5 << 3;
            for (unsigned r = 0; r < 10; r++)
                t_emit(&code, VM_IX_MOV64_IMM, r, 0, 0, 3);
            if (dst != src)
                t_emit(&code, VM_IX_MOV64_IMM, dst, 0, 0, 5);
            t_emit(&code, VM_IX_LSH64_REG, dst, src, 0, 0);
            for (unsigned r = 0; r < 10; r++) {
                want += r == dst ? 0 : 3;
                if (r != 0)
                    t_emit(&code, VM_IX_ADD64_REG, 0, r, 0, 0);
            }
            t_emit(&code, VM_IX_EXIT, 0, 0, 0, 0);
            contract_on_all(contract_built(&code), &(struct t_input){0}, contract_result, want);
        }
}

Test(peers_bugs, rbpf_le_truncates)
{
    contract_returns(0x7788, "lddw r0, 0x1122334455667788\n le16 r0\n exit\n");
    contract_returns(0x55667788, "lddw r0, 0x1122334455667788\n le32 r0\n exit\n");
    contract_returns(0x1122334455667788, "lddw r0, 0x1122334455667788\n le64 r0\n exit\n");
    contract_returns(0x8877, "lddw r0, 0x1122334455667788\n be16 r0\n exit\n");
    contract_returns(0x88776655, "lddw r0, 0x1122334455667788\n bswap32 r0\n exit\n");
}

/* ---- what must be refused */

Test(peers_bugs, solana_byte_order_widths_are_unchecked)
{
    static const int widths[] = {0, 1, 8, 15, 17, 24, 31, 33, 63, 65, 128, -16};
    static const unsigned codes[] = {0xd4, 0xdc, 0xd7};
    for (unsigned c = 0; c < 3; c++)
        for (unsigned i = 0; i < sizeof widths / sizeof *widths; i++) {
            char text[80];
            snprintf(text, sizeof text, ".raw 0x%x 0 0 0 %d\n exit\n", codes[c], widths[i]);
            contract_refused(VM_ERROR_BAD_OPCODE, text);
        }
}

Test(peers_bugs, ubpf_764_fields_of_the_second_slot)
{
    contract_refused(VM_ERROR_BAD_LDDW, ".raw 0x18 0 0 0 1\n .raw 0x01 0 0 0 0\n exit\n");
    contract_refused(VM_ERROR_BAD_LDDW, ".raw 0x18 0 0 0 1\n .raw 0 1 0 0 0\n exit\n");
    contract_refused(VM_ERROR_BAD_LDDW, ".raw 0x18 0 0 0 1\n .raw 0 0 1 0 0\n exit\n");
    contract_refused(VM_ERROR_BAD_LDDW, ".raw 0x18 0 0 0 1\n .raw 0 0 0 1 0\n exit\n");
    contract_refused(VM_ERROR_BAD_FIELD, ".raw 0x18 0 0 1 1\n .raw 0 0 0 0 0\n exit\n");
}

Test(peers_bugs, solana_half_a_lddw_at_the_end)
{
    contract_refused(VM_ERROR_BAD_LDDW, "exit\n .raw 0x18 0 0 0 1\n");
    contract_refused(VM_ERROR_BAD_LDDW, ".raw 0x18 0 0 0 1\n exit\n");
}

/* Without FETCH they were accepted, and engines differed in what they did. */
Test(peers_bugs, ubpf_596_exchange_without_fetch)
{
    contract_refused(VM_ERROR_BAD_OPCODE, "mov r1, 1\n .raw 0xdb 10 1 -8 0xe0\n exit\n");
    contract_refused(VM_ERROR_BAD_OPCODE, "mov r1, 1\n .raw 0xdb 10 1 -8 0xf0\n exit\n");
    contract_refused(VM_ERROR_BAD_OPCODE, "mov r1, 1\n .raw 0xc3 10 1 -8 0xe0\n exit\n");
    contract_refused(VM_ERROR_BAD_OPCODE, "mov r1, 1\n .raw 0xc3 10 1 -8 0xf0\n exit\n");
}

Test(peers_bugs, ubpf_614_unknown_atomics)
{
    static const int unknown[] = {0x02, 0x10, 0x11, 0x20, 0x30, 0x60,  0x70,  0x80,
                                  0x90, 0xb0, 0xc0, 0xd0, 0xff, 0x101, 0x1e1, -1};
    for (unsigned i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        char text[80];
        snprintf(text, sizeof text, "mov r1, 1\n .raw 0xdb 10 1 -8 %d\n exit\n", unknown[i]);
        contract_refused(VM_ERROR_BAD_OPCODE, text);
    }
    contract_refused(VM_ERROR_BAD_OPCODE, ".raw 0xcb 10 1 -8 0\n exit\n"); /* 16 bits wide */
    contract_refused(VM_ERROR_BAD_OPCODE, ".raw 0xd3 10 1 -8 0\n exit\n"); /* 8 */
}

Test(peers_bugs, ubpf_581_stack_outside_the_frame)
{
    contract_refused(VM_ERROR_BAD_FRAME, "stdw [r10+0], 1\n exit\n");
    contract_refused(VM_ERROR_BAD_FRAME, "stdw [r10-4], 1\n exit\n");
    contract_refused(VM_ERROR_BAD_FRAME, "ldxb r0, [r10+32767]\n exit\n");
    contract_refused(VM_ERROR_WRITES_R10, "mov r10, 1\n exit\n");
    contract_refused(VM_ERROR_WRITES_R10, "mov r1, 1\n atomic_fetch_add [r10-8], r10\n exit\n");
}

/* ---- atomics */

Test(peers_bugs, llvmbpf_32_bit_fetch_keeps_the_upper_half)
{
    static const char *const rows[] = {"atomic_fetch_add32", "atomic_fetch_or32",
                                       "atomic_fetch_and32", "atomic_fetch_xor32", "atomic_xchg32"};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[160];
        snprintf(text, sizeof text,
                 "stdw [r10-8], -2\n lddw r1, 0x1122334400000003\n %s [r10-8], r1\n mov r0, r1\n"
                 "exit\n",
                 rows[i]);
        contract_returns(0xfffffffe, text);
    }
    /* compare and exchange: r0 is cut, whether it was equal or not */
    contract_returns(0xfffffffe, "stdw [r10-8], -2\n mov r0, -2\n mov r1, 1\n"
                                 "atomic_cmpxchg32 [r10-8], r1\n exit\n");
    contract_returns(0xfffffffe, "stdw [r10-8], -2\n mov r0, -3\n mov r1, 1\n"
                                 "atomic_cmpxchg32 [r10-8], r1\n exit\n");
}

Test(peers_bugs, llvmbpf_exchange)
{
    contract_returns(0x2a, "stdw [r10-8], 0x20\n mov r1, 10\n atomic_xchg [r10-8], r1\n"
                           "ldxdw r0, [r10-8]\n add r0, r1\n exit\n");
    contract_returns(0xffffffff00000007,
                     "stdw [r10-8], -1\n mov r1, 7\n atomic_xchg32 [r10-8], r1\n"
                     "ldxdw r0, [r10-8]\n exit\n");
}

/* ---- memory */

/* Address plus width, and base plus offset, overflowed in the check. */
Test(peers_bugs, ubpf_230_bounds_check_overflows)
{
    contract_faults(VM_FAULT_READ, "mov r1, -8\n ldxdw r0, [r1+0]\n exit\n");
    contract_faults(VM_FAULT_READ, "mov r1, -1\n ldxdw r0, [r1+0]\n exit\n");
    contract_faults(VM_FAULT_READ, "mov32 r1, -1\n ldxdw r0, [r1+32767]\n exit\n");
    contract_faults(VM_FAULT_READ, "mov r1, 0\n ldxdw r0, [r1-8]\n exit\n");
    contract_faults(VM_FAULT_WRITE, "mov r1, 0\n stdw [r1-32768], 1\n exit\n");
    contract_faults(VM_FAULT_WRITE, "mov r1, -1\n stxdw [r1+32767], r1\n exit\n");
    contract_faults(VM_FAULT_HELPER, "mov r1, -4\n mov r2, 8\n call sum_bytes\n exit\n");
    contract_faults(VM_FAULT_HELPER,
                    "mov r1, r10\n add r1, -8\n mov r2, -1\n call sum_bytes\n exit\n");
    contract_faults(VM_FAULT_HELPER,
                    "mov r1, r10\n add r1, -8\n lddw r2, 0x100000000\n call sum_bytes\n"
                    "exit\n");
}

/* Pointer arithmetic overflows 32 bits: an address is the low half, the offset is not cut. */
Test(peers_bugs, ubpf_720_pointer_arithmetic_overflows)
{
    contract_returns_with_heap(9, "lddw r2, 0xffffffff00000000\n or r2, r1\n stdw [r2+8], 9\n"
                                  "ldxdw r0, [r1+8]\n exit\n");
    contract_returns_with_heap(
        9, "add r1, 0x7fffffff\n add r1, 0x7fffffff\n add r1, 2\n stdw [r1+0], 9\n"
           "ldxdw r0, [r1+0]\n exit\n");
    contract_faults(VM_FAULT_READ, "lddw r1, 0xffffffff\n ldxb r0, [r1+1]\n exit\n");
}

/* Compiled code was not checked at all, the interpreter was. */
Test(peers_bugs, ubpf_jit_reaches_host_memory)
{
    contract_faults(VM_FAULT_READ, "lddw r1, 0x7fffffffe000\n ldxdw r0, [r1+0]\n exit\n");
    contract_faults(VM_FAULT_WRITE, "mov r1, 8\n stdw [r1+0], 1\n exit\n");
    contract_faults(VM_FAULT_WRITE, "mov r1, 8\n mov r2, 1\n stxb [r1+0], r2\n exit\n");
    contract_faults(VM_FAULT_WRITE, "mov r1, 8\n mov r2, 1\n atomic_add [r1+0], r2\n exit\n");
    contract_faults(VM_FAULT_HELPER, "mov r1, 8\n mov r2, 1\n call fill\n exit\n");
}

/* Some host registers need longer encodings as a base. */
Test(peers_bugs, ubpf_529_every_register_as_base)
{
    static const char *const widths[] = {"b", "h", "w", "dw"};
    for (unsigned base = 0; base < 10; base++)
        for (unsigned w = 0; w < 4; w++)
            for (int off = -128; off <= 128; off += 64) {
                char text[200];
                snprintf(text, sizeof text,
                         "add r1, 128\n mov r%u, r1\n st%s [r%u%+d], 77\n mov r%u, 5\n"
                         "stx%s [r%u%+d], r%u\n ldx%s r0, [r%u%+d]\n exit\n",
                         base, widths[w], base, off, (base + 1) % 10, widths[w], base,
                         off == 128 ? 120 : off, (base + 1) % 10, widths[w], base,
                         off == 128 ? 120 : off);
                if (off < 128)
                    contract_returns_with_heap(5, text);
            }
}

/* A store of an immediate was compiled wrong in one of two modes. */
Test(peers_bugs, sbpf_196_store_of_an_immediate)
{
    contract_returns_with_heap(UINT64_MAX - 1, "stdw [r1+0], -2\n ldxdw r0, [r1+0]\n exit\n");
    contract_returns_with_heap(0xfffffffe, "stw [r1+0], -2\n ldxdw r0, [r1+0]\n exit\n");
    contract_returns_with_heap(0xfffe, "sth [r1+0], -2\n ldxdw r0, [r1+0]\n exit\n");
    contract_returns_with_heap(0xfe, "stb [r1+0], -2\n ldxdw r0, [r1+0]\n exit\n");
    contract_returns_with_heap(0x78, "stb [r1+0], 0x12345678\n ldxdw r0, [r1+0]\n exit\n");
}

/* r0 held what the host had left there; so may every other register at entry and after helpers. */
Test(peers_bugs, ubpf_436_uninitialised_registers_show_the_host)
{
    contract_returns(0, "exit\n");
    contract_returns(
        0, "or r0, r1\n or r0, r2\n or r0, r3\n or r0, r4\n or r0, r5\n or r0, r6\n or r0, r7\n"
           "or r0, r8\n or r0, r9\n exit\n");
    contract_returns(
        0, "mov r1, 1\n mov r2, 2\n mov r3, 3\n mov r4, 4\n mov r5, 5\n call sum5\n"
           "mov r0, 0\n or r0, r1\n or r0, r2\n or r0, r3\n or r0, r4\n or r0, r5\n exit\n");
    contract_returns(
        0, "call sum5_direct\n mov r0, 0\n or r0, r1\n or r0, r2\n or r0, r3\n or r0, r4\n"
           "or r0, r5\n exit\n");
}

/* Memory of one invocation was seen by the next. */
Test(peers_bugs, solana_stale_memory)
{
    static const uint8_t memory[64];
    static struct t_outcome outcome;
    struct vm_diag diag;
    struct vm_program *program =
        contract_accepted("ldxdw r0, [r10-8]\n ldxdw r2, [r1+64]\n or r0, r2\n stdw [r10-8], 1\n"
                          "stdw [r1+64], 2\n exit\n");
    for (unsigned v = 0; v < t_variant_count(); v++) {
        struct vm_image *image = t_variant_image(v, program, &diag);
        cr_assert(image, "%s", diag.text);
        for (int i = 0; i < 3; i++) {
            t_run(image, &(struct t_input){.memory = memory, .memory_bytes = sizeof memory},
                  &outcome);
            contract_result(&outcome, t_variant_name(v), 0);
        }
        vm_thread_forget(t_thread(), image);
        vm_image_free(image);
    }
    vm_program_free(program);
}

/* A branch around an access can be mispredicted (async-ebpf, and Linux CVE-2017-5753). Here no
 * branch guards memory; the proof of the native code allows none. */
Test(peers_bugs, async_ebpf_mispredicted_bounds_check)
{
    struct vm_diag diag = {.text = ""};
    struct vm_program *program =
        contract_accepted("ldxdw r2, [r1+0]\n and r2, 56\n add r1, r2\n ldxb r0, [r1+0]\n exit\n");
    struct vm_image *image = vm_image_create(&jit_x86_64, program, &diag);
    const uint32_t *offset;
    struct decoded d;
    size_t bytes;
    cr_assert(image, "%s", diag.text);
    cr_expect(jit_verify_image(image, &diag), "%s", diag.text);
    const uint8_t *text = jit_code(image, &bytes, &offset);
    for (uint32_t at = offset[0]; at < offset[4]; at += d.size) {
        cr_assert(decode_one(text + at, bytes - at, &d));
        cr_expect_neq(d.kind, KIND_JCC);
    }
    vm_image_free(image);
    vm_program_free(program);
}

/* ---- objects */

struct object {
    uint8_t *bytes;
    size_t length;
};

static struct object compile(void)
{
    struct object o;
    o.bytes = guest_compile("int table[4] = {1, 2, 3, 4};\n"
                            "__attribute__((section(\"request\"))) int entry(unsigned long n)\n"
                            "{ return table[n & 3]; }\n",
                            &o.length);
    return o;
}

/* The object must be refused, or run as before. */
static void is_safe(const struct object *o)
{
    struct vm_diag diag;
    struct vm_program *program =
        ld_load("damaged", o->bytes, o->length, &(struct ld_helpers){0}, &diag);
    if (program)
        contract_on_all(program, &(struct t_input){0}, contract_result, 1);
    else
        cr_expect(diag.text[0]);
}

static const uint64_t far[] = {UINT64_MAX, UINT64_MAX - 7, UINT64_MAX - 4096,
                               1ull << 63, UINT32_MAX - 7, (1ull << 32) + 8,
                               1 << 20};
enum { FAR = sizeof far / sizeof *far };

static Elf64_Shdr *sections(const struct object *o)
{
    Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)o->bytes;
    return (Elf64_Shdr *)(void *)(o->bytes + header->e_shoff);
}

/* Offset plus size wrapped around in the relocation and in the program header. */
Test(peers_bugs, solana_cve_2021_46102_relocation_offset_overflows)
{
    struct object o = compile();
    Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)o.bytes;
    unsigned patched = 0;
    for (unsigned s = 0; s < header->e_shnum; s++) {
        if (sections(&o)[s].sh_type != SHT_REL)
            continue;
        Elf64_Rel *rel = (Elf64_Rel *)(void *)(o.bytes + sections(&o)[s].sh_offset);
        for (int i = 0; i < FAR; i++) {
            Elf64_Rel saved = *rel;
            rel->r_offset = far[i];
            is_safe(&o);
            *rel = saved;
            rel->r_info = ELF64_R_INFO(far[i] >> 3, ELF64_R_TYPE(saved.r_info));
            is_safe(&o);
            *rel = saved;
            patched++;
        }
    }
    cr_expect_geq(patched, FAR);
    free(o.bytes);
}

Test(peers_bugs, solana_cve_2022_31264_header_overflows)
{
    struct object o = compile();
    Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)o.bytes;
    for (int i = 0; i < FAR; i++) {
        Elf64_Ehdr saved = *header;
        for (unsigned s = 0; s < saved.e_shnum; s++) {
            Elf64_Shdr *section = &sections(&o)[s], was = *section;
            section->sh_offset = far[i];
            is_safe(&o);
            *section = was;
            section->sh_size = far[i];
            is_safe(&o);
            *section = was;
        }
        header->e_shoff = far[i];
        is_safe(&o);
        *header = saved;
        header->e_phoff = far[i];
        header->e_phnum = 0xffff;
        is_safe(&o);
        *header = saved;
    }
    free(o.bytes);
}

/* Sections of no bytes, and constants that nobody uses. */
Test(peers_bugs, async_ebpf_empty_sections)
{
    size_t length;
    struct vm_diag diag = {.text = ""};
    uint8_t *object =
        guest_compile("__asm__(\".section .rodata.none,\\\"a\\\",@progbits\\n.data\\n.bss\\n\");\n"
                      "__attribute__((section(\"request\"))) int entry(void *c) { return 3; }\n",
                      &length);
    struct vm_program *program = ld_load("empty", object, length, &(struct ld_helpers){0}, &diag);
    cr_assert(program, "%s", diag.text);
    contract_on_all(program, &(struct t_input){0}, contract_result, 3);
    free(object);
}
