/* SPDX-License-Identifier: Apache-2.0 */
/* Preemption at every native instruction: the trap flag stops compiled code before each one, and
 * there a tick is delivered that takes the processor away. Whatever the code was in the middle of
 * (a compare and its branch, a division with guest registers put aside, the pushes around a call),
 * the result must be that of a run that was never interrupted. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <ucontext.h>

#include "tests/support/asm.h"
#include "tests/support/machine.h"

enum {
    TRAP_FLAG = 1 << 8,
    TICK_NEVER_MS = 60000, /* ticks come from the trap handler alone */
};

/* What the handler knows; it runs on this thread only. */
static struct {
    uintptr_t start; /* native code */
    uintptr_t end;
    volatile bool on;
    bool skip; /* the trap that follows a return to where the code was interrupted */
    volatile unsigned ticks;
} step;

/* The tick is delivered when this returns. */
static void on_trap(int signo, siginfo_t *info, void *context)
{
    greg_t *reg = ((ucontext_t *)context)->uc_mcontext.gregs;
    uintptr_t pc = (uintptr_t)reg[REG_RIP];

    (void)signo;
    (void)info;
    if (!step.on) {
        reg[REG_EFL] &= ~(greg_t)TRAP_FLAG;
        return;
    }
    reg[REG_EFL] |= TRAP_FLAG;
    if (pc < step.start || pc >= step.end) {
        return;
    }
    if (step.skip) {
        step.skip = false;
        return;
    }
    step.skip = true;
    step.ticks++;
    pthread_kill(pthread_self(), VM_TICK_SIGNAL);
}

/* The next instruction traps, and the handler keeps it so until step.on is false. */
static void start_stepping(void)
{
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, VM_TICK_SIGNAL);
    sigaction(SIGTRAP, &action, NULL);
    step.on = true;
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | TRAP_FLAG);
}

/* Runs once under the trap flag; returns how often the processor was taken away. */
static unsigned run_stepped(const struct vm_image *image, uint64_t *result)
{
    struct vm_run *run = vm_run_start(t_thread(), image, NULL, NULL);
    unsigned preemptions = 0;
    enum vm_state state;
    const uint32_t *offsets;
    size_t bytes;

    step.start = (uintptr_t)jit_code(image, &bytes, &offsets);
    step.end = step.start + bytes;
    step.skip = false;
    step.ticks = 0;
    vm_run_set_budget(run, UINT64_MAX);
    start_stepping();
    while ((state = vm_run_resume(run)) == VM_STATE_PREEMPTED) {
        preemptions++;
    }
    step.on = false;
    cr_assert_eq(state, VM_STATE_DONE);
    *result = vm_run_result(run);
    vm_run_free(run);
    return preemptions;
}

