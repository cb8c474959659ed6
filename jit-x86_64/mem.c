/* SPDX-License-Identifier: Apache-2.0 */
/* The operands of the cage, see mem.h. Review this file to know what compiled code can touch. */
#include "jit-x86_64/mem.h"

#include <assert.h>

#include "vm/engine.h"

_Static_assert(VM_WINDOW_BYTES == 1ull << 32, "clearing the upper half of a register is the mask");
_Static_assert(VM_CONTEXT_BELOW >= VM_ACCESS_REACH_BYTES + sizeof(struct vm_context),
               "a guest access must not reach the context");

static struct x86_mem caged(enum x86_reg address, int16_t off)
{
#ifdef ZSVM_BENCH_UNCAGED /* what the cage costs: see bench/README.md; in no product */
    return (struct x86_mem){.base = address, .index = X86_NO_REG, .disp = off};
#endif
    assert(address == MEM_FRAME || address == MEM_ADDRESS);
    return (struct x86_mem){.base = MEM_ARENA, .index = address, .disp = off};
}

static struct x86_mem guest(struct emit *e, enum x86_reg *held, enum x86_reg base, int16_t off)
{
    if (base == MEM_FRAME) {
        return caged(MEM_FRAME, off);
    }
#ifdef ZSVM_BENCH_UNCAGED
    return caged(base, off);
#endif
    if (*held != base) {
        emit_mov(e, 32, MEM_ADDRESS, base);
        *held = base;
    }
    return caged(MEM_ADDRESS, off);
}

void mem_load(struct emit *e, enum x86_reg *held, unsigned width, bool sign, enum x86_reg dst,
              enum x86_reg base, int16_t off)
{
    emit_load(e, width, sign, dst, guest(e, held, base, off));
    if (dst == *held) {
        *held = X86_NO_REG;
    }
}

void mem_store(struct emit *e, enum x86_reg *held, unsigned width, enum x86_reg base, int16_t off,
               enum x86_reg src)
{
    emit_store(e, width, guest(e, held, base, off), src);
}

void mem_store_imm(struct emit *e, enum x86_reg *held, unsigned width, enum x86_reg base,
                   int16_t off, int32_t imm)
{
    emit_store_imm(e, width, guest(e, held, base, off), imm);
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
    emit_lea(e, dst, context_field(0));
}

void mem_context_load(struct emit *e, enum x86_reg dst, size_t field)
{
    emit_load(e, 64, false, dst, context_field(field));
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
