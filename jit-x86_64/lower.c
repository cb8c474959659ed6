/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering of loads, stores, atomics and jumps, and the switch over all instructions: it expands
 * isa.def, so every row has its code or the build stops. */
#include "jit-x86_64/lower.h"

#include <assert.h>
#include <stdlib.h>

#include "jit-x86_64/mem.h"
#include "vm/alloc.h"

enum lower_lddw { LDDW_IMM64, LDDW_FUNC };
enum lower_ldx { LDX_LOAD };
enum lower_ldsx { LDSX_LOADS };
enum lower_st { ST_STORE };
enum lower_stx { STX_STORE };
enum lower_ja { JA_JA };
enum lower_exit { EXIT_EXIT };

enum lower_atomic {
    ATOMIC_AADD,
    ATOMIC_AFADD,
    ATOMIC_AOR,
    ATOMIC_AFOR,
    ATOMIC_AAND,
    ATOMIC_AFAND,
    ATOMIC_AXOR,
    ATOMIC_AFXOR,
    ATOMIC_AXCHG,
    ATOMIC_ACMPXCHG,
};

enum lower_jmp {
    JMP_JEQ,
    JMP_JNE,
    JMP_JGT,
    JMP_JGE,
    JMP_JLT,
    JMP_JLE,
    JMP_JSGT,
    JMP_JSGE,
    JMP_JSLT,
    JMP_JSLE,
    JMP_JSET,
};

enum x86_reg lower_reg(unsigned guest)
{
    static const uint8_t map[] = {X86_RAX, X86_RDI, X86_RSI, X86_RDX, X86_RCX, X86_R8,
                                  X86_RBX, X86_R13, X86_R14, X86_R15, X86_RBP};
    _Static_assert(MEM_FRAME == X86_RBP, "r10 is the frame register of the cage");
    assert(guest < sizeof(map));
    return map[guest];
}

uint32_t lower_next(const struct lower *l, uint32_t insn)
{
    bool is_lddw = vm_isa[l->program->ops[insn].ix].group == VM_GROUP_LDDW;
    uint8_t span = l->analysis.spans[insn];
    if (span != 0 && span != ANALYSIS_INSIDE) {
        return insn + span;
    }
    return insn + (is_lddw || l->analysis.inverts[insn] || l->analysis.selects[insn] ? 2 : 1);
}

uint32_t lower_target(const struct lower *l, uint32_t insn)
{
    const struct analysis *a = &l->analysis;
    bool is_swapped = insn > 0 && a->swaps[insn - 1];
    uint32_t owner = is_swapped ? insn - 1 : a->inverts[insn] || a->swaps[insn] ? insn + 1 : insn;
    return l->program->ops[owner].target;
}

bool lower_is_live(const struct lower *l, unsigned guest)
{
    return (analysis_live_after(&l->analysis, l->program, l->insn) >> guest & 1) != 0;
}

enum x86_reg lower_read(struct lower *l, unsigned guest, unsigned width)
{
    if (lower_reg(guest) != MEM_FRAME) {
        return defer_read(l, guest, width);
    }
    emit_mov(&l->emit, 32, X86_R10, MEM_FRAME);
    return X86_R10;
}

/* ---- constants, loads, stores --------------------------------------------------------------- */

static void lower_LDDW(struct lower *l, const struct vm_op *op, enum lower_lddw lddw,
                       enum vm_source source, unsigned width)
{
    (void)lddw, (void)source, (void)width; /* both kinds are numbers by now */
    emit_mov_imm(&l->emit, lower_reg(op->dst), (uint64_t)op->imm);
}

/* See MEM_STEP_MAX. */
static void note_access(struct lower *l, struct mem_place where)
{
    for (unsigned i = 0; i < DEFER_REGISTERS; i++) {
        if (where.is_half && where.sum.base == lower_reg(i)) {
            l->near |= (uint16_t)(1u << i);
        }
    }
}

static void lower_LDX(struct lower *l, const struct vm_op *op, enum lower_ldx ldx,
                      enum vm_source source, unsigned width)
{
    (void)ldx, (void)source;
    struct mem_place where = defer_place(l, op->src);
    mem_load(&l->emit, &l->held, width, false, lower_reg(op->dst), where, op->off);
    note_access(l, where);
}

