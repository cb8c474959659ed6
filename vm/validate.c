/* SPDX-License-Identifier: Apache-2.0 */
/* Structural checks, one instruction at a time and then function by function. Every refusal names
 * the instruction and the reason. */
#include "vm/validate.h"

static enum vm_error refuse(struct vm_diag *diag, enum vm_error error, uint32_t insn)
{
    return vm_diag_set(diag, error, insn, "instruction %u: %s", insn, vm_error_text(error));
}

/* True when the row writes dst as a register (a store's dst is an address). */
static bool writes_dst(const struct vm_isa_row *row)
{
    switch ((enum vm_group)row->group) {
    case VM_GROUP_ALU:
    case VM_GROUP_END:
    case VM_GROUP_LDDW:
    case VM_GROUP_LDX:
    case VM_GROUP_LDSX: return true;
    case VM_GROUP_ST:
    case VM_GROUP_STX:
    case VM_GROUP_ATOMIC:
    case VM_GROUP_JMP:
    case VM_GROUP_JA:
    case VM_GROUP_CALL:
    case VM_GROUP_EXIT: return false;
    }
    return false;
}

/* Atomics that return the old value put it in src; CMPXCHG puts it in r0. */
static bool writes_src(const struct vm_isa_row *row, const struct vm_insn *insn)
{
    return row->group == VM_GROUP_ATOMIC && (insn->imm & 0x01) != 0 && insn->imm != 0xf1;
}

static enum vm_error check_fields(const struct vm_insn *insn, const struct vm_isa_row *row,
                                  uint32_t index, struct vm_diag *diag)
{
    if (insn->dst > 10 || insn->src > 10) {
        return refuse(diag, VM_ERROR_BAD_REGISTER, index);
    }
    if ((!(row->fields & F_DST) && insn->dst != 0) || (!(row->fields & F_SRC) && insn->src != 0) ||
        (!(row->fields & F_OFF) && insn->off != 0) || (!(row->fields & F_IMM) && insn->imm != 0)) {
        return refuse(diag, VM_ERROR_BAD_FIELD, index);
    }
    if ((writes_dst(row) && insn->dst == 10) || (writes_src(row, insn) && insn->src == 10)) {
        return refuse(diag, VM_ERROR_WRITES_R10, index);
    }
    return VM_ERROR_OK;
}

/* Absolute target of a jump or local call by `distance` from the instruction after `index`, or
 * VM_NO_INSN when outside the program. */
static uint32_t target_of(const struct vm_program *p, uint32_t index, int64_t distance)
{
    int64_t target = (int64_t)index + 1 + distance;

    return target >= 0 && target < (int64_t)p->insn_count ? (uint32_t)target : VM_NO_INSN;
}

static enum vm_error decode_lddw(struct vm_program *p, uint32_t index, struct vm_diag *diag)
{
    const struct vm_insn *low = &p->insns[index];
    const struct vm_insn *high = low + 1;
    struct vm_op *op = &p->ops[index];

    if (index + 1 >= p->insn_count || high->code != 0 || high->dst != 0 || high->src != 0 ||
        high->off != 0) {
        return refuse(diag, VM_ERROR_BAD_LDDW, index);
    }
    if (op->ix == VM_IX_LDDW) {
        op->imm = (int64_t)((uint64_t)(uint32_t)high->imm << 32 | (uint32_t)low->imm);
        return VM_ERROR_OK;
    }
    op->target = target_of(p, index, low->imm);
    if (op->target == VM_NO_INSN || high->imm != 0) {
        return refuse(diag, VM_ERROR_BAD_CALL, index);
    }
    op->imm = (int64_t)(VM_CODE_BASE + 8ull * op->target);
    return VM_ERROR_OK;
}

static enum vm_error decode_target(struct vm_program *p, uint32_t index, struct vm_diag *diag)
{
    const struct vm_insn *insn = &p->insns[index];
    struct vm_op *op = &p->ops[index];

    if (op->ix == VM_IX_CALL) {
        op->target = (uint32_t)insn->imm;
        if (op->target >= p->helper_count) {
            return vm_diag_set(diag, VM_ERROR_UNKNOWN_HELPER, index,
                               "instruction %u: call to unknown helper %d", index, insn->imm);
        }
    } else if (op->ix == VM_IX_CALL_LOCAL) {
        op->target = target_of(p, index, insn->imm);
        if (op->target == VM_NO_INSN) {
            return refuse(diag, VM_ERROR_BAD_CALL, index);
        }
    } else {
        op->target = target_of(p, index, op->ix == VM_IX_JA32 ? insn->imm : insn->off);
        if (op->target == VM_NO_INSN) {
            return refuse(diag, VM_ERROR_BAD_JUMP, index);
        }
    }
    return VM_ERROR_OK;
}

