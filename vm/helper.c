/* SPDX-License-Identifier: Apache-2.0 */
/* Calls from guest code to the host: arguments are checked here, so that no helper can forget to.
 */
#include <string.h>

#include "vm/run.h"

static void refuse(struct vm_context *context, const struct vm_helper *helper, uint32_t argument,
                   uint64_t bytes, const char *text) __attribute__((noreturn));

/* `argument` counts from 1; 0: it is none of them. `bytes` of what it points at, 0 for strings. */
static void refuse(struct vm_context *context, const struct vm_helper *helper, uint32_t argument,
                   uint64_t bytes, const char *text)
{
    struct vm_run *run = context->run;

    for (int i = 0; context->regs == context->kept && i < 5; i++) {
        context->kept[1 + i] = context->helper_args[i].value;
    }
    vm_run_trust_kept(run);
    vm_run_set_fault(run, VM_FAULT_HELPER, 0, context->insn);
    run->fault.helper = helper->name;
    run->fault.text = text;
    run->fault.argument = argument;
    if (argument != 0) {
        run->fault.parameters = helper->parameters;
        run->fault.span_start = context->helper_args[argument - 1].value;
        run->fault.span_bytes = bytes;
    }
    vm_run_leave_faulted(run);
}

static bool is_one_of(uint8_t kind, uint32_t kinds)
{
    return (kinds >> kind & 1) != 0;
}

static bool is_span(uint8_t kind)
{
    return !is_one_of(kind, 1u << VM_ARG_NONE | 1u << VM_ARG_SCALAR | 1u << VM_ARG_LENGTH);
}

static bool is_written(uint8_t kind)
{
    return is_one_of(kind, 1u << VM_ARG_WRITE | 1u << VM_ARG_UPDATE | 1u << VM_ARG_WRITE8);
}

/* Finds the NUL of a string that must end inside its region. */
static void check_string(struct vm_context *context, const struct vm_helper *helper, uint32_t i,
                         struct vm_arg arg[5])
{
    const struct vm_arena *arena = &context->run->arena;
    uint32_t address = (uint32_t)arg[i].value;

    for (int j = 0; j < VM_REGION_COUNT; j++) {
        const struct vm_region *r = &arena->regions[j];

        if (address >= r->start && address < r->end) {
            const uint8_t *start = arena->base + address;
            const uint8_t *nul = memchr(start, 0, r->end - address);

            if (nul != NULL) {
                arg[i].data = arena->base + address;
                arg[i].length = (size_t)(nul - start);
                return;
            }
        }
    }
    refuse(context, helper, i + 1, 0, "is not a string: not readable, or not terminated");
}

static inline uint8_t *range(struct vm_context *context, uint64_t address, uint64_t length,
                             bool write)
{
    struct vm_arena *arena = &context->run->arena;

    return write ? vm_arena_writable(arena, address, length)
                 : vm_arena_readable(arena, address, length);
}

static inline void check_range(struct vm_context *context, const struct vm_helper *helper,
                               uint32_t i, uint64_t length, bool write, struct vm_arg arg[5])
{
    static uint8_t nothing[1];

    if (length == 0) {
        arg[i].data = nothing;
        arg[i].length = 0;
        return;
    }
    arg[i].data = range(context, arg[i].value, length, write);
    if (arg[i].data == NULL) {
        refuse(context, helper, i + 1, length, write ? "is not writable" : "is not readable");
    }
    arg[i].length = length;
}

static void check_span(struct vm_context *context, const struct vm_helper *helper, uint32_t i,
                       struct vm_arg arg[5])
{
    uint8_t kind = helper->kind[i];
    uint64_t length = kind == VM_ARG_READ8 || kind == VM_ARG_WRITE8 ? 8
                      : i + 1 < 5                                   ? arg[i + 1].value
                                                                    : 0;

    check_range(context, helper, i, length, is_written(kind), arg);
}

static bool overlap(const struct vm_arg *a, const struct vm_arg *b)
{
    return a->length != 0 && b->length != 0 && a->data < b->data + b->length &&
           b->data < a->data + a->length;
}

/* A span that the helper writes must not lie over another one of the call: the order of its steps
 * would show. Returns the argument, counted from 1, or 0. */
static uint32_t overlapping(const struct vm_helper *helper, const struct vm_arg arg[5])
{
    for (uint32_t i = 0; i < 5; i++) {
        for (uint32_t j = 0; is_written(helper->kind[i]) && j < 5; j++) {
            if (j != i && is_span(helper->kind[j]) && overlap(&arg[i], &arg[j])) {
                return i + 1;
            }
        }
    }
    return 0;
}

/* Before a helper's result goes to the guest. */
static uint64_t after_helper(struct vm_context *context, uint64_t result)
{
    if (atomic_load_explicit(&context->pending, memory_order_relaxed) != 0) {
        vm_yield(context);
    }
    return result;
}

