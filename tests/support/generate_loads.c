/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes of loads that a compiler of ours makes in another way than one by one. */
#include "tests/support/generator.h"

/* A register of four that differ, but where a loop keeps its counter. */
static unsigned nth(const struct generator *g, unsigned start, unsigned n)
{
    unsigned reg = (start + 3 * n) % 10;
    return g->in_loop && reg == COUNTER ? 0 : reg;
}

/* Where some bytes are, seldom across the end of what is mapped. */
static uint32_t place(struct generator *g)
{
    static const uint32_t edges[] = {
        VM_HEAP_BASE,
        VM_HEAP_BASE + VM_PAGE_BYTES,
        VM_STACK_TOP,
        VM_STACK_TOP - VM_PAGE_BYTES,
        VM_IMAGE_BASE,
        VM_IMAGE_BASE + VM_PAGE_BYTES,
        VM_IMAGE_BASE + 2 * VM_PAGE_BYTES,
        0,
    };
    unsigned off = byte(g);
    if (one_in(g, 8))
        return edges[choose(g, sizeof edges / sizeof *edges)] + off % 16 - 12;
    return VM_HEAP_BASE + off % (HEAP_BYTES - 16);
}

/* The base, in a register or as a sum that a compiler of ours may put off. Returns it. */
static unsigned emit_base(struct generator *g, unsigned reg, unsigned other, int *off)
{
    *off = (int)choose(g, 4);
    switch (choose(g, 4)) {
    case 0: *off = -24 - (int)choose(g, 120); return 10;
    case 1: emit(g, VM_IX_MOV64_IMM, reg, 0, 0, place(g)); break;
    case 2:
        emit(g, VM_IX_MOV64_IMM, reg, 0, 0, place(g));
        emit(g, VM_IX_LDX8, other, 10, -8 - 8 * (int)choose(g, 16), 0);
        emit(g, VM_IX_AND64_IMM, other, 0, 0, 7);
        emit(g, one_in(g, 3) ? VM_IX_ADD32_REG : VM_IX_ADD64_REG, reg, other, 0, 0);
        break;
    default:
        emit(g, VM_IX_MOV64_IMM, other, 0, 0, place(g));
        emit(g, one_in(g, 3) ? VM_IX_MOV32_REG : VM_IX_MOV64_REG, reg, other, 0, 0);
        emit(g, VM_IX_ADD64_IMM, reg, 0, 0, choose(g, 8));
    }
    return reg;
}

struct number {
    unsigned result, part; /* registers */
    int off;
    unsigned bytes, piece_bytes, pieces, turn;
    bool is_big, is_half;
};

static struct number choose_number(struct generator *g, unsigned result, unsigned part, int off)
{
    struct number n = {.result = result, .part = part, .off = off};
    n.bytes = 2u << choose(g, 3);
    n.piece_bytes = one_in(g, 3) && n.bytes > 2 ? n.bytes / 2 : 1;
    n.pieces = n.bytes / n.piece_bytes;
    n.turn = choose(g, 8);
    n.is_big = one_in(g, 2);
    n.is_half = n.bytes <= 4 && one_in(g, 2);
    return n;
}

/* The i-th of its pieces in the order in which they are loaded; the last may spoil `base`. */
static void emit_piece(struct generator *g, const struct number *n, unsigned base, unsigned i,
                       bool spoils)
{
    static const enum vm_ix loads[] = {[1] = VM_IX_LDX8, [2] = VM_IX_LDX16, [4] = VM_IX_LDX32};
    unsigned piece = (i * 3 + n->turn) % n->pieces; /* their number is a power of two */
    unsigned at = n->is_big ? n->pieces - 1 - piece : piece;
    unsigned shift = 8 * n->piece_bytes * piece;
    unsigned reg = i == 0 ? n->result : spoils && base != 10 ? base : n->part;
    int off = n->off + (int)(at * n->piece_bytes) + (one_in(g, 64) ? 1 : 0);
    emit(g, loads[n->piece_bytes], reg, base, off, 0);
    if (shift != 0 || one_in(g, 16))
        emit(g, n->is_half ? VM_IX_LSH32_IMM : VM_IX_LSH64_IMM, reg, 0, 0,
             one_in(g, 64) ? choose(g, 32) : shift);
    if (i != 0)
        emit(g, n->is_half ? VM_IX_OR32_REG : VM_IX_OR64_REG, n->result, reg, 0, 0);
}

