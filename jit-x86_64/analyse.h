/* SPDX-License-Identifier: Apache-2.0 */
/* What the compiler knows of a program before it lowers it: where jumps lead, which registers are
 * still wanted after each instruction, and which a function may change.
 *
 * Sets of guest registers are masks, bit n for Rn. Both answers err on the safe side: "wanted",
 * "changed". The cage does not rest on them: a wrong one would compute wrongly, not reach out.
 */
#ifndef JIT_X86_64_ANALYSE_H
#define JIT_X86_64_ANALYSE_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/engine.h"

struct analysis {
    bool *joins;    /* [insn_count] execution may come from elsewhere than the instruction before */
    uint16_t *live; /* [insn_count + 1] wanted just before each instruction */
    uint16_t *at_exit; /* [function_count] wanted by callers when the function ends */
    uint16_t *changes; /* [function_count] of R6..R9, by it or by whatever it calls */
    uint8_t *height; /* [function_count] calls that nest below it, VM_CALL_DEPTH_MAX + 1 at most */
    bool counts_depth; /* calls may nest deeper than VM_CALL_DEPTH_MAX: they must be counted */
};

/* False when memory is out. analysis_fini takes either outcome. */
bool analysis_init(struct analysis *a, const struct vm_program *program) VM_MUST_USE;
void analysis_fini(struct analysis *a);

/* Registers wanted when instruction `insn` is over and execution goes on behind it. */
uint16_t analysis_live_after(const struct analysis *a, const struct vm_program *program,
                             uint32_t insn);

#endif
