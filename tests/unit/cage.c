/* SPDX-License-Identifier: Apache-2.0 */
/* The cage: whatever pointers a program makes up, nothing but its own memory changes and the
 * process lives. Guest code draws pointers from a generator of its own and loads, stores and
 * exchanges through them; when a run faults, the next goes on with the next seed. Around the arena,
 * on the heap and on the stack lie canaries of the host. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/support/asm.h"
#include "tests/support/machine.h"
#include "vm/limits.h"
#include "vm/run.h"

enum { RUNS = 100000, CANARY_BYTES = 1 << 16, CANARIES = 4 };

static uint8_t *canaries[CANARIES];
static int canary_count;

static uint8_t canary_byte(size_t i)
{
    return (uint8_t)(i * 167 + 13);
}

static void fill_canary(uint8_t *bytes)
{
    for (size_t i = 0; i < CANARY_BYTES; i++)
        bytes[i] = canary_byte(i);
    canaries[canary_count++] = bytes;
}

static void check_canaries(void)
{
    for (int c = 0; c < canary_count; c++)
        for (size_t i = 0; i < CANARY_BYTES; i++)
            cr_assert_eq(canaries[c][i], canary_byte(i), "host memory %d changed at byte %zu", c,
                         i);
}

/* Writable host pages exactly below and above what the arena has reserved, when nothing else is
 * there already; writable memory of the process is as close either way. */