static void refuse_overlap(struct vm_context *context, const struct vm_helper *helper,
                           uint32_t argument, const struct vm_arg arg[5]) __attribute__((noreturn));

static void refuse_overlap(struct vm_context *context, const struct vm_helper *helper,
                           uint32_t argument, const struct vm_arg arg[5])
{
    refuse(context, helper, argument, arg[argument - 1].length, "overlaps another argument");
}

/* Not inlined, or each call would save the registers of these loops. */
static __attribute__((noinline)) void
check_any(struct vm_context *context, const struct vm_helper *helper, struct vm_arg arg[5])
{
    uint32_t span_count = 0;
    bool writes = false;
    uint32_t argument;

    for (uint32_t i = 0; i < 5; i++) {
        uint8_t kind = helper->kind[i];

        if (!is_span(kind)) {
            continue;
        }
        span_count++;
        writes = writes || is_written(kind);
        if (kind == VM_ARG_CSTR) {
            check_string(context, helper, i, arg);
        } else {
            check_span(context, helper, i, arg);
        }
    }
    argument = writes && span_count > 1 ? overlapping(helper, arg) : 0;
    if (argument != 0) {
        refuse_overlap(context, helper, argument, arg);
    }
}

#define KINDS(a, b, c, d)                                                                          \
    (VM_ARG_##a | VM_ARG_##b << 8 | VM_ARG_##c << 16 | (uint64_t)VM_ARG_##d << 24)

/* What check_any does, at once for the kinds of arguments that most helpers have: a processor does
 * not foresee the turns of its loops, as one call is not like the next. */
static void check_args(struct vm_context *context, const struct vm_helper *helper,
                       struct vm_arg arg[5])
{
    const uint8_t *kind = helper->kind;
    uint64_t kinds = kind[0] | (uint64_t)kind[1] << 8 | (uint64_t)kind[2] << 16 |
                     (uint64_t)kind[3] << 24 | (uint64_t)kind[4] << 32;

    switch (kinds) {
    case KINDS(READ, LENGTH, NONE, NONE):
        check_range(context, helper, 0, arg[1].value, false, arg);
        break;
    case KINDS(WRITE, LENGTH, NONE, NONE):
        check_range(context, helper, 0, arg[1].value, true, arg);
        break;
    case KINDS(READ, LENGTH, READ, LENGTH):
        check_range(context, helper, 0, arg[1].value, false, arg);
        check_range(context, helper, 2, arg[3].value, false, arg);
        break;
    case KINDS(READ, LENGTH, WRITE, LENGTH):
        check_range(context, helper, 0, arg[1].value, false, arg);
        check_range(context, helper, 2, arg[3].value, true, arg);
        if (overlap(&arg[0], &arg[2])) {
            refuse_overlap(context, helper, 3, arg);
        }
        break;
    default: check_any(context, helper, arg); break;
    }
}

/* An initializer of all five would have it done by an instruction that takes longer than the
 * whole gate. */
static inline void set_arg(struct vm_arg *arg, uint64_t value)
{
    arg->value = value;
    memset(&arg->data, 0, sizeof *arg - offsetof(struct vm_arg, data));
}

uint64_t vm_helper_call(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5,
                        struct vm_context *context, uint32_t index)
{
    const struct vm_helper *helper = context->program->helpers[index];
    struct vm_arg *arg = context->helper_args;

    if (helper->scalar != NULL) {
        return after_helper(context, helper->scalar(r1, r2, r3, r4, r5, context));
    }
    set_arg(&arg[0], r1);
    set_arg(&arg[1], r2);
    set_arg(&arg[2], r3);
    set_arg(&arg[3], r4);
    set_arg(&arg[4], r5);
    check_args(context, helper, arg);
    return after_helper(context, helper->fn(context, arg));
}

void *vm_context_host(const struct vm_context *context)
{
    return context->host;
}

struct vm_run *vm_context_run(struct vm_context *context)
{
    return context->run;
}

/* The helper whose call the run is in. */
static const struct vm_helper *current_helper(const struct vm_context *context)
{
    return context->program->helpers[context->program->ops[context->insn].target];
}

void vm_helper_fault(struct vm_context *context, const char *text)
{
    refuse(context, current_helper(context), 0, 0, text);
}

void vm_helper_fault_argument(struct vm_context *context, uint32_t argument, uint64_t bytes,
                              const char *text)
{
    refuse(context, current_helper(context), argument, bytes, text);
}

void vm_helper_wait(struct vm_context *context)
{
    vm_run_suspend(context->run, VM_STATE_WAITING);
}

uint8_t *vm_guest_range(struct vm_context *context, uint64_t address, uint64_t length, bool write)
{
    return range(context, address, length, write);
}
