/* SPDX-License-Identifier: Apache-2.0 */
/* The instruction set as data: the encoded instruction, the dense index of every row of isa.def,
 * and the row. */
#ifndef VM_ISA_H
#define VM_ISA_H

#include <stdint.h>

#include "vm/vm.h"

enum vm_field { F_DST = 1, F_SRC = 2, F_OFF = 4, F_IMM = 8 };

enum vm_group {
    VM_GROUP_ALU,
    VM_GROUP_END,
    VM_GROUP_LDDW,
    VM_GROUP_LDX,
    VM_GROUP_LDSX,
    VM_GROUP_ST,
    VM_GROUP_STX,
    VM_GROUP_ATOMIC,
    VM_GROUP_JMP,
    VM_GROUP_JA,
    VM_GROUP_CALL,
    VM_GROUP_EXIT,
};

enum vm_source { VM_SOURCE_NONE, VM_SOURCE_IMM, VM_SOURCE_REG };

enum vm_ix {
#define ISA(name, ...) VM_IX_##name,
#include "vm/isa.def"
    VM_IX_COUNT
};

struct vm_isa_row {
    const char *mnemonic;
    uint8_t code;
    uint8_t sub;    /* see isa.def */
    uint8_t group;  /* enum vm_group */
    uint8_t source; /* enum vm_source */
    uint8_t width;  /* bits */
    uint8_t fields; /* enum vm_field, or-ed */
};

extern const struct vm_isa_row vm_isa[VM_IX_COUNT];

/* Index of the row that `insn` is an instance of, or VM_IX_COUNT when there is none. Looks at the
 * opcode and at what tells rows apart, not at the other fields: that is the validator's work. */
enum vm_ix vm_isa_find(const struct vm_insn *insn);

#endif
