/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine is, and what it may see of a program and of a run. For vm/ and the JITs only.
 *
 * The contract both engines keep, bit for bit:
 *  - at entry r1..r5 come from context->kept, r10 = VM_STACK_TOP, all others are 0;
 *  - a guest access of `width` bits touches host address `base + (uint32_t)register + off` (off
 * sign-extended, no wrap), nothing else;
 *  - after a helper call r0 is its result and r1..r5 are 0 (host values must not leak);
 *  - a local call or callx lowers r10 by the caller's frame_bytes, keeps r6..r10 across, and faults
 * with CALL_DEPTH when context->depth_left is 0 (the counter goes down by 1 per call and up again
 * at its return);
 *  - callx takes VM_CODE_BASE + 8 n (low 32 bits of the register) where a function starts at n,
 * else faults with CALLX and that address;
 *  - atomics at an address not a multiple of their width fault with MISALIGNED before touching
 * memory (the address that counts: (uint32_t)register + off);
 *  - division by 0 gives 0, modulo by 0 leaves the dividend (32-bit: upper half zero), INT_MIN / -1
 * = INT_MIN, INT_MIN % -1 = 0;
 *  - shift counts are masked to the width; 32-bit results are zero-extended; CMPXCHG32 writes r0
 * zero-extended, always.
 */
#ifndef VM_ENGINE_H
#define VM_ENGINE_H

#include <stdatomic.h>
#include <ucontext.h>

#include "vm/fiber.h"
#include "vm/isa.h"
#include "vm/limits.h"
#include "vm/vm.h"

/* Runs helper `index` of the program for the instruction in context->insn: checks arguments, calls,
 * yields if a tick is pending. */
typedef uint64_t vm_gate_fn(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5,
                            struct vm_context *context, uint32_t index);

/* What a call of a helper needs, in one place. */
struct vm_gate {
    vm_gate_fn *pass;
    union {
        vm_helper_fn *fn;
        vm_scalar_fn *scalar;
    };
};

/* One decoded instruction. The index of an op is the index of its instruction; the second slot of
 * lddw is an op that is never reached. The compiler goes over all of them some thirty times, which
 * for large programs is a matter of their size. */
struct vm_op {
    uint8_t ix; /* enum vm_ix */
    uint8_t dst : 4;
    uint8_t src : 4;
    int16_t off;     /* displacement of memory accesses */
    uint32_t target; /* jumps, local calls: instruction; helper calls: helper index */
    int64_t imm;     /* sign-extended; lddw: all 64 bits, LDDW_FUNC: the function's address */
};

_Static_assert(sizeof(struct vm_op) == 16, "packed: see above");

struct vm_program {
    char *name;
    struct vm_insn *insns;
    struct vm_op *ops;
    uint32_t insn_count;
    struct vm_function *functions; /* sorted by start; cover all instructions */
    uint32_t function_count;
    uint32_t *function_index; /* [insn_count]: which function the instruction belongs to */
    struct vm_entry *entries;
    uint32_t entry_count;
    struct vm_line *lines; /* ascending by insn */
    uint32_t line_count;
    char **files; /* what the lines point at */
    uint32_t file_count;
    const struct vm_helper **helpers;
    struct vm_gate *gates; /* [helper_count] */
    uint32_t helper_count;
    uint8_t *rodata;
    uint32_t rodata_bytes;
    uint8_t *data; /* pristine, data_bytes of it */
    uint32_t data_bytes;
    uint32_t data_bytes_total;
    uint32_t stack_bytes;
    uint32_t stored_bytes; /* its instructions may write so far below the stack's top */
    int rodata_fd;         /* memory file that arenas map read-only, or -1 */
};

#define VM_NOTES 8u

/* Constants that a helper was given, `length` bytes where `value` points: they need not be checked
 * again. */
struct vm_note {
    uint64_t value;
    uint64_t length; /* 0: none yet */
    uint8_t *data;   /* the program's own copy */
    uint64_t word;   /* see vm_arg.note */
};

/* A run as compiled code sees it. It lies VM_CONTEXT_BELOW bytes below the arena's base, so that
 * one register reaches both. What each run and each call of a helper needs comes first: that is few
 * lines of the cache. */
struct vm_context {
    void *host;         /* see vm_context_host */
    uint32_t insn;      /* last known instruction: set before helper calls and before raising a
                           fault; the interpreter sets it at accesses */
    atomic_int pending; /* a tick came while host code ran: yield at the next chance */
    uint8_t *base;      /* host address of guest address 0, a multiple of 4 GiB */
    const struct vm_gate *gates;
    struct vm_run *run;
    /* What a fault tells of the registers. The interpreter points `regs` at its own; compiled code
     * leaves r6..r10 in `kept` before a helper call, and all before it raises a fault. At entry
     * r1..r5 of it are the arguments. */
    uint64_t kept[11];
    struct vm_arg helper_args[5]; /* of the helper call under way */
    uint32_t depth_left;          /* calls that may still nest */
    uint32_t regs_known;          /* bit n: regs[n] is the value of Rn */
    const uint64_t *regs;
    vm_trace_fn *trace; /* or NULL; called before each instruction, by the interpreter alone */
    void *trace_context;
    struct vm_note notes[2][VM_NOTES];
};

