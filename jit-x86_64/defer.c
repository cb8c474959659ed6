/* SPDX-License-Identifier: Apache-2.0 */
/* Sums that wait, see defer.h. */
#include "jit-x86_64/defer.h"

#include <assert.h>

#include "jit-x86_64/compile.h"
#include "jit-x86_64/lower.h"

#define SCALE_MAX 3

static bool fits32(int64_t value)
{
    return value == (int32_t)value;
}

static bool waits(const struct defer *d, unsigned guest)
{
    return (d->waiting >> guest & 1) != 0;
}

bool defer_uses(const struct x86_mem *sum, enum x86_reg reg)
{
    return sum->base == reg || sum->index == reg;
}

static struct x86_mem plain(enum x86_reg reg, int32_t disp)
{
    return (struct x86_mem){.base = reg, .index = X86_NO_REG, .disp = disp};
}

static bool is_constant(const struct x86_mem *sum)
{
    return sum->base == X86_NO_REG && sum->index == X86_NO_REG;
}

static bool is_register(const struct x86_mem *sum)
{
    return sum->base != X86_NO_REG && sum->index == X86_NO_REG && sum->disp == 0;
}

struct defer_value defer_value(const struct defer *d, unsigned guest)
{
    if (guest < DEFER_REGISTERS && waits(d, guest)) {
        return d->of[guest];
    }
    return (struct defer_value){.sum = plain(lower_reg(guest), 0)};
}

/* ---- sums ----------------------------------------------------------------------------------- */

static bool add_constant(struct x86_mem *sum, int64_t more)
{
    if (!fits32(sum->disp + more)) {
        return false;
    }
    sum->disp = (int32_t)(sum->disp + more);
    return true;
}

/* The index first: it cannot become the base, a base can become an index. */
static bool add_sum(struct x86_mem *sum, const struct x86_mem *more)
{
    if (more->index != X86_NO_REG) {
        if (sum->index != X86_NO_REG) {
            return false;
        }
        sum->index = more->index;
        sum->scale = more->scale;
    }
    if (more->base != X86_NO_REG) {
        if (sum->base == X86_NO_REG) {
            sum->base = more->base;
        } else if (sum->index == X86_NO_REG) {
            sum->index = more->base;
            sum->scale = 0;
        } else {
            return false;
        }
    }
    return add_constant(sum, more->disp);
}

/* The low half of a register can be an index of a sum of full registers. */
static void make_index(struct defer_value *value)
{
    if (value->narrow && is_register(&value->sum)) {
        *value = (struct defer_value){.sum = {.base = X86_NO_REG, .index = value->sum.base},
                                      .narrow_index = true};
    }
}

/* ---- settling ------------------------------------------------------------------------------- */

static void settle(struct lower *l, unsigned guest, uint16_t live);

/* Settles what uses the native register of Rn. What is not in `live` is dropped. */
static void settle_users(struct lower *l, unsigned guest, uint16_t live)
{
    for (unsigned i = 0; i < DEFER_REGISTERS && l->defer.waiting != 0; i++) {
        if (i != guest && waits(&l->defer, i) &&
            defer_uses(&l->defer.of[i].sum, lower_reg(guest))) {
            settle(l, i, live);
        }
    }
}

/* r10 plus a number of 16 bits is below 2^32, as the stack is far from the window's ends. */
static bool is_in_stack(const struct x86_mem *sum)
{
    return sum->base == MEM_FRAME && sum->index == X86_NO_REG && sum->disp == (int16_t)sum->disp;
}

static void settle_sum(struct emit *e, const struct defer_value *value, enum x86_reg dst)
{
    struct x86_mem sum = value->sum;
    bool is_low = value->narrow || is_in_stack(&sum);
    assert(!value->narrow_index || sum.index != X86_NO_REG);
    if (!is_low && defer_uses(&sum, MEM_FRAME)) {
        emit_mov(e, 32, X86_R9, MEM_FRAME);
        sum.base = sum.base == MEM_FRAME ? X86_R9 : sum.base;
        sum.index = sum.index == MEM_FRAME ? X86_R9 : sum.index;
    }
    if (value->narrow_index) {
        emit_mov(e, 32, X86_R10, sum.index);
        sum.index = X86_R10;
    }
    emit_lea(e, is_low ? 32 : 64, dst, sum);
}

