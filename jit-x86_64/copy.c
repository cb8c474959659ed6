/* SPDX-License-Identifier: Apache-2.0 */
/* Recognises copying loops, see copy.h: goes through one round and keeps for each register how it
 * is made of what registers held at the head. */
#include "jit-x86_64/copy.h"

#define BIT(r)  ((uint16_t)(1u << (r)))
#define OFF_MAX (INT32_MAX / 2) /* room for what is added to it */

/* base + index + off, of registers at the head; either may be COPY_NONE. */
struct sum {
    uint8_t base;
    uint8_t index;
    bool is_narrow; /* right in the lower half alone */
    bool is_loaded; /* what was loaded, instead */
    int32_t off;
};

struct round {
    struct sum of[11];
    uint16_t written;
    uint8_t bytes; /* of an element, once there was an access */
    bool has_stored;
    uint8_t value; /* as in struct copy */
    struct sum from;
    struct sum to;
};

static bool add_constant(struct sum *sum, int64_t more)
{
    if (sum->is_loaded || more < -OFF_MAX || more > OFF_MAX || sum->off + more < -OFF_MAX ||
        sum->off + more > OFF_MAX) {
        return false;
    }
    sum->off += (int32_t)more;
    return true;
}

static bool set_constant(struct sum *sum, int64_t value)
{
    *sum = (struct sum){.base = COPY_NONE, .index = COPY_NONE};
    return add_constant(sum, value);
}

static bool add_sum(struct sum *sum, const struct sum *more)
{
    if (sum->is_loaded || more->is_loaded || sum->index != COPY_NONE || more->index != COPY_NONE) {
        return false;
    }
    if (sum->base == COPY_NONE) {
        sum->base = more->base;
    } else {
        sum->index = more->base;
    }
    sum->is_narrow |= more->is_narrow;
    return add_constant(sum, more->off);
}

static bool follow_load(struct round *r, const struct vm_op *op)
{
    r->from = r->of[op->src];
    if (r->bytes != 0 || !add_constant(&r->from, op->off)) {
        return false;
    }
    r->bytes = vm_isa[op->ix].width / 8;
    r->of[op->dst] = (struct sum){.is_loaded = true};
    return true;
}

static bool follow_store(struct round *r, const struct vm_op *op)
{
    bool is_loaded = r->of[op->src].is_loaded;
    uint8_t bytes = vm_isa[op->ix].width / 8;
    r->to = r->of[op->dst];
    if (r->has_stored || (is_loaded ? bytes != r->bytes : r->bytes != 0) ||
        !add_constant(&r->to, op->off)) {
        return false;
    }
    r->bytes = bytes;
    r->value = is_loaded ? COPY_NONE : op->src;
    r->has_stored = true;
    return true;
}

/* False when the instruction is none of a copying loop. */
static bool follow_insn(struct round *r, const struct vm_op *op)
{
    struct sum *dst = &r->of[op->dst];
    const struct vm_isa_row *row = &vm_isa[op->ix];
    bool is_narrow = row->group == VM_GROUP_ALU && row->width == 32, is_known = false;
    switch ((enum vm_ix)op->ix) {
    case VM_IX_MOV64_REG:
    case VM_IX_MOV32_REG:
        *dst = r->of[op->src];
        is_known = !dst->is_loaded;
        break;
    case VM_IX_ADD64_REG:
    case VM_IX_ADD32_REG: is_known = add_sum(dst, &r->of[op->src]); break;
    case VM_IX_LDDW:
    case VM_IX_MOV64_IMM:
    case VM_IX_MOV32_IMM: is_known = set_constant(dst, op->imm); break;
    case VM_IX_ADD64_IMM:
    case VM_IX_ADD32_IMM: is_known = add_constant(dst, op->imm); break;
    case VM_IX_LDX8:
    case VM_IX_LDX16:
    case VM_IX_LDX32:
    case VM_IX_LDX64: is_known = follow_load(r, op); break;
    case VM_IX_STX8:
    case VM_IX_STX16:
    case VM_IX_STX32:
    case VM_IX_STX64: return follow_store(r, op);
    default: return false;
    }
    dst->is_narrow |= is_narrow;
    r->written |= BIT(op->dst);
    return is_known;
}

