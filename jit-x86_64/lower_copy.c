/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering of what goes before a loop that copies or fills, see copy.h. It belongs to the
 * instruction before the loop. r9 and r10 hold what is moved. */
#include "jit-x86_64/lower.h"

#include "jit-x86_64/compile.h"
#include "jit-x86_64/copy.h"
#include "jit-x86_64/mem.h"

#define WORD_BITS  64u
#define PAIR_BYTES (2 * WORD_BITS / 8)

static enum x86_reg reg_of(uint8_t guest)
{
    return guest == COPY_NONE ? X86_NO_REG : lower_reg(guest);
}

static struct x86_mem sum_of(const struct copy_place *place)
{
    return (struct x86_mem){
        .base = reg_of(place->base), .index = reg_of(place->index), .disp = place->off};
}

/* A register alone may have its displacement in the access, and be known to be below 2^32. */
static struct mem_place place_of(const struct lower *l, const struct copy_place *place,
                                 uint32_t head, int16_t *off)
{
    struct mem_place where = {.sum = sum_of(place), .may_gs = l->may_gs && l->analysis.loops[head]};
    *off = 0;
    if (place->index == COPY_NONE && place->off >= INT16_MIN &&
        place->off <= INT16_MAX - COPY_BYTES) {
        *off = (int16_t)place->off;
        where.sum.disp = 0;
        where.is_half =
            (l->without & JIT_NARROWING) == 0 && analysis_is_half(&l->analysis, head, place->base);
    }
    return where;
}

/* r9 = what is left to count; above c->most another round can be made. */
static void count_left(struct emit *e, const struct copy *c)
{
    if (c->limit == COPY_NONE) {
        emit_mov_imm(e, X86_R9, (uint64_t)(int64_t)c->limit_imm);
    } else {
        emit_mov(e, 64, X86_R9, lower_reg(c->limit));
    }
    emit_alu(e, X86_SUB, 64, X86_R9, lower_reg(c->counter));
}

/* Flags of `below`: the areas may overlap. */
static void compare_places(struct emit *e, const struct copy *c)
{
    struct x86_mem to = sum_of(&c->to), from = sum_of(&c->from);
    to.disp += COPY_BYTES;
    emit_lea(e, 32, X86_R9, to);
    emit_lea(e, 32, X86_R10, from);
    emit_alu(e, X86_SUB, 32, X86_R9, X86_R10);
    emit_alu_imm(e, X86_CMP, 32, X86_R9, 2 * COPY_BYTES);
}

static void move_round(struct lower *l, const struct copy *c, uint32_t head)
{
    struct emit *e = &l->emit;
    int16_t from_off, to_off;
    struct mem_place from = place_of(l, &c->from, head, &from_off);
    struct mem_place to = place_of(l, &c->to, head, &to_off);
    for (int at = 0; at < COPY_BYTES; at += PAIR_BYTES) {
        struct x86_mem held = MEM_NONE;
        int16_t source = (int16_t)(from_off + at), target = (int16_t)(to_off + at);
        mem_load(e, &held, WORD_BITS, false, X86_R9, from, source);
        mem_load(e, &held, WORD_BITS, false, X86_R10, from, (int16_t)(source + WORD_BITS / 8));
        mem_store(e, &held, WORD_BITS, to, target, X86_R9);
        mem_store(e, &held, WORD_BITS, to, (int16_t)(target + WORD_BITS / 8), X86_R10);
    }
}

/* r10 = the value, as often as it fits. */
static void repeat_value(struct emit *e, const struct copy *c)
{
    enum x86_reg value = lower_reg(c->value);
    if (c->bytes < 4) {
        emit_movzx(e, 8u * c->bytes, X86_R10, value);
    } else {
        emit_mov(e, 8u * c->bytes, X86_R10, value);
    }
    if (c->bytes < WORD_BITS / 8) {
        emit_mov_imm(e, X86_R9, UINT64_MAX / ((1ull << 8 * c->bytes) - 1)); /* ones, one to each */
        emit_imul(e, 64, X86_R10, X86_R9);
    }
}

static void fill_round(struct lower *l, const struct copy *c, uint32_t head)
{
    int16_t off;
    struct mem_place to = place_of(l, &c->to, head, &off);
    struct x86_mem held = MEM_NONE;
    for (int at = 0; at < COPY_BYTES; at += WORD_BITS / 8) {
        mem_store(&l->emit, &held, WORD_BITS, to, (int16_t)(off + at), X86_R10);
    }
}

static void step(struct emit *e, const struct copy *c)
{
    for (unsigned i = 0; i < c->step_count; i++) {
        emit_alu_imm(e, X86_ADD, c->steps[i].width, lower_reg(c->steps[i].reg), c->steps[i].by);
    }
}

static void add_retry(struct lower *l, struct lower_retry retry)
{
    struct lower_retry *retries =
        lower_grow(l, l->retries, l->retry_count, &l->retry_capacity, sizeof(*retries));
    if (retries != NULL) {
        l->retries = retries;
        l->retries[l->retry_count++] = retry;
    }
}

static size_t jump_out(struct emit *e, enum x86_cond cond)
{
    emit_jcc(e, cond, false, (int64_t)e->count);
    return e->count;
}

void lower_copy(struct lower *l, uint32_t head)
{
    struct emit *e = &l->emit;
    struct copy c;
    if ((l->without & JIT_COPYING) != 0 || !copy_at(&l->analysis, l->program, head, &c)) {
        return;
    }
    size_t out[3], out_count = 0;
    bool is_fill = c.value != COPY_NONE;
    if (!is_fill) {
        compare_places(e, &c);
        out[out_count++] = jump_out(e, X86_B);
    }
    count_left(e, &c);
    out[out_count++] = jump_out(e, X86_BE);
    emit_alu_imm(e, X86_CMP, 64, X86_R9, c.most);
    out[out_count++] = jump_out(e, X86_BE);
    if (is_fill) {
        repeat_value(e, &c);
    }
    size_t again = e->count;
    (is_fill ? fill_round : move_round)(l, &c, head);
    size_t moved = e->count;
    step(e, &c);
    count_left(e, &c);
    emit_alu_imm(e, X86_CMP, 64, X86_R9, c.most);
    emit_jcc(e, X86_A, false, (int64_t)again);
    for (unsigned i = 0; i < out_count; i++) {
        emit_land_near(e, out[i]);
    }
    if (l->placing) {
        add_retry(l, (struct lower_retry){
                         .start = (uint32_t)again, .end = (uint32_t)moved, .insn = head});
    }
}
