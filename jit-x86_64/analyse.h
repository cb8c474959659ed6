/* SPDX-License-Identifier: Apache-2.0 */
/* What the compiler knows of a program before it lowers it: where jumps lead, which registers are
 * still wanted after each instruction, which are below 2^32, and which a function may change.
 *
 * Sets of guest registers are masks, bit n for Rn. All answers err on the safe side: "wanted",
 * "changed", "may have an upper half". The cage does not rest on them: a wrong one would compute
 * wrongly, not reach out.
 */
#ifndef JIT_X86_64_ANALYSE_H
#define JIT_X86_64_ANALYSE_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/engine.h"

#define ANALYSIS_INSIDE     0xffu
#define ANALYSIS_SWEEPS_MAX 24 /* over a program; then the safe answer has to do */

struct analysis {
    bool *joins;    /* [insn_count] execution may come from elsewhere than the instruction before */
    bool *inverts;  /* [insn_count] jumps over the jump behind it, which is its own affair: one jump
                       on the opposite does for both */
    bool *selects;  /* [insn_count] jumps over the move behind it, or to where the jump behind that
                       goes: one conditional move does for both, or the condition itself where the
                         move is of a constant */
    bool *swaps;    /* [insn_count] leaves a loop that the jump behind it continues: it continues on
                       the opposite, and the jump behind it leaves */
    bool *loops;    /* [insn_count] between a jump back and where it goes */
    uint8_t *heads; /* [insn_count] instructions of the short loop that starts here, or 0 */
    uint8_t *rotates; /* [insn_count] instructions of the rotation that ends here, see fuse.h */
    uint8_t *spans; /* [insn_count] instructions whose code this load has: see compose.h and fold.h;
                       the others of them have ANALYSIS_INSIDE, all else 0 */
    uint16_t *live;   /* [insn_count + 1] wanted just before each instruction */
    uint16_t *wide;   /* [insn_count + 1] whose upper half is wanted just before each instruction */
    uint16_t *cleared; /* [function_count] arguments whose upper half the function begins with
                          clearing */
    uint16_t *clears;  /* [insn_count + 1] upper halves that are cleared on the way from the
                          instruction before, not on jumps */
    uint16_t *half;    /* [insn_count + 1] below 2^32 just before each instruction */
    uint16_t *at_exit; /* [function_count] wanted by callers when the function ends */
    uint16_t *changes; /* [function_count] of R6..R9, by it or by whatever it calls */
    uint8_t *height; /* [function_count] calls that nest below it, VM_CALL_DEPTH_MAX + 1 at most */
    bool counts_depth; /* calls may nest deeper than VM_CALL_DEPTH_MAX: they must be counted */
};

/* `without` is that of struct jit_options. False when memory is out. analysis_fini takes either
 * outcome. */
bool analysis_init(struct analysis *a, const struct vm_program *program,
                   unsigned without) VM_MUST_USE;
/* What depends on the instructions as they will be lowered: half, swaps and selects. */
void analysis_refine(struct analysis *a, const struct vm_program *program, unsigned without);
void analysis_fini(struct analysis *a);

/* Registers to clear between `insn` and its successor. */
uint16_t analysis_clears_behind(const struct analysis *a, const struct vm_program *program,
                                uint32_t insn);
/* Whether Rn is below 2^32 just before `insn`. */
bool analysis_is_half(const struct analysis *a, uint32_t insn, unsigned guest);

/* Registers wanted when instruction `insn` is over and execution goes on behind it. */
uint16_t analysis_live_after(const struct analysis *a, const struct vm_program *program,
                             uint32_t insn);

#endif
