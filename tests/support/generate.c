/* SPDX-License-Identifier: Apache-2.0 */
/* The program generator. A program is a list of functions, a function a list of items, an item one
 * to some thirty instructions that make sense together; `emit_item` chooses. */
#include "tests/support/generator.h"

#include <string.h>

static const struct size small = {8, 3, 400, false}, medium = {120, 16, 800, false},
                         large = {T_GENERATED_INSNS_MAX, 40, T_GENERATED_INSNS_MAX, true};

static bool full(const struct generator *g)
{
    return g->code->count >= g->size->insns || (g->at >= g->length && !g->size->repeats);
}

/* ---- memory */

/* An address the program may access with `width` bytes, seldom a wild one. */
static uint64_t address(struct generator *g, unsigned width, bool load, bool *is_wild)
{
    unsigned off = byte(g);
    *is_wild = false;
    switch (choose(g, 16)) {
    case 0:
    case 1:
    case 2: return VM_STACK_TOP - width - off % (FRAME_BYTES - width);
    case 3:
    case 4: return VM_IMAGE_BASE + VM_PAGE_BYTES + off % (T_GENERATED_DATA - width);
    case 5:
        if (load || one_in(g, 8)) /* a store faults */
            return VM_IMAGE_BASE + off % (T_GENERATED_RODATA - width);
        break;
    case 6:
        if (one_in(g, 8)) /* around the end of what is mapped, mostly */
            return VM_STACK_TOP - VM_PAGE_BYTES + off % 16 - 8;
        break;
    case 7:
        *is_wild = one_in(g, 4);
        if (*is_wild)
            return value64(g);
        break;
    default: break;
    }
    return VM_HEAP_BASE + off % (HEAP_BYTES - width);
}

/* Puts such an address in a register, with a displacement to go with it. */
static unsigned emit_address(struct generator *g, unsigned width, enum vm_group group, int *off)
{
    bool is_wild;
    unsigned reg = writable(g);
    uint64_t at = address(g, width, group == VM_GROUP_LDX || group == VM_GROUP_LDSX, &is_wild);
    *off = 0;
    if (group == VM_GROUP_ATOMIC && !is_wild && !one_in(g, 32))
        at &= ~(uint64_t)(width - 1);
    switch (choose(g, 6)) {
    case 0: *off = (int8_t)byte(g); break;
    case 1: *off = (int16_t)(byte(g) << 8 | 0x80); break;
    case 2: at |= (uint64_t)byte(g) << 56 | (uint64_t)byte(g) << 32; break;
    default: break;
    }
    if (!is_wild)
        at = (at & 0xffffffff00000000) | (uint32_t)((uint32_t)at - (uint32_t)*off);
    if (at <= INT32_MAX && one_in(g, 2))
        emit(g, VM_IX_MOV64_IMM, reg, 0, 0, (int64_t)at);
    else
        t_emit_lddw(g->code, reg, at);
    return reg;
}

/* A copy of r10 moved down, as compilers make for arrays. */
static unsigned emit_frame_pointer(struct generator *g, unsigned width, bool aligned)
{
    unsigned below = width + byte(g) % (FRAME_BYTES - width + 1);
    unsigned reg = writable(g);
    emit(g, VM_IX_MOV64_REG, reg, 10, 0, 0);
    emit(g, VM_IX_ADD64_IMM, reg, 0, 0, -(int)(aligned ? below & ~(width - 1) : below));
    return reg;
}

static void emit_access(struct generator *g, enum vm_group group)
{
    enum vm_ix ix = row_of(g, group);
    unsigned width = vm_isa[ix].width / 8;
    bool aligned = group == VM_GROUP_ATOMIC;
    bool load = group == VM_GROUP_LDX || group == VM_GROUP_LDSX;
    unsigned base;
    int off = 0;
    switch (choose(g, 8)) {
    case 0:
    case 1:
    case 2:
        base = 10;
        off = -(int)(width + byte(g) % (FRAME_BYTES - width));
        off -= aligned ? (int)(off & (int)(width - 1)) : 0;
        off = off < -FRAME_BYTES ? -FRAME_BYTES : off;
        break;
    case 3: base = emit_frame_pointer(g, width, aligned); break;
    case 4:
        if (one_in(g, 16)) { /* whatever is in the register */
            base = choose(g, 10);
            off = (int8_t)byte(g);
            break;
        }
        /* fall through */
    default: base = emit_address(g, width, group, &off);
    }
    if ((ix == VM_IX_ACMPXCHG64 || ix == VM_IX_ACMPXCHG32) && base > 1 && one_in(g, 2)) {
        bool is_half = ix == VM_IX_ACMPXCHG32 && (base == 10 || one_in(g, 2));
        emit(g, is_half ? VM_IX_LDX32 : VM_IX_LDX64, 1, base, off, 0); /* so that both are equal */
        emit(g, one_in(g, 4) ? VM_IX_MOV32_REG : VM_IX_MOV64_REG, 0, 1, 0, 0);
    }
    if (load)
        emit(g, ix, writable(g), base, off, 0);
    else
        emit(g, ix, base, group == VM_GROUP_ATOMIC ? writable(g) : readable(g), off, value32(g));
}

