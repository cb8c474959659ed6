/* SPDX-License-Identifier: Apache-2.0 */
/* Remainders. clang for eBPF has none up to -mcpu=v3 and writes what it is taught at school:
 *
 *     mov q, a ; div q, b ; mul q, b ; [mov r, a ;] sub r, q
 *
 * The processor's division gives the remainder with the quotient, so this is `mod r, b`, also where
 * b is 0: then q is, and r stays a. */
#ifndef JIT_X86_64_REMAINDER_H
#define JIT_X86_64_REMAINDER_H

#include "jit-x86_64/analyse.h"

/* Rewrites such instructions of `ops`, the compiler's copy of the program's, where q is not wanted
 * afterwards, and keeps a->live in step. After narrow_ops. */
void remainder_ops(struct analysis *a, const struct vm_program *program, struct vm_op *ops);

#endif