void generator_composition(struct generator *g)
{
    unsigned start = choose(g, 10), part = nth(g, start, 1);
    struct number n[2];
    int off;
    unsigned base = emit_base(g, nth(g, start, 0), part, &off);
    unsigned count = one_in(g, 2) ? 2 : 1, ends = byte(g);
    n[0] = choose_number(g, nth(g, start, 2), part, off);
    n[1] = choose_number(g, nth(g, start, 3), one_in(g, 4) ? nth(g, start, 4) : part,
                         off + (int)n[0].bytes);
    unsigned most = count == 2 && n[1].pieces > n[0].pieces ? n[1].pieces : n[0].pieces;
    for (unsigned i = 0; i < most; i++)
        for (unsigned k = 0; k < count; k++)
            if (i < n[k].pieces) {
                bool is_last = i + 1 == most && k + 1 == count;
                emit_piece(g, &n[k], base, i, is_last && ends & 1);
                if (one_in(g, 128))
                    emit(g, VM_IX_ADD64_IMM, choose(g, 9), 0, 0, 1);
            }
    if (ends & 6) /* nobody wants the parts any more */
        emit(g, VM_IX_MOV64_IMM, part, 0, 0, value32(g));
    if (ends & 8 && base != 10)
        emit(g, VM_IX_MOV64_IMM, base, 0, 0, value32(g));
    if (ends & 16)
        emit(g, VM_IX_BE32 + choose(g, 2), n[0].result, 0, 0, 0);
}

void generator_operand(struct generator *g)
{
    static const enum vm_ix loads[] = {VM_IX_LDX64, VM_IX_LDX32, VM_IX_LDX8, VM_IX_LDSX32};
    static const enum vm_ix users[] = {
        VM_IX_ADD64_REG, VM_IX_SUB64_REG, VM_IX_AND64_REG, VM_IX_OR64_REG, VM_IX_XOR64_REG,
        VM_IX_ADD32_REG, VM_IX_SUB32_REG, VM_IX_AND32_REG, VM_IX_OR32_REG, VM_IX_XOR32_REG};
    unsigned start = choose(g, 10), part = nth(g, start, 1), dst = nth(g, start, 2), ends = byte(g);
    int off;
    if (one_in(g, 4)) /* below 2^32 */
        emit(g, one_in(g, 2) ? VM_IX_MOV32_REG : VM_IX_ADD32_REG, dst, choose(g, 10), 0, 0);
    unsigned base = emit_base(g, nth(g, start, 0), one_in(g, 4) ? dst : part, &off);
    if (one_in(g, 4)) /* and not in its register yet */
        emit(g, VM_IX_MOV64_REG, dst, one_in(g, 4) ? base : choose(g, 10), 0, 0);
    emit(g, loads[choose(g, 16) % 5 % 4], part, base, off, 0);
    emit(g, users[choose(g, sizeof users / sizeof *users)], one_in(g, 16) ? base % 10 : dst,
         one_in(g, 16) ? dst : part, 0, 0);
    if (ends & 1) /* its flags, for all that a compiler of ours knows */
        emit(g, row_of(g, VM_GROUP_JMP), dst, part, ends & 2 ? 1 : 0, 0);
    if (ends & 12) /* nobody wants what was loaded any more */
        emit(g, VM_IX_MOV64_IMM, part, 0, 0, value32(g));
    if (ends >= 0xf0) /* an address below 4 GiB, perhaps */
        emit(g, VM_IX_LDX8, part, dst, 0, 0);
    else if (ends & 2 && ends & 1)
        emit(g, VM_IX_MOV64_IMM, part, 0, 0, 0);
}

struct copying {
    unsigned to, from, count, limit, value, target, source; /* registers */
    unsigned bytes;                                         /* of an element */
    int to_off, from_off;
    bool is_fill;
    unsigned kinds, place; /* of emit_element_address */
};

static void emit_steps(struct generator *g, const struct copying *c, bool has_pointers)
{
    enum vm_ix add = one_in(g, 8) ? VM_IX_ADD32_IMM : VM_IX_ADD64_IMM;
    if (has_pointers) {
        emit(g, add, c->from, 0, 0, one_in(g, 64) ? 1 : c->bytes);
        emit(g, add, c->to, 0, 0, c->bytes);
    }
    emit(g, VM_IX_ADD64_IMM, c->count, 0, 0, has_pointers ? 1 : c->bytes);
}