/* base + (index << scale), as for arrays; the address is used again, and perhaps moved on. */
static void emit_indexed(struct generator *g)
{
    unsigned base = choose(g, 4) + 1, index = base + 1 + choose(g, 3);
    enum vm_ix load = row_of(g, VM_GROUP_LDX), store = row_of(g, VM_GROUP_STX);
    emit(g, VM_IX_MOV64_IMM, base, 0, 0, VM_HEAP_BASE + choose(g, 32));
    emit(g, row_of(g, VM_GROUP_LDX), index, 10, -8 - 8 * (int)choose(g, 16), 0);
    emit(g, one_in(g, 2) ? VM_IX_AND32_IMM : VM_IX_AND64_IMM, index, 0, 0, choose(g, 8));
    if (!one_in(g, 3))
        emit(g, one_in(g, 3) ? VM_IX_LSH32_IMM : VM_IX_LSH64_IMM, index, 0, 0, choose(g, 4));
    if (one_in(g, 4))
        emit(g, VM_IX_MOV64_REG, 8, base, 0, 0);
    emit(g, VM_IX_ADD64_REG, base, index, 0, 0);
    for (unsigned i = choose(g, 3) + 1; i > 0; i--) {
        int off = (int)choose(g, 40);
        if (one_in(g, 2))
            emit(g, load, one_in(g, 8) ? base : 0, base, off, 0);
        else
            emit(g, store, base, one_in(g, 4) ? index : readable(g), off, 0);
        if (one_in(g, 3))
            emit(g, VM_IX_ADD64_IMM, base, 0, 0, (int)choose(g, 16));
        if (one_in(g, 6))
            emit(g, row_of(g, VM_GROUP_ALU), index, readable(g), 0, value32(g));
    }
}

/* base + (index << scale) again, put together in a third register each time, as compilers do for
 * several arrays; what is loaded may be the next index. The index comes of a lower half whose upper
 * one is not clear. */
static void emit_gather(struct generator *g)
{
    unsigned base = choose(g, 3) + 1, index = base + 1, sum = base + 2;
    bool is_dirty = one_in(g, 2), is_wide = one_in(g, 2);
    unsigned scale = choose(g, 4);
    emit(g, VM_IX_MOV64_IMM, base, 0, 0, VM_HEAP_BASE + choose(g, 32));
    emit(g, VM_IX_LDX8, index, 10, -8 - 8 * (int)choose(g, 16), 0);
    for (unsigned i = choose(g, 3) + 1; i > 0; i--) {
        if (is_dirty) {
            t_emit_lddw(g->code, 0, value64(g) << 32);
            emit(g, VM_IX_OR64_REG, 0, index, 0, 0);
            emit(g, VM_IX_MOV32_REG, index, 0, 0, 0);
        }
        if (scale)
            emit(g, VM_IX_LSH64_IMM, index, 0, 0, scale);
        emit(g, VM_IX_MOV64_REG, sum, base, 0, 0);
        emit(g, is_wide ? VM_IX_ADD64_REG : VM_IX_ADD32_REG, sum, index, 0, 0);
        if (one_in(g, 4)) /* what is made of the sum has nothing of it any more */
            emit(g, one_in(g, 2) ? VM_IX_MOV64_IMM : VM_IX_MOV32_IMM, sum, 0, 0,
                 VM_HEAP_BASE + choose(g, 64));
        if (one_in(g, 3))
            emit(g, row_of(g, VM_GROUP_STX), sum, readable(g), (int)choose(g, 40), 0);
        else
            emit(g, one_in(g, 4) ? row_of(g, VM_GROUP_LDX) : VM_IX_LDX8,
                 one_in(g, 3) ? index : writable(g), sum, (int)choose(g, 40), 0);
    }
}