static void settle(struct lower *l, unsigned guest, uint16_t live)
{
    struct defer *d = &l->defer;
    if (guest >= DEFER_REGISTERS || !waits(d, guest)) {
        return;
    }
    if ((live >> guest & 1) == 0) {
        d->waiting &= (uint16_t) ~(1u << guest);
        return;
    }
    settle_users(l, guest, live);
    d->waiting &= (uint16_t) ~(1u << guest);
    const struct defer_value *value = &d->of[guest];
    enum x86_reg dst = lower_reg(guest);
    if (is_constant(&value->sum)) {
        assert(value->sum.disp != 0); /* zero would be made by xor, and spoil the flags */
        emit_mov_imm(&l->emit, dst,
                     value->narrow ? (uint32_t)value->sum.disp : (uint64_t)value->sum.disp);
    } else if (is_register(&value->sum)) {
        bool is_frame = value->sum.base == MEM_FRAME;
        emit_mov(&l->emit, value->narrow || is_frame ? 32 : 64, dst, value->sum.base);
    } else {
        settle_sum(&l->emit, value, dst);
    }
    l->near &= (uint16_t) ~(1u << guest);
    if (defer_uses(&l->held, dst)) {
        l->held = plain(X86_NO_REG, 0);
    }
}

static void settle_all(struct lower *l, uint16_t live)
{
    for (unsigned i = 0; i < DEFER_REGISTERS && l->defer.waiting != 0; i++) {
        settle(l, i, live);
    }
}

/* ---- instructions that can wait ------------------------------------------------------------- */

/* Whether a jump that follows may use the flags of `op`. */
static bool is_flag_source(const struct lower *l, const struct vm_op *op)
{
    uint32_t next = l->insn + 1;
    const struct vm_op *jump = &l->program->ops[next];
    return next < l->program->insn_count && vm_isa[jump->ix].group == VM_GROUP_JMP &&
           jump->dst == op->dst;
}

static bool take_constant(int64_t imm, bool narrow, struct defer_value *to)
{
    int64_t value = narrow ? (int64_t)(uint32_t)imm : imm;
    if (!fits32(value) && value != (int64_t)(uint32_t)value) {
        return false;
    }
    *to = (struct defer_value){.sum = plain(X86_NO_REG, (int32_t)value), .narrow = !fits32(value)};
    return true;
}

/* The low half of a sum only depends on low halves. */
static void make_narrow(struct defer_value *value)
{
    value->narrow = true;
    value->narrow_index = false;
}

static bool take_sum(const struct lower *l, const struct vm_op *op, bool narrow,
                     struct defer_value *to)
{
    struct defer_value more = defer_value(&l->defer, op->src);
    if (!waits(&l->defer, op->dst) && is_flag_source(l, op)) {
        return false;
    }
    if (narrow) {
        make_narrow(to);
        return add_sum(&to->sum, &more.sum);
    }
    make_index(to);
    make_index(&more);
    if (to->narrow || more.narrow ||
        (to->sum.index != X86_NO_REG && more.sum.index != X86_NO_REG)) {
        return false;
    }
    to->narrow_index |= more.narrow_index;
    bool has_two = to->sum.base != X86_NO_REG && more.sum.base != X86_NO_REG;
    return !(has_two && to->narrow_index) && add_sum(&to->sum, &more.sum);
}

/* A register that is counted up in place is not worth a note: its new value is wanted at once. */
static bool take_step(const struct lower *l, const struct vm_op *op, int64_t step, bool narrow,
                      struct defer_value *to)
{
    if (narrow) {
        make_narrow(to);
    } else {
        make_index(to);
    }
    return waits(&l->defer, op->dst) && to->narrow == narrow && add_constant(&to->sum, step);
}