static void lower_LDSX(struct lower *l, const struct vm_op *op, enum lower_ldsx ldsx,
                       enum vm_source source, unsigned width)
{
    (void)ldsx, (void)source;
    struct mem_place where = defer_place(l, op->src);
    mem_load(&l->emit, &l->held, width, true, lower_reg(op->dst), where, op->off);
    note_access(l, where);
}

static void lower_ST(struct lower *l, const struct vm_op *op, enum lower_st st,
                     enum vm_source source, unsigned width)
{
    (void)st, (void)source;
    struct mem_place where = defer_place(l, op->dst);
    mem_store_imm(&l->emit, &l->held, width, where, op->off, (int32_t)op->imm);
    note_access(l, where);
}

static void lower_STX(struct lower *l, const struct vm_op *op, enum lower_stx stx,
                      enum vm_source source, unsigned width)
{
    (void)stx, (void)source;
    struct mem_place where = defer_place(l, op->dst);
    mem_store(&l->emit, &l->held, width, where, op->off, lower_read(l, op->src, width));
    note_access(l, where);
}

/* ---- atomics -------------------------------------------------------------------------------- */

/* Operations x86 has no fetching form of: a loop around cmpxchg, which wants the old value in rax.
 * rax is kept in r9, which therefore also is the operand when src is R0. */
static void fetch_loop(struct lower *l, const struct vm_op *op, enum x86_alu alu, unsigned width)
{
    struct emit *e = &l->emit;
    enum x86_reg src = lower_reg(op->src);
    emit_mov(e, 64, X86_R9, X86_RAX);
    mem_atomic_load(e, width, op->off, X86_RAX);
    int64_t again = (int64_t)e->count;
    emit_mov(e, width, X86_R10, X86_RAX);
    emit_alu(e, alu, width, X86_R10, src == X86_RAX ? X86_R9 : src);
    mem_atomic_cmpxchg(e, width, op->off, X86_R10);
    emit_jcc(e, X86_NE, true, again);
    emit_mov(e, width, src, X86_RAX);
    if (src != X86_RAX) {
        emit_mov(e, 64, X86_RAX, X86_R9);
    }
}

static void compare_exchange(struct lower *l, const struct vm_op *op, enum x86_reg src,
                             unsigned width)
{
    mem_atomic_cmpxchg(&l->emit, width, op->off, src);
    if (width == 32) {
        /* On success the processor leaves rax alone, upper half included. */
        emit_mov(&l->emit, 32, X86_RAX, X86_RAX);
    }
}

static void lower_ATOMIC(struct lower *l, const struct vm_op *op, enum lower_atomic atomic,
                         enum vm_source source, unsigned width)
{
    (void)source;
    struct emit *e = &l->emit;
    mem_atomic_begin(e, width, lower_reg(op->dst), op->off);
    lower_fault_if(l, X86_NE, VM_FAULT_MISALIGNED);
    enum x86_reg src = lower_read(l, op->src, width);
    switch (atomic) {
    case ATOMIC_AADD: mem_atomic_alu(e, X86_ADD, width, op->off, src); break;
    case ATOMIC_AOR: mem_atomic_alu(e, X86_OR, width, op->off, src); break;
    case ATOMIC_AAND: mem_atomic_alu(e, X86_AND, width, op->off, src); break;
    case ATOMIC_AXOR: mem_atomic_alu(e, X86_XOR, width, op->off, src); break;
    case ATOMIC_AFADD: mem_atomic_xadd(e, width, op->off, src); break;
    case ATOMIC_AXCHG: mem_atomic_xchg(e, width, op->off, src); break;
    case ATOMIC_AFOR: fetch_loop(l, op, X86_OR, width); break;
    case ATOMIC_AFAND: fetch_loop(l, op, X86_AND, width); break;
    case ATOMIC_AFXOR: fetch_loop(l, op, X86_XOR, width); break;
    case ATOMIC_ACMPXCHG: compare_exchange(l, op, src, width); break;
    }
}

/* ---- jumps ---------------------------------------------------------------------------------- */

static void lower_JA(struct lower *l, const struct vm_op *op, enum lower_ja ja,
                     enum vm_source source, unsigned width)
{
    (void)ja, (void)source, (void)width;
    (void)op;
    emit_jmp(&l->emit, l->forms[l->insn] == LOWER_SHORT, l->offsets[lower_target(l, l->insn)]);
}