static void surround(const struct vm_arena *arena)
{
    uint8_t *neighbours[2] = {arena->reservation - CANARY_BYTES,
                              arena->reservation + arena->reservation_bytes};
    for (int i = 0; i < 2; i++) {
        uint8_t *page = mmap(neighbours[i], CANARY_BYTES, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (page != MAP_FAILED)
            fill_canary(page);
    }
    fill_canary(malloc(CANARY_BYTES));
}

/* r1 is the seed. Each round draws a pointer; some are bent towards the memory the program has, so
 * that runs last longer. Widths, displacements and kinds of access vary. */
static const char program_text[] = "    mov r6, r1\n"
                                   "    mov r9, 64\n"
                                   "next:\n"
                                   "    mov r1, r6\n" /* xorshift64 */
                                   "    lsh r1, 13\n"
                                   "    xor r6, r1\n"
                                   "    mov r1, r6\n"
                                   "    rsh r1, 7\n"
                                   "    xor r6, r1\n"
                                   "    mov r1, r6\n"
                                   "    lsh r1, 17\n"
                                   "    xor r6, r1\n"
                                   "    mov r7, r6\n"
                                   "    mov r2, r6\n"
                                   "    and r2, 7\n"
                                   "    jeq r2, 0, access\n" /* wild */
                                   "    lddw r3, 0xffffffff0000ffff\n"
                                   "    and r7, r3\n"
                                   "    jeq r2, 1, low\n"
                                   "    jeq r2, 2, high\n"
                                   "    mov r3, r10\n"
                                   "    sub r3, 0xf000\n"
                                   "    or r7, r3\n" /* on the stack */
                                   "    ja access\n"
                                   "low:\n" /* around 0 */
                                   "    lsh32 r7, 16\n"
                                   "    arsh32 r7, 16\n"
                                   "    ja access\n"
                                   "high:\n" /* around 4 GiB */
                                   "    mov r3, -1\n"
                                   "    lsh r3, 16\n"
                                   "    or r7, r3\n"
                                   "access:\n"
                                   "    mov r2, r6\n"
                                   "    rsh r2, 40\n"
                                   "    and r2, 7\n"
                                   "    jeq r2, 0, store8\n"
                                   "    jeq r2, 1, store16\n"
                                   "    jeq r2, 2, store32\n"
                                   "    jeq r2, 3, load\n"
                                   "    jeq r2, 4, exchange\n"
                                   "    jeq r2, 5, below\n"
                                   "    jeq r2, 6, above\n"
                                   "    stxdw [r7+0], r6\n"
                                   "    ja done\n"
                                   "store8:\n"
                                   "    stxb [r7-1], r6\n"
                                   "    ja done\n"
                                   "store16:\n"
                                   "    sth [r7+3], -1\n"
                                   "    ja done\n"
                                   "store32:\n"
                                   "    stxw [r7-4], r6\n"
                                   "    ja done\n"
                                   "load:\n"
                                   "    ldxdw r0, [r7+0]\n"
                                   "    ja done\n"
                                   "exchange:\n"
                                   "    and r7, -8\n"
                                   "    mov r3, r6\n"
                                   "    atomic_xchg [r7+0], r3\n"
                                   "    ja done\n"
                                   "below:\n"
                                   "    stxdw [r7-32768], r6\n"
                                   "    ja done\n"
                                   "above:\n"
                                   "    stdw [r7+32767], 1\n"
                                   "done:\n"
                                   "    sub r9, 1\n"
                                   "    jne r9, 0, next\n"
                                   "    mov r0, 1\n"
                                   "    exit\n";

/* What the run's context page held before, but for the fields that a run changes. */
static void check_context(const struct vm_context *now, const struct vm_context *before)
{
    cr_assert_eq(now->base, before->base);
    cr_assert_eq(now->gates, before->gates);
    cr_assert_eq(now->host, before->host);
    cr_assert_eq(now->run, before->run);
}

static void write_everywhere(const struct vm_engine *engine)
{
    volatile uint64_t on_stack = 0x5a5a5a5a5a5a5a5a;
    struct t_asm text;
    struct vm_diag diag;
    unsigned done = 0, faulted = 0;
    cr_assert(t_assemble(&text, program_text, NULL, 0), "%s", text.error);
    struct vm_program *program = t_program(text.insns, text.count, &diag);
    cr_assert(program, "%s", diag.text);
    struct vm_image *image = vm_image_create(engine, program, &diag);
    cr_assert(image, "%s", diag.text);
    for (unsigned i = 0; i < RUNS; i++) {
        struct vm_run *run = vm_run_start(t_thread(), image, NULL, (void *)&on_stack);
        cr_assert(run);
        struct vm_context *context = vm_arena_context(&run->arena);
        struct vm_context before = *context;
        vm_run_set_args(run, (uint64_t[5]){(i + 1) * 0x9e3779b97f4a7c15u});
        if (i == 0)
            surround(&run->arena);
        enum vm_state state;
        while ((state = vm_run_resume(run)) == VM_STATE_PREEMPTED)
            continue;
        check_context(context, &before);
        if (state == VM_STATE_FAULT) {
            enum vm_fault_kind kind = vm_run_fault(run)->kind;
            cr_assert(kind == VM_FAULT_READ || kind == VM_FAULT_WRITE || kind == VM_FAULT_STACK,
                      "fault %s", t_fault_names[kind]);
        }
        done += state == VM_STATE_DONE;
        faulted += state == VM_STATE_FAULT;
        vm_run_free(run);
    }
    cr_assert_eq(done + faulted, RUNS);
    cr_assert_gt(faulted, RUNS / 2);
    cr_assert_eq(on_stack, 0x5a5a5a5a5a5a5a5a);
    check_canaries();
    vm_thread_forget(t_thread(), image);
    vm_image_free(image);
    vm_program_free(program);
    t_asm_free(&text);
    t_thread_end();
    free(canaries[canary_count - 1]);
}

Test(cage, random_pointers_interp)
{
    write_everywhere(&vm_interp);
}

Test(cage, random_pointers_jit)
{
    write_everywhere(&jit_x86_64);
}

/* One run must not see what another left: stack, data, heap and its size. */
static void leave_and_look(const struct vm_engine *engine)
{
    static const char text[] = "    ldxdw r0, [r10-8]\n"
                               "    lddw r1, 0x10000\n"
                               "    ldxdw r2, [r1+0]\n"
                               "    xor r2, 5\n"
                               "    or r0, r2\n"
                               "    lddw r3, 0x4000000\n"
                               "    ldxdw r2, [r3+0]\n"
                               "    or r0, r2\n"
                               "    stdw [r10-8], -1\n"
                               "    stdw [r1+0], -1\n"
                               "    stdw [r3+0], -1\n"
                               "    exit\n";
    struct t_asm code;
    struct vm_diag diag;
    cr_assert(t_assemble(&code, text, NULL, 0), "%s", code.error);
    struct vm_program *program =
        vm_program_create(&(struct vm_program_desc){.name = "look",
                                                    .insns = code.insns,
                                                    .insn_count = code.count,
                                                    .data = (const uint8_t[8]){5},
                                                    .data_bytes = 8,
                                                    .data_bytes_total = 8},
                          &diag);
    cr_assert(program, "%s", diag.text);
    struct vm_image *image = vm_image_create(engine, program, &diag);
    cr_assert(image, "%s", diag.text);
    for (int i = 0; i < 3; i++) {
        struct vm_run *run = vm_run_start(t_thread(), image, NULL, NULL);
        cr_assert_eq(vm_run_heap_alloc(run, 64, NULL), VM_HEAP_BASE);
        cr_assert_eq(vm_run_resume(run), VM_STATE_DONE);
        cr_expect_eq(vm_run_result(run), 0, "run %d sees what another left", i);
        vm_run_free(run);
    }
    struct vm_run *run = vm_run_start(t_thread(), image, NULL, NULL);
    cr_assert_eq(vm_run_resume(run), VM_STATE_FAULT, "without heap there is nothing at its base");
    cr_expect_eq(vm_run_fault(run)->address, VM_HEAP_BASE);
    vm_run_free(run);
    vm_thread_forget(t_thread(), image);
    vm_image_free(image);
    vm_program_free(program);
    t_asm_free(&code);
    t_thread_end();
}

Test(cage, runs_start_pristine_interp)
{
    leave_and_look(&vm_interp);
}

Test(cage, runs_start_pristine_jit)
{
    leave_and_look(&jit_x86_64);
}

/* Programs that write to their stack, each in another way. */
static const char *const soilers[] = {
    /* its own frame */
    "    stdw [r10-8], -1\n"
    "    mov r0, 0\n"
    "    exit\n",
    /* frames of functions it calls */
    "    stb [r10-200], 1\n"
    "    call deeper\n"
    "    exit\n"
    "deeper:\n"
    "    stb [r10-300], 1\n"
    "    call deepest\n"
    "    exit\n"
    "deepest:\n"
    "    sth [r10-400], 1\n"
    "    mov r0, 0\n"
    "    exit\n",
    /* the frame of a function, below one that is only read, and a helper's gift above both */
    "    ldxb r0, [r10-100]\n"
    "    call stores\n"
    "    mov r1, r10\n"
    "    sub r1, 8\n"
    "    mov r2, 8\n"
    "    mov r3, 255\n"
    "    call fill\n"
    "    mov r0, 0\n"
    "    exit\n"
    "stores:\n"
    "    ldxb r0, [r10-300]\n"
    "    stb [r10-50], 1\n"
    "    exit\n",
    /* the lowest byte of the page, by a pointer */
    "    mov r1, r10\n"
    "    sub r1, 4096\n"
    "    stb [r1+0], 1\n"
    "    mov r0, 0\n"
    "    exit\n",
    "    mov r1, r10\n"
    "    sub r1, 4096\n"
    "    mov r2, 1\n"
    "    atomic_xchg [r1+0], r2\n"
    "    mov r0, 0\n"
    "    exit\n",
    "    lddw r1, 0x201f000\n"
    "    stxb [r1+0], r1\n"
    "    stb [r10-1], 1\n"
    "    mov r0, 0\n"
    "    exit\n",
    /* the same, by helpers, one behind the other */
    "    mov r1, r10\n"
    "    sub r1, 4096\n"
    "    mov r2, 3\n"
    "    mov r3, 255\n"
    "    call fill\n"
    "    mov r1, r10\n"
    "    sub r1, 64\n"
    "    mov r2, 64\n"
    "    mov r3, 255\n"
    "    call fill\n"
    "    mov r0, 0\n"
    "    exit\n",
    "    stdw [r10-8], 1\n"
    "    mov r1, r10\n"
    "    sub r1, 8\n"
    "    mov r2, r10\n"
    "    sub r2, 4096\n"
    "    call increment\n"
    "    mov r0, 0\n"
    "    exit\n",
    /* all of the stack, by recursion and by a function that is computed */
    "again:\n"
    "    stb [r10-1], 1\n"
    "    jeq r1, 20, stop\n"
    "    add r1, 1\n"
    "    call again\n"
    "stop:\n"
    "    mov r0, 0\n"
    "    exit\n",
    "    lddw r1, &called\n"
    "    stb [r10-256], 1\n"
    "    callx r1\n"
    "    exit\n"
    "called:\n"
    "    stb [r10-512], 1\n"
    "    mov r0, 0\n"
    "    exit\n",
    /* a frame, and then it faults */
    "    stdw [r10-16], -1\n"
    "    mov r1, 0\n"
    "    ldxb r0, [r1+0]\n"
    "    exit\n",
};

/* Of a stack, only what may have been written to is cleared; this looks at all of it. */
static void expect_clean_stack(const struct vm_engine *engine, const char *text)
{
    struct t_asm code;
    struct vm_diag diag;
    cr_assert(t_assemble(&code, text, t_helpers, t_helper_count), "%s", code.error);
    struct vm_program *program = t_program(code.insns, code.count, &diag);
    cr_assert(program, "%s", diag.text);
    struct vm_image *image = vm_image_create(engine, program, &diag);
    cr_assert(image, "%s", diag.text);
    for (int i = 0; i < 2; i++) {
        struct vm_run *run = vm_run_start(t_thread(), image, NULL, NULL);
        const struct vm_region *stack = &run->arena.regions[VM_REGION_STACK];
        const uint8_t *bytes = run->arena.base + stack->start;
        size_t count = stack->end - stack->start;
        enum vm_state state = vm_run_resume(run);
        cr_assert(state == VM_STATE_DONE || state == VM_STATE_FAULT);
        cr_expect(memchr(bytes, 1, count) || memchr(bytes, 255, count), "nothing written:\n%s",
                  text);
        vm_run_free(run);
        for (size_t at = 0; at < count; at++)
            cr_assert_eq(bytes[at], 0, "%s, run %d, byte %zu of %zu is left:\n%s",
                         vm_engine_name(engine), i, at, count, text);
    }
    vm_thread_forget(t_thread(), image);
    vm_image_free(image);
    vm_program_free(program);
    t_asm_free(&code);
}

Test(cage, stacks_are_left_clean)
{
    for (size_t i = 0; i < sizeof soilers / sizeof soilers[0]; i++) {
        expect_clean_stack(&vm_interp, soilers[i]);
        expect_clean_stack(&jit_x86_64, soilers[i]);
    }
    t_thread_end();
}
