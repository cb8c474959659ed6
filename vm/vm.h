/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/* libzsvm: run eBPF programs in this process, confined to memory of their own and to a share of the
 * processor. docs/EMBEDDING.md is the introduction, examples/embed has whole programs.
 *
 *   program   validated instructions, constants and data; immutable; shared by threads
 *   image     a program made ready for one engine (compiled, or decoded); immutable; shared by threads
 *   thread    what one operating-system thread needs to run images: signal stack, timer, pool of runs
 *   run       one invocation: an arena, a native stack, registers; belongs to its thread
 *
 *   struct vm_program *p = vm_program_create(&desc, &diag);      // or ld_load() of loader/loader.h
 *   struct vm_image *i = vm_image_create(&vm_interp, p, &diag);  // or &jit_x86_64 of jit-x86_64/jit.h
 *   struct vm_thread *t = vm_thread_create(&(struct vm_thread_config){0}, &diag);
 *   struct vm_run *r = vm_run_start(t, i, vm_program_entry(p, 0), NULL);
 *   while (vm_run_resume(r) == VM_STATE_PREEMPTED) { serve others }
 *   uint64_t r0 = vm_run_result(r);
 *   vm_run_free(r);
 *   vm_thread_free(t);
 *   vm_image_free(i);
 *   vm_program_free(p);
 *
 * Signals: vm_thread_create installs process-wide handlers, once, for SIGSEGV and SIGBUS (guest
 * faults) and for VM_TICK_SIGNAL (ticks). A fault that is not the guest's is handed to the handler
 * that was there before. Nothing here prints.
 */
/* clang-format on */
#ifndef VM_VM_H
#define VM_VM_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The tick; a real-time signal, so that it does not mix with those that programs commonly use. */
#define VM_TICK_SIGNAL (SIGRTMAX - 2)

#define VM_API      __attribute__((visibility("default")))
#define VM_MUST_USE __attribute__((warn_unused_result))

/* One encoded instruction, RFC 9669 section 3, little endian. */
struct vm_insn {
    uint8_t code;
    uint8_t dst : 4;
    uint8_t src : 4;
    int16_t off;
    int32_t imm;
};

/* ---- errors ---- */

enum vm_error {
#define VM_ERROR(name, text) VM_ERROR_##name,
#include "vm/err.def"
    VM_ERROR_COUNT
};

#define VM_NO_INSN UINT32_MAX

/* Why a call failed; owned by the caller, filled only on failure. `text` is one line without a
 * final newline and names the instruction. */
struct vm_diag {
    enum vm_error error;
    uint32_t insn; /* index of the offending instruction, or VM_NO_INSN */
    char text[232];
};

