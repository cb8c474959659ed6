/* SPDX-License-Identifier: Apache-2.0 */
/* Finds remainders and rewrites them; see remainder.h. */
#include "jit-x86_64/remainder.h"

#define BIT(reg) ((uint16_t)(1u << (reg)))

/* Where the parts are, and which registers. */
struct remainder {
    uint32_t start; /* mov q, a */
    uint32_t end;   /* sub r, q */
    unsigned width;
    uint8_t a, b, q, r;
};

static bool is_move(const struct vm_op *op, unsigned width)
{
    return op->ix == VM_IX_MOV64_REG || (width == 32 && op->ix == VM_IX_MOV32_REG);
}

static bool is_product(const struct vm_op *op, unsigned width)
{
    return op->ix == (width == 64 ? VM_IX_MUL64_REG : VM_IX_MUL32_REG);
}

static bool is_difference(const struct vm_op *op, unsigned width)
{
    return op->ix == (width == 64 ? VM_IX_SUB64_REG : VM_IX_SUB32_REG);
}

static bool is_entered(const struct analysis *a, uint32_t start, uint32_t end)
{
    bool entered = false;
    for (uint32_t i = start + 1; i <= end; i++) {
        entered |= a->joins[i];
    }
    return entered;
}

/* The one whose division is `div`. One of 64 bits must have been so in the program: what of it was
 * narrowed since then, left out what nobody wants, but an instruction that always was of 32 bits
 * makes zeros. One of 32 bits may also have become so. */
static bool find(const struct analysis *a, const struct vm_program *p, const struct vm_op *ops,
                 uint32_t div, struct remainder *out)
{
    const struct vm_op *op = &ops[div];
    unsigned width = op->ix == VM_IX_DIV64_REG ? 64 : 32;
    if ((op->ix != VM_IX_DIV64_REG && op->ix != VM_IX_DIV32_REG) || div == 0 ||
        div + 3 >= p->insn_count || (div > 1 && vm_isa[ops[div - 2].ix].group == VM_GROUP_LDDW)) {
        return false;
    }
    const struct vm_op *whole = width == 64 ? p->ops : ops;
    const struct vm_op *copy = &whole[div - 1], *product = &whole[div + 1], *move = &whole[div + 2];
    uint8_t q = op->dst, b = op->src;
    bool is_moved = is_move(move, width) && move->dst != q;
    uint32_t end = is_moved ? div + 3 : div + 2;
    *out = (struct remainder){.start = div - 1,
                              .end = end,
                              .width = width,
                              .a = copy->src,
                              .b = b,
                              .q = q,
                              .r = whole[end].dst};
    return is_move(copy, width) && copy->dst == q && is_product(product, width) &&
           product->dst == q && product->src == b && is_difference(&whole[end], width) &&
           whole[end].src == q &&
           (is_moved ? move->src == out->a && move->dst == out->r : out->r == out->a) && q != b &&
           q != out->a && out->r != b && out->r != q && !is_entered(a, div - 1, end) &&
           (analysis_live_after(a, p, end) & BIT(q)) == 0;
}

/* An instruction that takes no code. */
static struct vm_op nothing(uint8_t reg)
{
    return (struct vm_op){.ix = VM_IX_MOV64_REG, .dst = reg, .src = reg};
}

static void rewrite(struct analysis *a, struct vm_op *ops, const struct remainder *it)
{
    bool is_moved = it->end - it->start == 4;
    for (uint32_t i = it->start; i < it->end; i++) {
        ops[i] = nothing(it->q);
        a->live[i + 1] = (uint16_t)((a->live[i + 1] | BIT(it->b)) & ~BIT(it->q));
    }
    if (is_moved) {
        ops[it->end - 1].dst = it->r;
        ops[it->end - 1].src = it->a;
    }
    ops[it->end] = (struct vm_op){
        .ix = it->width == 64 ? VM_IX_MOD64_REG : VM_IX_MOD32_REG, .dst = it->r, .src = it->b};
}

void remainder_ops(struct analysis *a, const struct vm_program *p, struct vm_op *ops)
{
    for (uint32_t i = 0; i < p->insn_count; i++) {
        struct remainder it;
        if (find(a, p, ops, i, &it)) {
            rewrite(a, ops, &it);
        }
    }
}
