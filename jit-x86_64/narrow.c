/* SPDX-License-Identifier: Apache-2.0 */
/* Backward analysis of upper halves, and what follows of it; see narrow.h. */
#include "jit-x86_64/narrow.h"

#include <string.h>

#define BIT(reg)  ((uint16_t)(1u << (reg)))
#define ARGUMENTS (BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5))
#define SAVED     (BIT(6) | BIT(7) | BIT(8) | BIT(9))
#define ALL       0x7ff

static uint32_t next_of(const struct vm_program *p, uint32_t insn)
{
    return insn + (vm_isa[p->ops[insn].ix].group == VM_GROUP_LDDW ? 2 : 1);
}

/* ---- which upper halves are read ------------------------------------------------------------ */

/* The lower half of the result depends on lower halves alone. Returns the 32-bit row, or
 * VM_IX_COUNT. */
static enum vm_ix narrow_row(const struct vm_op *op)
{
    switch ((enum vm_ix)op->ix) {
    case VM_IX_ADD64_IMM: return VM_IX_ADD32_IMM;
    case VM_IX_ADD64_REG: return VM_IX_ADD32_REG;
    case VM_IX_SUB64_IMM: return VM_IX_SUB32_IMM;
    case VM_IX_SUB64_REG: return VM_IX_SUB32_REG;
    case VM_IX_MUL64_IMM: return VM_IX_MUL32_IMM;
    case VM_IX_MUL64_REG: return VM_IX_MUL32_REG;
    case VM_IX_OR64_IMM: return VM_IX_OR32_IMM;
    case VM_IX_OR64_REG: return VM_IX_OR32_REG;
    case VM_IX_AND64_IMM: return VM_IX_AND32_IMM;
    case VM_IX_AND64_REG: return VM_IX_AND32_REG;
    case VM_IX_XOR64_IMM: return VM_IX_XOR32_IMM;
    case VM_IX_XOR64_REG: return VM_IX_XOR32_REG;
    case VM_IX_MOV64_IMM: return VM_IX_MOV32_IMM;
    case VM_IX_MOV64_REG: return VM_IX_MOV32_REG;
    case VM_IX_NEG64: return VM_IX_NEG32;
    case VM_IX_LSH64_IMM: return (op->imm & 63) < 32 ? VM_IX_LSH32_IMM : VM_IX_COUNT;
    default: return VM_IX_COUNT;
    }
}

static uint16_t before_alu(const struct vm_op *op, const struct vm_isa_row *row, uint16_t after)
{
    uint16_t dst = BIT(op->dst), src = row->source == VM_SOURCE_REG ? BIT(op->src) : 0;
    uint16_t others = after & (uint16_t)~dst;
    if (row->width == 32) {
        return others;
    }
    switch ((enum vm_ix)op->ix) {
    case VM_IX_MOV64_IMM:
    case VM_IX_MOVSX8_64:
    case VM_IX_MOVSX16_64:
    case VM_IX_MOVSX32_64: return others;
    case VM_IX_MOV64_REG: return others | ((after & dst) != 0 ? src : 0);
    case VM_IX_LSH64_IMM: return (op->imm & 63) < 32 ? after : others;
    case VM_IX_LSH64_REG: /* not narrowed; a fault must not tell of a wrong upper half */
    case VM_IX_RSH64_IMM:
    case VM_IX_RSH64_REG:
    case VM_IX_ARSH64_IMM:
    case VM_IX_ARSH64_REG: return after | dst;
    default: break;
    }
    if (narrow_row(op) != VM_IX_COUNT) {
        return after | ((after & dst) != 0 ? src : 0);
    }
    return after | dst | src;
}

static uint16_t before_call(const struct analysis *a, const struct vm_program *p,
                            const struct vm_op *op, uint16_t after)
{
    uint16_t before = after & SAVED;
    if (op->ix == VM_IX_CALLX) {
        return ALL;
    }
    if (op->ix == VM_IX_CALL_LOCAL) {
        return before | a->wide[op->target];
    }
    for (unsigned i = 0; i < 5; i++) {
        before |= p->helpers[op->target]->kind[i] == VM_ARG_NONE ? 0 : BIT(i + 1);
    }
    return before;
}

static uint16_t wide_after(const struct analysis *a, const struct vm_program *p, uint32_t insn)
{
    const struct vm_op *op = &p->ops[insn];
    uint16_t wide = a->wide[next_of(p, insn)];
    switch ((enum vm_group)vm_isa[op->ix].group) {
    case VM_GROUP_JMP: return wide | a->wide[op->target];
    case VM_GROUP_JA: return a->wide[op->target];
    case VM_GROUP_EXIT: return a->at_exit[p->function_index[insn]];
    default: return wide;
    }
}

