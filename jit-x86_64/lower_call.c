/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering of calls: between functions, to helpers, and to the end of the run.
 *
 * Between functions, an odd number of registers of 8 bytes and the return address keep rsp at 8
 * modulo 16. */
#include "jit-x86_64/lower.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "jit-x86_64/calls.h"
#include "jit-x86_64/compile.h"
#include "jit-x86_64/mem.h"

#define FIELD(name) offsetof(struct vm_context, name)

static void push_all(struct emit *e, const uint8_t *regs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        emit_push(e, regs[i]);
    }
}

static void pop_all(struct emit *e, const uint8_t *regs, size_t count)
{
    while (count-- > 0) {
        emit_pop(e, regs[count]);
    }
}

/* ---- calls of the host ----------------------------------------------------------------------- */

static void add_outcall(struct lower *l, struct lower_outcall call)
{
    struct lower_outcall *calls =
        lower_grow(l, l->outcalls, l->outcall_count, &l->outcall_capacity, sizeof(*calls));
    if (calls != NULL) {
        l->outcalls = calls;
        l->outcalls[l->outcall_count++] = call;
    }
}

/* Through a register where the distance is too large: slower, and one more indirect branch to
 * predict. */
static void call_host(struct lower *l, uintptr_t target, enum x86_reg through)
{
    struct emit *e = &l->emit;
    if ((l->without & JIT_NEAR_CALLS) != 0) {
        emit_mov_imm(e, through, target);
        emit_call_reg(e, through);
        return;
    }
    emit_call(e, (int64_t)e->count);
    if (l->placing && e->error == VM_ERROR_OK) {
        add_outcall(l, (struct lower_outcall){.end = (uint32_t)e->count, .target = target});
    }
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* r1..r5 already are the first five arguments of a gate. The seventh, pushed, aligns rsp. */
static void call_gate(struct lower *l, uint32_t helper)
{
    struct emit *e = &l->emit;
    mem_context_store32_imm(e, FIELD(insn), l->insn);
    mem_context_address(e, X86_R9);
    emit_push_imm(e, (int32_t)helper);
    call_host(l, calls_gate(l->program->gates[helper].pass), X86_R11);
    emit_pop(e, X86_R11);
}

/* What vm_gate_scalar does, without it: there is nothing to check, so what is left is the tick that
 * may have come meanwhile. */
static void call_scalar(struct lower *l, vm_scalar_fn *fn)
{
    struct emit *e = &l->emit;
    emit_push(e, X86_R11); /* aligns rsp */
    mem_context_address(e, X86_R9);
    call_host(l, (uintptr_t)fn, X86_R11);
    emit_pop(e, X86_R11);
    mem_context_alu32(e, X86_CMP, FIELD(pending), 0);
    size_t quiet = emit_jcc_forward(e, X86_E);
    mem_context_store32_imm(e, FIELD(insn), l->insn);
    emit_push(e, X86_RAX);
    mem_context_address(e, X86_RDI);
    call_host(l, (uintptr_t)vm_yield, X86_R11);
    emit_pop(e, X86_RAX);
    emit_land(e, quiet);
}

static void call_helper(struct lower *l, const struct vm_op *op)
{
    struct emit *e = &l->emit;
    vm_scalar_fn *scalar = l->program->helpers[op->target]->scalar;
    if (scalar != NULL && (l->without & JIT_SCALAR_CALLS) == 0) {
        call_scalar(l, scalar);
    } else {
        call_gate(l, op->target);
    }
    for (unsigned i = 1; i <= 5; i++) {
        if (lower_is_live(l, i)) {
            emit_mov_imm(e, lower_reg(i), 0);
        }
    }
}

static int32_t frame_bytes(const struct lower *l)
{
    const struct vm_program *p = l->program;
    return (int32_t)p->functions[p->function_index[l->insn]].frame_bytes;
}

/* What is pushed around a call of a guest function. */
struct saved {
    uint8_t regs[5];
    size_t count;
};

/* Of the registers the callee changes, those still wanted. An odd number keeps
 * the alignment, so r11 may go along to make it one. */
static struct saved saved_by(const struct lower *l, unsigned changes)
{
    struct saved saved = {.count = 0};
    for (unsigned guest = 6; guest < 10; guest++) {
        if ((changes >> guest & 1) != 0 && lower_is_live(l, guest)) {
            saved.regs[saved.count++] = (uint8_t)lower_reg(guest);
        }
    }
    if (saved.count % 2 == 0) {
        saved.regs[saved.count++] = X86_R11;
    }
    return saved;
}

/* The callee's r10 is ours less our frame. Functions do not write r10, so adding the frame again
 * restores it. Both make a guest address of it first: so it is in the window whatever happens, by
 * the width of the operation, and however deep calls nest. */
static void move_frame(struct lower *l, enum x86_alu alu)
{
    if (frame_bytes(l) != 0) {
        emit_alu_imm(&l->emit, alu, 32, MEM_FRAME, frame_bytes(l));
        mem_frame_address(&l->emit);
    }
}

static void before_call(struct lower *l, const struct saved *saved)
{
    struct emit *e = &l->emit;
    if (l->analysis.counts_depth) {
        mem_context_alu32(e, X86_SUB, FIELD(depth_left), 1);
        lower_fault_if(l, X86_B, VM_FAULT_CALL_DEPTH);
    }
    push_all(e, saved->regs, saved->count);
    move_frame(l, X86_SUB);
}

static void after_call(struct lower *l, const struct saved *saved)
{
    struct emit *e = &l->emit;
    move_frame(l, X86_ADD);
    pop_all(e, saved->regs, saved->count);
    if (l->analysis.counts_depth) {
        mem_context_alu32(e, X86_ADD, FIELD(depth_left), 1);
    }
}

static void call_local(struct lower *l, const struct vm_op *op)
{
    uint32_t callee = l->program->function_index[op->target];
    struct saved saved = saved_by(l, l->analysis.changes[callee]);
    before_call(l, &saved);
    emit_call(&l->emit, l->offsets[op->target]);
    after_call(l, &saved);
}

/* Rotating right by 3 turns VM_CODE_BASE + 8 n into n, and any address that is not a multiple of 8
 * into a number far above the count of instructions, so one comparison checks both. An entry of the
 * table is counted from the table itself, and is 0 where no function starts. */
static void call_address(struct lower *l, const struct vm_op *op)
{
    struct emit *e = &l->emit;
    _Static_assert(VM_INSN_COUNT_MAX < 1u << 29, "an index has its upper three bits clear");
    struct saved saved = saved_by(l, UINT_MAX);
    assert(l->table_entries != 0);
    emit_mov(e, 32, X86_R11, lower_reg(op->dst));
    emit_alu_imm(e, X86_SUB, 32, X86_R11, (int32_t)VM_CODE_BASE);
    emit_shift_imm(e, X86_ROR, 32, X86_R11, 3);
    emit_alu_imm(e, X86_CMP, 32, X86_R11, (int32_t)l->table_entries);
    lower_fault_if(l, X86_AE, VM_FAULT_CALLX);
    emit_lea_here(e, X86_R10, -(int64_t)l->table_room);
    mem_table_load(e, X86_R9, X86_R10, X86_R11);
    emit_test(e, 32, X86_R9, X86_R9);
    lower_fault_if(l, X86_E, VM_FAULT_CALLX);
    emit_alu(e, X86_ADD, 64, X86_R10, X86_R9);
    before_call(l, &saved);
    emit_call_reg(e, X86_R10);
    after_call(l, &saved);
}

void lower_CALL(struct lower *l, const struct vm_op *op, enum lower_call call,
                enum vm_source source, unsigned width)
{
    (void)source, (void)width;
    switch (call) {
    case CALL_HELPER: call_helper(l, op); break;
    case CALL_LOCAL: call_local(l, op); break;
    case CALL_CALLX: call_address(l, op); break;
    }
}

/* ---- faults --------------------------------------------------------------------------------- */

static void add_site(struct lower *l, struct lower_site site)
{
    struct lower_site *sites =
        lower_grow(l, l->sites, l->site_count, &l->site_capacity, sizeof(*sites));
    if (sites != NULL) {
        l->sites = sites;
        l->sites[l->site_count++] = site;
    }
}

void lower_fault_if(struct lower *l, enum x86_cond cond, enum vm_fault_kind kind)
{
    emit_jcc(&l->emit, cond, false, (int64_t)l->emit.count + EMIT_JCC_BYTES);
    if (l->placing && l->emit.error == VM_ERROR_OK) {
        struct lower_site site = {.end = (uint32_t)l->emit.count, .insn = l->insn, .kind = kind};
        add_site(l, site);
    }
}

/* The common end of all sites of one kind: r10 is the instruction, r11 tells the address. The
 * guest's registers are left alone. */
static void raise_fault(struct lower *l, enum vm_fault_kind kind)
{
    struct emit *e = &l->emit;
    mem_context_store32(e, FIELD(insn), X86_R10);
    if (kind == VM_FAULT_CALLX) {
        emit_shift_imm(e, X86_ROL, 32, X86_R11, 3);
        emit_alu_imm(e, X86_ADD, 32, X86_R11, (int32_t)VM_CODE_BASE);
    } else if (kind != VM_FAULT_MISALIGNED) {
        emit_mov_imm(e, X86_R11, 0);
    }
    emit_mov_imm(e, X86_R10, kind);
    emit_alu_imm(e, X86_AND, 64, X86_RSP, -16);
    call_host(l, (uintptr_t)jit_fault_raise, X86_R9);
    emit_int3(e);
}

void lower_faults(struct lower *l)
{
    struct emit *e = &l->emit;
    int64_t tail[VM_FAULT_COUNT] = {0};
    for (size_t i = 0; i < l->site_count; i++) {
        const struct lower_site *site = &l->sites[i];
        if (tail[site->kind] == 0) {
            tail[site->kind] = (int64_t)e->count;
            raise_fault(l, site->kind);
        }
    }
    for (size_t i = 0; i < l->site_count; i++) {
        const struct lower_site *site = &l->sites[i];
        int16_t off = l->program->ops[site->insn].off;
        emit_land_near(e, site->end);
        if (site->kind == VM_FAULT_MISALIGNED && off != 0) {
            emit_alu_imm(e, X86_ADD, 32, X86_R11, off);
        }
        emit_mov_imm(e, X86_R10, site->insn);
        emit_jmp(e, false, tail[site->kind]);
    }
}