/* What the register gains in a round; -1 when it is something else afterwards, or gains much. */
static int32_t gain(const struct round *r, unsigned reg)
{
    if (reg == COPY_NONE) {
        return 0;
    }
    const struct sum *sum = &r->of[reg];
    bool is_step = !sum->is_loaded && sum->base == reg && sum->index == COPY_NONE;
    return is_step && sum->off <= INT16_MAX ? sum->off : -1;
}

static bool find_steps(const struct round *r, uint16_t wanted, struct copy *out)
{
    int32_t times = COPY_BYTES / r->bytes;
    out->step_count = 0;
    for (uint8_t reg = 0; reg <= 10; reg++) {
        if ((r->written & wanted & BIT(reg)) == 0) {
            continue;
        }
        if (gain(r, reg) < 0 || out->step_count == COPY_STEPS_MAX) {
            return false;
        }
        out->steps[out->step_count].reg = reg;
        out->steps[out->step_count].width = r->of[reg].is_narrow ? 32 : 64;
        out->steps[out->step_count++].by = gain(r, reg) * times;
    }
    return true;
}

/* Goes on by one element a round. */
static bool find_place(const struct round *r, const struct sum *sum, struct copy_place *out)
{
    int32_t base = gain(r, sum->base), index = gain(r, sum->index);
    *out = (struct copy_place){.base = sum->base, .index = sum->index, .off = sum->off};
    return base >= 0 && index >= 0 && base + index == r->bytes;
}

static bool find_condition(const struct round *r, const struct vm_op *jump, struct copy *out)
{
    bool is_imm = vm_isa[jump->ix].source == VM_SOURCE_IMM;
    bool is_swapped = jump->ix == VM_IX_JGT64_REG;
    out->counter = is_swapped ? jump->src : jump->dst;
    out->limit = is_imm ? COPY_NONE : is_swapped ? jump->dst : jump->src;
    out->limit_imm = (int32_t)jump->imm;
    out->most = gain(r, out->counter) * (COPY_BYTES / r->bytes);
    switch ((enum vm_ix)jump->ix) {
    case VM_IX_JLT64_REG:
    case VM_IX_JLT64_IMM:
    case VM_IX_JNE64_REG:
    case VM_IX_JNE64_IMM:
    case VM_IX_JGT64_REG: break;
    default: return false;
    }
    return out->most > 0 && !r->of[out->counter].is_narrow && out->counter != 10 &&
           (is_imm || (out->limit != 10 && (r->written & BIT(out->limit)) == 0));
}

/* What is moved is the same in each round, or can be loaded. */
static bool find_source(const struct round *r, struct copy *out)
{
    out->bytes = r->bytes;
    out->value = r->value;
    if (r->value == COPY_NONE) {
        return find_place(r, &r->from, &out->from);
    }
    return r->value != 10 && (r->written & BIT(r->value)) == 0;
}

bool copy_at(const struct analysis *a, const struct vm_program *p, uint32_t head, struct copy *out)
{
    struct round r = {.written = 0};
    uint32_t i = head;
    for (uint8_t reg = 0; reg <= 10; reg++) {
        r.of[reg] = (struct sum){.base = reg, .index = COPY_NONE};
    }
    while (i < p->insn_count && i - head < COPY_INSNS_MAX && (i == head || !a->joins[i]) &&
           follow_insn(&r, &p->ops[i])) {
        i += p->ops[i].ix == VM_IX_LDDW ? 2 : 1;
    }
    const struct vm_op *jump = &p->ops[i];
    return i < p->insn_count && !(i != head && a->joins[i]) &&
           vm_isa[jump->ix].group == VM_GROUP_JMP && jump->target == head && r.has_stored &&
           !a->inverts[i] && !a->swaps[i] && find_condition(&r, jump, out) &&
           find_steps(&r, a->live[head], out) && find_source(&r, out) &&
           find_place(&r, &r.to, &out->to);
}
