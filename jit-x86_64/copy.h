/* SPDX-License-Identifier: Apache-2.0 */
/* Loops that copy or fill and do nothing else: a load, a store of what was loaded or of a register
 * that stays, and registers that are counted up, with a condition on one of them at the end. Before
 * the loop goes one that moves COPY_BYTES a round while more than that is left; the loop itself
 * does the rest, at least a round.
 *
 * It is only entered where both areas lie apart by COPY_BYTES, and changes no register of the
 * program before all of a round is moved. So when something of it faults, the loop of the program
 * can begin with that same round: it moves again what was moved already, and faults where it has
 * to.
 */
#ifndef JIT_X86_64_COPY_H
#define JIT_X86_64_COPY_H

#include "jit-x86_64/analyse.h"

#define COPY_BYTES     32
#define COPY_NONE      0xffu
#define COPY_INSNS_MAX 12
#define COPY_STEPS_MAX 4

/* An address: the low half of one or two registers and a displacement. */
struct copy_place {
    uint8_t base;  /* or COPY_NONE */
    uint8_t index; /* or COPY_NONE */
    int32_t off;
};

struct copy {
    uint8_t value; /* the register that fills, or COPY_NONE: it copies */
    uint8_t bytes; /* of an element */
    struct copy_place from;
    struct copy_place to;
    uint8_t counter; /* the loop goes on while it is below the limit */
    uint8_t limit;   /* or COPY_NONE: limit_imm */
    int32_t limit_imm;
    int32_t most; /* what the counter gains in a round of COPY_BYTES */
    uint8_t step_count;
    struct {
        uint8_t reg;
        uint8_t width;
        int32_t by; /* a round of COPY_BYTES */
    } steps[COPY_STEPS_MAX];
};

/* Whether the instruction `head` begins such a loop. `from` is not set of one that fills. */
bool copy_at(const struct analysis *a, const struct vm_program *program, uint32_t head,
             struct copy *out);

#endif
