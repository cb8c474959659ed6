/* SPDX-License-Identifier: Apache-2.0 */
/* Recognises what compose.h is about: follows each byte from where it is loaded to where it ends
 * up. That is one register at most, because what was or-ed into another is not looked at again; so
 * when as many bytes remain as were loaded, all of them do, and none is loaded that the parts would
 * not load. */
#include "jit-x86_64/compose.h"

#include <string.h>

#define BYTES  8
#define NO_OFF INT32_MAX /* a byte that is 0 */
#define BIT(r) ((uint16_t)(1u << (r)))

/* The bytes of a register, lowest first: each the displacement it was loaded from, or NO_OFF. */
struct bytes {
    int32_t off[BYTES];
};

struct follow {
    struct bytes of[11];
    uint16_t written; /* registers that are not what they were before */
    uint16_t known;   /* those of them whose bytes are known */
    uint8_t base;
    unsigned load_count;
    unsigned byte_count; /* of all loads */
};

static unsigned load_bytes(const struct vm_op *op)
{
    const struct vm_isa_row *row = &vm_isa[op->ix];
    return row->group == VM_GROUP_LDX ? row->width / 8 : 0;
}

static bool follow_load(struct follow *f, const struct vm_op *op)
{
    bool is_overwritten = (f->written >> f->base & 1) != 0;
    if (op->src != f->base || is_overwritten) {
        return false;
    }
    for (unsigned i = 0; i < BYTES; i++) {
        f->of[op->dst].off[i] = i < load_bytes(op) ? op->off + (int32_t)i : NO_OFF;
    }
    f->written |= BIT(op->dst);
    f->known |= BIT(op->dst);
    f->load_count++;
    f->byte_count += load_bytes(op);
    return true;
}

static void keep_low(struct bytes *bytes, unsigned count)
{
    for (unsigned i = count; i < BYTES; i++) {
        bytes->off[i] = NO_OFF;
    }
}

static bool follow_shift(struct bytes *dst, unsigned bits, unsigned width)
{
    struct bytes from = *dst;
    unsigned by = (bits & (width - 1)) / 8;
    if (bits % 8 != 0) {
        return false;
    }
    for (unsigned i = 0; i < BYTES; i++) {
        dst->off[i] = i >= by ? from.off[i - by] : NO_OFF;
    }
    keep_low(dst, width / 8);
    return true;
}

static bool follow_or(struct follow *f, const struct vm_op *op, unsigned width)
{
    struct bytes *dst = &f->of[op->dst], *src = &f->of[op->src];
    f->known &= (uint16_t)~BIT(op->src);
    for (unsigned i = 0; i < width / 8; i++) {
        if (dst->off[i] != NO_OFF && src->off[i] != NO_OFF) {
            return false;
        }
        dst->off[i] = dst->off[i] == NO_OFF ? src->off[i] : dst->off[i];
    }
    keep_low(dst, width / 8);
    return true;
}

/* False when the instruction is none of those that make a composition. */
static bool follow_insn(struct follow *f, const struct vm_op *op)
{
    bool knows_dst = (f->known >> op->dst & 1) != 0, knows_src = (f->known >> op->src & 1) != 0;
    unsigned width = vm_isa[op->ix].width;
    switch ((enum vm_ix)op->ix) {
    case VM_IX_LDX8:
    case VM_IX_LDX16:
    case VM_IX_LDX32:
    case VM_IX_LDX64: return follow_load(f, op);
    case VM_IX_LSH64_IMM:
    case VM_IX_LSH32_IMM:
        return knows_dst && follow_shift(&f->of[op->dst], (unsigned)op->imm, width);
    case VM_IX_OR64_REG:
    case VM_IX_OR32_REG:
        return knows_dst && knows_src && op->dst != op->src && follow_or(f, op, width);
    default: return false;
    }
}

/* Whether one load gives these bytes. */
static bool is_loadable(const struct bytes *bytes, struct compose_part *part)
{
    const int32_t *off = bytes->off;
    unsigned count = 0;
    while (count < BYTES && off[count] != NO_OFF) {
        count++;
    }
    if (count == 0 || (count & (count - 1)) != 0) {
        return false;
    }
    int32_t step = count > 1 && off[1] < off[0] ? -1 : 1;
    for (unsigned i = 1; i < BYTES; i++) {
        if (off[i] != (i < count ? off[0] + (int32_t)i * step : NO_OFF)) {
            return false;
        }
    }
    part->bytes = (uint8_t)count;
    part->is_swapped = step < 0;
    part->off = (int16_t)(step < 0 ? off[count - 1] : off[0]);
    return true;
}

/* What must be loaded when the composition ends here, where `live` is wanted; false when it cannot
 * be, or is not less than what the program loads. */
static bool find_parts(const struct follow *f, uint16_t live, struct compose *out)
{
    unsigned byte_count = 0;
    out->part_count = 0;
    for (unsigned i = 0; i <= 10; i++) {
        unsigned reg = (f->base + 1u + i) % 11; /* the base comes last */
        if ((f->written & live & BIT(reg)) == 0) {
            continue;
        }
        struct compose_part part = {.dst = (uint8_t)reg};
        if ((f->known & BIT(reg)) == 0 || out->part_count == COMPOSE_PARTS_MAX ||
            !is_loadable(&f->of[reg], &part)) {
            return false;
        }
        byte_count += part.bytes;
        out->parts[out->part_count++] = part;
    }
    return byte_count == f->byte_count && out->part_count < f->load_count;
}

static bool ends_part(const struct vm_op *op)
{
    return op->ix == VM_IX_OR64_REG || op->ix == VM_IX_OR32_REG;
}

bool compose_at(const struct analysis *a, const struct vm_program *p, uint32_t insn,
                struct compose *out)
{
    struct follow f;
    f.written = f.known = 0;
    f.base = p->ops[insn].src;
    f.load_count = f.byte_count = 0;
    out->count = 0;
    for (uint32_t i = insn; i < p->insn_count && i - insn < COMPOSE_INSNS_MAX; i++) {
        const struct vm_op *op = &p->ops[i];
        struct compose longer;
        if ((i != insn && a->joins[i]) || !follow_insn(&f, op)) {
            break;
        }
        if (ends_part(op) && find_parts(&f, analysis_live_after(a, p, i), &longer)) {
            longer.count = (uint8_t)(i + 1 - insn);
            longer.base = f.base;
            longer.written = f.written;
            *out = longer;
        }
    }
    return out->count != 0;
}

bool compose_mark(struct analysis *a, const struct vm_program *p, uint32_t insn)
{
    struct compose c;
    if (!compose_at(a, p, insn, &c)) {
        return false;
    }
    memset(a->spans + insn, ANALYSIS_INSIDE, c.count);
    a->spans[insn] = c.count;
    return true;
}
