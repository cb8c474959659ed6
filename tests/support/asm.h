/* SPDX-License-Identifier: Apache-2.0 */
/* An assembler for tests, driven by the mnemonics of vm/isa.def.
 *
 *   mov r0, -1            lddw r1, 0x0102030405060708    lddw r1, &label      label:
 *   ldxw r0, [r10-4]      stdw [r1+0], 7                 be16 r0              exit
 *   atomic_fetch_add [r10-8], r2                         callx r1
 *   jeq r1, 5, label      jsgt r1, r2, +3                ja label             gotol label
 *   call helper_name      call 3 (helper index)          call label           # a comment
 *   .raw CODE DST SRC OFF IMM     one slot as given, to write what no mnemonic can
 */
#ifndef TESTS_SUPPORT_ASM_H
#define TESTS_SUPPORT_ASM_H

#include "vm/vm.h"

struct t_asm {
    struct vm_insn *insns;
    uint32_t count;
    char error[160]; /* why t_assemble said no, with the line */
};

/* Release with t_asm_free, also after false. */
bool t_assemble(struct t_asm *out, const char *text, const struct vm_helper *const *helpers,
                uint32_t helper_count);
void t_asm_free(struct t_asm *a);

#endif