/* ---- arithmetic */

static void emit_alu(struct generator *g)
{
    enum vm_ix ix = row_of(g, VM_GROUP_ALU);
    emit(g, ix, writable(g), readable(g), 0, value32(g));
}

/* The dividend is where a reciprocal that is not exact would show: about the last multiple. */
static void emit_constant_division(struct generator *g, unsigned reg)
{
    static const enum vm_ix rows[] = {VM_IX_DIV64_IMM,  VM_IX_MOD64_IMM,  VM_IX_DIV32_IMM,
                                      VM_IX_MOD32_IMM,  VM_IX_SDIV64_IMM, VM_IX_SMOD64_IMM,
                                      VM_IX_SDIV32_IMM, VM_IX_SMOD32_IMM};
    enum vm_ix ix = rows[choose(g, 8)];
    int32_t divisor = value32(g);
    if (one_in(g, 2) && divisor > 0) {
        bool is_signed = vm_isa[ix].sub != 0;
        uint64_t most = vm_isa[ix].width == 64 ? UINT64_MAX >> is_signed : UINT32_MAX >> is_signed;
        uint64_t last = most / (uint32_t)divisor * (uint32_t)divisor;
        t_emit_lddw(g->code, reg, (last + 1 - choose(g, 3)) * (one_in(g, 4) ? -1ull : 1));
    }
    emit(g, ix, reg, 0, 0, divisor);
}

/* a % b as it is learned at school, the way clang writes it; sometimes not quite. */
static void emit_remainder(struct generator *g, unsigned dividend, unsigned quotient)
{
    bool is_half = one_in(g, 3), is_copied = one_in(g, 2);
    unsigned divisor = one_in(g, 8) ? readable(g) : choose(g, 10), rest = dividend;
    emit(g, is_half ? VM_IX_MOV32_REG : VM_IX_MOV64_REG, quotient, dividend, 0, 0);
    emit(g, is_half ? VM_IX_DIV32_REG : VM_IX_DIV64_REG, quotient, divisor, 0, 0);
    emit(g, is_half ? VM_IX_MUL32_REG : VM_IX_MUL64_REG, quotient, divisor, 0, 0);
    if (is_copied) {
        rest = writable(g);
        emit(g, one_in(g, 3) ? VM_IX_MOV32_REG : VM_IX_MOV64_REG, rest, dividend, 0, 0);
    }
    emit(g, is_half ? VM_IX_SUB32_REG : VM_IX_SUB64_REG, rest, quotient, 0, 0);
    if (!one_in(g, 3))
        emit(g, VM_IX_MOV64_IMM, quotient, 0, 0, value32(g)); /* nobody wants it any more */
}

/* A copy is shifted, then what it was copied from, or another copy; sometimes not quite. */
static void emit_rotation(struct generator *g, unsigned reg, unsigned copy)
{
    bool is_half = one_in(g, 2), is_left_first = one_in(g, 2), is_swapped = one_in(g, 2);
    unsigned width = is_half ? 32 : 64, first = one_in(g, 8) ? choose(g, width) : choose(g, 4) * 8;
    unsigned second = one_in(g, 8) ? choose(g, width) : width - first, other = reg;
    enum vm_ix move = is_half && one_in(g, 2) ? VM_IX_MOV32_REG : VM_IX_MOV64_REG;
    enum vm_ix lsh = is_half ? VM_IX_LSH32_IMM : VM_IX_LSH64_IMM;
    enum vm_ix rsh = is_half ? VM_IX_RSH32_IMM : VM_IX_RSH64_IMM;
    emit(g, move, copy, reg, 0, 0);
    emit(g, is_left_first ? lsh : rsh, copy, 0, 0, first);
    if (one_in(g, 2)) {
        other = writable(g);
        emit(g, move, other, one_in(g, 8) ? readable(g) : reg, 0, 0);
    }
    emit(g, is_left_first ? rsh : lsh, other, 0, 0, second);
    emit(g, is_half ? VM_IX_OR32_REG : VM_IX_OR64_REG, is_swapped ? copy : other,
         is_swapped ? other : copy, 0, 0);
    if (!one_in(g, 3)) /* nobody wants the other half any more */
        emit(g, VM_IX_MOV64_IMM, is_swapped ? other : copy, 0, 0, value32(g));
}