static const char *const programs[] = {
    /* flags across instructions, all registers in use */
    "mov r0, 0\n mov r1, 5\n mov r2, 7\n mov r3, 9\n mov r4, -1\n mov r5, 3\n mov r6, 4\n"
    "mov r7, 8\n mov r8, 2\n mov r9, 6\n"
    "loop:\n add r0, r1\n xor r0, r2\n mul r0, r3\n sub r0, r4\n add r0, r5\n add r0, r6\n"
    "add r0, r7\n add r0, r8\n sub r9, 1\n jsgt r9, r8, loop\n jset r0, 1, odd\n add r0, 100\n"
    "odd:\n exit\n",
    /* divisions put r0, r3 and r4 aside; shifts by r4 */
    "mov r0, 1000\n mov r3, 77\n mov r4, 13\n mov r6, -3\n div r0, r4\n mod r3, r4\n sdiv r0, r6\n"
    "smod32 r3, r6\n div32 r4, r3\n lsh r0, r4\n arsh r0, r4\n add r0, r3\n add r0, r4\n exit\n",
    /* memory, byte order, atomics that loop */
    "mov r1, r10\n add r1, -16\n lddw r2, 0x1122334455667788\n stxdw [r1+0], r2\n mov r0, 3\n"
    "mov r3, 0xff\n atomic_fetch_or [r1+0], r3\n mov r4, 5\n atomic_fetch_add [r10-16], r4\n"
    "ldxdw r0, [r10-16]\n mov r5, 9\n atomic_cmpxchg [r10-16], r5\n be64 r0\n add r0, r4\n exit\n",
    /* a loop that copies, bytes put together, a load that is an operand */
    "mov r1, r10\n add r1, -160\n mov r2, r10\n add r2, -80\n lddw r3, 0x1122334455667788\n"
    "stxdw [r2+0], r3\n stdw [r2+8], 5\n stdw [r2+16], 6\n stdw [r2+24], 7\n stdw [r2+32], 8\n"
    "stxdw [r2+40], r3\n stdw [r2+48], 9\n stdw [r2+56], 10\n stxdw [r2+64], r3\n mov r4, 0\n"
    "loop:\n ldxdw r5, [r2+0]\n stxdw [r1+0], r5\n add r2, 8\n add r1, 8\n add r4, 1\n"
    "jlt r4, 9, loop\n ldxb r0, [r10-94]\n lsh r0, 8\n ldxb r3, [r10-95]\n or r0, r3\n"
    "mov r3, 0\n ldxdw r6, [r10-120]\n sub r0, r6\n mov r6, 0\n exit\n",
    /* calls: local, by address, of a helper */
    "mov r6, 11\n mov r7, 22\n mov r1, 3\n call f\n add r0, r6\n lddw r8, &f\n mov r1, 4\n"
    "callx r8\n add r0, r7\n mov r6, r0\n mov r1, 1\n mov r2, 2\n mov r3, 3\n mov r4, 4\n"
    "mov r5, 5\n call sum5\n add r0, r6\n add r0, r1\n exit\n"
    "f:\n stxdw [r10-8], r1\n mov r6, 0\n mov r7, r1\n mul r7, r7\n ldxdw r0, [r10-8]\n"
    "add r0, r7\n exit\n",
};

/* Takes the processor away wherever it can be. */
static void interrupt_everywhere(const char *text)
{
    struct t_asm code;
    struct vm_diag diag;
    struct t_outcome plain;
    uint64_t result = 0;

    cr_assert(t_assemble(&code, text, t_helpers, t_helper_count), "%s", code.error);
    struct vm_program *program = t_program(code.insns, code.count, &diag);
    cr_assert(program, "%s", diag.text);
    cr_assert(t_run_program(&vm_interp, program, &(struct t_input){0}, &plain, &diag));
    struct vm_image *image = vm_image_create(&jit_x86_64, program, &diag);
    cr_assert(image, "%s", diag.text);
    unsigned preemptions = run_stepped(image, &result);
    cr_expect_eq(result, plain.r0, "%s", text);
    cr_expect_geq(preemptions, code.count, "%u of %u: %s", preemptions, code.count, text);
    cr_expect_geq(preemptions + 2, step.ticks, "%u of %u ticks: %s", preemptions, step.ticks, text);
    vm_thread_forget(t_thread(), image);
    vm_image_free(image);
    vm_program_free(program);
    t_asm_free(&code);
}

Test(single_step, every_native_instruction_may_be_interrupted, .timeout = 60)
{
    t_thread_with(&(struct vm_thread_config){.tick_ms = TICK_NEVER_MS});
    t_hasty_ticks();
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        interrupt_everywhere(programs[i]);
    }
    t_thread_end();
}

/* A large frame took two instructions to make, and a tick came between them: a bug of Go on arm64,
 * found in 2025. */
Test(single_step, go_arm64_preemption_inside_a_stack_adjustment, .timeout = 60)
{
    t_thread_with(&(struct vm_thread_config){.tick_ms = TICK_NEVER_MS});
    t_hasty_ticks();
    interrupt_everywhere("stdw [r10-32000], 7\n mov r1, 3\n call f\n ldxdw r1, [r10-32000]\n"
                         "add r0, r1\n exit\n"
                         "f:\n stxdw [r10-16392], r1\n mov r1, 5\n call g\n"
                         "ldxdw r1, [r10-16392]\n add r0, r1\n exit\n"
                         "g:\n stxdw [r10-4104], r1\n ldxdw r0, [r10-4104]\n exit\n");
    t_thread_end();
}
