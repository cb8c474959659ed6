/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering: one eBPF instruction becomes some x86-64 instructions.
 *
 *   R0 rax   R1 rdi   R2 rsi   R3 rdx   R4 rcx   R5 r8   R6 rbx   R7 r13   R8 r14   R9 r15
 *   R10 is the low half of rbp, a host address: see mem.h       r12 arena base
 *   r9 r10 r11 scratch inside one instruction; an address in r11 is used again by the instructions
 *   that follow
 *
 * R1..R5 are the argument registers of C, so a helper call moves nothing; R6..R9 and r12 survive
 * it. In a function's body rsp is 8 modulo 16. The processor may be taken away between any two
 * native instructions: nothing lives below rsp, and no vector register is used.
 *
 * Every instruction is lowered twice: to learn its length, then at its final place. Both times the
 * same bytes come out, apart from displacements and the chosen form of its jump, so the choice of
 * encoding must not depend on where the code lies.
 */
#ifndef JIT_X86_64_LOWER_H
#define JIT_X86_64_LOWER_H

#include "jit-x86_64/analyse.h"
#include "jit-x86_64/defer.h"
#include "jit-x86_64/emit.h"
#include "jit-x86_64/fuse.h"
#include "vm/engine.h"

/* A near jump to out-of-line code that raises a fault. */
struct lower_site {
    uint32_t end; /* offset of the first byte after the jump */
    uint32_t insn;
    enum vm_fault_kind kind;
};

/* A relative call of the host. Its distance is filled in when the place of the text is known. */
struct lower_outcall {
    uint32_t end; /* offset of the first byte after the call */
    uintptr_t target;
};

/* Accesses made in advance for the loop that begins at `insn`: when one of them faults, execution
 * goes on there. */
struct lower_retry {
    uint32_t start; /* offsets of the native code */
    uint32_t end;
    uint32_t insn;
};

/* How the jump of an instruction is written. */
enum lower_form { LOWER_NO_JUMP, LOWER_NEAR, LOWER_SHORT };

struct lower {
    const struct vm_program *program; /* narrowed: the program with instructions of narrow.h */
    struct vm_program narrowed;
    struct analysis analysis;
    struct emit emit;
    struct x86_mem held; /* the address in r11, see mem.h */
    uint16_t near;       /* guest registers that may be stepped, see MEM_STEP_MAX */
    struct defer defer;
    uint32_t
        flags_insn; /* the instruction that left the processor's flags as fuse_has_flags says */
    bool bmi2;
    bool may_gs;            /* vm_run_resume can set gs */
    unsigned without;       /* of struct jit_options */
    bool placing;           /* the second time: offsets are final */
    uint32_t insn;          /* being lowered */
    uint32_t *offsets;      /* [insn_count + 1] of the native code of each instruction */
    uint8_t *forms;         /* [insn_count] enum lower_form */
    uint8_t *pads;          /* [insn_count] bytes that do nothing before each instruction */
    size_t table_room;      /* the table of function entries lies that far below the text */
    uint32_t table_entries; /* 0 when the program has no callx: then there is no table */
    struct lower_site *sites;
    size_t site_count;
    size_t site_capacity;
    struct lower_outcall *outcalls;
    size_t outcall_count;
    size_t outcall_capacity;
    struct lower_retry *retries; /* ascending by start */
    size_t retry_count;
    size_t retry_capacity;
    struct defer_note *notes; /* ascending by insn */
    size_t note_count;
    size_t note_capacity;
};

enum x86_reg lower_reg(unsigned guest);
/* The instruction that runs after `insn` when it does not jump, and where it jumps to. */
uint32_t lower_next(const struct lower *l, uint32_t insn);
uint32_t lower_target(const struct lower *l, uint32_t insn);
/* Arithmetic that takes an instruction or two, on its own registers alone: not the rows of
 * lower_div.c, nor shifts by a register. */
bool lower_is_plain(const struct vm_op *op);
/* Whether R<guest> is wanted after the instruction being lowered. */
bool lower_is_live(const struct lower *l, unsigned guest);

/* The native register with the low `width` bits of R<guest>, for operands that are only read, after
 * defer_prepare. r10 is copied to x86's r10, which then is in use. */
enum x86_reg lower_read(struct lower *l, unsigned guest, unsigned width);

/* Of a list that grows: `items` with room behind `count` of them, perhaps at another place; NULL
 * when memory is out, which emit.error tells. */
void *lower_grow(struct lower *l, void *items, size_t count, size_t *capacity, size_t item_bytes);

/* Appends the code of instruction l->insn. */
void lower_insn(struct lower *l);
/* Appends what goes before the loop at `head`, if that copies; registers are settled for it. */
void lower_copy(struct lower *l, uint32_t head);
/* Appends the out-of-line part, after all instructions. */
void lower_faults(struct lower *l);

/* ---- between the files of lower: one function for each group of isa.def; the enums spell its `op`
 * column, so that a row with a new op does not compile ---- */

enum lower_alu {
    ALU_ADD,
    ALU_SUB,
    ALU_MUL,
    ALU_OR,
    ALU_AND,
    ALU_LSH,
    ALU_RSH,
    ALU_XOR,
    ALU_ARSH,
    ALU_DIV,
    ALU_SDIV,
    ALU_MOD,
    ALU_SMOD,
    ALU_NEG,
    ALU_MOV,
    ALU_MOVSX8,
    ALU_MOVSX16,
    ALU_MOVSX32,
};

enum lower_end { END_LE, END_BE, END_BSWAP };
enum lower_call { CALL_HELPER, CALL_LOCAL, CALL_CALLX };

void lower_ALU(struct lower *l, const struct vm_op *op, enum lower_alu alu, enum vm_source source,
               unsigned width);
/* DIV, SDIV, MOD and SMOD. */
void lower_division(struct lower *l, const struct vm_op *op, enum lower_alu alu,
                    enum vm_source source, unsigned width);
void lower_END(struct lower *l, const struct vm_op *op, enum lower_end end, enum vm_source source,
               unsigned width);
void lower_CALL(struct lower *l, const struct vm_op *op, enum lower_call call,
                enum vm_source source, unsigned width);

/* Reverses the low `width` bits of reg, byte by byte; the others become 0. */
void lower_swap(struct emit *e, unsigned width, enum x86_reg reg);

/* Jumps out of line on `cond`, where `kind` is raised for this instruction. The address of the
 * fault is taken from r11: see lower_faults. */
void lower_fault_if(struct lower *l, enum x86_cond cond, enum vm_fault_kind kind);

#endif
