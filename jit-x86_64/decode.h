/* SPDX-License-Identifier: Apache-2.0 */
/* A decoder for the instruction forms emit.c writes, and for no other: what is not in its table is
 * not an instruction. verify.c proves with it what compiled code can do, so it shares no code with
 * the encoder. */
#ifndef JIT_X86_64_DECODE_H
#define JIT_X86_64_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum decode_access { ACCESS_NONE, ACCESS_LOAD, ACCESS_STORE, ACCESS_UPDATE, ACCESS_ADDRESS };

/* Which registers an instruction writes. */
enum decode_result {
    RESULT_NONE,
    RESULT_RM,
    RESULT_REG,
    RESULT_RAX,
    RESULT_RDX,
    RESULT_RAX_RDX,
};

enum decode_kind {
    KIND_PLAIN,
    KIND_MOV,     /* register to register */
    KIND_MOV_IMM, /* imm is all the register's bits */
    KIND_ALU,     /* digit or opcode >> 3 is enum x86_alu */
    KIND_CMOV,
    KIND_TEST,
    KIND_PUSH,
    KIND_PUSH_IMM,
    KIND_POP,
    KIND_JMP,
    KIND_JCC,
    KIND_CALL,
    KIND_CALL_REG,
    KIND_RET,
    KIND_TRAP,
};

struct decoded {
    const char *name;
    enum decode_kind kind;
    enum decode_access access; /* other than NONE: there is a memory operand */
    enum decode_result result;
    uint8_t width; /* of the operands, in bits */
    uint8_t alu;   /* enum x86_alu for KIND_ALU */
    uint8_t cond;  /* enum x86_cond for KIND_JCC */
    bool has_reg, has_rm, has_imm;
    uint8_t reg, rm, vvvv; /* register operands; vvvv is X86_NO_REG where there is none */
    bool rip;              /* memory operand relative to the next instruction */
    bool gs;               /* 32 bits of address, counted from where gs begins */
    uint8_t base, index, scale;
    int32_t disp;
    int64_t imm; /* sign-extended, but for mov to a 32-bit register; of branches the distance */
    uint8_t size;
};

/* Decodes the instruction at bytes[0]; false when it is none of ours or longer than `left`. */
bool decode_one(const uint8_t *bytes, size_t left, struct decoded *out);

#endif