/* Sequences that compilers emit and a compiler of ours may treat as one. */
static void emit_idiom(struct generator *g)
{
    unsigned a = writable(g), b = writable(g);
    switch (choose(g, 11)) {
    case 0: /* zero-extend */
        emit(g, VM_IX_LSH64_IMM, a, 0, 0, 32);
        emit(g, one_in(g, 2) ? VM_IX_ARSH64_IMM : VM_IX_RSH64_IMM, a, 0, 0, 32);
        break;
    case 1: emit_rotation(g, a, b); break;
    case 2: /* a condition as a number */
        emit(g, VM_IX_MOV64_IMM, a, 0, 0, one_in(g, 2));
        if (one_in(g, 2))
            emit_alu(g);
        emit(g, row_of(g, VM_GROUP_JMP), b, readable(g), 1, value32(g));
        emit(g, one_in(g, 3) ? VM_IX_MOV32_IMM : VM_IX_MOV64_IMM, a, 0, 0, one_in(g, 2));
        break;
    case 3: /* constant folding */
        emit(g, VM_IX_MOV64_IMM, a, 0, 0, value32(g));
        emit(g, row_of(g, VM_GROUP_ALU), a, a, 0, value32(g));
        break;
    case 4: /* dead and copied values */
        emit(g, VM_IX_MOV64_REG, b, a, 0, 0);
        emit(g, VM_IX_MOV64_REG, a, b, 0, 0);
        emit(g, row_of(g, VM_GROUP_ALU), b, a, 0, value32(g));
        break;
    case 5: /* bytes put together */
        emit(g, VM_IX_LDX8, a, 10, -16, 0);
        emit(g, VM_IX_LDX8, b, 10, -15, 0);
        emit(g, VM_IX_LSH64_IMM, b, 0, 0, 8);
        emit(g, VM_IX_OR64_REG, b, a, 0, 0);
        break;
    case 6: /* 32-bit result, then used in 64 bits */
        emit(g, VM_IX_MOV32_REG, a, b, 0, 0);
        emit(g, VM_IX_ADD64_REG, a, a, 0, 0);
        break;
    case 7: /* three operands: copy, then change */
        emit(g, one_in(g, 2) ? VM_IX_MOV32_REG : VM_IX_MOV64_REG, a, b, 0, 0);
        emit(g, row_of(g, VM_GROUP_ALU), a, readable(g), 0, value32(g));
        break;
    case 8: emit_constant_division(g, a); break;
    case 9: emit_remainder(g, a, b); break;
    case 10: /* a small factor, of half a number or a sum */
        emit(g, one_in(g, 2) ? VM_IX_MOV32_REG : VM_IX_ADD64_REG, a, b, 0, 0);
        emit(g, one_in(g, 3) ? VM_IX_MUL32_IMM : VM_IX_MUL64_IMM, a, 0, 0, 1 + 2 * choose(g, 5));
        emit(g, one_in(g, 2) ? VM_IX_ADD64_REG : VM_IX_MOV64_REG, b, a, 0, 0);
        break;
    }
}

/* ---- control flow */

static void emit_item(struct generator *g);

/* Some number that the engine cannot know, of the stack or the heap. */
static void emit_unknown(struct generator *g, unsigned reg)
{
    enum vm_ix load = one_in(g, 2) ? VM_IX_LDX64 : row_of(g, VM_GROUP_LDX);
    if (one_in(g, 2)) {
        emit(g, load, reg, 10, -8 - 8 * (int)choose(g, 16), 0);
    } else {
        emit(g, VM_IX_MOV64_IMM, reg, 0, 0, VM_HEAP_BASE);
        emit(g, load, reg, reg, (int)choose(g, HEAP_BYTES), 0);
    }
}

/* Those after which a compiler of ours may use the processor's flags, or just not. */
static enum vm_ix row_with_flags(struct generator *g)
{
    static const enum vm_ix rows[] = {VM_IX_ADD64_REG, VM_IX_SUB64_REG, VM_IX_AND64_REG,
                                      VM_IX_OR64_REG,  VM_IX_XOR64_REG, VM_IX_ADD32_REG,
                                      VM_IX_SUB32_REG, VM_IX_AND32_IMM, VM_IX_ADD64_IMM,
                                      VM_IX_SUB32_IMM, VM_IX_AND64_IMM, VM_IX_LSH64_IMM};
    return one_in(g, 3) ? row_of(g, VM_GROUP_ALU) : rows[choose(g, sizeof rows / sizeof *rows)];
}