#define VM_REGS_ALL 0x7ffu

/* In the middle of a page, which the top of the run's native stack shares with it. */
#define VM_CONTEXT_BELOW (2u * VM_GUARD_BYTES - VM_PAGE_BYTES / 2)

/* A guest access: `bytes` from `address` on, which counts from the arena's base and may lie before
 * it or behind the window. */
struct vm_access {
    uint32_t insn;
    uint32_t bytes;
    int64_t address;
};

/* A prepared program, of the engine's own making. */
struct vm_code;

struct vm_engine {
    const char *name;
    /* Makes `program` runnable. NULL with *diag filled on failure. Borrows program. */
    struct vm_code *(*prepare)(const struct vm_program *program, struct vm_diag *diag);
    /* Runs from a function start to exit on the current native stack; returns r0. Faults do not
     * return. Its argument is the struct vm_context, and `at` what place() says of the start. */
    vm_fiber_main *enter;
    uintptr_t (*place)(const struct vm_code *code, uint32_t insn);
    /* Native range [*start, *end) where guest instructions run and where a tick may take the
     * processor away at any instruction: rsp is valid with 256 free bytes below it, DF is clear, no
     * vector register is live. Both 0 for an engine that polls `pending` itself. Async-signal-safe.
     */
    void (*preemptible)(const struct vm_code *code, uintptr_t *start, uintptr_t *end);
    /* Native range whose guest accesses may fault, or NULL when it is the preemptible one.
     * Async-signal-safe. */
    void (*guest_text)(uintptr_t *start, uintptr_t *end);
    /* The instruction whose native code contains `pc`, or VM_NO_INSN (then context->insn tells).
     * Async-signal-safe. */
    uint32_t (*insn_at)(const struct vm_code *code, uintptr_t pc);
    /* Where to go on when the access at `pc` faults, if that was made in advance: the program makes
     * it again there, and faults or not. 0 for all others. NULL when there are none.
     * Async-signal-safe. */
    uintptr_t (*retry)(const struct vm_code *code, uintptr_t pc);
    /* The `n`th of the loads that instruction `insn` begins and that code makes in one piece, which
     * was interrupted there; false when there are no more, at once for code of a single access. The
     * first that cannot be made is the one that faults. NULL when there never are several.
     * Async-signal-safe. */
    bool (*access)(const struct vm_code *code, const mcontext_t *at, uint32_t insn, unsigned n,
                   struct vm_access *access);
    /* Registers where compiled code was interrupted in instruction `insn`, at a guest access or
     * before anything of it was done. Returns which of them are known. NULL for an engine that
     * keeps context->regs up to date. Async-signal-safe. */
    uint32_t (*registers)(const struct vm_code *code, const mcontext_t *at, uint32_t insn,
                          uint64_t regs[11]);
    /* Which registers are kept just before instruction `insn`; NULL together with `registers`. */
    uint32_t (*live)(const struct vm_code *code, uint32_t insn);
    /* Whether its code reaches guest memory through gs, see segment.h. NULL: it does not. */
    bool (*uses_gs)(const struct vm_code *code);
    void (*release)(struct vm_code *code);
};

struct vm_text {
    uintptr_t start;
    uintptr_t end;
};

struct vm_image {
    const struct vm_engine *engine;
    const struct vm_program *program;
    struct vm_code *code;
    struct vm_text preemptible; /* what the engine says of them, for the signal handlers */
    struct vm_text guest;
    bool uses_gs;
};

/* For helpers whose arguments are a span of the first kind with its length, one of the third, or
 * NONE, likewise, and no more; for those that are scalar functions; for all others. */
#define VM_SPAN_GATES(row)    row(READ, NONE) row(WRITE, NONE) row(READ, READ) row(READ, WRITE)
#define VM_GATE(first, third) vm_gate_fn vm_gate_##first##_##third;
VM_SPAN_GATES(VM_GATE)
vm_gate_fn vm_gate_scalar;
vm_gate_fn vm_gate_any;
struct vm_gate vm_gate_of(const struct vm_helper *helper);
/* Passes the helper's own gate. */
vm_gate_fn vm_helper_call;

/* Ends the run with this fault at context->insn; never returns. Called with the C calling
 * convention (rsp aligned). */
void vm_fault_raise(struct vm_context *context, enum vm_fault_kind kind, uint32_t address)
    __attribute__((noreturn));

/* Gives the processor back if the tick asked for it (context->pending); the interpreter calls it at
 * back edges and calls. */
void vm_yield(struct vm_context *context);

#endif
