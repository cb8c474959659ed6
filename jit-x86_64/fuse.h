/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions that are cheaper together than one by one. The last of them gets the code of all,
 * those before it get none, so no jump may lead in between: that is checked here. None of them can
 * fault, and nobody sees the registers half way.
 */
#ifndef JIT_X86_64_FUSE_H
#define JIT_X86_64_FUSE_H

#include "jit-x86_64/analyse.h"

struct fuse {
    const struct vm_program *program;
    const struct analysis *analysis;
};

/* How compilers widen 32 bits: [mov d, s ;] lsh d, 32 ; rsh or arsh d, 32 or more. For the last one
 * *src becomes s, or d without the move. */
bool fuse_ends_widening(const struct fuse *f, uint32_t insn, uint8_t *src);
/* How compilers rotate: [mov a, s ;] lsh a, n ; [mov b, s ;] rsh b, width - n ; or a, b, the halves
 * in either order, and b not wanted any more. Fills a->rotates. */
void fuse_find_rotations(struct analysis *a, const struct vm_program *program);
struct fuse_rotation {
    uint8_t src;
    uint8_t other; /* b, the register that is not the result */
    uint8_t left;  /* by so many bits */
};
/* False when no rotation ends at `insn`. */
bool fuse_ends_rotation(const struct fuse *f, uint32_t insn, struct fuse_rotation *rotation);
/* Whether the code of `insn` is with another: the end of its widening or rotation, the jump over
 * it, or the load that starts its composition or fold. */
bool fuse_is_absorbed(const struct fuse *f, uint32_t insn);

/* Whether the instruction leaves the low byte or the low 16 bits of its register, in `*bits`, and
 * nobody looks at its flags: the processor has an instruction for that, with a source of its own.
 */
bool fuse_is_extension(const struct fuse *f, uint32_t insn, unsigned *bits);

/* Whether the instruction before the conditional jump `insn` left the flags that comparing the
 * jump's dst with 0 would give, as far as this jump looks at them. */
bool fuse_has_flags(const struct fuse *f, uint32_t insn);

#endif