/* A condition on what memory holds, or on a result. Leaves the jump's distance to the caller. */
static uint32_t emit_loaded_jump(struct generator *g, unsigned reg)
{
    bool is_result = one_in(g, 2);
    if (!one_in(g, 3))
        emit_unknown(g, reg);
    if (is_result) /* twice the same overflows as often as not */
        emit(g, row_with_flags(g), reg, one_in(g, 3) ? reg : readable(g), 0, value32(g));
    return emit(g, row_of(g, VM_GROUP_JMP), reg, readable(g), 0,
                is_result && one_in(g, 2) ? 0 : value32(g));
}

/* Jumps over one instruction, which a compiler of ours may turn into something without a jump. */
static void emit_short_jump(struct generator *g)
{
    uint32_t jump = emit_loaded_jump(g, writable(g));
    enum vm_ix move = one_in(g, 3) ? VM_IX_MOV32_REG : VM_IX_MOV64_REG;
    switch (choose(g, 4)) {
    case 0: /* if */
        emit(g, move, writable(g), readable(g), 0, 0);
        g->code->insns[jump].off = 1;
        break;
    case 1: /* both ways meet behind a jump */
        emit(g, move, writable(g), readable(g), 0, 0);
        emit(g, VM_IX_JA, 0, 0, 0, 0);
        g->code->insns[jump].off = 2;
        break;
    case 2: /* if and else */
        emit(g, move, writable(g), readable(g), 0, 0);
        emit(g, VM_IX_JA, 0, 0, 1, 0);
        emit(g, move, writable(g), readable(g), 0, 0);
        g->code->insns[jump].off = 2;
        break;
    default: { /* over a jump */
        uint32_t over = emit(g, VM_IX_JA, 0, 0, 0, 0);
        g->code->insns[jump].off = 1;
        emit_alu(g);
        g->code->insns[over].off = (int16_t)(g->code->count - over - 1);
    }
    }
}

/* Accesses through a pointer before and after it may have become another. */
static void emit_chosen_pointer(struct generator *g)
{
    unsigned pointer = choose(g, 4) + 1, other = pointer + 1 + choose(g, 3);
    enum vm_ix access = row_of(g, one_in(g, 3) ? VM_GROUP_STX : VM_GROUP_LDX);
    unsigned value = one_in(g, 4) ? other : 0;
    emit(g, VM_IX_LDX8, pointer, 10, -8 - 8 * (int)choose(g, 16), 0);
    emit(g, VM_IX_ADD64_IMM, pointer, 0, 0, VM_HEAP_BASE);
    emit(g, one_in(g, 3) ? VM_IX_MOV32_REG : VM_IX_MOV64_REG, other, pointer, 0, 0);
    emit(g, VM_IX_ADD64_IMM, other, 0, 0, choose(g, 24));
    if (vm_isa[access].group == VM_GROUP_STX)
        emit(g, access, pointer, value, 0, 0);
    else
        emit(g, access, 0, pointer, 0, 0);
    uint32_t jump = emit_loaded_jump(g, 0);
    emit(g, one_in(g, 3) ? VM_IX_MOV32_REG : VM_IX_MOV64_REG, pointer, other, 0, 0);
    g->code->insns[jump].off = 1;
    if (vm_isa[access].group == VM_GROUP_STX)
        emit(g, access, pointer, value, 0, 0);
    else
        emit(g, access, writable(g), pointer, 0, 0);
}

static void emit_items(struct generator *g, unsigned count)
{
    g->depth++;
    for (unsigned i = 0; i < count && !full(g); i++)
        emit_item(g);
    g->depth--;
}

static void set_target(struct generator *g, uint32_t jump)
{
    struct vm_insn *insn = &g->code->insns[jump];
    int32_t distance = (int32_t)(g->code->count - jump - 1);
    if (vm_isa_find(insn) == VM_IX_JA32)
        insn->imm = distance;
    else
        insn->off = (int16_t)distance;
}

