/* SPDX-License-Identifier: Apache-2.0 */
/* Names of x86-64: registers, conditions and the operations that share an encoding, each with the
 * number the processor's manual gives it. */
#ifndef JIT_X86_64_X86_H
#define JIT_X86_64_X86_H

#include <stdbool.h>
#include <stdint.h>

enum x86_reg {
    X86_RAX,
    X86_RCX,
    X86_RDX,
    X86_RBX,
    X86_RSP,
    X86_RBP,
    X86_RSI,
    X86_RDI,
    X86_R8,
    X86_R9,
    X86_R10,
    X86_R11,
    X86_R12,
    X86_R13,
    X86_R14,
    X86_R15,
    X86_NO_REG,
};

/* Operations of two operands that set the flags: opcode 8*n + 1, /n with an immediate. */
enum x86_alu {
    X86_ADD = 0,
    X86_OR = 1,
    X86_AND = 4,
    X86_SUB = 5,
    X86_XOR = 6,
    X86_CMP = 7,
};

/* Shifts and rotates: /n of C1 and D3. */
enum x86_shift {
    X86_ROL = 0,
    X86_ROR = 1,
    X86_SHL = 4,
    X86_SHR = 5,
    X86_SAR = 7,
};

/* Conditions: low four bits of a jump's opcode. Flipping bit 0 negates one. */
enum x86_cond {
    X86_B = 0x2, /* unsigned below, also: carry */
    X86_AE = 0x3,
    X86_E = 0x4, /* also: zero */
    X86_NE = 0x5,
    X86_BE = 0x6,
    X86_A = 0x7,
    X86_L = 0xc, /* signed less */
    X86_GE = 0xd,
    X86_LE = 0xe,
    X86_G = 0xf,
};
#define X86_NEGATE 1u /* a condition xor this is its opposite */

/* A memory operand: base + (index << scale) + disp. Base or index may be X86_NO_REG; the index is
 * never rsp. With `gs` the lower 32 bits of the sum, counted from where gs begins. */
struct x86_mem {
    enum x86_reg base;
    enum x86_reg index;
    uint8_t scale; /* 0..3 */
    bool gs;
    int32_t disp;
};

#endif
