/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/code.h"

#include <assert.h>

enum { REPORTED = 10 };

uint32_t t_emit(struct t_code *code, enum vm_ix ix, unsigned dst, unsigned src, int off,
                int64_t imm)
{
    const struct vm_isa_row *row = &vm_isa[ix];
    assert(code->count < T_CODE_INSNS_MAX);
    struct vm_insn *insn = &code->insns[code->count];
    *insn = (struct vm_insn){.code = row->code};
    if (row->fields & F_DST)
        insn->dst = dst & 15;
    if (row->fields & F_SRC)
        insn->src = src & 15;
    if (row->fields & F_OFF)
        insn->off = (int16_t)off;
    if (row->fields & F_IMM)
        insn->imm = (int32_t)imm;
    if (row->group == VM_GROUP_ALU)
        insn->off = row->sub;
    else if (row->group == VM_GROUP_ATOMIC || row->group == VM_GROUP_END)
        insn->imm = row->sub;
    else if (row->group == VM_GROUP_CALL || row->group == VM_GROUP_LDDW)
        insn->src = row->sub & 15;
    return code->count++;
}

void t_emit_lddw(struct t_code *code, unsigned dst, uint64_t value)
{
    t_emit(code, VM_IX_LDDW, dst, 0, 0, (int32_t)(uint32_t)value);
    assert(code->count < T_CODE_INSNS_MAX);
    code->insns[code->count++] = (struct vm_insn){.imm = (int32_t)(uint32_t)(value >> 32)};
}

void t_emit_report(struct t_code *code, uint32_t address)
{
    for (int i = 0; i < REPORTED; i++)
        t_emit(code, VM_IX_STX64, 10, (unsigned)i, -8 * (i + 1), 0);
    t_emit_lddw(code, 1, address);
    for (int i = 0; i < REPORTED; i++) {
        t_emit(code, VM_IX_LDX64, 2, 10, -8 * (i + 1), 0);
        t_emit(code, VM_IX_STX64, 1, 2, 8 * i, 0);
    }
    t_emit(code, VM_IX_EXIT, 0, 0, 0, 0);
}
