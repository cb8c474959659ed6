/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering of arithmetic, moves and byte order. */
#include "jit-x86_64/lower.h"

#include <assert.h>

#include "jit-x86_64/compile.h"
#include "jit-x86_64/mem.h"
#include "jit-x86_64/x86.h"

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

/* Shifting left by 32 and right by `count`, without the former. */
static void widen(struct emit *e, enum x86_shift shift, enum x86_reg dst, enum x86_reg src,
                  uint8_t count)
{
    bool sign = shift == X86_SAR;
    if (sign) {
        emit_movsx(e, 64, 32, dst, src);
    } else if (count == 32 || dst != src) {
        emit_mov(e, 32, dst, src);
    }
    if (count > 32) {
        emit_shift_imm(e, shift, sign ? 64 : 32, dst, (uint8_t)(count - 32));
    }
}

static void lower_shift(struct lower *l, const struct vm_op *op, enum x86_shift shift,
                        enum vm_source source, unsigned width)
{
    struct emit *e = &l->emit;
    enum x86_reg dst = lower_reg(op->dst);
    uint8_t count = (uint8_t)(op->imm & (width - 1)), narrow;
    struct fuse fuse = {.program = l->program, .analysis = &l->analysis};
    if (fuse_ends_widening(&fuse, l->insn, &narrow)) {
        widen(e, shift, dst, lower_read(l, narrow, 32), count);
    } else if (source == VM_SOURCE_IMM && count != 0) {
        emit_shift_imm(e, shift, width, dst, count);
    } else if (source == VM_SOURCE_IMM) {
        if (width == 32) {
            emit_mov(e, 32, dst, dst);
        }
    } else if (l->bmi2) {
        emit_shift_reg(e, shift, width, dst, lower_read(l, op->src, 32));
    } else {
        shift_by_cl(e, shift, width, dst, lower_read(l, op->src, 32));
    }
}

/* ---- the rest ------------------------------------------------------------------------------- */

/* Whether a 32-bit addition may as well be done in 64 bits, as its result is below 2^32. Some
 * processors add small numbers to 64-bit registers while they rename them, so that what comes after
 * waits for nothing, and a loop's pointers cost no execution. */
static bool is_step(const struct lower *l, const struct vm_op *op)
{
    return (op->ix == VM_IX_ADD32_IMM || op->ix == VM_IX_SUB32_IMM) &&
           (l->near >> op->dst & 1) != 0 && op->imm >= -MEM_STEP_MAX && op->imm <= MEM_STEP_MAX &&
           (l->without & JIT_STEPPING) == 0;
}

static void lower_two(struct lower *l, const struct vm_op *op, enum x86_alu alu,
                      enum vm_source source, unsigned width)
{
    struct fuse fuse = {.program = l->program, .analysis = &l->analysis};
    unsigned bits;
    if (fuse_is_extension(&fuse, l->insn, &bits)) {
        emit_movzx(&l->emit, bits, lower_reg(op->dst), defer_read(l, op->dst, bits));
        return;
    }
    if (source == VM_SOURCE_IMM) {
        emit_alu_imm(&l->emit, alu, is_step(l, op) ? 64 : width, lower_reg(op->dst),
                     (int32_t)op->imm);
    } else {
        emit_alu(&l->emit, alu, width, lower_reg(op->dst), lower_read(l, op->src, width));
    }
    l->flags_insn = l->insn;
}

/* False when no rotation ends here. */
static bool lower_rotation(struct lower *l, const struct vm_op *op, unsigned width)
{
    struct fuse fuse = {.program = l->program, .analysis = &l->analysis};
    enum x86_reg dst = lower_reg(op->dst);
    struct fuse_rotation rotation;
    if (!fuse_ends_rotation(&fuse, l->insn, &rotation)) {
        return false;
    }
    enum x86_reg src = defer_read(l, rotation.src, width);
    if (src != dst) {
        emit_mov(&l->emit, width, dst, src);
    }
    emit_shift_imm(&l->emit, X86_ROL, width, dst, rotation.left);
    return true;
}

static void lower_mul(struct lower *l, const struct vm_op *op, enum vm_source source,
                      unsigned width)
{
    if (source == VM_SOURCE_IMM) {
        emit_imul_imm(&l->emit, width, lower_reg(op->dst), defer_read(l, op->dst, width),
                      (int32_t)op->imm);
    } else {
        emit_imul(&l->emit, width, lower_reg(op->dst), lower_read(l, op->src, width));
    }
}

static void lower_mov(struct lower *l, const struct vm_op *op, enum vm_source source,
                      unsigned width)
{
    enum x86_reg dst = lower_reg(op->dst);
    if (source == VM_SOURCE_IMM) {
        emit_mov_imm(&l->emit, dst, width == 32 ? (uint32_t)op->imm : (uint64_t)op->imm);
    } else if (width == 32 || op->dst != op->src) {
        enum x86_reg src = defer_read(l, op->src, width);
        emit_mov(&l->emit, src == MEM_FRAME ? 32 : width, dst, src);
    }
}

void lower_ALU(struct lower *l, const struct vm_op *op, enum lower_alu alu, enum vm_source source,
               unsigned width)
{
    struct emit *e = &l->emit;
    enum x86_reg dst = lower_reg(op->dst);
    switch (alu) {
    case ALU_ADD: lower_two(l, op, X86_ADD, source, width); break;
    case ALU_SUB: lower_two(l, op, X86_SUB, source, width); break;
    case ALU_OR:
        if (!lower_rotation(l, op, width)) {
            lower_two(l, op, X86_OR, source, width);
        }
        break;
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
    case ALU_MOVSX8: emit_movsx(e, width, 8, dst, lower_read(l, op->src, 8)); break;
    case ALU_MOVSX16: emit_movsx(e, width, 16, dst, lower_read(l, op->src, 16)); break;
    case ALU_MOVSX32: emit_movsx(e, width, 32, dst, lower_read(l, op->src, 32)); break;
    }
}

void lower_swap(struct emit *e, unsigned width, enum x86_reg reg)
{
    emit_bswap(e, width == 64 ? 64 : 32, reg);
    if (width == 16) {
        emit_shift_imm(e, X86_SHR, 32, reg, 16);
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
    lower_swap(e, width, dst);
}
