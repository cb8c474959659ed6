/* SPDX-License-Identifier: Apache-2.0 */
/* Proof, from the bytes alone, that a compiled program keeps to its cage:
 *
 *  - every byte of the text belongs to an instruction emit.c writes, read in a row from offset 0;
 *  - every memory operand is one of the forms of verify_rules.c, whose registers are proven to hold
 *    what the form asks for on every path that leads there;
 *  - branches and calls go to instructions: of the same eBPF instruction, to the first of another,
 *    of a function, or to the out-of-line part; indirect calls only to a checked entry of the
 *    program's own table, to jit_fault_raise and vm_yield, and to the gate or the scalar function of
 *    the very helper that is called;
 *  - r12, rbp and rsp hold arena, frame and stack throughout: pushes and pops match.
 *
 * It trusts neither encoder nor lowering, only the program, offsets that ascend, and a table below
 * the text that holds offsets of functions.
 */
#ifndef JIT_X86_64_VERIFY_H
#define JIT_X86_64_VERIFY_H

#include "vm/engine.h"

struct jit_verify_input {
    const uint8_t *text;
    uintptr_t address; /* where the text will run: calls out of it are relative */
    size_t bytes;
    const uint32_t *offsets; /* [insn_count + 1] */
    const struct vm_program *program;
    bool uses_gs; /* the VM sees to it that gs begins at the arena */
};

/* False with the native offset and the reason in *diag, or with VM_ERROR_NO_MEMORY. */
bool jit_verify(const struct jit_verify_input *input, struct vm_diag *diag) VM_MUST_USE;
/* The code of an image made by jit_x86_64. */
bool jit_verify_image(const struct vm_image *image, struct vm_diag *diag) VM_MUST_USE;

#endif
