/* SPDX-License-Identifier: Apache-2.0 */
/* Recognises loads that become operands, see fold.h. */
#include "jit-x86_64/fold.h"

#define LOOK_AHEAD 6 /* instructions: how far an address is from the addition that makes it */

/* The operation whose second operand may be `load_width` bits of memory; false for all others. */
static bool find_alu(const struct vm_op *op, unsigned load_width, struct fold *out)
{
    out->width = vm_isa[op->ix].width;
    switch ((enum vm_ix)op->ix) {
    case VM_IX_ADD64_REG:
    case VM_IX_ADD32_REG: out->alu = X86_ADD; break;
    case VM_IX_SUB64_REG:
    case VM_IX_SUB32_REG: out->alu = X86_SUB; break;
    case VM_IX_OR64_REG:
    case VM_IX_OR32_REG: out->alu = X86_OR; break;
    case VM_IX_XOR64_REG:
    case VM_IX_XOR32_REG: out->alu = X86_XOR; break;
    case VM_IX_AND64_REG: /* and of 32 bits clears the upper half, as a loaded one without does */
        out->alu = X86_AND;
        out->width = load_width;
        break;
    case VM_IX_AND32_REG: out->alu = X86_AND; break;
    default: return false;
    }
    return out->width == load_width;
}

static bool is_access_by(const struct vm_op *op, uint8_t reg)
{
    switch ((enum vm_group)vm_isa[op->ix].group) {
    case VM_GROUP_LDX:
    case VM_GROUP_LDSX: return op->src == reg;
    case VM_GROUP_ST:
    case VM_GROUP_STX: return op->dst == reg;
    default: return false;
    }
}

/* What is added becomes part of an address for nothing, if it is in a register. */
static bool makes_address(const struct analysis *a, const struct vm_program *p, uint32_t insn)
{
    uint8_t reg = p->ops[insn].dst;
    for (uint32_t i = insn + 1; i < p->insn_count && i - insn <= LOOK_AHEAD && !a->joins[i]; i++) {
        if (is_access_by(&p->ops[i], reg)) {
            return true;
        }
    }
    return false;
}

bool fold_at(const struct analysis *a, const struct vm_program *p, uint32_t insn, struct fold *out)
{
    const struct vm_op *load = &p->ops[insn], *op = load + 1;
    unsigned width = vm_isa[load->ix].width;
    if (vm_isa[load->ix].group != VM_GROUP_LDX || width < 32 || insn + 1 >= p->insn_count ||
        a->joins[insn + 1] || !find_alu(op, width, out) || op->src != load->dst ||
        op->dst == load->dst || (analysis_live_after(a, p, insn + 1) >> load->dst & 1) != 0 ||
        (out->alu == X86_ADD && makes_address(a, p, insn + 1))) {
        return false;
    }
    out->dst = op->dst;
    out->base = load->src;
    out->lost = load->dst;
    out->off = load->off;
    return true;
}

void fold_mark(struct analysis *a, const struct vm_program *p, uint32_t insn)
{
    struct fold fold;
    if (fold_at(a, p, insn, &fold)) {
        a->spans[insn] = FOLD_INSNS;
        a->spans[insn + 1] = ANALYSIS_INSIDE;
    }
}