static bool take_shift(const struct vm_op *op, bool narrow, struct defer_value *to)
{
    enum x86_reg reg = to->sum.base;
    if (!is_register(&to->sum) || op->imm < 1 || op->imm > SCALE_MAX) {
        return false;
    }
    bool is_half = to->narrow && !narrow, is_double = op->imm == 1 && !is_half;
    *to = (struct defer_value){.sum = {.base = is_double ? reg : X86_NO_REG, /* the shorter form */
                                       .index = reg,
                                       .scale = is_double ? 0 : (uint8_t)op->imm},
                               .narrow = narrow,
                               .narrow_index = is_half};
    return true;
}

/* Three, five and nine times a register are sums, which take less than a third of the time. */
static bool take_product(const struct vm_op *op, bool narrow, struct defer_value *to)
{
    enum x86_reg reg = to->sum.base;
    uint8_t scale = op->imm == 3 ? 1 : op->imm == 5 ? 2 : op->imm == 9 ? 3 : 0;
    if (!is_register(&to->sum) || scale == 0 || (to->narrow && !narrow)) {
        return false;
    }
    to->sum = (struct x86_mem){.base = reg, .index = reg, .scale = scale};
    to->narrow = narrow;
    return true;
}

static bool take_move(const struct lower *l, unsigned src, bool narrow, struct defer_value *to)
{
    *to = defer_value(&l->defer, src);
    if (narrow && !(is_register(&to->sum) && analysis_is_half(&l->analysis, l->insn, src))) {
        make_narrow(to);
    }
    return true;
}

static bool take_widening(const struct lower *l, const struct vm_op *op, struct defer_value *to)
{
    struct fuse fuse = {.program = l->program, .analysis = &l->analysis};
    uint8_t src;
    return op->imm == 32 && fuse_ends_widening(&fuse, l->insn, &src) && take_move(l, src, true, to);
}

static bool take(const struct lower *l, const struct vm_op *op, struct defer_value *to)
{
    switch ((enum vm_ix)op->ix) {
    case VM_IX_MOV64_REG: return take_move(l, op->src, false, to);
    case VM_IX_MOV32_REG: return take_move(l, op->src, true, to);
    case VM_IX_MOV64_IMM:
    case VM_IX_LDDW:
    case VM_IX_LDDW_FUNC: return take_constant(op->imm, false, to);
    case VM_IX_MOV32_IMM: return take_constant(op->imm, true, to);
    case VM_IX_ADD64_REG: return take_sum(l, op, false, to);
    case VM_IX_ADD32_REG: return take_sum(l, op, true, to);
    case VM_IX_ADD64_IMM: return take_step(l, op, op->imm, false, to);
    case VM_IX_ADD32_IMM: return take_step(l, op, op->imm, true, to);
    case VM_IX_SUB64_IMM: return take_step(l, op, -op->imm, false, to);
    case VM_IX_SUB32_IMM: return take_step(l, op, -op->imm, true, to);
    case VM_IX_LSH64_IMM: return take_shift(op, false, to);
    case VM_IX_LSH32_IMM: return take_shift(op, true, to);
    case VM_IX_MUL64_IMM: return take_product(op, false, to);
    case VM_IX_MUL32_IMM: return take_product(op, true, to);
    case VM_IX_RSH64_IMM: return take_widening(l, op, to);
    default: return false;
    }
}

/* Registers that must survive a change of dst: what is wanted afterwards, and what is read now. */
static uint16_t live_with_source(const struct lower *l, const struct vm_op *op)
{
    struct fuse fuse = {.program = l->program, .analysis = &l->analysis};
    uint16_t live = analysis_live_after(&l->analysis, l->program, l->insn);
    uint8_t src = op->src;
    struct fuse_rotation rotation;
    if (fuse_ends_rotation(&fuse, l->insn, &rotation)) {
        return live | (uint16_t)(1u << rotation.src);
    }
    bool has_source =
        vm_isa[op->ix].source == VM_SOURCE_REG || fuse_ends_widening(&fuse, l->insn, &src);
    return live | (uint16_t)((has_source ? 1u : 0u) << src);
}

