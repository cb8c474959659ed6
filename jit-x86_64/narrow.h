/* SPDX-License-Identifier: Apache-2.0 */
/* Halves of registers. A guest address is the lower half of a register, so compilers' 64-bit
 * pointer arithmetic mostly makes an upper half that nobody reads. Done in 32 bits instead, it
 * leaves the upper half zero, and such a register is an operand of the cage without a move. */
#ifndef JIT_X86_64_NARROW_H
#define JIT_X86_64_NARROW_H

#include "jit-x86_64/analyse.h"

/* Fills a->wide. Needs a->live and a->at_exit. */
void narrow_find_wide(struct analysis *a, const struct vm_program *program);
/* Gives instructions of `ops`, a copy of the program's, that make upper halves for nobody the
 * opcode that makes none. Fills a->cleared and a->clears. */
void narrow_ops(struct analysis *a, const struct vm_program *program, struct vm_op *ops);

#endif
