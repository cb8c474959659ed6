/* SPDX-License-Identifier: Apache-2.0 */
/* Calls from guest code to the host: arguments are checked here, so that no helper can forget to.
 */
#include <string.h>

#include "vm/run.h"

static void refuse(struct vm_context *context, const struct vm_helper *helper, const char *text)
    __attribute__((noreturn));

static void refuse(struct vm_context *context, const struct vm_helper *helper, const char *text)
{
    struct vm_run *run = context->run;

    vm_run_set_fault(run, VM_FAULT_HELPER, 0, context->insn);
    run->fault.helper = helper->name;
    run->fault.text = text;
    vm_run_leave_faulted(run);
}

static bool is_span(uint8_t kind)
{
    return kind != VM_ARG_NONE && kind != VM_ARG_SCALAR && kind != VM_ARG_LENGTH;
}

static bool is_written(uint8_t kind)
{
    return kind == VM_ARG_WRITE || kind == VM_ARG_UPDATE || kind == VM_ARG_WRITE8;
}

/* Finds the NUL of a string that must end inside its region. */
static void check_string(struct vm_context *context, const struct vm_helper *helper,
                         struct vm_arg *arg)
{
    const struct vm_arena *arena = &context->run->arena;
    uint32_t address = (uint32_t)arg->value;

    for (int i = 0; i < VM_REGION_COUNT; i++) {
        const struct vm_region *r = &arena->regions[i];

        if (address >= r->start && address < r->end) {
            const uint8_t *start = arena->base + address;
            const uint8_t *nul = memchr(start, 0, r->end - address);

            if (nul != NULL) {
                arg->data = arena->base + address;
                arg->length = (size_t)(nul - start);
                return;
            }
        }
    }
    refuse(context, helper, "string is not readable, or not terminated");
}

static void check_span(struct vm_context *context, const struct vm_helper *helper, int i,
                       struct vm_arg arg[5])
{
    static uint8_t nothing[1];
    uint8_t kind = helper->kind[i];
    uint64_t length = kind == VM_ARG_READ8 || kind == VM_ARG_WRITE8 ? 8
                      : i + 1 < 5                                   ? arg[i + 1].value
                                                                    : 0;

    if (length == 0) {
        arg[i].data = nothing;
        arg[i].length = 0;
        return;
    }
    arg[i].data = vm_arena_range(&context->run->arena, arg[i].value, length, is_written(kind));
    if (arg[i].data == NULL) {
        refuse(context, helper,
               is_written(kind) ? "memory is not writable" : "memory is not readable");
    }
    arg[i].length = length;
}

/* A span that the helper writes must not lie over another one of the call: the order of its steps
 * would show. */
static bool overlaps(const struct vm_helper *helper, const struct vm_arg arg[5])
{
    for (int i = 0; i < 5; i++) {
        for (int j = 0; is_written(helper->kind[i]) && j < 5; j++) {
            if (j != i && is_span(helper->kind[j]) && arg[i].length != 0 && arg[j].length != 0 &&
                arg[i].data < arg[j].data + arg[j].length &&
                arg[j].data < arg[i].data + arg[i].length) {
                return true;
            }
        }
    }
    return false;
}

uint64_t vm_helper_call(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5,
                        struct vm_context *context, uint32_t index)
{
    const struct vm_helper *helper = context->program->helpers[index];
    struct vm_arg arg[5] = {
        {.value = r1}, {.value = r2}, {.value = r3}, {.value = r4}, {.value = r5}};
    uint64_t result;

    for (int i = 0; i < 5; i++) {
        if (helper->kind[i] == VM_ARG_CSTR) {
            check_string(context, helper, &arg[i]);
        } else if (is_span(helper->kind[i])) {
            check_span(context, helper, i, arg);
        }
    }
    if (overlaps(helper, arg)) {
        refuse(context, helper, "output overlaps another argument");
    }
    result = helper->fn(context, arg);
    if (atomic_load_explicit(&context->pending, memory_order_relaxed) != 0) {
        vm_yield(context);
    }
    return result;
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
    refuse(context, current_helper(context), text);
}

void vm_helper_wait(struct vm_context *context)
{
    vm_run_suspend(context->run, VM_STATE_WAITING);
}

uint8_t *vm_guest_range(struct vm_context *context, uint64_t address, uint64_t length, bool write)
{
    return vm_arena_range(&context->run->arena, address, length, write);
}
