/* SPDX-License-Identifier: Apache-2.0 */
/* Calls from guest code to the host: arguments are checked here, so that no helper can forget to.
 */
#include <string.h>

#include "vm/run.h"

/* The helper whose call the run is in. */
static const struct vm_helper *current_helper(const struct vm_context *context)
{
    const struct vm_program *program = context->run->image->program;

    return program->helpers[program->ops[context->insn].target];
}

static void refuse(struct vm_context *context, uint32_t argument, uint64_t bytes, const char *text)
    __attribute__((noreturn, cold));

/* `argument` counts from 1; 0: it is none of them. `bytes` of what it points at, 0 for strings. */
static void refuse(struct vm_context *context, uint32_t argument, uint64_t bytes, const char *text)
{
    const struct vm_helper *helper = current_helper(context);
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
static void check_string(struct vm_context *context, uint32_t i, struct vm_arg arg[5])
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
    refuse(context, i + 1, 0, "is not a string: not readable, or not terminated");
}

static inline __attribute__((always_inline)) uint8_t *
range(struct vm_context *context, uint64_t address, uint64_t length, bool write)
{
    struct vm_arena *arena = &context->run->arena;

    return write ? vm_arena_writable(arena, address, length)
                 : vm_arena_readable(arena, address, length);
}

static inline void check_range(struct vm_context *context, struct vm_arg *arg, uint64_t length,
                               bool write)
{
    static uint8_t nothing[1];

    arg->data = length == 0 ? nothing : range(context, arg->value, length, write);
    if (arg->data == NULL) {
        refuse(context, (uint32_t)(arg - context->helper_args) + 1, length,
               write ? "is not writable" : "is not readable");
    }
    arg->length = length;
}

/* A READ span that is not the one in its place of the notes; constants replace that. */
static __attribute__((noinline)) void check_unknown(struct vm_context *context, struct vm_arg *arg,
                                                    uint64_t length, struct vm_note *note)
{
    const struct vm_program *program = context->run->image->program;
    uint32_t at = (uint32_t)arg->value - VM_IMAGE_BASE;

    check_range(context, arg, length, false);
    if (length != 0 && at < program->rodata_bytes) {
        arg->data = program->rodata + at;
        *note = (struct vm_note){.value = arg->value, .length = length, .data = arg->data};
        arg[1].note = &note->word;
    }
}

/* Gives an argument the memory that it points at, so many bytes, and the length behind it the note,
 * if it is to be read. Neither is inlined: what a processor has to fetch to call a helper is to be
 * little. */
static __attribute__((noinline)) void check_read(struct vm_context *context, struct vm_arg *arg,
                                                 uint64_t length, struct vm_note notes[VM_NOTES])
{
    struct vm_note *note = &notes[arg->value / 8 % VM_NOTES];

    if (note->value != arg->value || note->length != length || length == 0) {
        check_unknown(context, arg, length, note);
        return;
    }
    arg->data = note->data;
    arg->length = length;
    arg[1].note = &note->word;
}

static __attribute__((noinline)) void check_write(struct vm_context *context, struct vm_arg *arg,
                                                  uint64_t length)
{
    check_range(context, arg, length, true);
}

/* Two READ arguments of a call, each with a length behind it, have different halves here. */
static struct vm_note *notes_for(struct vm_context *context, uint32_t argument)
{
    return context->notes[argument > 1];
}

/* Argument `i`, counted from 0. */
static inline void check_span(struct vm_context *context, uint32_t i, uint64_t length, bool write)
{
    struct vm_arg *arg = &context->helper_args[i];

    if (write) {
        check_write(context, arg, length);
    } else {
        check_read(context, arg, length, notes_for(context, i));
    }
}

static bool overlap(const struct vm_arg *a, const struct vm_arg *b)
{
    return a->length != 0 && b->length != 0 && a->data < b->data + b->length &&
           b->data < a->data + a->length;
}

static uint64_t span_bytes(const struct vm_helper *helper, uint32_t i, const struct vm_arg arg[5])
{
    uint8_t kind = helper->kind[i];

    if (kind == VM_ARG_WRITE8) {
        return 8;
    }
    return i + 1 < 5 ? arg[i + 1].value : 0;
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

/* Not inlined, or each gate would save a register for it. */
static __attribute__((noinline)) uint64_t yield_with(struct vm_context *context, uint64_t result)
{
    vm_yield(context);
    return result;
}

/* Before a helper's result goes to the guest. */
static inline uint64_t after_helper(struct vm_context *context, uint64_t result)
{
    return atomic_load_explicit(&context->pending, memory_order_relaxed) != 0
               ? yield_with(context, result)
               : result;
}

static void refuse_overlap(struct vm_context *context, uint32_t argument,
                           const struct vm_arg arg[5]) __attribute__((noreturn, cold));

static void refuse_overlap(struct vm_context *context, uint32_t argument,
                           const struct vm_arg arg[5])
{
    refuse(context, argument, arg[argument - 1].length, "overlaps another argument");
}

/* Not inlined, or each call would save the registers of these loops. */
static __attribute__((noinline)) void check_any(struct vm_context *context, struct vm_arg arg[5])
{
    const struct vm_helper *helper = current_helper(context);
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
            check_string(context, i, arg);
        } else if (kind == VM_ARG_READ8) {
            check_range(context, &arg[i], 8, false);
        } else {
            check_span(context, i, span_bytes(helper, i, arg), is_written(kind));
        }
    }
    argument = writes && span_count > 1 ? overlapping(helper, arg) : 0;
    if (argument != 0) {
        refuse_overlap(context, argument, arg);
    }
}

