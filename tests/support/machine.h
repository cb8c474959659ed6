/* SPDX-License-Identifier: Apache-2.0 */
/* Runs programs on both engines and puts what can be observed of a run in one struct, so that a
 * test compares it with what it wants or one engine's with the other's: how it ended, r0, and all
 * guest memory it could write. */
#ifndef TESTS_SUPPORT_MACHINE_H
#define TESTS_SUPPORT_MACHINE_H

#include "jit-x86_64/jit.h"
#include "vm/vm.h"

/* The engines under test. */
extern const struct vm_engine *const t_engines[];
enum { T_ENGINE_COUNT = 2 };

/* Helpers of the tests; see machine.c for what each does. The index in the table is what a call's
 * imm names. */
extern const struct vm_helper *const t_helpers[];
extern const uint32_t t_helper_count;

enum { T_MEMORY_BYTES_MAX = 8192 };

struct t_input {
    const uint8_t *memory; /* copied to guest heap: r1 = its address, r2 = its length */
    uint32_t memory_bytes; /* 0: no heap, and r1, r2 are arg[0], arg[1] */
    uint64_t arg[5];
    uint64_t budget_ns;           /* 0: what the thread gives */
    void (*resuming)(bool begin); /* or NULL: called around each vm_run_resume */
};

struct t_outcome {
    enum vm_state state;
    uint64_t r0;
    struct vm_fault fault;
    uint32_t preemptions;
    uint32_t waits;
    uint64_t writable_hash; /* of data, stack and heap */
    uint32_t memory_bytes;
    uint8_t memory[T_MEMORY_BYTES_MAX]; /* the input's memory after the run */
};

/* This thread's vm_thread, made at the first call. */
struct vm_thread *t_thread(void);
/* The same with other limits; the former one goes. */
struct vm_thread *t_thread_with(const struct vm_thread_config *config);
void t_thread_end(void);
/* From now on each tick switches out what it meets, however short that was there. */
void t_hasty_ticks(void);

/* A program of `count` instructions that may call t_helpers. NULL with *diag when refused. */
struct vm_program *t_program(const struct vm_insn *insns, uint32_t count, struct vm_diag *diag);

/* One run from start to end, resumed however often it is preempted. */
void t_run(const struct vm_image *image, const struct t_input *input, struct t_outcome *out);
/* The same with a run that was just started; frees it. */
void t_run_started(struct vm_run *run, const struct t_input *input, struct t_outcome *out);
/* Image, run, clean up. False with *diag when the engine cannot prepare the program. */
bool t_run_program(const struct vm_engine *engine, const struct vm_program *program,
                   const struct t_input *input, struct t_outcome *out, struct vm_diag *diag);

/* NULL when both are the same, else what differs. */
const char *t_difference(const struct t_outcome *a, const struct t_outcome *b);
/* "r0 0x2a" or "WRITE 0x10000 @ 3". */
void t_outcome_text(const struct t_outcome *outcome, char *out, size_t out_bytes);
extern const char *const t_fault_names[];
extern const char *const t_error_names[];

/* Disassembles to standard error. */
void t_dump(const struct vm_insn *insns, uint32_t count);

#endif
