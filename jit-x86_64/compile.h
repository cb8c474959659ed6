/* SPDX-License-Identifier: Apache-2.0 */
/* The compiler behind jit_x86_64, with the choices prepare makes by looking at the processor. */
#ifndef JIT_X86_64_COMPILE_H
#define JIT_X86_64_COMPILE_H

#include "jit-x86_64/jit.h"
#include "vm/engine.h"

#define JIT_TEXT_BYTES_MAX (64u << 20) /* native code of one program; about 60 bytes a call */

/* What the compiler can do without, each for tests that compare. */
enum jit_optimisation {
    JIT_SCALAR_CALLS = 1 << 0, /* helpers that take numbers alone are called directly */
    JIT_NEAR_CALLS = 1 << 1,   /* calls of the host are relative where they reach */
    JIT_DEFERRING = 1 << 2,    /* moves, sums and small factors become part of addresses */
    JIT_INVERTING = 1 << 3,    /* a jump over a jump becomes one, and loops go on by one */
    JIT_SELECTING = 1 << 4,    /* a jump over a move becomes a conditional move */
    JIT_NARROWING = 1 << 5,    /* upper halves that nobody reads are not computed */
    JIT_STEPPING = 1 << 6,     /* pointers that were just used are counted up in 64 bits */
    JIT_SEGMENT = 1 << 7,      /* sums are addresses in the gs segment */
    JIT_ROTATING = 1 << 8,     /* two shifts and an or become a rotation */
    JIT_SETTING = 1 << 9,      /* a jump over 0 or 1 puts the condition into a register */
    JIT_REMAINDERS = 1 << 10,  /* what is subtracted to get a remainder is not computed */
    JIT_THREE_OPERANDS =
        1 << 11,             /* a move becomes the source of the multiplication or mask behind */
    JIT_ALIGNING = 1 << 12,  /* short loops lie in one line of the cache */
    JIT_COMPOSING = 1 << 13, /* numbers put together of narrow loads are loaded at once */
    JIT_FOLDING = 1 << 14,   /* loads become operands in memory */
    JIT_COPYING = 1 << 15,   /* loops that copy or fill move several elements at once */
    JIT_OPTIMISATIONS = (1 << 16) - 1,
};

struct jit_options {
    bool no_bmi2;     /* shift through cl even where shlx, shrx and sarx exist */
    unsigned without; /* set of enum jit_optimisation that are left out */
};

/* As vm_engine.prepare of jit_x86_64, with *options. */
struct vm_code *jit_compile(const struct vm_program *program, const struct jit_options *options,
                            struct vm_diag *diag) VM_MUST_USE;

#endif