/* An area's start plus the count: in a register, a constant, or on the stack. */
static void emit_element_address(struct generator *g, const struct copying *c, unsigned reg,
                                 unsigned start)
{
    unsigned kind = c->kinds >> (start == c->to ? 0 : 2) & 3;
    switch (kind) {
    case 0: t_emit_lddw(g->code, reg, VM_HEAP_BASE + c->place); break;
    case 1:
        emit(g, VM_IX_MOV64_REG, reg, 10, 0, 0);
        emit(g, VM_IX_ADD64_IMM, reg, 0, 0, -200);
        break;
    default: emit(g, VM_IX_MOV64_REG, reg, start, 0, 0);
    }
    emit(g, one_in(g, 8) ? VM_IX_ADD32_REG : VM_IX_ADD64_REG, reg, c->count, 0, 0);
}

static void emit_copy_element(struct generator *g, const struct copying *c, bool has_pointers)
{
    static const enum vm_ix loads[] = {
        [1] = VM_IX_LDX8, [2] = VM_IX_LDX16, [4] = VM_IX_LDX32, [8] = VM_IX_LDX64};
    static const enum vm_ix stores[] = {
        [1] = VM_IX_STX8, [2] = VM_IX_STX16, [4] = VM_IX_STX32, [8] = VM_IX_STX64};
    unsigned to = c->to, from = c->from;
    if (!has_pointers) {
        to = c->target;
        from = c->source;
        emit_element_address(g, c, to, c->to);
        emit_element_address(g, c, from, c->from);
    }
    if (c->is_fill) {
        unsigned value = one_in(g, 16) ? c->count : one_in(g, 16) ? 10 : c->value;
        emit(g, stores[c->bytes], to, value, c->to_off, 0);
        return;
    }
    emit(g, loads[c->bytes], one_in(g, 4) && !has_pointers ? from : c->value, from, c->from_off, 0);
    unsigned value = g->code->insns[g->code->count - 1].dst;
    emit(g, stores[c->bytes], to, one_in(g, 64) ? c->limit : value, c->to_off, 0);
}

void generator_copy(struct generator *g)
{
    static const enum vm_ix again[] = {VM_IX_JLT64_REG, VM_IX_JLT64_IMM, VM_IX_JNE64_REG,
                                       VM_IX_JGT64_REG};
    unsigned start = choose(g, 9), reg[7], elements = 1 + choose(g, 24);
    for (unsigned i = 0; i < 7; i++)
        reg[i] = (start + i) % 9; /* not the counter of a loop around */
    struct copying c = {reg[0], reg[1], reg[2], reg[3], reg[4], reg[5], reg[6], 1u << choose(g, 4)};
    bool has_pointers = one_in(g, 2);
    enum vm_ix condition = again[choose(g, 4)];
    uint32_t from = place(g), distance = choose(g, 128), limit = elements;
    limit *= has_pointers ? 1 : c.bytes;
    c.to_off = one_in(g, 4) ? (int8_t)byte(g) : 0;
    c.from_off = one_in(g, 4) ? (int8_t)byte(g) : 0;
    c.is_fill = one_in(g, 4);
    c.kinds = byte(g);
    c.place = choose(g, 64);
    if (c.is_fill)
        emit(g, VM_IX_LDX64, c.value, 10, -8 - 8 * (int)choose(g, 16), 0);
    emit(g, VM_IX_MOV64_IMM, c.from, 0, 0, from - (unsigned)c.from_off);
    emit(g, VM_IX_MOV64_IMM, c.to, 0, 0,
         (one_in(g, 4) ? place(g) : from + distance - 48) - (unsigned)c.to_off);
    if (condition != VM_IX_JLT64_IMM)
        emit(g, VM_IX_MOV64_IMM, c.limit, 0, 0, limit);
    if (one_in(g, 4)) /* just used */
        emit(g, VM_IX_LDX8, c.value, c.from, c.from_off, 0);
    emit(g, VM_IX_MOV64_IMM, c.count, 0, 0, one_in(g, 16) ? limit - 1 : 0);
    uint32_t head = g->code->count;
    emit_copy_element(g, &c, has_pointers);
    emit_steps(g, &c, has_pointers);
    int back = (int)head - (int)g->code->count - 1;
    bool is_swapped = condition == VM_IX_JGT64_REG;
    emit(g, condition, is_swapped ? c.limit : c.count, is_swapped ? c.count : c.limit, back, limit);
    if (one_in(g, 2))
        emit(g, VM_IX_MOV64_IMM, c.value, 0, 0, 0);
}
