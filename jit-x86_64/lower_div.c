/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering of division and modulo.
 *
 * By a constant they become shifts, masks and multiplications with the reciprocal (Granlund and
 * Montgomery, "Division by invariant integers using multiplication"); what is left is the
 * processor's own division, with every case taken out before that it would trap on. x86 ties some
 * steps to rax and rdx, both guest registers, which are kept in r10 and r9 if they are wanted.
 */
#include "jit-x86_64/lower.h"

#include <assert.h>
#include <stdlib.h>

#include "jit-x86_64/x86.h"

__extension__ typedef unsigned __int128 uint128;

struct division {
    enum x86_reg dst;
    unsigned width;
    bool sign;
    bool modulo;
    bool keep_rax; /* somebody wants what is in it; false when it is dst */
    bool keep_rdx;
};

static void save(struct emit *e, const struct division *d)
{
    if (d->keep_rax) {
        emit_mov(e, 64, X86_R10, X86_RAX);
    }
    if (d->keep_rdx) {
        emit_mov(e, 64, X86_R9, X86_RDX);
    }
}

static void restore(struct emit *e, const struct division *d)
{
    if (d->keep_rdx) {
        emit_mov(e, 64, X86_RDX, X86_R9);
    }
    if (d->keep_rax) {
        emit_mov(e, 64, X86_RAX, X86_R10);
    }
}

/* dst = the quotient in r11, or what it leaves of the dividend, which is in dst. */
static void finish(struct emit *e, const struct division *d, int32_t divisor)
{
    if (d->modulo) {
        emit_imul_imm(e, d->width, X86_R11, X86_R11, divisor);
        emit_alu(e, X86_SUB, d->width, d->dst, X86_R11);
    } else {
        emit_mov(e, d->width, d->dst, X86_R11);
    }
}

/* ---- the processor's division --------------------------------------------------------------- */

/* rax and rdx = quotient and remainder of rax by r11. 64 bits take the processor several times as
 * long as 32, so it looks first whether 32 do. */
static void divide_unsigned(struct emit *e, unsigned width)
{
    size_t narrow = 0, end = 0;
    if (width == 64) {
        emit_mov(e, 64, X86_RDX, X86_RAX);
        emit_alu(e, X86_OR, 64, X86_RDX, X86_R11);
        emit_shift_imm(e, X86_SHR, 64, X86_RDX, 32);
        narrow = emit_jcc_forward(e, X86_E);
        emit_mov_imm(e, X86_RDX, 0);
        emit_div(e, 64, false, X86_R11);
        end = emit_jmp_forward(e);
        emit_land(e, narrow);
    } else {
        emit_mov_imm(e, X86_RDX, 0);
    }
    emit_div(e, 32, false, X86_R11);
    if (width == 64) {
        emit_land(e, end);
    }
}

/* dst = dst / r11 or dst % r11, for a divisor that does not trap. */
static void divide(struct emit *e, const struct division *d)
{
    enum x86_reg result = d->modulo ? X86_RDX : X86_RAX;
    save(e, d);
    if (d->dst != X86_RAX) {
        emit_mov(e, d->width, X86_RAX, d->dst);
    }
    if (d->sign) {
        emit_sign_rdx(e, d->width);
        emit_div(e, d->width, true, X86_R11);
    } else {
        divide_unsigned(e, d->width);
    }
    if (d->dst != result) {
        emit_mov(e, d->width, d->dst, result);
    }
    restore(e, d);
}

/* Divisor 0: the quotient is 0, the remainder is the dividend. */
static void divide_by_zero(struct emit *e, const struct division *d)
{
    if (!d->modulo) {
        emit_mov_imm(e, d->dst, 0);
    } else if (d->width == 32) {
        emit_mov(e, 32, d->dst, d->dst);
    }
}

/* Divisor -1: the processor would trap on the least integer. */
static void divide_by_minus_one(struct emit *e, const struct division *d)
{
    if (d->modulo) {
        emit_mov_imm(e, d->dst, 0);
    } else {
        emit_neg(e, d->width, d->dst);
    }
}

