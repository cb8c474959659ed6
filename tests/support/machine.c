/* SPDX-License-Identifier: Apache-2.0 */
/* Looks into vm/run.h to see the guest's memory whole; a client of the library has no need to. */
#include "tests/support/machine.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vm/isa.h"
#include "vm/run.h"

const struct vm_engine *const t_engines[] = {&vm_interp, &jit_x86_64};
_Static_assert(sizeof t_engines / sizeof *t_engines == T_ENGINE_COUNT, "one count");

const char *const t_fault_names[] = {
#define VM_FAULT(name, text) [VM_FAULT_##name] = #name,
#include "vm/fault.def"
    [VM_FAULT_COUNT] = NULL,
};
const char *const t_error_names[] = {
#define VM_ERROR(name, text) [VM_ERROR_##name] = #name,
#include "vm/err.def"
    [VM_ERROR_COUNT] = NULL,
};

/* ---- helpers */

/* Weights tell arguments that changed places apart. */
static uint64_t sum5(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    return arg[0].value + 2 * arg[1].value + 3 * arg[2].value + 4 * arg[3].value + 5 * arg[4].value;
}

static uint64_t sum5_direct(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5,
                            struct vm_context *context)
{
    (void)context;
    return r1 + 2 * r2 + 3 * r3 + 4 * r4 + 5 * r5;
}

static uint64_t minus_one(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context, (void)arg;
    return UINT64_MAX;
}

static uint64_t sum_bytes(struct vm_context *context, const struct vm_arg arg[5])
{
    uint64_t sum = 0;
    (void)context;
    for (size_t i = 0; i < arg[0].length; i++)
        sum += arg[0].data[i];
    return sum;
}

static uint64_t fill(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    memset(arg[0].data, (int)(arg[2].value & 0xff), arg[0].length);
    return arg[0].length;
}

static uint64_t reverse(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    for (size_t i = 0; i < arg[0].length / 2; i++) {
        uint8_t low = arg[0].data[i];
        arg[0].data[i] = arg[0].data[arg[0].length - 1 - i];
        arg[0].data[arg[0].length - 1 - i] = low;
    }
    return arg[0].length;
}

static uint64_t copy(struct vm_context *context, const struct vm_arg arg[5])
{
    size_t length = arg[0].length < arg[2].length ? arg[0].length : arg[2].length;
    (void)context;
    memcpy(arg[0].data, arg[2].data, length);
    return length;
}

static uint64_t string_length(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    return arg[0].length;
}

static uint64_t increment(struct vm_context *context, const struct vm_arg arg[5])
{
    uint64_t value;
    (void)context;
    memcpy(&value, arg[0].data, sizeof value);
    value++;
    memcpy(arg[1].data, &value, sizeof value);
    return value;
}

static uint64_t refuse(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)arg;
    vm_helper_fault(context, "as asked");
}

static uint64_t wait_once(struct vm_context *context, const struct vm_arg arg[5])
{
    vm_helper_wait(context);
    return arg[0].value + 1;
}

enum { A = VM_ARG_SCALAR, R = VM_ARG_READ, W = VM_ARG_WRITE, U = VM_ARG_UPDATE, L = VM_ARG_LENGTH };

static const struct vm_helper rows[] = {
    {"sum5", sum5, {A, A, A, A, A}, 1},
    {"minus_one", minus_one, {0}, 2},
    {"sum_bytes", sum_bytes, {R, L}, 3},
    {"fill", fill, {W, L, A}, 4},
    {"reverse", reverse, {U, L}, 5},
    {"copy", copy, {W, L, R, L}, 6},
    {"string_length", string_length, {VM_ARG_CSTR}, 7},
    {"increment", increment, {VM_ARG_READ8, VM_ARG_WRITE8}, 8},
    {"refuse", refuse, {0}, 9},
    {"wait_once", wait_once, {A}, 10},
    {"sum5_direct", NULL, {A, A, A, A, A}, 11, .scalar = sum5_direct},
};
const struct vm_helper *const t_helpers[] = {&rows[0], &rows[1], &rows[2], &rows[3],
                                             &rows[4], &rows[5], &rows[6], &rows[7],
                                             &rows[8], &rows[9], &rows[10]};
const uint32_t t_helper_count = sizeof t_helpers / sizeof *t_helpers;
_Static_assert(sizeof t_helpers / sizeof *t_helpers == sizeof rows / sizeof *rows, "all of them");

/* ---- running */

static struct vm_thread *thread;

struct vm_thread *t_thread_with(const struct vm_thread_config *config)
{
    struct vm_diag diag;
    t_thread_end();
    thread = vm_thread_create(config, &diag);
    if (!thread)
        fprintf(stderr, "vm_thread_create: %s\n", diag.text);
    assert(thread);
    return thread;
}

struct vm_thread *t_thread(void)
{
    return thread ? thread : t_thread_with(&(struct vm_thread_config){0});
}

void t_thread_end(void)
{
    vm_thread_free(thread);
    thread = NULL;
}

static struct sigaction engine_tick;

static void on_hasty_tick(int signo, siginfo_t *info, void *context)
{
    if (thread)
        thread->slice_ns = 0;
    engine_tick.sa_sigaction(signo, info, context);
}

void t_hasty_ticks(void)
{
    struct sigaction action;
    t_thread();
    sigaction(VM_TICK_SIGNAL, NULL, &action);
    if (action.sa_sigaction == on_hasty_tick)
        return;
    engine_tick = action;
    action.sa_sigaction = on_hasty_tick;
    sigaction(VM_TICK_SIGNAL, &action, NULL);
}

