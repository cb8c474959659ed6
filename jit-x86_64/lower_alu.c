/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering of arithmetic, moves and byte order. */
#include "jit-x86_64/lower.h"

#include <assert.h>

#include "jit-x86_64/x86.h"

/* ---- division ------------------------------------------------------------------------------- */

/* One division: x86 wants the dividend in rdx:rax and answers there, but both are guest registers.
 */
struct division {
    enum x86_reg dst;
    unsigned width;
    bool sign;
    bool modulo;
};

/* dst = dst / r11 or dst % r11, for a divisor that does not trap. Whatever of rax and rdx is not
 * dst comes through unchanged, by way of r10 and r9. */
static void divide(struct emit *e, const struct division *d)
{
    enum x86_reg result = d->modulo ? X86_RDX : X86_RAX;
    if (d->dst != X86_RAX) {
        emit_mov(e, 64, X86_R10, X86_RAX);
        emit_mov(e, d->width, X86_RAX, d->dst);
    }
    if (d->dst != X86_RDX) {
        emit_mov(e, 64, X86_R9, X86_RDX);
    }
    if (d->sign) {
        emit_sign_rdx(e, d->width);
    } else {
        emit_mov_imm(e, X86_RDX, 0);
    }
    emit_div(e, d->width, d->sign, X86_R11);
    if (d->dst != result) {
        emit_mov(e, d->width, d->dst, result);
    }
    if (d->dst != X86_RDX) {
        emit_mov(e, 64, X86_RDX, X86_R9);
    }
    if (d->dst != X86_RAX) {
        emit_mov(e, 64, X86_RAX, X86_R10);
    }
}

/* Divisor 0: the quotient is 0, the remainder is the dividend. */
static void divide_by_zero(struct emit *e, const struct division *d)
{
    if (!d->modulo) {
        emit_mov_imm(e, d->dst, 0);
    } else if (d->width == 32) {
        emit_mov(e, 32, d->dst, d->dst);
    }
}

/* Divisor -1: the processor would trap on the least integer. */
static void divide_by_minus_one(struct emit *e, const struct division *d)
{
    if (d->modulo) {
        emit_mov_imm(e, d->dst, 0);
    } else {
        emit_neg(e, d->width, d->dst);
    }
}

static void divide_by_imm(struct emit *e, const struct division *d, int64_t imm)
{
    if (imm == 0) {
        divide_by_zero(e, d);
    } else if (imm == -1 && d->sign) {
        divide_by_minus_one(e, d);
    } else {
        emit_mov_imm(e, X86_R11, d->width == 32 ? (uint32_t)imm : (uint64_t)imm);
        divide(e, d);
    }
}

static void divide_by_reg(struct emit *e, const struct division *d, enum x86_reg src)
{
    size_t minus_one = 0, end_minus_one = 0;
    emit_mov(e, d->width, X86_R11, src);
    emit_test(e, d->width, X86_R11, X86_R11);
    size_t zero = emit_jcc_forward(e, X86_E);
    if (d->sign) {
        emit_alu_imm(e, X86_CMP, d->width, X86_R11, -1);
        minus_one = emit_jcc_forward(e, X86_E);
    }
    divide(e, d);
    size_t end = emit_jmp_forward(e);
    if (d->sign) {
        emit_land(e, minus_one);
        divide_by_minus_one(e, d);
        end_minus_one = emit_jmp_forward(e);
    }
    emit_land(e, zero);
    divide_by_zero(e, d);
    emit_land(e, end);
    if (d->sign) {
        emit_land(e, end_minus_one);
    }
}

static void lower_division(struct lower *l, const struct vm_op *op, enum lower_alu alu,
                           enum vm_source source, unsigned width)
{
    struct division d = {
        .dst = lower_reg(op->dst),
        .width = width,
        .sign = alu == ALU_SDIV || alu == ALU_SMOD,
        .modulo = alu == ALU_MOD || alu == ALU_SMOD,
    };
    if (source == VM_SOURCE_IMM) {
        divide_by_imm(&l->emit, &d, op->imm);
    } else {
        divide_by_reg(&l->emit, &d, lower_reg(op->src));
    }
}

/* ---- shifts --------------------------------------------------------------------------------- */

/* Shifts by a register without BMI2: the count must be in cl, and rcx is a guest register. */
static void shift_by_cl(struct emit *e, enum x86_shift shift, unsigned width, enum x86_reg dst,
                        enum x86_reg src)
{
    if (src == X86_RCX) {
        emit_shift_cl(e, shift, width, dst);
        return;
    }
    emit_mov(e, 64, X86_R11, X86_RCX);
    emit_mov(e, 32, X86_RCX, src);
    emit_shift_cl(e, shift, width, dst == X86_RCX ? X86_R11 : dst);
    emit_mov(e, 64, X86_RCX, X86_R11);
}