static enum x86_cond jump_cond(enum lower_jmp jmp)
{
    static const uint8_t cond[] = {
        [JMP_JEQ] = X86_E,  [JMP_JNE] = X86_NE,  [JMP_JGT] = X86_A,   [JMP_JGE] = X86_AE,
        [JMP_JLT] = X86_B,  [JMP_JLE] = X86_BE,  [JMP_JSGT] = X86_G,  [JMP_JSGE] = X86_GE,
        [JMP_JSLT] = X86_L, [JMP_JSLE] = X86_LE, [JMP_JSET] = X86_NE,
    };
    return cond[jmp];
}

/* Does `move` unless the condition holds. A constant is 0 or 1, and the register is the other one
 * if it does. */
static void select_move(struct emit *e, enum x86_cond cond, const struct vm_op *move)
{
    enum x86_reg dst = lower_reg(move->dst);
    if (vm_isa[move->ix].source == VM_SOURCE_REG) {
        emit_cmov(e, cond ^ X86_NEGATE, vm_isa[move->ix].width, dst, lower_reg(move->src));
    } else {
        emit_set(e, move->imm == 0 ? cond : cond ^ X86_NEGATE, dst);
        emit_movzx(e, 8, dst, dst);
    }
}

static void lower_JMP(struct lower *l, const struct vm_op *op, enum lower_jmp jmp,
                      enum vm_source source, unsigned width)
{
    struct emit *e = &l->emit;
    enum x86_reg dst = lower_read(l, op->dst, width);
    int32_t imm = (int32_t)op->imm;
    struct fuse fuse = {.program = l->program, .analysis = &l->analysis};
    if (source == VM_SOURCE_REG) {
        if (jmp == JMP_JSET) {
            emit_test(e, width, dst, lower_read(l, op->src, width));
        } else {
            emit_alu(e, X86_CMP, width, dst, lower_read(l, op->src, width));
        }
    } else if (jmp == JMP_JSET) {
        emit_test_imm(e, width, dst, imm);
    } else if (l->flags_insn == l->insn - 1 && fuse_has_flags(&fuse, l->insn)) {
        /* no code: the flags are those of the next case */
    } else if (imm == 0) {
        emit_test(e, width, dst, dst); /* carry and overflow are clear, as after cmp with 0 */
    } else {
        emit_alu_imm(e, X86_CMP, width, dst, imm);
    }
    bool is_negated = l->analysis.inverts[l->insn] || l->analysis.swaps[l->insn];
    enum x86_cond cond = jump_cond(jmp) ^ (is_negated ? X86_NEGATE : 0);
    if (l->analysis.selects[l->insn]) {
        select_move(e, cond, &l->program->ops[l->insn + 1]);
        return;
    }
    emit_jcc(e, cond, l->forms[l->insn] == LOWER_SHORT, l->offsets[lower_target(l, l->insn)]);
}

static void lower_EXIT(struct lower *l, const struct vm_op *op, enum lower_exit end,
                       enum vm_source source, unsigned width)
{
    (void)op, (void)end, (void)source, (void)width;
    emit_ret(&l->emit);
}

/* ---- all of them ---------------------------------------------------------------------------- */

static void lower_any(struct lower *l, const struct vm_op *op)
{
    switch ((enum vm_ix)op->ix) {
#define ISA(name, code, sub, group, op_name, source, width, ...)                                   \
    case VM_IX_##name:                                                                             \
        lower_##group(l, op, group##_##op_name, VM_SOURCE_##source, width);                        \
        break;
#include "vm/isa.def"
    case VM_IX_COUNT: assert(false); break;
    }
}

bool lower_is_plain(const struct vm_op *op)
{
    switch ((enum vm_ix)op->ix) {
    /* clang-format off */
    case VM_IX_ADD64_IMM: case VM_IX_ADD64_REG: case VM_IX_ADD32_IMM: case VM_IX_ADD32_REG:
    case VM_IX_SUB64_IMM: case VM_IX_SUB64_REG: case VM_IX_SUB32_IMM: case VM_IX_SUB32_REG:
    case VM_IX_MUL64_IMM: case VM_IX_MUL64_REG: case VM_IX_MUL32_IMM: case VM_IX_MUL32_REG:
    case VM_IX_OR64_IMM:  case VM_IX_OR64_REG:  case VM_IX_OR32_IMM:  case VM_IX_OR32_REG:
    case VM_IX_AND64_IMM: case VM_IX_AND64_REG: case VM_IX_AND32_IMM: case VM_IX_AND32_REG:
    case VM_IX_XOR64_IMM: case VM_IX_XOR64_REG: case VM_IX_XOR32_IMM: case VM_IX_XOR32_REG:
    case VM_IX_MOV64_IMM: case VM_IX_MOV64_REG: case VM_IX_MOV32_IMM: case VM_IX_MOV32_REG:
    case VM_IX_LSH64_IMM: case VM_IX_RSH64_IMM: case VM_IX_ARSH64_IMM:
    case VM_IX_LSH32_IMM: case VM_IX_RSH32_IMM: case VM_IX_ARSH32_IMM:
        return true;
    /* clang-format on */
    default: return false;
    }
}

