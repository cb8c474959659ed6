/* SPDX-License-Identifier: Apache-2.0 */
/* Every memory operand of compiled code is made in mem.c: the cage has one owner.
 *
 * Guest memory is reached in five forms only:
 *
 *   r10 + n             [rbp + disp]                     rbp holds the host address of r10
 *   a constant          [r12 + disp]                     below 2 GiB
 *   a register          [r12 + reg + off]                known to be below 4 GiB
 *   a sum in a loop     gs:[sum32 + off]                 gs begins where the arena does; the sum
 *                                                        is cut off at 32 bits
 *   any other sum       mov or lea r11d, sum32 ; [r12 + r11 + off]
 *                                                        either clears the upper half
 *
 * r12 is the arena's base and off has 16 bits, so all land in the window or in its guards, whatever
 * the registers hold. r11 is spoiled by every function here that takes a guest address.
 *
 * The frame has a base of its own because processors forward what was stored at [register + disp]
 * to a load of the same operand within a cycle, but not with an index: what compilers spill is an
 * order of magnitude cheaper. The window lies at a multiple of 4 GiB, so r10 is the low half of
 * rbp. The upper half must not get into a guest register: rbp is only read 32 bits wide.
 *
 * The move is left out where r11 holds the same address already: `held` tells, the sum that r11 was
 * made of, or MEM_NONE. So a guest operand may come some instructions after its move, with no label
 * and no call between, and with nothing that writes r11 or a register of the sum: who lowers
 * forgets what is held at labels and after all instructions but those that are known to leave r11
 * alone. Were one written in spite of that, the address would be stale, but still below 4 GiB.
 */
#ifndef JIT_X86_64_MEM_H
#define JIT_X86_64_MEM_H

#include "jit-x86_64/emit.h"

#define MEM_ARENA   X86_R12 /* host address of guest address 0 */
#define MEM_FRAME   X86_RBP /* host address of the frame; the low half is r10 */
#define MEM_ADDRESS X86_R11 /* zero-extended guest address of the access being made */

/* A register below 2^32 that was the operand of an access, and the access was made: its page is
 * mapped, no page is within 64 KiB of the window's ends, and the offset has 16 bits; so the
 * register is 32 KiB away from both ends of its range. One step of this size keeps it below 2^32,
 * without the addition clearing the upper half. It is small for the sake of code that runs ahead of
 * a fault: a processor that keeps 600 instructions in flight makes 300 steps at most before it
 * notices, and these must end in the guard. */
#define MEM_STEP_MAX 64

#define MEM_NONE         ((struct x86_mem){.base = X86_NO_REG, .index = X86_NO_REG})
#define MEM_CONSTANT_MAX (INT32_MAX - 8) /* an access there still ends in the window */

/* The guest address is the low half of `sum`, plus off. */
struct mem_place {
    struct x86_mem sum;
    bool is_half; /* sum is one register, and known to be below 2^32 */
    bool may_gs;  /* gs is, or will be, set */
};

void mem_load(struct emit *e, struct x86_mem *held, unsigned width, bool sign, enum x86_reg dst,
              struct mem_place where, int16_t off);
/* dst = dst `alu` what is there. */
void mem_alu(struct emit *e, struct x86_mem *held, enum x86_alu alu, unsigned width,
             enum x86_reg dst, struct mem_place where, int16_t off);
void mem_store(struct emit *e, struct x86_mem *held, unsigned width, struct mem_place where,
               int16_t off, enum x86_reg src);
void mem_store_imm(struct emit *e, struct x86_mem *held, unsigned width, struct mem_place where,
                   int16_t off, int32_t imm);

/* MEM_FRAME is a guest address, as below 2^32; it becomes the host address. Leaves the flags alone.
 */
void mem_frame_address(struct emit *e);

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
void mem_context_store32(struct emit *e, size_t field, enum x86_reg src);
void mem_context_store32_imm(struct emit *e, size_t field, uint32_t imm);
/* ADD, SUB or CMP: flags as after these. */
void mem_context_alu32(struct emit *e, enum x86_alu alu, size_t field, int32_t imm);

/* dst = entry `index` of the table of 32-bit numbers at `table`. The caller has checked index. */
void mem_table_load(struct emit *e, enum x86_reg dst, enum x86_reg table, enum x86_reg index);

#endif