bool defer_takes(struct lower *l, const struct vm_op *op)
{
    struct defer *d = &l->defer;
    uint16_t bit = (uint16_t)(1u << op->dst);
    uint8_t group = vm_isa[op->ix].group;
    if ((l->without & JIT_DEFERRING) != 0 || (group != VM_GROUP_ALU && group != VM_GROUP_LDDW)) {
        return false;
    }
    settle_users(l, op->dst, live_with_source(l, op));
    struct defer_value value = defer_value(d, op->dst);
    if (!take(l, op, &value) || (is_constant(&value.sum) && value.sum.disp == 0)) {
        return false;
    }
    d->waiting &= (uint16_t)~bit;
    if (!is_register(&value.sum) || value.sum.base != lower_reg(op->dst) || value.narrow) {
        d->of[op->dst] = value;
        d->waiting |= bit;
    }
    return true;
}

/* ---- instructions that cannot --------------------------------------------------------------- */

/* A value that already is in some register, as wide as it is read. */
static bool is_there(const struct defer *d, unsigned guest, unsigned width)
{
    const struct defer_value *value = &d->of[guest];
    return is_register(&value->sum) && value->sum.base != MEM_FRAME &&
           (!value->narrow || width <= 32);
}

enum x86_reg defer_read(const struct lower *l, unsigned guest, unsigned width)
{
    if (guest >= DEFER_REGISTERS || !waits(&l->defer, guest)) {
        return lower_reg(guest);
    }
    assert(is_there(&l->defer, guest, width));
    return l->defer.of[guest].sum.base;
}

static bool is_half(const struct lower *l, unsigned guest, const struct defer_value *value)
{
    if (guest >= DEFER_REGISTERS || !waits(&l->defer, guest)) {
        return analysis_is_half(&l->analysis, l->insn, guest);
    }
    if (!is_register(&value->sum) || value->narrow) {
        return false;
    }
    for (unsigned i = 0; i < DEFER_REGISTERS; i++) {
        if (lower_reg(i) == value->sum.base) {
            return !waits(&l->defer, i) && analysis_is_half(&l->analysis, l->insn, i);
        }
    }
    return false;
}

struct mem_place defer_place(const struct lower *l, unsigned guest)
{
    struct defer_value value = defer_value(&l->defer, guest);
    bool may = (l->without & JIT_NARROWING) == 0;
    return (struct mem_place){.sum = value.sum,
                              .is_half = may && is_half(l, guest, &value),
                              .may_gs = l->may_gs && l->analysis.loops[l->insn]};
}

static void settle_read(struct lower *l, unsigned guest, unsigned width, uint16_t live)
{
    if (guest < DEFER_REGISTERS && waits(&l->defer, guest) && !is_there(&l->defer, guest, width)) {
        settle(l, guest, live | (uint16_t)(1u << guest));
    }
}

static void prepare_jump(struct lower *l, const struct vm_op *op, const struct vm_isa_row *row)
{
    const uint16_t *live = l->analysis.live;
    if (l->analysis.selects[l->insn]) {
        const struct vm_op *move = &l->program->ops[l->insn + 1];
        bool is_set = vm_isa[move->ix].source == VM_SOURCE_IMM; /* whatever waits there */
        l->defer.waiting &= (uint16_t) ~((is_set ? 1u : 0u) << move->dst);
        settle_all(l, live[l->insn]);
        return;
    }
    uint16_t wanted = live[lower_target(l, l->insn)];
    wanted |= l->analysis.joins[lower_next(l, l->insn)] ? live[lower_next(l, l->insn)] : 0;
    for (unsigned i = 0; i < DEFER_REGISTERS; i++) {
        if ((wanted >> i & 1) != 0) {
            settle(l, i, live[l->insn]);
        }
    }
    settle_read(l, op->dst, row->width, live[l->insn]);
    if (row->source == VM_SOURCE_REG) {
        settle_read(l, op->src, row->width, live[l->insn]);
    }
}