/* Whether the code of this instruction leaves r11 alone, or to mem.c. */
static bool keeps_address(const struct lower *l, const struct vm_op *op)
{
    const struct vm_isa_row *row = &vm_isa[op->ix];
    switch ((enum vm_group)row->group) {
    case VM_GROUP_ALU: return lower_is_plain(op) && !defer_uses(&l->held, lower_reg(op->dst));
    case VM_GROUP_END:
    case VM_GROUP_LDDW: return !defer_uses(&l->held, lower_reg(op->dst));
    case VM_GROUP_LDX:
    case VM_GROUP_LDSX:
    case VM_GROUP_ST:
    case VM_GROUP_STX: return true;
    case VM_GROUP_JMP: return !l->analysis.selects[l->insn];
    case VM_GROUP_ATOMIC:
    case VM_GROUP_JA:
    case VM_GROUP_CALL:
    case VM_GROUP_EXIT: break;
    }
    return false;
}

/* What the instruction leaves of the registers that may be stepped. */
static uint16_t near_after(const struct lower *l, const struct vm_op *op)
{
    uint16_t others = l->near & (uint16_t) ~(1u << op->dst);
    switch ((enum vm_group)vm_isa[op->ix].group) {
    case VM_GROUP_ALU: return lower_is_plain(op) ? others : 0;
    case VM_GROUP_END:
    case VM_GROUP_LDDW:
    case VM_GROUP_LDX:
    case VM_GROUP_LDSX: return others;
    case VM_GROUP_ST:
    case VM_GROUP_STX: return l->near;
    case VM_GROUP_JMP: return l->analysis.selects[l->insn] ? 0 : l->near;
    case VM_GROUP_ATOMIC:
    case VM_GROUP_JA:
    case VM_GROUP_CALL:
    case VM_GROUP_EXIT: break;
    }
    return 0;
}

void *lower_grow(struct lower *l, void *items, size_t count, size_t *capacity, size_t item_bytes)
{
    const size_t first = 64;
    if (count < *capacity) {
        return items;
    }
    size_t grown = *capacity == 0 ? first : 2 * *capacity;
    void *moved = vm_reallocate(items, grown * item_bytes);
    if (moved == NULL) {
        l->emit.error = VM_ERROR_NO_MEMORY;
        return NULL;
    }
    *capacity = grown;
    return moved;
}

static void add_note(struct lower *l, struct defer_note note)
{
    struct defer_note *notes =
        lower_grow(l, l->notes, l->note_count, &l->note_capacity, sizeof(*notes));
    if (notes != NULL) {
        l->notes = notes;
        l->notes[l->note_count++] = note;
    }
}

static void note_waiting(struct lower *l)
{
    struct fuse fuse = {.program = l->program, .analysis = &l->analysis};
    uint8_t src, dst = l->program->ops[l->insn].dst;
    if (fuse_ends_widening(&fuse, l->insn, &src)) {
        add_note(l, (struct defer_note){.insn = l->insn, .guest = dst, .is_lost = true});
    }
    struct fuse_rotation rotation;
    if (fuse_ends_rotation(&fuse, l->insn, &rotation)) {
        add_note(l, (struct defer_note){.insn = l->insn, .guest = dst, .is_lost = true});
        add_note(l, (struct defer_note){.insn = l->insn, .guest = rotation.other, .is_lost = true});
    }
    for (uint8_t i = 0; i < DEFER_REGISTERS; i++) {
        if ((l->defer.waiting & l->analysis.live[l->insn]) >> i & 1) {
            add_note(l, (struct defer_note){
                            .insn = l->insn, .guest = i, .value = defer_value(&l->defer, i)});
        }
    }
}