static void divide_by_reg(struct emit *e, const struct division *d, enum x86_reg src)
{
    size_t minus_one = 0, end_minus_one = 0;
    emit_mov(e, src == MEM_FRAME ? 32 : d->width, X86_R11, src);
    emit_test(e, d->width, X86_R11, X86_R11);
    size_t zero = emit_jcc_forward(e, X86_E);
    if (d->sign) {
        emit_alu_imm(e, X86_CMP, d->width, X86_R11, -1);
        minus_one = emit_jcc_forward(e, X86_E);
    }
    divide(e, d);
    size_t end = emit_jmp_forward(e);
    if (d->sign) {
        emit_land(e, minus_one);
        divide_by_minus_one(e, d);
        end_minus_one = emit_jmp_forward(e);
    }
    emit_land(e, zero);
    divide_by_zero(e, d);
    emit_land(e, end);
    if (d->sign) {
        emit_land(e, end_minus_one);
    }
}

/* ---- constants ------------------------------------------------------------------------------ */

static bool is_power(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static unsigned log2_floor(uint64_t value)
{
    assert(value != 0);
    return 63u - (unsigned)__builtin_clzll(value);
}

static void unsigned_by_power(struct emit *e, const struct division *d, uint64_t divisor)
{
    if (!d->modulo) {
        emit_shift_imm(e, X86_SHR, d->width, d->dst, (uint8_t)log2_floor(divisor));
    } else {
        assert(divisor - 1 <= INT32_MAX);
        emit_alu_imm(e, X86_AND, 32, d->dst, (int32_t)(divisor - 1));
    }
}

/* x / divisor = mulhi(x, multiplier) >> shift, where multiplier has one bit more than the width if
 * `wide`; that bit is not in it. */
struct reciprocal {
    uint64_t multiplier;
    unsigned shift;
    bool wide;
};

/* With 2^s < divisor < 2^(s+1): rounding 2^(width+s) / divisor up is exact for every x when the
 * rounding adds less than 2^s / divisor; else one more bit is exact. */
static struct reciprocal reciprocal_of(uint64_t divisor, unsigned width)
{
    unsigned s = log2_floor(divisor);
    uint128 power = (uint128)1 << (width + s);
    uint64_t quotient = (uint64_t)(power / divisor), rest = (uint64_t)(power % divisor);
    if (divisor - rest < (uint64_t)1 << s) {
        return (struct reciprocal){.multiplier = quotient + 1, .shift = s};
    }
    uint128 doubled = 2 * (uint128)quotient + (2 * (uint128)rest >= divisor ? 1 : 0) + 1;
    uint64_t mask = width == 64 ? UINT64_MAX : UINT32_MAX;
    return (struct reciprocal){.multiplier = (uint64_t)doubled & mask, .shift = s, .wide = true};
}

/* r11 = quotient, from x in r11 and the upper half of x * multiplier in `high`. For the wide form
 * x + high would overflow, (x - high) / 2 + high does not. */
static void reciprocal_shift(struct emit *e, const struct reciprocal *r, unsigned width,
                             enum x86_reg high)
{
    if (r->wide) {
        emit_alu(e, X86_SUB, width, X86_R11, high);
        emit_shift_imm(e, X86_SHR, width, X86_R11, 1);
        emit_alu(e, X86_ADD, width, X86_R11, high);
    } else {
        emit_mov(e, width, X86_R11, high);
    }
    emit_shift_imm(e, X86_SHR, width, X86_R11, (uint8_t)r->shift);
}

static void unsigned_by_reciprocal(struct emit *e, const struct division *d, uint64_t divisor)
{
    struct reciprocal r = reciprocal_of(divisor, d->width);
    emit_mov(e, d->width, X86_R11, d->dst);
    if (d->width == 32) {
        emit_mov_imm(e, X86_R10, r.multiplier);
        emit_imul(e, 64, X86_R10, X86_R11);
        emit_shift_imm(e, X86_SHR, 64, X86_R10, 32);
        reciprocal_shift(e, &r, 32, X86_R10);
    } else {
        struct division all = *d; /* finish wants dst, even if it is one of the two */
        all.keep_rax |= d->dst == X86_RAX;
        all.keep_rdx |= d->dst == X86_RDX;
        save(e, &all);
        emit_mov_imm(e, X86_RAX, r.multiplier);
        emit_mul_wide(e, 64, X86_R11);
        reciprocal_shift(e, &r, 64, X86_RDX);
        restore(e, &all);
    }
    finish(e, d, (int32_t)divisor);
}

/* Rounding is to zero: a negative dividend gets |divisor| - 1 added before the shift. */
static void signed_by_power(struct emit *e, const struct division *d, int32_t divisor)
{
    unsigned s = log2_floor((uint64_t)llabs(divisor));
    assert(s > 0 && s < d->width);
    emit_mov(e, d->width, X86_R11, d->dst);
    emit_shift_imm(e, X86_SAR, d->width, X86_R11, (uint8_t)(d->width - 1));
    emit_shift_imm(e, X86_SHR, d->width, X86_R11, (uint8_t)(d->width - s));
    emit_alu(e, X86_ADD, d->width, X86_R11, d->dst);
    if (d->modulo) {
        emit_alu_imm(e, X86_AND, d->width, X86_R11, (int32_t)-llabs(divisor));
        emit_alu(e, X86_SUB, d->width, d->dst, X86_R11);
        return;
    }
    emit_shift_imm(e, X86_SAR, d->width, X86_R11, (uint8_t)s);
    if (divisor < 0) {
        emit_neg(e, d->width, X86_R11);
    }
    emit_mov(e, d->width, d->dst, X86_R11);
}

/* With 2^s < |divisor| < 2^(s+1) the multiplier is below 2^32, and the product with any int32_t
 * fits 64 bits. The shift rounds down, adding the sign bit makes that to zero. */
static void signed_by_reciprocal(struct emit *e, const struct division *d, int32_t divisor)
{
    uint64_t magnitude = (uint64_t)llabs(divisor);
    unsigned shift = 32 + log2_floor(magnitude);
    assert(d->width == 32);
    emit_movsx(e, 64, 32, X86_R11, d->dst);
    emit_mov_imm(e, X86_R10, ((uint64_t)1 << shift) / magnitude + 1);
    emit_imul(e, 64, X86_R10, X86_R11);
    emit_shift_imm(e, X86_SHR, 64, X86_R11, 63);
    emit_shift_imm(e, X86_SAR, 64, X86_R10, (uint8_t)shift);
    emit_alu(e, X86_ADD, 32, X86_R11, X86_R10);
    if (divisor < 0) {
        emit_neg(e, 32, X86_R11);
    }
    finish(e, d, divisor);
}

static void divide_by_one(struct emit *e, const struct division *d)
{
    if (d->modulo) {
        emit_mov_imm(e, d->dst, 0);
    } else if (d->width == 32) {
        emit_mov(e, 32, d->dst, d->dst);
    }
}

static void divide_by_imm(struct emit *e, const struct division *d, int32_t imm)
{
    uint64_t divisor = d->width == 32 ? (uint32_t)imm : (uint64_t)(int64_t)imm;
    if (imm == 0) {
        divide_by_zero(e, d);
    } else if (imm == 1) {
        divide_by_one(e, d);
    } else if (imm == -1 && d->sign) {
        divide_by_minus_one(e, d);
    } else if (d->sign && is_power((uint64_t)llabs(imm))) {
        signed_by_power(e, d, imm);
    } else if (d->sign && d->width == 32) {
        signed_by_reciprocal(e, d, imm);
    } else if (!d->sign && is_power(divisor)) {
        unsigned_by_power(e, d, divisor);
    } else if (!d->sign) {
        unsigned_by_reciprocal(e, d, divisor);
    } else {
        emit_mov_imm(e, X86_R11, divisor);
        divide(e, d);
    }
}

void lower_division(struct lower *l, const struct vm_op *op, enum lower_alu alu,
                    enum vm_source source, unsigned width)
{
    enum x86_reg dst = lower_reg(op->dst);
    struct division d = {
        .dst = dst,
        .width = width,
        .sign = alu == ALU_SDIV || alu == ALU_SMOD,
        .modulo = alu == ALU_MOD || alu == ALU_SMOD,
        .keep_rax = dst != X86_RAX && lower_is_live(l, 0),
        .keep_rdx = dst != X86_RDX && lower_is_live(l, 3),
    };
    if (source == VM_SOURCE_IMM) {
        divide_by_imm(&l->emit, &d, (int32_t)op->imm);
    } else {
        divide_by_reg(&l->emit, &d, lower_reg(op->src));
    }
}
