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

/* ---- rotations ------------------------------------------------------------------------------ */

#define ROTATION_INSNS_MAX 5 /* two shifts, two moves, and the or */

/* A shift to one side, and what was shifted. */
struct half {
    uint8_t count; /* of instructions */
    uint8_t reg;
    uint8_t src;
    uint8_t bits;
    bool is_left;
};

/* The half that ends at `insn`. */
static bool ends_half(const struct fuse *f, uint32_t insn, unsigned width, struct half *half)
{
    const struct vm_op *op = &f->program->ops[insn], *move = before(f, insn);
    bool is_wide = width == 64, is_left = op->ix == VM_IX_LSH64_IMM || op->ix == VM_IX_LSH32_IMM;
    if (op->ix != (is_wide ? VM_IX_LSH64_IMM : VM_IX_LSH32_IMM) &&
        op->ix != (is_wide ? VM_IX_RSH64_IMM : VM_IX_RSH32_IMM)) {
        return false;
    }
    bool is_moved = move != NULL && move->dst == op->dst &&
                    (is_wide ? move->ix == VM_IX_MOV64_REG : is_move(move));
    *half = (struct half){.count = is_moved ? 2 : 1,
                          .reg = op->dst,
                          .src = is_moved ? move->src : op->dst,
                          .bits = (uint8_t)op->imm & (width - 1),
                          .is_left = is_left};
    return true;
}

/* Both halves just before `insn`, first the one that is executed last. */
static bool ends_halves(const struct fuse *f, uint32_t insn, unsigned width, struct half halves[2])
{
    return before(f, insn) != NULL && ends_half(f, insn - 1, width, &halves[0]) &&
           before(f, insn - halves[0].count) != NULL &&
           ends_half(f, insn - halves[0].count - 1, width, &halves[1]);
}

static unsigned rotation_width(const struct vm_op *op)
{
    return op->ix == VM_IX_OR64_REG ? 64 : op->ix == VM_IX_OR32_REG ? 32 : 0;
}

static bool is_rotation(const struct analysis *a, const struct vm_program *p, uint32_t insn,
                        const struct half halves[2])
{
    const struct vm_op *op = &p->ops[insn];
    unsigned width = rotation_width(op);
    bool is_both = (halves[0].reg == op->dst && halves[1].reg == op->src) ||
                   (halves[1].reg == op->dst && halves[0].reg == op->src);
    /* What is shifted last must not be what was shifted first already. */
    return op->dst != op->src && is_both && halves[0].is_left != halves[1].is_left &&
           halves[0].bits + halves[1].bits == (int)width && halves[0].bits != 0 &&
           halves[0].src == halves[1].src && halves[0].src != halves[1].reg &&
           halves[0].src != 10 && (analysis_live_after(a, p, insn) >> op->src & 1) == 0;
}

void fuse_find_rotations(struct analysis *a, const struct vm_program *p)
{
    struct fuse fuse = {.program = p, .analysis = a};
    for (uint32_t i = 0; i < p->insn_count; i++) {
        struct half halves[2];
        unsigned width = rotation_width(&p->ops[i]);
        if (width != 0 && ends_halves(&fuse, i, width, halves) && is_rotation(a, p, i, halves)) {
            a->rotates[i] = 1 + halves[0].count + halves[1].count;
        }
    }
}

bool fuse_ends_rotation(const struct fuse *f, uint32_t insn, struct fuse_rotation *rotation)
{
    const struct vm_op *op = &f->program->ops[insn];
    struct half halves[2];
    if (f->analysis->rotates[insn] == 0 || !ends_halves(f, insn, rotation_width(op), halves)) {
        return false;
    }
    *rotation = (struct fuse_rotation){
        .src = halves[0].src, .other = op->src, .left = halves[halves[0].is_left ? 0 : 1].bits};
    return true;
}

static bool is_in_rotation(const struct fuse *f, uint32_t insn)
{
    for (uint32_t i = insn + 1; i < insn + ROTATION_INSNS_MAX && i < f->program->insn_count; i++) {
        if (f->analysis->rotates[i] > i - insn) {
            return true;
        }
    }
    return false;
}

bool fuse_is_absorbed(const struct fuse *f, uint32_t insn)
{
    const struct vm_op *op = &f->program->ops[insn];
    uint32_t count = f->program->insn_count;
    uint8_t src;
    if (f->analysis->spans[insn] == ANALYSIS_INSIDE) {
        return true;
    }
    if (op->ix == VM_IX_JA || op->ix == VM_IX_JA32) {
        return insn > 0 && f->analysis->inverts[insn - 1];
    }
    if ((insn > 0 && f->analysis->selects[insn - 1]) || is_in_rotation(f, insn)) {
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

bool fuse_is_extension(const struct fuse *f, uint32_t insn, unsigned *bits)
{
    const struct vm_op *op = &f->program->ops[insn];
    bool is_mask = op->ix == VM_IX_AND64_IMM || op->ix == VM_IX_AND32_IMM;
    if (!is_mask || (op->imm != UINT8_MAX && op->imm != UINT16_MAX)) {
        return false;
    }
    *bits = op->imm == UINT8_MAX ? 8 : 16;
    bool is_compared = insn + 1 < f->program->insn_count &&
                       vm_isa[f->program->ops[insn + 1].ix].group == VM_GROUP_JMP &&
                       fuse_has_flags(f, insn + 1);
    return !is_compared;
}
