/* SPDX-License-Identifier: Apache-2.0 */
/* A load whose value only the arithmetic just behind it wants becomes the operand of that:
 * `ldxdw r1, [r2] ; add r3, r1` is `add rdx, [...]`. The load gets the code, so a fault is the
 * load's, with nothing changed; the arithmetic gets none.
 */
#ifndef JIT_X86_64_FOLD_H
#define JIT_X86_64_FOLD_H

#include "jit-x86_64/analyse.h"
#include "jit-x86_64/x86.h"

#define FOLD_INSNS 2 /* in a->spans */

struct fold {
    uint8_t dst;
    uint8_t base;
    uint8_t lost; /* the register that is not loaded */
    enum x86_alu alu;
    unsigned width;
    int16_t off;
};

/* The fold that starts at `insn`; false when there is none. */
bool fold_at(const struct analysis *a, const struct vm_program *program, uint32_t insn,
             struct fold *out);
/* Notes it in a->spans. */
void fold_mark(struct analysis *a, const struct vm_program *program, uint32_t insn);

#endif
