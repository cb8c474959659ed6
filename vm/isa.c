/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of isa.def as a table, and the way from an encoded instruction to its row. */
#include "vm/isa.h"

const struct vm_isa_row vm_isa[VM_IX_COUNT] = {
/* clang-format off */
#define ISA(name, code_, sub_, group_, op, source_, width_, fields_, mnemonic_) \
    [VM_IX_##name] = {.mnemonic = mnemonic_, .code = code_, .sub = sub_, .group = VM_GROUP_##group_, \
                      .source = VM_SOURCE_##source_, .width = width_, .fields = fields_},
#include "vm/isa.def"
    /* clang-format on */
};

/* Opcode and discriminator side by side make a key that no two rows share (a duplicate does not
 * compile). */
#define KEY(code, sub) ((uint32_t)(code) << 8 | (uint32_t)(sub))
#define NO_SUB         UINT32_MAX

/* The field that tells rows of one opcode apart, as isa.def puts it; NO_SUB when its value fits no
 * row. */
static uint32_t discriminator(const struct vm_insn *insn)
{
    uint8_t class = insn->code & 0x07;
    uint8_t operation = insn->code & 0xf0;
    bool is_alu = class == 0x04 || class == 0x07;
    uint32_t sub = 0;

    if (is_alu &&
        (operation == 0x30 || operation == 0x90 || insn->code == 0xbc || insn->code == 0xbf)) {
        sub = (uint16_t)insn->off; /* DIV, MOD, MOV by register */
    } else if ((is_alu && operation == 0xd0) || insn->code == 0xdb || insn->code == 0xc3) {
        sub = (uint32_t)insn->imm; /* END, ATOMIC */
    } else if (insn->code == 0x85 || insn->code == 0x18) {
        sub = insn->src; /* CALL, LDDW */
    }
    return sub <= UINT8_MAX ? sub : NO_SUB;
}

enum vm_ix vm_isa_find(const struct vm_insn *insn)
{
    uint32_t sub = discriminator(insn);

    if (sub == NO_SUB) {
        return VM_IX_COUNT;
    }
    switch (KEY(insn->code, sub)) {
/* clang-format off */
#define ISA(name, code, sub_, ...) \
    case KEY(code, sub_): \
        return VM_IX_##name;
#include "vm/isa.def"
    /* clang-format on */
    default: return VM_IX_COUNT;
    }
}
