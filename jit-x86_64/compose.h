/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that a program puts together of narrow loads, shifts and ors, as compilers write those
 * whose alignment they do not know: one load does for them, with the bytes swapped if need be.
 *
 * A composition is a run of instructions that only load from one base, shift loaded values by whole
 * bytes and or them together, with no label inside, so that what is wanted of all it wrote can be
 * loaded at once. The first of them gets the code, the others none.
 *
 * The one load faults if and only if one of those it stands for does. Which of them that is, and at
 * which address, depends on their order, so a fault has to look at them one by one.
 */
#ifndef JIT_X86_64_COMPOSE_H
#define JIT_X86_64_COMPOSE_H

#include "jit-x86_64/analyse.h"

#define COMPOSE_PARTS_MAX 4
#define COMPOSE_INSNS_MAX 64

/* A load that remains. */
struct compose_part {
    uint8_t dst;
    uint8_t bytes; /* 1, 2, 4 or 8 */
    bool is_swapped;
    int16_t off;
};

struct compose {
    uint8_t count; /* of instructions */
    uint8_t base;
    uint16_t written; /* registers that the instructions write */
    uint8_t part_count;
    struct compose_part parts[COMPOSE_PARTS_MAX]; /* one that overwrites the base is the last */
};

/* The composition that starts at `insn`; false when there is none that saves a load. */
bool compose_at(const struct analysis *a, const struct vm_program *program, uint32_t insn,
                struct compose *out);
/* Notes it in a->spans; false when there is none. */
bool compose_mark(struct analysis *a, const struct vm_program *program, uint32_t insn);

#endif
