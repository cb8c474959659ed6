/* SPDX-License-Identifier: Apache-2.0 */
/* Registers whose value is not computed yet. Compilers write `mov r4, r1 ; add r4, r2 ;
 * ldxb r5, [r4+0]`, and x86-64 adds up by itself in an address; so moves, sums, small shifts and
 * factors are noted as a sum of registers, and settled (one lea or mov) when somebody wants the
 * register itself. Most are wanted as addresses alone, or by nobody.
 *
 * What is noted names native registers, so it must be settled before one of these changes: lower.c
 * sees to that by calling defer_prepare before the code of each instruction and defer_finish behind
 * it. A register may wait for a sum with its own old value, and with that of another register that
 * waits; the later of the two is settled first. At labels nothing waits. Settling leaves the flags
 * alone.
 */
#ifndef JIT_X86_64_DEFER_H
#define JIT_X86_64_DEFER_H

#include <stdbool.h>
#include <stdint.h>

#include "jit-x86_64/compose.h"
#include "jit-x86_64/fold.h"
#include "jit-x86_64/mem.h"
#include "jit-x86_64/x86.h"
#include "vm/engine.h"

#define DEFER_REGISTERS 10 /* r10 never waits */

/* base + (index << scale) + disp, either register possibly X86_NO_REG; its low half when narrow. Of
 * an index only the low half may count: then the sum is as good as any for an address, and takes
 * two instructions to settle. */
struct defer_value {
    struct x86_mem sum;
    bool narrow;
    bool narrow_index;
};

struct defer {
    struct defer_value of[DEFER_REGISTERS];
    uint16_t waiting; /* bit n: Rn is to become of[n] */
};

/* A register that waits when an instruction begins: what a fault there reports of it. Those that
 * fuse.h leaves half way have no value that could be told. */
struct defer_note {
    uint32_t insn;
    uint8_t guest;
    bool is_lost;
    bool is_settled; /* by the first thing the instruction does: not when it faults later */
    struct defer_value value;
};

struct lower;

/* What Rn is worth: its sum if it waits, else its own native register. */
struct defer_value defer_value(const struct defer *d, unsigned guest);
bool defer_uses(const struct x86_mem *sum, enum x86_reg reg);

/* Notes what the instruction does instead of doing it; false when it needs code. */
bool defer_takes(struct lower *l, const struct vm_op *op);
/* Settles what the code of the instruction reads, but for the addresses of loads and stores, and
 * what it or its jump would spoil. */
void defer_prepare(struct lower *l, const struct vm_op *op);
/* Forgets what the instruction has overwritten. */
void defer_finish(struct lower *l, const struct vm_op *op);
/* The same before and behind the code of a composition or fold. */
void defer_prepare_composed(struct lower *l, const struct compose *c);
void defer_finish_composed(struct lower *l, const struct compose *c);
void defer_prepare_folded(struct lower *l, const struct fold *f);
void defer_finish_folded(struct lower *l, const struct fold *f);
/* Settles all that is wanted at the label, which comes next. */
void defer_settle_for(struct lower *l, uint32_t label);
/* The native register with the low `width` bits of Rn, settled or not: for operands that are only
 * read, after defer_prepare. */
enum x86_reg defer_read(const struct lower *l, unsigned guest, unsigned width);
/* Rn as an address. */
struct mem_place defer_place(const struct lower *l, unsigned guest);
/* The value of a note, given all registers. */
uint64_t defer_evaluate(const struct defer_value *value, const uint64_t regs[11]);

#endif