static void emit_skip(struct generator *g)
{
    enum vm_ix ix = row_of(g, VM_GROUP_JMP);
    unsigned dst = readable(g), src = readable(g);
    uint32_t jump = emit(g, ix, dst, src, 0, value32(g));
    emit_items(g, choose(g, 6));
    if (one_in(g, 3)) { /* else */
        uint32_t over = emit(g, one_in(g, 4) ? VM_IX_JA32 : VM_IX_JA, 0, 0, 0, 0);
        set_target(g, jump);
        emit_items(g, choose(g, 4));
        set_target(g, over);
    } else {
        set_target(g, jump);
    }
}

static void emit_loop(struct generator *g)
{
    static const enum vm_ix again[] = {VM_IX_JNE64_IMM,  VM_IX_JNE32_IMM,  VM_IX_JGT64_IMM,
                                       VM_IX_JSGT64_IMM, VM_IX_JSGT32_IMM, VM_IX_JSET32_IMM};
    if (g->in_loop)
        return;
    unsigned rounds = choose(g, 12) + 1;
    unsigned condition = choose(g, sizeof again / sizeof *again);
    emit(g, VM_IX_MOV64_IMM, COUNTER, 0, 0, rounds);
    uint32_t top = g->code->count;
    g->in_loop = true;
    emit_items(g, choose(g, 6) + 1);
    g->in_loop = false;
    emit(g, one_in(g, 2) ? VM_IX_ADD64_IMM : VM_IX_ADD32_IMM, COUNTER, 0, 0, -1);
    int back = (int)top - (int)g->code->count - 1;
    if (one_in(g, 4)) { /* clang's end of a loop, where it jumps over a jump */
        emit(g, one_in(g, 2) ? VM_IX_JEQ64_IMM : VM_IX_JEQ32_IMM, COUNTER, 0, 1, 0);
        emit(g, VM_IX_JA, 0, 0, back - 1, 0);
        return;
    }
    emit(g, again[condition], COUNTER, 0, back,
         again[condition] == VM_IX_JSET32_IMM ? INT32_MAX : 0);
}

static void emit_call(struct generator *g)
{
    unsigned callee = g->function + 1 + choose(g, FUNCTIONS_MAX);
    if (one_in(g, 32) && !g->in_loop && !g->recurses) {
        callee = choose(g, g->function_count); /* recursion, ended by the depth limit */
        g->recurses = callee <= g->function;
    }
    if (callee >= g->function_count || g->patch_count == PATCHES_MAX)
        return;
    uint32_t insn;
    if (one_in(g, 3)) {
        unsigned reg = writable(g);
        insn = g->code->count;
        emit(g, VM_IX_LDDW_FUNC, reg, 0, 0, 0);
        g->code->insns[g->code->count++] = (struct vm_insn){0};
        if (one_in(g, 64))
            emit(g, VM_IX_ADD64_IMM, reg, 0, 0, 8 * (int8_t)byte(g)); /* most likely no function */
        emit(g, VM_IX_CALLX, reg, 0, 0, 0);
    } else {
        insn = emit(g, VM_IX_CALL_LOCAL, 0, 0, 0, 0);
    }
    g->patch[g->patch_count++] = (struct patch){insn, callee};
}

static unsigned helper_index(const char *name)
{
    for (unsigned i = 0; i < t_helper_count; i++)
        if (!strcmp(t_helpers[i]->name, name))
            return i;
    return 0;
}

static void emit_span(struct generator *g, unsigned reg, unsigned length)
{
    emit(g, VM_IX_MOV64_IMM, reg, 0, 0, (int64_t)VM_HEAP_BASE + byte(g) % (HEAP_BYTES - 16));
    emit(g, VM_IX_MOV64_IMM, reg + 1, 0, 0, length);
}

static void emit_helper(struct generator *g)
{
    static const char *const one_span[] = {"sum_bytes", "fill", "reverse", "string_length"};
    switch (choose(g, 8)) {
    case 0: emit(g, VM_IX_CALL, 0, 0, 0, helper_index("sum5")); break;
    case 1: emit(g, VM_IX_CALL, 0, 0, 0, helper_index("sum5_direct")); break;
    case 2: emit(g, VM_IX_CALL, 0, 0, 0, helper_index("minus_one")); break;
    case 3: emit(g, VM_IX_CALL, 0, 0, 0, helper_index("wait_once")); break;
    case 4:
        emit_span(g, 1, choose(g, 16));
        emit_span(g, 3, choose(g, 16));
        emit(g, VM_IX_CALL, 0, 0, 0, helper_index("copy"));
        break;
    case 5:
        if (one_in(g, 16)) /* with what the registers hold */
            emit(g, VM_IX_CALL, 0, 0, 0, choose(g, t_helper_count));
        break;
    default:
        emit_span(g, 1, choose(g, 16));
        emit(g, VM_IX_CALL, 0, 0, 0, helper_index(one_span[choose(g, 4)]));
    }
}

