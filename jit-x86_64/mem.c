/* SPDX-License-Identifier: Apache-2.0 */
/* The operands of the cage, see mem.h. Review this file to know what compiled code can touch. */
#include "jit-x86_64/mem.h"

#include <assert.h>

#include "vm/engine.h"

_Static_assert(VM_WINDOW_BYTES == 1ull << 32, "clearing the upper half of a register is the mask");
_Static_assert(VM_IMAGE_BASE - VM_ACCESS_REACH_BYTES >= MEM_STEP_MAX,
               "a register that was an address can be stepped down");
_Static_assert(VM_ACCESS_REACH_BYTES + 300 * MEM_STEP_MAX < VM_GUARD_BYTES,
               "steps that are made too many end in the guard");
_Static_assert(VM_CONTEXT_BELOW >= VM_ACCESS_REACH_BYTES + sizeof(struct vm_context),
               "a guest access must not reach the context");

static struct x86_mem caged(enum x86_reg address, int16_t off)
{
#ifdef ZSVM_BENCH_UNCAGED /* what the cage costs: see bench/README.md; in no product */
    return (struct x86_mem){.base = address, .index = X86_NO_REG, .disp = off};
#endif
    assert(address == MEM_ADDRESS);
    return (struct x86_mem){.base = MEM_ARENA, .index = address, .disp = off};
}

static bool same(const struct x86_mem *a, const struct x86_mem *b)
{
    return a->base == b->base && a->index == b->index && a->scale == b->scale && a->disp == b->disp;
}

#ifndef ZSVM_BENCH_UNCAGED
/* The frame's address and a constant are known to stay in the window with any offset. */
static bool is_direct(const struct x86_mem *where, int16_t off)
{
    int64_t disp = (int64_t)where->disp + off;
    if (where->index != X86_NO_REG) {
        return false;
    }
    if (where->base == X86_NO_REG) {
        return where->disp >= 0 && disp >= 0 && disp <= MEM_CONSTANT_MAX;
    }
    return where->base == MEM_FRAME && disp == (int16_t)disp;
}

/* What takes a lea. The processor adds it up as part of the access, which saves an instruction and
 * costs no time but for a pointer that is waited for: two cycles, as many as a lea with a scale. A
 * move of one register costs less than that. */
static bool is_sum(const struct x86_mem *where, int16_t off)
{
    int64_t disp = (int64_t)where->disp + off;
    bool is_constant = where->base == X86_NO_REG && where->index == X86_NO_REG;
    return !is_constant && disp == (int32_t)disp &&
           (where->index != X86_NO_REG || where->disp != 0);
}
#endif

static struct x86_mem guest(struct emit *e, struct x86_mem *held, struct mem_place place,
                            int16_t off)
{
    struct x86_mem where = place.sum;
#ifdef ZSVM_BENCH_UNCAGED
    if ((where.base != X86_NO_REG || where.index != X86_NO_REG) &&
        (int64_t)where.disp + off == (int32_t)(where.disp + off)) {
        where.disp += off;
        return where;
    }
#else
    if (where.base == MEM_FRAME && is_direct(&where, off)) {
        return (struct x86_mem){.base = MEM_FRAME, .index = X86_NO_REG, .disp = where.disp + off};
    }
    if (place.is_half || is_direct(&where, off)) {
        return (struct x86_mem){.base = MEM_ARENA, .index = where.base, .disp = where.disp + off};
    }
#endif
#ifndef ZSVM_BENCH_UNCAGED
    if (place.may_gs && is_sum(&where, off) && !same(held, &where)) {
        where.disp += off;
        where.gs = true;
        return where;
    }
#endif
    if (where.base == X86_NO_REG && where.index == X86_NO_REG) {
        emit_mov_imm(e, MEM_ADDRESS, (uint32_t)where.disp);
    } else if (!same(held, &where)) {
        if (where.index == X86_NO_REG && where.disp == 0) {
            emit_mov(e, 32, MEM_ADDRESS, where.base);
        } else {
            emit_lea(e, 32, MEM_ADDRESS, where);
        }
    }
    *held = where;
    return caged(MEM_ADDRESS, off);
}

