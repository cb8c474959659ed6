/* SPDX-License-Identifier: Apache-2.0 */
/* The encoder: every function appends one x86-64 instruction to a buffer, in its shortest form, and
 * knows nothing of eBPF.
 *
 * Errors are sticky: when memory is out or bytes_max would be passed, emit->error is set, and from
 * then on nothing is appended; whoever drives looks once at the end. `width` is the operand size in
 * bits: 32 or 64, and 8 or 16 where the function says so. A 32-bit result clears the upper half.
 */
#ifndef JIT_X86_64_EMIT_H
#define JIT_X86_64_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jit-x86_64/x86.h"
#include "vm/vm.h"

struct emit {
    uint8_t *bytes;
    size_t count;
    size_t capacity;
    size_t bytes_max;
    enum vm_error error; /* NO_MEMORY or TOO_LARGE once something failed */
    bool uses_gs;        /* some operand is counted from gs */
};

void emit_init(struct emit *e, size_t bytes_max);
void emit_free(struct emit *e);

/* ---- registers ---- */

void emit_mov(struct emit *e, unsigned width, enum x86_reg dst, enum x86_reg src);
/* All 64 bits of dst become `value`. Zero is made by xor and so spoils the flags. */
void emit_mov_imm(struct emit *e, enum x86_reg dst, uint64_t value);
/* Widens the low `from` bits (8 or 16, and 32 for the signed one) of src; zero-extension is always
 * to 64 bits. */
void emit_movzx(struct emit *e, unsigned from, enum x86_reg dst, enum x86_reg src);
void emit_movsx(struct emit *e, unsigned width, unsigned from, enum x86_reg dst, enum x86_reg src);
void emit_alu(struct emit *e, enum x86_alu alu, unsigned width, enum x86_reg dst, enum x86_reg src);
void emit_alu_imm(struct emit *e, enum x86_alu alu, unsigned width, enum x86_reg dst, int32_t imm);
/* dst = src when the condition holds; with width 32 the upper half is cleared either way. */
void emit_cmov(struct emit *e, enum x86_cond cond, unsigned width, enum x86_reg dst,
               enum x86_reg src);
/* The low byte of reg = whether the condition holds; the rest is kept. */
void emit_set(struct emit *e, enum x86_cond cond, enum x86_reg reg);
void emit_test(struct emit *e, unsigned width, enum x86_reg a, enum x86_reg b);
void emit_test_imm(struct emit *e, unsigned width, enum x86_reg reg, int32_t imm);
void emit_imul(struct emit *e, unsigned width, enum x86_reg dst, enum x86_reg src);
/* dst = src * imm */
void emit_imul_imm(struct emit *e, unsigned width, enum x86_reg dst, enum x86_reg src, int32_t imm);
void emit_neg(struct emit *e, unsigned width, enum x86_reg reg);
/* rdx:rax = rax * reg, unsigned. */
void emit_mul_wide(struct emit *e, unsigned width, enum x86_reg reg);
/* rdx:rax by reg: quotient in rax, remainder in rdx. */
void emit_div(struct emit *e, unsigned width, bool sign, enum x86_reg reg);
/* Sign of rax into all of rdx (cdq, cqo). */
void emit_sign_rdx(struct emit *e, unsigned width);
void emit_bswap(struct emit *e, unsigned width, enum x86_reg reg);
void emit_shift_imm(struct emit *e, enum x86_shift shift, unsigned width, enum x86_reg reg,
                    uint8_t count);
void emit_shift_cl(struct emit *e, enum x86_shift shift, unsigned width, enum x86_reg reg);
/* BMI2: SHL, SHR or SAR of reg by `count`, flags untouched. */
void emit_shift_reg(struct emit *e, enum x86_shift shift, unsigned width, enum x86_reg reg,
                    enum x86_reg count);

/* ---- memory; operands are made in mem.c only ---- */

/* Width 8..64; the value is widened to 64 bits. */
void emit_load(struct emit *e, unsigned width, bool sign, enum x86_reg dst, struct x86_mem mem);
void emit_store(struct emit *e, unsigned width, struct x86_mem mem, enum x86_reg src);
void emit_store_imm(struct emit *e, unsigned width, struct x86_mem mem, int32_t imm);
/* dst = dst `alu` mem */
void emit_alu_mem(struct emit *e, enum x86_alu alu, unsigned width, enum x86_reg dst,
                  struct x86_mem mem);
void emit_alu_mem_imm(struct emit *e, enum x86_alu alu, unsigned width, struct x86_mem mem,
                      int32_t imm);
void emit_lea(struct emit *e, unsigned width, enum x86_reg dst, struct x86_mem mem);
void emit_lock_alu(struct emit *e, enum x86_alu alu, unsigned width, struct x86_mem mem,
                   enum x86_reg src);
void emit_lock_xadd(struct emit *e, unsigned width, struct x86_mem mem, enum x86_reg src);
void emit_lock_cmpxchg(struct emit *e, unsigned width, struct x86_mem mem, enum x86_reg src);
void emit_xchg(struct emit *e, unsigned width, struct x86_mem mem, enum x86_reg src);

/* So many bytes that do nothing; not 1 or 2. */
void emit_nops(struct emit *e, size_t bytes);

/* ---- stack and control; `target` is an offset in the buffer, or before it when negative ---- */

void emit_push(struct emit *e, enum x86_reg reg);
void emit_pop(struct emit *e, enum x86_reg reg);
void emit_push_imm(struct emit *e, int32_t imm);
void emit_lea_here(struct emit *e, enum x86_reg dst, int64_t target);
void emit_call(struct emit *e, int64_t target);
void emit_call_reg(struct emit *e, enum x86_reg reg);
void emit_ret(struct emit *e);
void emit_int3(struct emit *e);
#define EMIT_SHORT_JUMP_BYTES 2
#define EMIT_JMP_BYTES        5
#define EMIT_JCC_BYTES        6
/* The short forms reach 127 bytes; a target further away is a bug of the caller. */
void emit_jmp(struct emit *e, bool is_short, int64_t target);
void emit_jcc(struct emit *e, enum x86_cond cond, bool is_short, int64_t target);
/* Short jumps to a place not yet known: emit_land(e, mark) makes it the current end. */
size_t emit_jmp_forward(struct emit *e);
size_t emit_jcc_forward(struct emit *e, enum x86_cond cond);
void emit_land(struct emit *e, size_t mark);
/* Points the near jump that ends at `end` to the current end. */
void emit_land_near(struct emit *e, size_t end);

#endif