static void emit_item(struct generator *g)
{
    bool nested = g->depth > 4;
    switch (choose(g, 34)) {
    default: emit_alu(g); break;
    case 8:
    case 9: emit_idiom(g); break;
    case 10: emit(g, row_of(g, VM_GROUP_END), writable(g), 0, 0, 0); break;
    case 11: t_emit_lddw(g->code, writable(g), value64(g)); break;
    case 12: emit(g, VM_IX_MOV64_IMM, writable(g), 0, 0, value32(g)); break;
    case 13: emit_access(g, VM_GROUP_LDX); break;
    case 14: emit_access(g, VM_GROUP_LDSX); break;
    case 15: emit_access(g, VM_GROUP_ST); break;
    case 16: emit_access(g, VM_GROUP_STX); break;
    case 17: emit_access(g, VM_GROUP_ATOMIC); break;
    case 18:
    case 19: nested ? emit_alu(g) : emit_skip(g); break;
    case 20: nested ? emit_alu(g) : emit_loop(g); break;
    case 21: emit_call(g); break;
    case 22: emit_helper(g); break;
    case 24:
    case 25: emit_short_jump(g); break;
    case 26:
    case 27: emit_indexed(g); break;
    case 28: emit_gather(g); break;
    case 29: emit_chosen_pointer(g); break;
    case 30:
    case 31: generator_composition(g); break;
    case 32: generator_operand(g); break;
    case 33: generator_copy(g); break;
    case 23:
        if (one_in(g, 16) && g->depth > 1)
            emit(g, VM_IX_EXIT, 0, 0, 0, 0);
        else
            emit_call(g);
        break;
    }
}

/* ---- functions */

static void emit_function(struct generator *g, unsigned function)
{
    g->function = function;
    g->start[function] = g->code->count;
    if (function == 0) /* values the engine cannot know: r1 is guest memory */
        for (unsigned reg = 2; reg < 10; reg++)
            if (g->unknown >> reg & 1)
                emit(g, VM_IX_LDX64, reg, 1, 8 * (int)reg, 0);
    if (function == 0)
        for (unsigned i = choose(g, 4); i > 0; i--)
            emit(g, VM_IX_STX64, 10, 2 + choose(g, 8), -8 - 8 * (int)choose(g, 16), 0);
    emit_items(g, function == 0 ? g->size->items : choose(g, g->size->callee_items) + 1);
    if (function == 0)
        for (unsigned reg = 0; reg < 10; reg++)
            if (g->reported >> reg & 1)
                emit(g, VM_IX_STX64, 10, reg, -FRAME_BYTES - 8 * (int)(reg + 1), 0);
    emit(g, VM_IX_EXIT, 0, 0, 0, 0);
}

/* By a function before it, which is all that matters: calls back are recursion. */
static bool is_called(const struct generator *g, unsigned function)
{
    for (unsigned i = 0; i < g->patch_count; i++)
        if (g->patch[i].callee == function)
            return true;
    return false;
}

/* All registers, or some: what nobody reads is compiled in other ways. */
static unsigned register_set(struct generator *g)
{
    return one_in(g, 2) ? (unsigned)byte(g) << 8 | byte(g) : 0xffff;
}

void t_generate(struct t_code *code, const uint8_t *bytes, size_t length)
{
    struct generator g = {.code = code, .bytes = bytes, .length = length, .size = &small};
    unsigned shape = byte(&g);
    code->count = 0;
    g.function_count = shape % FUNCTIONS_MAX + 1;
    if (shape / FUNCTIONS_MAX == 1) /* one in 64 */
        g.size = one_in(&g, 16) && length ? &large : &medium;
    g.unknown = register_set(&g);
    g.reported = register_set(&g);
    for (unsigned f = 0; f < g.function_count; f++)
        if (f == 0 || is_called(&g, f))
            emit_function(&g, f);
    for (unsigned i = 0; i < g.patch_count; i++) {
        const struct patch *p = &g.patch[i];
        code->insns[p->insn].imm = (int32_t)(g.start[p->callee] - p->insn - 1);
    }
}