static void lower_shift(struct lower *l, const struct vm_op *op, enum x86_shift shift,
                        enum vm_source source, unsigned width)
{
    struct emit *e = &l->emit;
    enum x86_reg dst = lower_reg(op->dst);
    uint8_t count = (uint8_t)(op->imm & (width - 1));
    if (source == VM_SOURCE_IMM && count != 0) {
        emit_shift_imm(e, shift, width, dst, count);
    } else if (source == VM_SOURCE_IMM) {
        if (width == 32) {
            emit_mov(e, 32, dst, dst);
        }
    } else if (l->bmi2) {
        emit_shift_reg(e, shift, width, dst, lower_reg(op->src));
    } else {
        shift_by_cl(e, shift, width, dst, lower_reg(op->src));
    }
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void lower_two(struct lower *l, const struct vm_op *op, enum x86_alu alu,
                      enum vm_source source, unsigned width)
{
    if (source == VM_SOURCE_IMM) {
        emit_alu_imm(&l->emit, alu, width, lower_reg(op->dst), (int32_t)op->imm);
    } else {
        emit_alu(&l->emit, alu, width, lower_reg(op->dst), lower_reg(op->src));
    }
}

static void lower_mul(struct lower *l, const struct vm_op *op, enum vm_source source,
                      unsigned width)
{
    if (source == VM_SOURCE_IMM) {
        emit_imul_imm(&l->emit, width, lower_reg(op->dst), (int32_t)op->imm);
    } else {
        emit_imul(&l->emit, width, lower_reg(op->dst), lower_reg(op->src));
    }
}

static void lower_mov(struct lower *l, const struct vm_op *op, enum vm_source source,
                      unsigned width)
{
    enum x86_reg dst = lower_reg(op->dst);
    if (source == VM_SOURCE_IMM) {
        emit_mov_imm(&l->emit, dst, width == 32 ? (uint32_t)op->imm : (uint64_t)op->imm);
    } else if (width == 32 || op->dst != op->src) {
        emit_mov(&l->emit, width, dst, lower_reg(op->src));
    }
}

void lower_ALU(struct lower *l, const struct vm_op *op, enum lower_alu alu, enum vm_source source,
               unsigned width)
{
    struct emit *e = &l->emit;
    enum x86_reg dst = lower_reg(op->dst), src = lower_reg(op->src);
    switch (alu) {
    case ALU_ADD: lower_two(l, op, X86_ADD, source, width); break;
    case ALU_SUB: lower_two(l, op, X86_SUB, source, width); break;
    case ALU_OR: lower_two(l, op, X86_OR, source, width); break;
    case ALU_AND: lower_two(l, op, X86_AND, source, width); break;
    case ALU_XOR: lower_two(l, op, X86_XOR, source, width); break;
    case ALU_MUL: lower_mul(l, op, source, width); break;
    case ALU_LSH: lower_shift(l, op, X86_SHL, source, width); break;
    case ALU_RSH: lower_shift(l, op, X86_SHR, source, width); break;
    case ALU_ARSH: lower_shift(l, op, X86_SAR, source, width); break;
    case ALU_DIV:
    case ALU_SDIV:
    case ALU_MOD:
    case ALU_SMOD: lower_division(l, op, alu, source, width); break;
    case ALU_NEG: emit_neg(e, width, dst); break;
    case ALU_MOV: lower_mov(l, op, source, width); break;
    case ALU_MOVSX8: emit_movsx(e, width, 8, dst, src); break;
    case ALU_MOVSX16: emit_movsx(e, width, 16, dst, src); break;
    case ALU_MOVSX32: emit_movsx(e, width, 32, dst, src); break;
    }
}

void lower_END(struct lower *l, const struct vm_op *op, enum lower_end end, enum vm_source source,
               unsigned width)
{
    (void)source;
    struct emit *e = &l->emit;
    enum x86_reg dst = lower_reg(op->dst);
    if (end == END_LE) {
        if (width == 16) {
            emit_movzx(e, 16, dst, dst);
        } else if (width == 32) {
            emit_mov(e, 32, dst, dst);
        }
        return;
    }
    emit_bswap(e, width == 64 ? 64 : 32, dst);
    if (width == 16) {
        emit_shift_imm(e, X86_SHR, 32, dst, 16);
    }
}