static uint16_t wide_before(const struct analysis *a, const struct vm_program *p, uint32_t insn)
{
    const struct vm_op *op = &p->ops[insn];
    const struct vm_isa_row *row = &vm_isa[op->ix];
    uint16_t after = wide_after(a, p, insn), dst = BIT(op->dst);
    switch ((enum vm_group)row->group) {
    case VM_GROUP_ALU: return before_alu(op, row, after);
    case VM_GROUP_END: return row->width == 64 ? after | dst : after & (uint16_t)~dst;
    case VM_GROUP_LDDW:
    case VM_GROUP_LDX:
    case VM_GROUP_LDSX: return after & (uint16_t)~dst;
    case VM_GROUP_STX: return after | (row->width == 64 ? BIT(op->src) : 0);
    case VM_GROUP_ATOMIC: return after | BIT(op->src) | BIT(0);
    case VM_GROUP_JMP:
        return after |
               (row->width == 64 ? dst | (row->source == VM_SOURCE_REG ? BIT(op->src) : 0) : 0);
    case VM_GROUP_CALL: return before_call(a, p, op, after);
    case VM_GROUP_ST:
    case VM_GROUP_JA:
    case VM_GROUP_EXIT: break;
    }
    return after;
}

void narrow_find_wide(struct analysis *a, const struct vm_program *p)
{
    for (unsigned sweep = 0; sweep < ANALYSIS_SWEEPS_MAX; sweep++) {
        bool grew = false;
        for (uint32_t i = p->insn_count; i-- > 0;) {
            uint16_t before = wide_before(a, p, i);
            grew |= (before & ~a->wide[i]) != 0;
            a->wide[i] |= before;
        }
        if (!grew) {
            return;
        }
    }
    for (uint32_t i = 0; i <= p->insn_count; i++) {
        a->wide[i] = ALL;
    }
}

/* ---- rewriting ------------------------------------------------------------------------------ */

/* Arguments come with any upper half. Where a loop may use them as addresses, clearing it once is
 * worth it; a function whose start is jumped to would do so again and again. */
static void find_cleared(struct analysis *a, const struct vm_program *p)
{
    for (uint32_t i = 0; i < p->insn_count; i = next_of(p, i)) {
        const struct vm_op *op = &p->ops[i];
        uint8_t group = vm_isa[op->ix].group;
        if ((group == VM_GROUP_JMP || group == VM_GROUP_JA) && op->target <= i) {
            uint32_t f = p->function_index[i], start = p->functions[f].start;
            a->cleared[f] = a->live[start] & (uint16_t)~a->wide[start] & ARGUMENTS;
        }
    }
    for (uint32_t i = 0; i < p->insn_count; i = next_of(p, i)) {
        const struct vm_op *op = &p->ops[i];
        uint8_t group = vm_isa[op->ix].group;
        uint32_t f = p->function_index[i];
        if ((group == VM_GROUP_JMP || group == VM_GROUP_JA) &&
            op->target == p->functions[f].start) {
            a->cleared[f] = 0;
        }
    }
}

#define LOOP_INSNS_MAX 64 /* that are looked at */

static uint16_t bases_of(const struct vm_program *p, uint32_t start, uint32_t end)
{
    uint16_t bases = 0;
    for (uint32_t i = start; i <= end; i = next_of(p, i)) {
        const struct vm_op *op = &p->ops[i];
        switch ((enum vm_group)vm_isa[op->ix].group) {
        case VM_GROUP_LDX:
        case VM_GROUP_LDSX: bases |= BIT(op->src); break;
        case VM_GROUP_ST:
        case VM_GROUP_STX: bases |= BIT(op->dst); break;
        default: break;
        }
    }
    return bases & (uint16_t)~BIT(10);
}

/* What a loop uses as addresses is cleared before it, once, instead of in each round. Not what
 * belongs to the callers, who save only what the function is known to change. */
static void find_clears(struct analysis *a, const struct vm_program *p)
{
    for (uint32_t i = 0; i < p->insn_count; i = next_of(p, i)) {
        const struct vm_op *op = &p->ops[i];
        uint8_t group = vm_isa[op->ix].group;
        if ((group == VM_GROUP_JMP || group == VM_GROUP_JA) && op->target <= i &&
            i - op->target <= LOOP_INSNS_MAX) {
            uint16_t callers = SAVED & (uint16_t)~a->changes[p->function_index[i]];
            uint16_t bases = bases_of(p, op->target, i) & (uint16_t)~callers;
            a->clears[op->target] |= bases & a->live[op->target] & (uint16_t)~a->wide[op->target];
        }
    }
}

void narrow_ops(struct analysis *a, const struct vm_program *p, struct vm_op *ops)
{
    for (uint32_t i = 0; i < p->insn_count; i = next_of(p, i)) {
        if ((wide_after(a, p, i) >> ops[i].dst & 1) != 0) {
            continue;
        }
        enum vm_ix row = narrow_row(&ops[i]);
        if (row != VM_IX_COUNT) {
            ops[i].ix = (uint8_t)row;
        } else if (vm_isa[ops[i].ix].group == VM_GROUP_LDDW) {
            ops[i].imm = (uint32_t)ops[i].imm;
        }
    }
    find_cleared(a, p);
    find_clears(a, p);
}
