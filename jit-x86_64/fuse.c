/* SPDX-License-Identifier: Apache-2.0 */
/* Recognises what fuse.h lists, by looking at the instructions around one. */
#include "jit-x86_64/fuse.h"

#include <stddef.h>

/* The op that always runs just before `insn`, or NULL. */
static const struct vm_op *before(const struct fuse *f, uint32_t insn)
{
    const struct vm_op *ops = f->program->ops;
    if (insn == 0 || f->analysis->joins[insn]) {
        return NULL;
    }
    bool is_slot = insn >= 2 && vm_isa[ops[insn - 2].ix].group == VM_GROUP_LDDW;
    return is_slot ? NULL : &ops[insn - 1];
}

static bool is_right_half(const struct vm_op *op)
{
    return (op->ix == VM_IX_RSH64_IMM || op->ix == VM_IX_ARSH64_IMM) && (op->imm & 63) >= 32;
}

/* Of the lower half, at least. */
static bool is_move(const struct vm_op *op)
{
    return op->ix == VM_IX_MOV64_REG || op->ix == VM_IX_MOV32_REG;
}

bool fuse_ends_widening(const struct fuse *f, uint32_t insn, uint8_t *src)
{
    const struct vm_op *op = &f->program->ops[insn], *left = before(f, insn);
    if (!is_right_half(op) || left == NULL || left->ix != VM_IX_LSH64_IMM || left->dst != op->dst ||
        (left->imm & 63) != 32) {
        return false;
    }
    const struct vm_op *move = before(f, insn - 1);
    bool is_moved = move != NULL && is_move(move) && move->dst == op->dst;
    *src = is_moved ? move->src : op->dst;
    return true;
}

bool fuse_is_absorbed(const struct fuse *f, uint32_t insn)
{
    const struct vm_op *op = &f->program->ops[insn];
    uint32_t count = f->program->insn_count;
    uint8_t src;
    if (op->ix == VM_IX_JA || op->ix == VM_IX_JA32) {
        return insn > 0 && f->analysis->inverts[insn - 1];
    }
    if (insn > 0 && f->analysis->selects[insn - 1]) {
        return true;
    }
    if (op->ix == VM_IX_LSH64_IMM) {
        return insn + 1 < count && fuse_ends_widening(f, insn + 1, &src);
    }
    return is_move(op) && insn + 2 < count && !f->analysis->joins[insn + 1] &&
           f->program->ops[insn + 1].dst == op->dst && fuse_ends_widening(f, insn + 2, &src);
}

/* After these, carry and overflow are clear, and zero and sign tell of the result. */
static bool is_logic(const struct vm_op *op)
{
    switch ((enum vm_ix)op->ix) {
    case VM_IX_AND64_IMM:
    case VM_IX_AND64_REG:
    case VM_IX_AND32_IMM:
    case VM_IX_AND32_REG:
    case VM_IX_OR64_IMM:
    case VM_IX_OR64_REG:
    case VM_IX_OR32_IMM:
    case VM_IX_OR32_REG:
    case VM_IX_XOR64_IMM:
    case VM_IX_XOR64_REG:
    case VM_IX_XOR32_IMM:
    case VM_IX_XOR32_REG: return true;
    default: return false;
    }
}

/* After these, zero tells of the result. */
static bool is_sum(const struct vm_op *op)
{
    switch ((enum vm_ix)op->ix) {
    case VM_IX_ADD64_IMM:
    case VM_IX_ADD64_REG:
    case VM_IX_ADD32_IMM:
    case VM_IX_ADD32_REG:
    case VM_IX_SUB64_IMM:
    case VM_IX_SUB64_REG:
    case VM_IX_SUB32_IMM:
    case VM_IX_SUB32_REG: return true;
    default: return false;
    }
}

bool fuse_has_flags(const struct fuse *f, uint32_t insn)
{
    const struct vm_op *op = &f->program->ops[insn], *last = before(f, insn);
    const struct vm_isa_row *row = &vm_isa[op->ix];
    bool is_set = op->ix == VM_IX_JSET64_IMM || op->ix == VM_IX_JSET32_IMM;
    if (row->source != VM_SOURCE_IMM || op->imm != 0 || is_set || last == NULL ||
        last->dst != op->dst || vm_isa[last->ix].width != row->width) {
        return false;
    }
    bool is_equality = op->ix == VM_IX_JEQ64_IMM || op->ix == VM_IX_JNE64_IMM ||
                       op->ix == VM_IX_JEQ32_IMM || op->ix == VM_IX_JNE32_IMM;
    return is_logic(last) || (is_equality && is_sum(last));
}