/* Not by an initializer: that would be done by an instruction that takes longer than the whole gate.
 */
static inline void set_empty(struct vm_arg *arg, uint64_t value)
{
    arg->value = value;
    memset(&arg->data, 0, sizeof *arg - offsetof(struct vm_arg, data));
}

uint64_t vm_gate_any(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5,
                     struct vm_context *context, uint32_t index)
{
    struct vm_arg *arg = context->helper_args;

    set_empty(&arg[0], r1);
    set_empty(&arg[1], r2);
    set_empty(&arg[2], r3);
    set_empty(&arg[3], r4);
    set_empty(&arg[4], r5);
    check_any(context, arg);
    return after_helper(context, context->gates[index].fn(context, arg));
}

/* What vm_gate_any does, when the first two arguments are a span of kind `first` with its length,
 * the next two one of kind `third`, or none, and that is all: most helpers are such. Inlined for
 * each such pair, as a processor does not foresee the turns of one for all. */
static inline __attribute__((always_inline)) uint64_t
gate_spans(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5,
           struct vm_context *context, uint32_t index, enum vm_arg_kind first,
           enum vm_arg_kind third)
{
    struct vm_arg *arg = context->helper_args;

    arg[0].value = r1;
    arg[1].value = r2;
    arg[2].value = r3;
    arg[3].value = r4;
    arg[4].value = r5;
    arg[1].note = NULL;
    check_span(context, 0, r2, first == VM_ARG_WRITE);
    if (third != VM_ARG_NONE) {
        arg[3].note = NULL;
        check_span(context, 2, arg[3].value, third == VM_ARG_WRITE);
    }
    /* what has a note lies outside of guest memory */
    if (third == VM_ARG_WRITE && arg[1].note == NULL && overlap(&arg[0], &arg[2])) {
        refuse_overlap(context, 3, arg);
    }
    return after_helper(context, context->gates[index].fn(context, arg));
}

#define GATE(first, third)                                                                         \
    uint64_t vm_gate_##first##_##third(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4,         \
                                       uint64_t r5, struct vm_context *context, uint32_t index)    \
    {                                                                                              \
        return gate_spans(r1, r2, r3, r4, r5, context, index, VM_ARG_##first, VM_ARG_##third);     \
    }
VM_SPAN_GATES(GATE)

uint64_t vm_gate_scalar(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5,
                        struct vm_context *context, uint32_t index)
{
    return after_helper(context, context->gates[index].scalar(r1, r2, r3, r4, r5, context));
}

static bool has_spans(const struct vm_helper *helper, uint8_t first, uint8_t third)
{
    const uint8_t fourth = third == VM_ARG_NONE ? VM_ARG_NONE : VM_ARG_LENGTH;
    const uint8_t kinds[5] = {first, VM_ARG_LENGTH, third, fourth, VM_ARG_NONE};

    return memcmp(helper->kind, kinds, sizeof kinds) == 0;
}

static vm_gate_fn *pass_of(const struct vm_helper *helper)
{
#define CHOOSE(first, third)                                                                       \
    if (has_spans(helper, VM_ARG_##first, VM_ARG_##third)) {                                       \
        return vm_gate_##first##_##third;                                                          \
    }
    VM_SPAN_GATES(CHOOSE)
    return vm_gate_any;
}

struct vm_gate vm_gate_of(const struct vm_helper *helper)
{
    return helper->scalar != NULL
               ? (struct vm_gate){.pass = vm_gate_scalar, .scalar = helper->scalar}
               : (struct vm_gate){.pass = pass_of(helper), .fn = helper->fn};
}

uint64_t vm_helper_call(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5,
                        struct vm_context *context, uint32_t index)
{
    return context->gates[index].pass(r1, r2, r3, r4, r5, context, index);
}

_Static_assert(offsetof(struct vm_context, host) == 0, "vm_context_host reads there");
extern inline void *vm_context_host(const struct vm_context *context);

struct vm_run *vm_context_run(struct vm_context *context)
{
    return context->run;
}

void vm_helper_fault(struct vm_context *context, const char *text)
{
    refuse(context, 0, 0, text);
}

void vm_helper_fault_argument(struct vm_context *context, uint32_t argument, uint64_t bytes,
                              const char *text)
{
    refuse(context, argument, bytes, text);
}

void vm_helper_wait(struct vm_context *context)
{
    vm_run_suspend(context->run, VM_STATE_WAITING);
}

uint8_t *vm_guest_range(struct vm_context *context, uint64_t address, uint64_t length, bool write)
{
    return range(context, address, length, write);
}