static void forget(struct x86_mem *held, enum x86_reg written)
{
    if (held->base == written || held->index == written) {
        *held = MEM_NONE;
    }
}

void mem_load(struct emit *e, struct x86_mem *held, unsigned width, bool sign, enum x86_reg dst,
              struct mem_place where, int16_t off)
{
    emit_load(e, width, sign, dst, guest(e, held, where, off));
    forget(held, dst);
}

void mem_alu(struct emit *e, struct x86_mem *held, enum x86_alu alu, unsigned width,
             enum x86_reg dst, struct mem_place where, int16_t off)
{
    emit_alu_mem(e, alu, width, dst, guest(e, held, where, off));
    forget(held, dst);
}

void mem_store(struct emit *e, struct x86_mem *held, unsigned width, struct mem_place where,
               int16_t off, enum x86_reg src)
{
    emit_store(e, width, guest(e, held, where, off), src);
}

void mem_store_imm(struct emit *e, struct x86_mem *held, unsigned width, struct mem_place where,
                   int16_t off, int32_t imm)
{
    emit_store_imm(e, width, guest(e, held, where, off), imm);
}

void mem_frame_address(struct emit *e)
{
#ifndef ZSVM_BENCH_UNCAGED
    emit_lea(e, 64, MEM_FRAME, (struct x86_mem){.base = MEM_ARENA, .index = MEM_FRAME});
#else
    (void)e;
#endif
}

void mem_atomic_begin(struct emit *e, unsigned width, enum x86_reg base, int16_t off)
{
    int32_t mask = (int32_t)width / 8 - 1;
    emit_mov(e, 32, MEM_ADDRESS, base);
    if ((off & mask) == 0) {
        emit_test_imm(e, 32, MEM_ADDRESS, mask);
        return;
    }
    emit_mov(e, 32, X86_R10, MEM_ADDRESS);
    emit_alu_imm(e, X86_ADD, 32, X86_R10, off);
    emit_test_imm(e, 32, X86_R10, mask);
}

void mem_atomic_alu(struct emit *e, enum x86_alu alu, unsigned width, int16_t off, enum x86_reg src)
{
    emit_lock_alu(e, alu, width, caged(MEM_ADDRESS, off), src);
}

void mem_atomic_load(struct emit *e, unsigned width, int16_t off, enum x86_reg dst)
{
    emit_load(e, width, false, dst, caged(MEM_ADDRESS, off));
}

void mem_atomic_xadd(struct emit *e, unsigned width, int16_t off, enum x86_reg src)
{
    emit_lock_xadd(e, width, caged(MEM_ADDRESS, off), src);
}

void mem_atomic_xchg(struct emit *e, unsigned width, int16_t off, enum x86_reg src)
{
    emit_xchg(e, width, caged(MEM_ADDRESS, off), src);
}

void mem_atomic_cmpxchg(struct emit *e, unsigned width, int16_t off, enum x86_reg src)
{
    emit_lock_cmpxchg(e, width, caged(MEM_ADDRESS, off), src);
}

/* ---- the run's context -------------------------------------------------------------------- */

static struct x86_mem context_field(size_t field)
{
    assert(field < sizeof(struct vm_context));
    int32_t disp = (int32_t)field - (int32_t)VM_CONTEXT_BELOW;
    return (struct x86_mem){.base = MEM_ARENA, .index = X86_NO_REG, .disp = disp};
}

void mem_context_address(struct emit *e, enum x86_reg dst)
{
    emit_lea(e, 64, dst, context_field(0));
}

void mem_context_store32(struct emit *e, size_t field, enum x86_reg src)
{
    emit_store(e, 32, context_field(field), src);
}

void mem_context_store32_imm(struct emit *e, size_t field, uint32_t imm)
{
    emit_store_imm(e, 32, context_field(field), (int32_t)imm);
}

void mem_context_alu32(struct emit *e, enum x86_alu alu, size_t field, int32_t imm)
{
    emit_alu_mem_imm(e, alu, 32, context_field(field), imm);
}

void mem_table_load(struct emit *e, enum x86_reg dst, enum x86_reg table, enum x86_reg index)
{
    emit_load(e, 32, false, dst, (struct x86_mem){.base = table, .index = index, .scale = 2});
}