VM_API const char *vm_error_text(enum vm_error error);
/* Fills *diag (when not NULL) from a format; returns `error`, so that it can end a function. */
VM_API enum vm_error vm_diag_set(struct vm_diag *diag, enum vm_error error, uint32_t insn,
                                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- memory ---- */

/* Where the library gets the memory of its own structures. Guest memory, stacks and native code are
 * mapped from the kernel and not meant. Called by every thread that calls the library. */
struct vm_allocator {
    void *(*allocate)(void *context, size_t bytes); /* aligned as malloc's; NULL: out of memory */
    void *(*resize)(void *context, void *block, size_t bytes); /* NULL: the block is as it was */
    void (*release)(void *context, void *block);
    void *context;
};

/* Copies *allocator (NULL: malloc and its kin), for the whole process: before any other thread uses
 * the library, and while nothing is alive that it made; else false, and nothing changes. */
VM_API bool vm_set_allocator(const struct vm_allocator *allocator) VM_MUST_USE;

/* ---- helpers ---- */

struct vm_context; /* a run as its helpers see it; begins with the pointer of vm_context_host */

/* How the VM treats one argument register before a helper sees it. A pointer kind is followed by a
 * LENGTH, except CSTR and the fixed kinds, whose length the row gives. A pointer that does not lie
 * wholly in guest memory with that access, and a writable span that overlaps another span of the
 * same call, faults the run. A span of length 0 passes any pointer. */
enum vm_arg_kind {
    VM_ARG_NONE,
    VM_ARG_SCALAR,
    VM_ARG_READ,   /* readable memory, length in the next argument */
    VM_ARG_WRITE,  /* writable memory, length in the next argument */
    VM_ARG_UPDATE, /* read and written in place, length in the next argument */
    VM_ARG_LENGTH, /* of the span before; up to VM_IMAGE_BYTES_MAX and more, as memory allows */
    VM_ARG_CSTR,   /* readable, NUL-terminated; `length` excludes the NUL */
    VM_ARG_READ8,  /* exactly 8 readable bytes */
    VM_ARG_WRITE8, /* exactly 8 writable bytes */
};

struct vm_arg {
    uint64_t value; /* the register */
    union {
        uint8_t *data;  /* of a span: host address, valid until the helper returns or waits, that of
                           constants as long as the program. Of scalars: NULL. */
        uint64_t *note; /* of the LENGTH of a READ span that is constants of the program: a word of
                           the host's for what it finds out about these bytes, which never change. 0
                           at first, and again whenever there was no room to keep it. Valid until
                           the helper returns or waits. NULL: they are no constants, or none. */
    };
    size_t length; /* bytes of the span; of what is none it says nothing */
};

/* Host side of a helper. Runs on the run's native stack (VM_FIBER_BYTES, so no large locals) with
 * spans already checked. Returns the guest's r0. */
typedef uint64_t vm_helper_fn(struct vm_context *context, const struct vm_arg arg[5]);

/* Host side of a helper that needs numbers alone. Compiled code calls it as any C function, with no
 * gate in between, so it is bound to more: it ends soon, it neither faults nor waits, and it keeps
 * off guest memory. */
typedef uint64_t vm_scalar_fn(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5,
                              struct vm_context *context);

struct vm_helper {
    const char *name; /* what objects link against */
    vm_helper_fn *fn;
    uint8_t kind[5]; /* enum vm_arg_kind */
    uint32_t
        number; /* what a raw `call N` names it by; 0 for helpers that are only linked by name */
    const char *parameters; /* as in C, "(const char *msg, uint64_t len)", so that faults can name
                               the argument; or NULL */
    vm_scalar_fn *scalar;   /* called instead of fn; or NULL, as it must be unless every kind is
                               SCALAR or NONE */
};

/* The `host` pointer of vm_run_start. */
VM_API inline void *vm_context_host(const struct vm_context *context)
{
    return *(void *const *)(const void *)context;
}
/* The run that `context` belongs to. */
VM_API struct vm_run *vm_context_run(struct vm_context *context);
/* Ends the run with VM_FAULT_HELPER; `text` (static) says why. Does not return: free what the
 * helper holds first. */
VM_API void vm_helper_fault(struct vm_context *context, const char *text)
    __attribute__((noreturn, cold));
/* The same, of the argument with this number (from 1) that points at `bytes` bytes (0: a string):
 * "is not writable". */
VM_API void vm_helper_fault_argument(struct vm_context *context, uint32_t argument, uint64_t bytes,
                                     const char *text) __attribute__((noreturn, cold));
/* Suspends the run: vm_run_resume returns VM_STATE_WAITING, and the next vm_run_resume returns from
 * here. Host pointers of spans stay valid. */
VM_API void vm_helper_wait(struct vm_context *context);
/* Host address of guest memory [address, address + length), or NULL if any byte of it is not mapped
 * (or not writable, with `write`). */
VM_API uint8_t *vm_guest_range(struct vm_context *context, uint64_t address, uint64_t length,
                               bool write);

/* ---- programs ---- */

struct vm_function {
    const char *name; /* never NULL; "" when unknown */
    uint32_t start;   /* first instruction */
    uint32_t count;   /* instructions */
    uint32_t frame_bytes;
};

struct vm_entry {
    const char *section; /* ELF section it came from; "" for raw programs */
    const char *name;    /* symbol */
    uint32_t insn;
};

/* From this instruction to the next vm_line of its function the code is that source line's. */
struct vm_line {
    uint32_t insn;
    uint32_t line;    /* from 1 */
    const char *file; /* as the compiler was told, or without leading "./"; never NULL */
};

/* What a program is made of. Everything is copied. Instructions are linked: a helper call's imm is
 * an index into `helpers`; a local call's imm and LDDW_FUNC's imm are distances; lddw of data holds
 * a guest address. */
struct vm_program_desc {
    const char *name; /* shown in messages */
    const struct vm_insn *insns;
    uint32_t insn_count;
    const struct vm_function *functions; /* name and start only, any order; targets of local calls
                                            are added when missing */
    uint32_t function_count;
    const struct vm_entry *entries; /* none: one entry "" at instruction 0 */
    uint32_t entry_count;
    const struct vm_helper *const *helpers;
    uint32_t helper_count;
    const uint8_t *rodata; /* at VM_IMAGE_BASE */
    uint32_t rodata_bytes;
    const uint8_t *data; /* at vm_data_address(rodata_bytes): first data_bytes given, the rest of
                            data_bytes_total zero */
    uint32_t data_bytes;
    uint32_t data_bytes_total;
    const struct vm_line *lines; /* optional; ascending by insn, each once; at most
                                    VM_FILE_COUNT_MAX different pointers `file` */
    uint32_t line_count;
};

struct vm_program;

/* Guest address of .data when .rodata has that many bytes. */
VM_API uint32_t vm_data_address(uint32_t rodata_bytes);

/* Validates and copies. NULL with *diag filled when refused. Free with vm_program_free after all of
 * its images. */
VM_API struct vm_program *vm_program_create(const struct vm_program_desc *desc,
                                            struct vm_diag *diag) VM_MUST_USE;
VM_API void vm_program_free(struct vm_program *program);

VM_API const char *vm_program_name(const struct vm_program *program);
VM_API const struct vm_insn *vm_program_insns(const struct vm_program *program, uint32_t *count);
VM_API uint32_t vm_program_entry_count(const struct vm_program *program);
VM_API const struct vm_entry *vm_program_entry(const struct vm_program *program, uint32_t index);
/* First entry whose symbol or section is `name`, or NULL. */
VM_API const struct vm_entry *vm_program_find_entry(const struct vm_program *program,
                                                    const char *name);
VM_API uint32_t vm_program_function_count(const struct vm_program *program);
VM_API const struct vm_function *vm_program_function(const struct vm_program *program,
                                                     uint32_t index);
/* The function that instruction `insn` belongs to, or NULL. */
VM_API const struct vm_function *vm_program_function_at(const struct vm_program *program,
                                                        uint32_t insn);
/* The source line of instruction `insn`, or NULL when unknown. Async-signal-safe. */
VM_API const struct vm_line *vm_program_line_at(const struct vm_program *program, uint32_t insn);
VM_API uint32_t vm_program_line_count(const struct vm_program *program);
/* `file` for messages: relative names whole, of absolute ones the last part. */
VM_API const char *vm_file_short(const char *file);
VM_API uint32_t vm_program_helper_count(const struct vm_program *program);
VM_API const struct vm_helper *vm_program_helper(const struct vm_program *program, uint32_t index);
/* Deepest stack any chain of calls without recursion can use, bytes; VM_STACK_BYTES when a function
 * can reach itself. */
VM_API uint32_t vm_program_stack_bytes(const struct vm_program *program);
VM_API uint32_t vm_program_rodata_bytes(const struct vm_program *program);
VM_API uint32_t vm_program_data_bytes(const struct vm_program *program);

/* Writes the text of the instruction at `index` without newline ("r1 = 5" style is for others: this
 * is "mov r1, 5"); `program` gives names to calls and may be NULL. Returns the number of slots it
 * takes: 2 for lddw, else 1. Never fails: what is not an instruction prints as `.8byte`. */
VM_API uint32_t vm_disasm(const struct vm_program *program, const struct vm_insn *insns,
                          uint32_t count, uint32_t index, char *out, size_t out_bytes);

/* ---- images ---- */

struct vm_engine;
VM_API extern const struct vm_engine vm_interp;

struct vm_image;
VM_API const char *vm_engine_name(const struct vm_engine *engine);
/* Borrows `program`. NULL with *diag filled on failure. Free when no run uses it. */
VM_API struct vm_image *vm_image_create(const struct vm_engine *engine,
                                        const struct vm_program *program,
                                        struct vm_diag *diag) VM_MUST_USE;
VM_API void vm_image_free(struct vm_image *image);
VM_API const struct vm_program *vm_image_program(const struct vm_image *image);

/* ---- threads and runs ---- */

struct vm_thread_config { /* a zero takes the default of limits.h */
    uint32_t tick_ms;
    uint32_t fine_tick_us; /* for a second after a run was switched out; by default as tick_ms */
    uint32_t budget_ms;
    uint32_t run_count_max;
    uint32_t heap_bytes_max;
};

struct vm_thread;
/* Call on the thread that will use it; one per operating-system thread. NULL with *diag filled on
 * failure. */
VM_API struct vm_thread *vm_thread_create(const struct vm_thread_config *config,
                                          struct vm_diag *diag) VM_MUST_USE;
/* Same thread; no run may be live. */
VM_API void vm_thread_free(struct vm_thread *thread);
/* Gives back what the pool keeps for `image`; call on each thread before vm_image_free. */
VM_API void vm_thread_forget(struct vm_thread *thread, const struct vm_image *image);

enum vm_fault_kind {
#define VM_FAULT(name, text) VM_FAULT_##name,
#include "vm/fault.def"
    VM_FAULT_COUNT
};

struct vm_fault {
    enum vm_fault_kind kind;
    uint32_t address; /* guest address, for READ WRITE MISALIGNED STACK CALLX */
    uint32_t insn; /* instruction, or VM_NO_INSN when the budget ended between two known places */
    const char *function; /* never NULL */
    const char *file;     /* source of `insn`, or NULL when unknown; owned by the program */
    uint32_t line;        /* in `file`; 0 when unknown */
    const char *helper;   /* or NULL: the helper that refused */
    const char *text;     /* or NULL: what it refused */
    /* Of a helper call whose argument is no good; else argument is 0. */
    uint32_t argument;      /* counted from 1 */
    const char *parameters; /* of the helper, or NULL */
    uint64_t span_start;    /* what the argument points at */
    uint64_t span_bytes;    /* 0 for strings */
    /* Registers before `insn`. Bit n of regs_known tells whether regs[n] is the value of Rn:
     * compiled code does not keep what the program never reads again, and has 0 for an upper half
     * that it never reads. */
    uint32_t regs_known;
    uint64_t regs[11];
};

enum vm_state {
    VM_STATE_DONE,      /* vm_run_result is valid */
    VM_STATE_FAULT,     /* vm_run_fault is valid */
    VM_STATE_PREEMPTED, /* the tick took the processor away: resume later */
    VM_STATE_WAITING,   /* a helper waits for the host: resume when it may go on */
};

struct vm_run;
/* A fresh invocation, not yet started: pristine data, zeroed stack and registers. `entry` is one of
 * the program's, or NULL for the first. NULL when run_count_max runs are live or memory is out. */
VM_API struct vm_run *vm_run_start(struct vm_thread *thread, const struct vm_image *image,
                                   const struct vm_entry *entry, void *host) VM_MUST_USE;
/* r1..r5 at entry; before the first resume. All zero if not called. */
VM_API void vm_run_set_args(struct vm_run *run, const uint64_t args[5]);
/* `bytes` zeroed bytes of guest heap, 16-byte aligned, living as long as the run. Returns the guest
 * address and the host address in *host (may be NULL), or 0 when heap_bytes_max would be passed. */
VM_API uint32_t vm_run_heap_alloc(struct vm_run *run, uint32_t bytes, uint8_t **host);
/* Calls `fn` before each instruction, with r0..r10, on the run's native stack; before the first
 * resume, and only for images of vm_interp. */
typedef void vm_trace_fn(void *trace_context, uint32_t insn, const uint64_t regs[11]);
VM_API void vm_run_set_trace(struct vm_run *run, vm_trace_fn *fn, void *trace_context);
/* From a vm_trace_fn only: vm_run_resume returns VM_STATE_WAITING, and the next vm_run_resume goes
 * on here. */
VM_API void vm_run_pause(struct vm_run *run);
/* Readable guest memory [address, address + length) of a run that is not under way, or NULL. */
VM_API const uint8_t *vm_run_memory(const struct vm_run *run, uint64_t address, uint64_t length);
VM_API const struct vm_program *vm_run_program(const struct vm_run *run);
/* Processor time the run may still use before it ends with VM_FAULT_BUDGET, nanoseconds. Set it
 * before the first resume to share one budget between runs; the default is budget_ms of the thread.
 * Time is charged when a tick takes the processor away, so what is shorter than a tick is free. */
VM_API void vm_run_set_budget(struct vm_run *run, uint64_t ns);
VM_API uint64_t vm_run_budget_left(const struct vm_run *run);
VM_API enum vm_state vm_run_resume(struct vm_run *run) VM_MUST_USE;
VM_API uint64_t vm_run_result(const struct vm_run *run);
VM_API const struct vm_fault *vm_run_fault(const struct vm_run *run);
/* One line: "read of 0x8 in check_token (auth.c:42), instruction 17"; without line
 * information "read of 0x8 in check_token, instruction 17". Truncates to out_bytes. */
VM_API void vm_fault_format(const struct vm_fault *fault, char *out, size_t out_bytes);
/* Ends the run wherever it is; a suspended one is dropped. Same thread. NULL is fine. */
VM_API void vm_run_free(struct vm_run *run);
/* What became of vm_run_at_once; small enough to be returned in registers. */
struct vm_outcome {
    enum vm_state state;
    union {
        uint64_t result;    /* DONE: r0 */
        struct vm_run *run; /* any other: as vm_run_resume left it; or NULL, with FAULT, if it could
                               not be started */
    };
};
/* vm_run_start, vm_run_resume and, when it is done, vm_run_free, in fewer steps: most runs are over
 * when they are resumed for the first time. */
VM_API struct vm_outcome vm_run_at_once(struct vm_thread *thread, const struct vm_image *image,
                                        const struct vm_entry *entry, void *host) VM_MUST_USE;

/* ---- many runs ---- */

/* One run of a batch. */
struct vm_call {
    uint64_t args[5];      /* r1..r5 at entry */
    const void *memory;    /* copied to guest heap; its guest address is put in args[0] */
    uint32_t memory_bytes; /* 0: none, and args[0] is as given */
    void *memory_after;    /* or NULL: gets memory_bytes back when the call is done */
    void *host;            /* of vm_context_host */
    uint64_t result;       /* r0, when done */
    enum vm_state state;   /* DONE or FAULT */
};

/* Makes calls[0..count) in order, each as pristine as a run of its own, with the budget of one, and
 * to its end: what is preempted goes on at once, a helper that waits faults. Shares among them what
 * starting a run costs. Ends early after a call that faulted, with *fault (may be NULL) saying why.
 * Returns how many were made: 0 when run_count_max runs are live or memory is out; fewer than
 * `count` with the last one DONE when the memory of the next does not fit. */
VM_API uint32_t vm_run_batch(struct vm_thread *thread, const struct vm_image *image,
                             const struct vm_entry *entry, struct vm_call *calls, uint32_t count,
                             struct vm_fault *fault) VM_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