/* What waits in the registers of both halves was overwritten before this instruction. */
static void prepare_rotation(struct lower *l, const struct vm_op *op,
                             const struct fuse_rotation *rotation)
{
    uint16_t live = live_with_source(l, op), src = (uint16_t)(1u << rotation->src);
    uint16_t halves = (uint16_t)(1u << op->dst | 1u << rotation->other);
    l->defer.waiting &= (uint16_t) ~(halves & ~src);
    settle_read(l, rotation->src, vm_isa[op->ix].width, live);
    settle_users(l, op->dst, live);
}

/* Whether the code of the instruction takes its first operand from any register. */
static bool has_three_operands(const struct lower *l, const struct vm_op *op)
{
    struct fuse fuse = {.program = l->program, .analysis = &l->analysis};
    unsigned bits;
    return (l->without & JIT_THREE_OPERANDS) == 0 &&
           (op->ix == VM_IX_MUL64_IMM || op->ix == VM_IX_MUL32_IMM ||
            fuse_is_extension(&fuse, l->insn, &bits));
}

static void prepare_alu(struct lower *l, const struct vm_op *op)
{
    const struct vm_isa_row *row = &vm_isa[op->ix];
    struct fuse fuse = {.program = l->program, .analysis = &l->analysis};
    uint16_t before = l->analysis.live[l->insn];
    uint8_t src = op->dst;
    struct fuse_rotation rotation;
    if (!lower_is_plain(op)) {
        settle_all(l, before);
        return;
    }
    if (fuse_ends_rotation(&fuse, l->insn, &rotation)) {
        prepare_rotation(l, op, &rotation);
        return;
    }
    if (row->source == VM_SOURCE_REG) {
        settle_read(l, op->src, row->width, before);
    } else if (fuse_ends_widening(&fuse, l->insn, &src)) {
        settle_read(l, src, 32, live_with_source(l, op));
    }
    if (src == op->dst && has_three_operands(l, op)) {
        settle_read(l, src, row->width, before);
    } else if (src == op->dst) {
        settle(l, op->dst, before);
    }
    settle_users(l, op->dst, live_with_source(l, op));
}

/* A load's address may name what the load overwrites, if nobody wants the address again. */
static void prepare_load(struct lower *l, const struct vm_op *op)
{
    uint16_t after = analysis_live_after(&l->analysis, l->program, l->insn);
    uint16_t src = (uint16_t)(1u << op->src), kept = l->defer.waiting & src & (uint16_t)~after;
    l->defer.waiting &= (uint16_t)~kept;
    settle_users(l, op->dst, after | src);
    l->defer.waiting |= kept;
}

void defer_prepare(struct lower *l, const struct vm_op *op)
{
    const struct vm_isa_row *row = &vm_isa[op->ix];
    uint16_t before = l->analysis.live[l->insn];
    if (l->defer.waiting == 0) {
        return;
    }
    switch ((enum vm_group)row->group) {
    case VM_GROUP_ALU: prepare_alu(l, op); return;
    case VM_GROUP_END:
    case VM_GROUP_LDDW:
        settle(l, op->dst, before);
        settle_users(l, op->dst, live_with_source(l, op));
        return;
    case VM_GROUP_LDX:
    case VM_GROUP_LDSX: prepare_load(l, op); return;
    case VM_GROUP_STX: settle_read(l, op->src, row->width, before); return;
    case VM_GROUP_ST: return;
    case VM_GROUP_JMP: prepare_jump(l, op, row); return;
    case VM_GROUP_ATOMIC:
    case VM_GROUP_JA:
    case VM_GROUP_CALL:
    case VM_GROUP_EXIT: settle_all(l, before); return;
    }
}