static void note_settled(struct lower *l)
{
    for (size_t i = l->note_count; i > 0 && l->notes[i - 1].insn == l->insn; i--) {
        l->notes[i - 1].is_settled = (l->defer.waiting >> l->notes[i - 1].guest & 1) == 0;
    }
}

static void clear_upper_halves(struct lower *l, uint16_t guests)
{
    for (unsigned i = 0; i < DEFER_REGISTERS; i++) {
        if ((guests >> i & 1) != 0) {
            emit_mov(&l->emit, 32, lower_reg(i), lower_reg(i));
        }
    }
}

/* What several instructions put together, see compose.h. */
static void lower_composed(struct lower *l, const struct compose *c)
{
    for (unsigned i = 0; l->placing && i < c->part_count && c->part_count > 1; i++) {
        add_note(l,
                 (struct defer_note){.insn = l->insn, .guest = c->parts[i].dst, .is_lost = true});
    }
    defer_prepare_composed(l, c);
    note_settled(l);
    for (unsigned i = 0; i < c->part_count; i++) {
        const struct compose_part *part = &c->parts[i];
        struct mem_place where = defer_place(l, c->base);
        enum x86_reg dst = lower_reg(part->dst);
        mem_load(&l->emit, &l->held, 8u * part->bytes, false, dst, where, part->off);
        note_access(l, where);
        if (part->is_swapped) {
            lower_swap(&l->emit, 8u * part->bytes, dst);
        }
    }
    defer_finish_composed(l, c);
    l->near &= (uint16_t)~c->written;
}

/* A load that is an operand, see fold.h. */
static void lower_folded(struct lower *l, const struct fold *f)
{
    defer_prepare_folded(l, f);
    note_settled(l);
    struct mem_place where = defer_place(l, f->base);
    mem_alu(&l->emit, &l->held, f->alu, f->width, lower_reg(f->dst), where, f->off);
    note_access(l, where);
    defer_finish_folded(l, f);
    l->near &= (uint16_t) ~(1u << f->dst | 1u << f->lost);
    if (vm_isa[l->program->ops[l->insn + 1].ix].width == f->width) {
        l->flags_insn = l->insn + 1; /* the sign is that of the same bit */
    }
}

static void lower_span(struct lower *l)
{
    struct compose composed;
    struct fold fold;
    if (l->analysis.spans[l->insn] > FOLD_INSNS &&
        compose_at(&l->analysis, l->program, l->insn, &composed)) {
        assert(composed.count == l->analysis.spans[l->insn]);
        lower_composed(l, &composed);
        return;
    }
    bool is_folded = fold_at(&l->analysis, l->program, l->insn, &fold);
    assert(is_folded);
    (void)is_folded;
    lower_folded(l, &fold);
}

/* A jump must be the last of its instruction. */
static bool falls_through(const struct vm_op *op)
{
    switch ((enum vm_group)vm_isa[op->ix].group) {
    case VM_GROUP_JMP:
    case VM_GROUP_JA:
    case VM_GROUP_CALL:
    case VM_GROUP_EXIT: return false;
    default: return true;
    }
}

void lower_insn(struct lower *l)
{
    const struct vm_op *op = &l->program->ops[l->insn];
    uint32_t next = lower_next(l, l->insn), last = l->insn;
    if (l->analysis.joins[l->insn]) {
        l->held = MEM_NONE;
        l->near = 0;
        assert(l->defer.waiting == 0);
    }
    uint32_t function = l->program->function_index[l->insn];
    if (l->program->functions[function].start == l->insn) {
        clear_upper_halves(l, l->analysis.cleared[function]);
    }
    struct fuse fuse = {.program = l->program, .analysis = &l->analysis};
    if (fuse_is_absorbed(&fuse, l->insn)) {
        return;
    }
    if (l->placing) {
        note_waiting(l);
    }
    if (l->analysis.spans[l->insn] != 0) {
        lower_span(l);
        last = next - 1;
    } else if (!defer_takes(l, op)) {
        defer_prepare(l, op);
        note_settled(l);
        lower_any(l, op);
        defer_finish(l, op);
        if (!keeps_address(l, op)) {
            l->held = MEM_NONE;
        }
        l->near = near_after(l, op);
    }
    if (next < l->program->insn_count && l->analysis.joins[next]) {
        defer_settle_for(l, next);
        clear_upper_halves(l, analysis_clears_behind(&l->analysis, l->program, last));
        if (falls_through(op)) {
            lower_copy(l, next);
        }
    }
}
