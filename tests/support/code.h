/* SPDX-License-Identifier: Apache-2.0 */
/* Programs built instruction by instruction, for tests that make many. */
#ifndef TESTS_SUPPORT_CODE_H
#define TESTS_SUPPORT_CODE_H

#include "vm/isa.h"

enum { T_CODE_INSNS_MAX = 4096 };

struct t_code {
    struct vm_insn insns[T_CODE_INSNS_MAX];
    uint32_t count;
};

/* Appends an instance of the row. What tells the row apart (isa.def's `sub`) is filled in; fields
 * the row does not have are left zero. Returns its index. */
uint32_t t_emit(struct t_code *code, enum vm_ix ix, unsigned dst, unsigned src, int off,
                int64_t imm);
/* Both slots. */
void t_emit_lddw(struct t_code *code, unsigned dst, uint64_t value);
/* Stores r0..r9 to guest memory at `address` (80 bytes) and exits with the r0 there was. Uses 80
 * bytes of stack below r10. */
void t_emit_report(struct t_code *code, uint32_t address);

#endif