static bool is_legacy_packet_access(uint8_t code)
{
    uint8_t mode = code & 0xe0;

    return (code & 0x07) == 0 && (mode == 0x20 || mode == 0x40);
}

static enum vm_error decode(struct vm_program *p, uint32_t index, struct vm_diag *diag)
{
    const struct vm_insn *insn = &p->insns[index];
    struct vm_op *op = &p->ops[index];
    enum vm_ix ix = vm_isa_find(insn);
    enum vm_error error;

    if (ix == VM_IX_COUNT) {
        return is_legacy_packet_access(insn->code)
                   ? refuse(diag, VM_ERROR_LEGACY_PACKET, index)
                   : vm_diag_set(diag, VM_ERROR_BAD_OPCODE, index,
                                 "instruction %u: unknown opcode 0x%02x (src %u, off %d, imm %d)",
                                 index, insn->code, insn->src, insn->off, insn->imm);
    }
    error = check_fields(insn, &vm_isa[ix], index, diag);
    if (error != VM_ERROR_OK) {
        return error;
    }
    *op = (struct vm_op){
        .ix = (uint8_t)ix, .dst = insn->dst, .src = insn->src, .off = insn->off, .imm = insn->imm};
    if (vm_isa[ix].group == VM_GROUP_LDDW) {
        return decode_lddw(p, index, diag);
    }
    if (vm_isa[ix].group == VM_GROUP_JMP || vm_isa[ix].group == VM_GROUP_JA || ix == VM_IX_CALL ||
        ix == VM_IX_CALL_LOCAL) {
        return decode_target(p, index, diag);
    }
    return VM_ERROR_OK;
}

static bool is_second_slot(const struct vm_program *p, uint32_t index)
{
    return index > 0 && vm_isa[p->ops[index - 1].ix].group == VM_GROUP_LDDW;
}

enum vm_error vm_validate_insns(struct vm_program *p, struct vm_diag *diag)
{
    for (uint32_t i = 0; i < p->insn_count; i++) {
        enum vm_error error = decode(p, i, diag);

        if (error != VM_ERROR_OK) {
            return error;
        }
        if (vm_isa[p->ops[i].ix].group == VM_GROUP_LDDW) {
            i++;
            p->ops[i] = (struct vm_op){.ix = VM_IX_EXIT}; /* never reached, never a lddw */
        }
    }
    return VM_ERROR_OK;
}

bool vm_op_ends_block(const struct vm_op *op)
{
    return op->ix == VM_IX_EXIT || vm_isa[op->ix].group == VM_GROUP_JA;
}

static bool is_function_start(const struct vm_program *p, uint32_t insn)
{
    return p->functions[p->function_index[insn]].start == insn;
}

static enum vm_error check_target(const struct vm_program *p, uint32_t index, struct vm_diag *diag)
{
    const struct vm_op *op = &p->ops[index];
    const struct vm_isa_row *row = &vm_isa[op->ix];

    if (row->group == VM_GROUP_JMP || row->group == VM_GROUP_JA) {
        if (is_second_slot(p, op->target) ||
            p->function_index[op->target] != p->function_index[index]) {
            return vm_diag_set(diag, VM_ERROR_BAD_JUMP, index, "instruction %u: %s (%u)", index,
                               vm_error_text(VM_ERROR_BAD_JUMP), op->target);
        }
    } else if (op->ix == VM_IX_CALL_LOCAL || op->ix == VM_IX_LDDW_FUNC) {
        if (is_second_slot(p, op->target) || !is_function_start(p, op->target)) {
            return refuse(diag, VM_ERROR_BAD_CALL, index);
        }
    }
    return VM_ERROR_OK;
}

enum vm_error vm_validate_flow(const struct vm_program *p, struct vm_diag *diag)
{
    for (uint32_t f = 0; f < p->function_count; f++) {
        const struct vm_function *function = &p->functions[f];
        uint32_t last = function->start + function->count - 1;

        if (is_second_slot(p, function->start)) {
            return refuse(diag, VM_ERROR_BAD_CALL, function->start);
        }
        if (is_second_slot(p, last) || !vm_op_ends_block(&p->ops[last])) {
            return refuse(diag, VM_ERROR_FALLS_OFF, last);
        }
    }
    for (uint32_t i = 0; i < p->insn_count; i++) {
        enum vm_error error = is_second_slot(p, i) ? VM_ERROR_OK : check_target(p, i, diag);

        if (error != VM_ERROR_OK) {
            return error;
        }
    }
    return VM_ERROR_OK;
}