struct vm_program *t_program(const struct vm_insn *insns, uint32_t count, struct vm_diag *diag)
{
    struct vm_program_desc desc = {.name = "test",
                                   .insns = insns,
                                   .insn_count = count,
                                   .helpers = t_helpers,
                                   .helper_count = t_helper_count};
    return vm_program_create(&desc, diag);
}

static uint64_t hash_bytes(uint64_t hash, const uint8_t *bytes, size_t length)
{
    for (; length >= 8; bytes += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    while (length--)
        hash = (hash ^ *bytes++) * 0x100000001b3u;
    return hash;
}

static uint64_t hash_writable(const struct vm_arena *arena)
{
    uint64_t hash = 0;
    for (int i = 0; i < VM_REGION_COUNT; i++) {
        const struct vm_region *region = &arena->regions[i];
        if (i != VM_REGION_RODATA)
            hash = hash_bytes(hash, arena->base + region->start, region->end - region->start);
    }
    return hash;
}

void t_run(const struct vm_image *image, const struct t_input *input, struct t_outcome *out)
{
    t_run_started(vm_run_start(t_thread(), image, NULL, NULL), input, out);
}

static enum vm_state resume(struct vm_run *run, const struct t_input *input)
{
    enum vm_state state;
    if (!input->resuming)
        return vm_run_resume(run);
    input->resuming(true);
    state = vm_run_resume(run);
    input->resuming(false);
    return state;
}

void t_run_started(struct vm_run *run, const struct t_input *input, struct t_outcome *out)
{
    uint64_t arg[5];
    uint8_t *memory = NULL;
    assert(run && input->memory_bytes <= T_MEMORY_BYTES_MAX);
    memcpy(arg, input->arg, sizeof arg);
    if (input->memory_bytes) {
        arg[0] = vm_run_heap_alloc(run, input->memory_bytes, &memory);
        arg[1] = input->memory_bytes;
        assert(arg[0]);
        memcpy(memory, input->memory, input->memory_bytes);
    }
    vm_run_set_args(run, arg);
    if (input->budget_ns)
        vm_run_set_budget(run, input->budget_ns);
    out->preemptions = out->waits = 0;
    while ((out->state = resume(run, input)) >= VM_STATE_PREEMPTED) {
        out->preemptions += out->state == VM_STATE_PREEMPTED;
        out->waits += out->state == VM_STATE_WAITING;
    }
    out->r0 = out->state == VM_STATE_DONE ? vm_run_result(run) : 0;
    out->fault = *vm_run_fault(run);
    out->writable_hash = hash_writable(&run->arena);
    out->memory_bytes = input->memory_bytes;
    if (memory)
        memcpy(out->memory, memory, input->memory_bytes);
    vm_run_free(run);
}

bool t_run_program(const struct vm_engine *engine, const struct vm_program *program,
                   const struct t_input *input, struct t_outcome *out, struct vm_diag *diag)
{
    struct vm_image *image = vm_image_create(engine, program, diag);
    if (!image)
        return false;
    t_run(image, input, out);
    vm_thread_forget(t_thread(), image);
    vm_image_free(image);
    return true;
}

/* ---- comparing and showing */

/* What both engines say of a register must be the same; compiled code may say nothing, or nothing
 * of the upper half. */
static bool registers_differ(const struct vm_fault *a, const struct vm_fault *b)
{
    for (uint32_t i = 0; i < 11; i++) {
        bool both = a->regs_known >> i & b->regs_known >> i & 1;
        bool is_half = a->regs[i] >> 32 == 0 || b->regs[i] >> 32 == 0;
        uint64_t different = a->regs[i] ^ b->regs[i];
        if (both && (is_half ? (uint32_t)different : different) != 0)
            return true;
    }
    return false;
}

const char *t_difference(const struct t_outcome *a, const struct t_outcome *b)
{
    if (a->state != b->state)
        return "how it ended";
    if (a->r0 != b->r0)
        return "r0";
    if (a->state == VM_STATE_FAULT) {
        if (a->fault.kind != b->fault.kind)
            return "fault kind";
        if (a->fault.address != b->fault.address)
            return "fault address";
        if (a->fault.insn != b->fault.insn)
            return "fault instruction";
        if (strcmp(a->fault.function, b->fault.function) ||
            strcmp(a->fault.helper ? a->fault.helper : "", b->fault.helper ? b->fault.helper : ""))
            return "fault names";
        if (a->fault.kind != VM_FAULT_BUDGET && registers_differ(&a->fault, &b->fault))
            return "registers at the fault";
    }
    if (a->memory_bytes != b->memory_bytes || memcmp(a->memory, b->memory, a->memory_bytes))
        return "memory";
    if (a->writable_hash != b->writable_hash)
        return "stack, data or heap";
    return NULL;
}

void t_outcome_text(const struct t_outcome *o, char *out, size_t out_bytes)
{
    if (o->state == VM_STATE_DONE)
        snprintf(out, out_bytes, "r0 0x%" PRIx64, o->r0);
    else
        snprintf(out, out_bytes, "%s 0x%" PRIx32 " @ %" PRIu32, t_fault_names[o->fault.kind],
                 o->fault.address, o->fault.insn);
}

void t_dump(const struct vm_insn *insns, uint32_t count)
{
    char text[128];
    for (uint32_t i = 0; i < count;) {
        uint32_t slots = vm_disasm(NULL, insns, count, i, text, sizeof text);
        fprintf(stderr, "%5" PRIu32 ": %s\n", i, text);
        i += slots;
    }
}
