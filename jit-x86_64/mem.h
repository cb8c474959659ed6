/* SPDX-License-Identifier: Apache-2.0 */
/* Every memory operand of compiled code is made in mem.c: the cage has one owner.
 *
 * Guest memory is reached in two forms only:
 *
 *   base is r10:   [r12 + rbp + off]                      rbp holds a guest address below 4 GiB
 *   any other:     mov r11d, base32 ; [r12 + r11 + off]   the move clears the upper half
 *
 * r12 is the arena's base and off has 16 bits, so either lands in the window or in its guards,
 * whatever the register holds. r11 is spoiled by every function here that takes a guest base.
 *
 * The move is left out where r11 holds the same address already: `held` tells, the register that
 * was moved last, or X86_NO_REG. So a guest operand may come some instructions after its move, with
 * no label and no call between, and with nothing that writes r11 or base: who lowers forgets what
 * is held at labels and after all instructions but those that are known to leave r11 alone. Were
 * the base written in spite of that, the address would be stale, but still below 4 GiB.
 */
#ifndef JIT_X86_64_MEM_H
#define JIT_X86_64_MEM_H

#include "jit-x86_64/emit.h"

#define MEM_ARENA   X86_R12 /* host address of guest address 0 */
#define MEM_FRAME   X86_RBP /* guest r10; bits 32 and up are zero */
#define MEM_ADDRESS X86_R11 /* zero-extended guest address of the access being made */

void mem_load(struct emit *e, enum x86_reg *held, unsigned width, bool sign, enum x86_reg dst,
              enum x86_reg base, int16_t off);
void mem_store(struct emit *e, enum x86_reg *held, unsigned width, enum x86_reg base, int16_t off,
               enum x86_reg src);
void mem_store_imm(struct emit *e, enum x86_reg *held, unsigned width, enum x86_reg base,
                   int16_t off, int32_t imm);

/* Atomics come in steps: mem_atomic_begin leaves the address in MEM_ADDRESS, without off, and the
 * zero flag set when address + off is a multiple of the width; it spoils r10. The others use
 * MEM_ADDRESS, which must not change in between. */
void mem_atomic_begin(struct emit *e, unsigned width, enum x86_reg base, int16_t off);
void mem_atomic_alu(struct emit *e, enum x86_alu alu, unsigned width, int16_t off,
                    enum x86_reg src);
void mem_atomic_load(struct emit *e, unsigned width, int16_t off, enum x86_reg dst);
void mem_atomic_xadd(struct emit *e, unsigned width, int16_t off, enum x86_reg src);
void mem_atomic_xchg(struct emit *e, unsigned width, int16_t off, enum x86_reg src);
void mem_atomic_cmpxchg(struct emit *e, unsigned width, int16_t off, enum x86_reg src);

/* The run's struct vm_context: `field` is an offset in it. */
void mem_context_address(struct emit *e, enum x86_reg dst);
void mem_context_load(struct emit *e, enum x86_reg dst, size_t field);
void mem_context_store32(struct emit *e, size_t field, enum x86_reg src);
void mem_context_store32_imm(struct emit *e, size_t field, uint32_t imm);
/* ADD, SUB or CMP: flags as after these. */
void mem_context_alu32(struct emit *e, enum x86_alu alu, size_t field, int32_t imm);

/* dst = entry `index` of the table of 32-bit numbers at `table`. The caller has checked index. */
void mem_table_load(struct emit *e, enum x86_reg dst, enum x86_reg table, enum x86_reg index);

#endif