/* What was overwritten no longer waits, and nobody can wait for it. */
static void forget_written(struct lower *l, unsigned guest)
{
    struct defer *d = &l->defer;
    d->waiting &= (uint16_t) ~(1u << guest);
    for (unsigned i = 0; i < DEFER_REGISTERS; i++) {
        if (waits(d, i) && defer_uses(&d->of[i].sum, lower_reg(guest))) {
            d->waiting &= (uint16_t) ~(1u << i);
        }
    }
}

void defer_finish(struct lower *l, const struct vm_op *op)
{
    switch ((enum vm_group)vm_isa[op->ix].group) {
    case VM_GROUP_ALU:
    case VM_GROUP_END:
    case VM_GROUP_LDDW:
    case VM_GROUP_LDX:
    case VM_GROUP_LDSX: forget_written(l, op->dst); break;
    case VM_GROUP_JMP:
    case VM_GROUP_ST:
    case VM_GROUP_STX: break;
    case VM_GROUP_ATOMIC:
    case VM_GROUP_JA:
    case VM_GROUP_CALL:
    case VM_GROUP_EXIT: l->defer.waiting = 0; break;
    }
}

/* As prepare_load. Of several loads, only the last one may overwrite what the address is made of.
 * Other registers that the instructions write are dead behind them, and stay what they were. */
void defer_prepare_composed(struct lower *l, const struct compose *c)
{
    uint32_t last = l->insn + c->count - 1;
    uint16_t base = (uint16_t)(1u << c->base);
    uint16_t after = analysis_live_after(&l->analysis, l->program, last) & (uint16_t)~c->written;
    for (unsigned i = 0; i < c->part_count && c->part_count > 1; i++) {
        if ((l->defer.waiting & base) != 0 &&
            defer_uses(&l->defer.of[c->base].sum, lower_reg(c->parts[i].dst))) {
            settle(l, c->base, after | base);
        }
    }
    uint16_t kept = l->defer.waiting & base & (uint16_t)~after;
    l->defer.waiting &= (uint16_t)~kept;
    for (unsigned i = 0; i < c->part_count; i++) {
        settle_users(l, c->parts[i].dst, after | base);
    }
    l->defer.waiting |= kept;
}

void defer_finish_composed(struct lower *l, const struct compose *c)
{
    l->defer.waiting &= (uint16_t)~c->written;
    for (unsigned i = 0; i < c->part_count; i++) {
        forget_written(l, c->parts[i].dst);
    }
}

/* As prepare_load, but that dst is read, too. */
void defer_prepare_folded(struct lower *l, const struct fold *f)
{
    uint16_t base = (uint16_t)(1u << f->base);
    uint16_t after = analysis_live_after(&l->analysis, l->program, l->insn + 1);
    settle(l, f->dst, l->analysis.live[l->insn]);
    uint16_t kept = l->defer.waiting & base & (uint16_t)~after;
    l->defer.waiting &= (uint16_t)~kept;
    settle_users(l, f->dst, after | base);
    l->defer.waiting |= kept;
}

void defer_finish_folded(struct lower *l, const struct fold *f)
{
    l->defer.waiting &= (uint16_t) ~(1u << f->lost);
    forget_written(l, f->dst);
}

void defer_settle_for(struct lower *l, uint32_t label)
{
    settle_all(l, l->analysis.live[label]);
    assert(l->defer.waiting == 0);
}

/* ---- what faults report --------------------------------------------------------------------- */

static uint64_t register_of(enum x86_reg reg, const uint64_t regs[11])
{
    for (unsigned i = 0; i < 11; i++) {
        if (lower_reg(i) == reg) {
            return regs[i];
        }
    }
    return 0;
}

uint64_t defer_evaluate(const struct defer_value *value, const uint64_t regs[11])
{
    const struct x86_mem *sum = &value->sum;
    uint64_t index = register_of(sum->index, regs);
    index = value->narrow_index ? (uint32_t)index : index;
    uint64_t total = (uint64_t)sum->disp + register_of(sum->base, regs) + (index << sum->scale);
    return value->narrow ? (uint32_t)total : total;
}
