/* SPDX-License-Identifier: Apache-2.0 */
/* Reaches into runs: the same two take up one program after the other. Arenas are laid out for the
 * first program that needs so many pages of stack, with constants and data; those after it bring
 * instructions alone. Clients of the library have no way to do that. */
#include "tests/support/twins.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/canary.h"
#include "vm/run.h"

enum { STACK_PAGES_MAX = VM_STACK_BYTES / VM_PAGE_BYTES };

struct twin {
    struct vm_run *run;
    struct t_canaries canaries;
};

struct twins {
    struct vm_program *layout; /* what the arenas are laid out for; NULL when there are none yet */
    struct twin twin[T_TWINS];
};

static struct twins all[STACK_PAGES_MAX + 1]; /* by pages of stack */
static struct twins *last;                    /* that ran */
static bool unforeseen; /* one of them wrote where vm_arena_restore would not clear its stack */

/* ---- set-up */

static struct twin make_twin(const struct vm_image *image)
{
    struct twin t = {.run = vm_run_start(t_thread(), image, NULL, NULL)};
    assert(t.run);
    t.canaries = t_canaries_put(&t.run->arena);
    return t;
}

static uint32_t page_up(uint32_t bytes)
{
    return (bytes + VM_PAGE_BYTES - 1) & ~(VM_PAGE_BYTES - 1);
}

static struct twins *twins_for(const struct t_code *code, const struct vm_program *program)
{
    struct twins *t = &all[page_up(program->stack_bytes) / VM_PAGE_BYTES];
    if (t->layout)
        return t;
    struct vm_diag diag;
    t->layout = t_generated_program(code, &diag);
    struct vm_image *image = t->layout ? vm_image_create(&vm_interp, t->layout, &diag) : NULL;
    assert(image);
    for (unsigned i = 0; i < T_TWINS; i++)
        t->twin[i] = make_twin(image);
    vm_image_free(image);
    return t;
}

/* ---- running */

/* The heap stays mapped from the first program on, with as many bytes for all. */
static void begin(struct vm_run *run, const struct vm_image *image, const struct t_input *input)
{
    uint8_t *memory;
    vm_run_set_image(run, image);
    /* the arena does not know what programs it had and gets */
    run->arena.stack_low = run->arena.regions[VM_REGION_STACK].start;
    run->arena.stack_pristine = VM_STACK_TOP;
    vm_arena_rewind(&run->arena);
    vm_run_begin(run, NULL, NULL);
    uint32_t address = vm_run_heap_alloc(run, input->memory_bytes, &memory);
    assert(address);
    memcpy(memory, input->memory, input->memory_bytes);
    vm_run_set_args(run, (const uint64_t[5]){address, input->memory_bytes});
}

static void finish(struct vm_run *run, struct t_outcome *out)
{
    out->preemptions = out->waits = 0;
    while ((out->state = vm_run_resume(run)) >= VM_STATE_PREEMPTED) {
        out->preemptions += out->state == VM_STATE_PREEMPTED;
        out->waits += out->state == VM_STATE_WAITING;
    }
    out->r0 = out->state == VM_STATE_DONE ? vm_run_result(run) : 0;
    out->fault = *vm_run_fault(run);
    out->memory_bytes = 0;
    out->writable_hash = 0;
}

static bool has_unforeseen(const struct vm_run *run)
{
    const struct vm_region *stack = &run->arena.regions[VM_REGION_STACK];
    uint32_t low = VM_STACK_TOP - run->image->program->stored_bytes;
    low = low < run->arena.stack_low ? low : run->arena.stack_low;
    for (uint32_t at = stack->start; at < low; at++)
        if (run->arena.base[at] != 0)
            return true;
    return false;
}

void t_twins_run(const struct t_code *code, const struct vm_image *const images[T_TWINS],
                 const struct t_input *input, struct t_outcome outcomes[T_TWINS])
{
    last = twins_for(code, images[0]->program);
    for (unsigned i = 0; i < T_TWINS; i++) {
        begin(last->twin[i].run, images[i], input);
        finish(last->twin[i].run, &outcomes[i]);
    }
    unforeseen = has_unforeseen(last->twin[0].run); /* the other one's stack is the same */
}

/* ---- looking at what they left */

static const char *const region_names[VM_REGION_COUNT] = {"constants", "data", "stack", "heap"};

static bool region_differs(int region, char *detail, size_t detail_bytes)
{
    const struct vm_arena *a = &last->twin[0].run->arena, *b = &last->twin[1].run->arena;
    uint32_t start = a->regions[region].start;
    uint32_t bytes = page_up(a->regions[region].end - start);
    uint64_t word[2];
    if (region == VM_REGION_RODATA || !memcmp(a->base + start, b->base + start, bytes))
        return false;
    for (uint32_t at = start;; at += sizeof word[0]) {
        memcpy(&word[0], a->base + at, sizeof word[0]);
        memcpy(&word[1], b->base + at, sizeof word[1]);
        if (word[0] != word[1]) {
            snprintf(detail, detail_bytes, "0x%" PRIx32 " holds 0x%" PRIx64 " and 0x%" PRIx64, at,
                     word[0], word[1]);
            return true;
        }
    }
}

const char *t_twins_difference(const struct t_outcome outcomes[T_TWINS], char *detail,
                               size_t detail_bytes)
{
    const char *difference = t_difference(&outcomes[0], &outcomes[1]);
    detail[0] = '\0';
    if (difference)
        return difference;
    if (outcomes[0].waits != outcomes[1].waits)
        return "how often it waited";
    if (outcomes[0].state == VM_STATE_DONE &&
        vm_arena_context(&last->twin[0].run->arena)->depth_left !=
            vm_arena_context(&last->twin[1].run->arena)->depth_left)
        return "how deep calls may nest";
    for (int region = 0; region < VM_REGION_COUNT; region++)
        if (region_differs(region, detail, detail_bytes))
            return region_names[region];
    return NULL;
}

const char *t_twins_harm(void)
{
    const char *harm = unforeseen ? "the stack was written to where nobody would clear it" : NULL;
    for (unsigned i = 0; i < T_TWINS && !harm; i++)
        harm = t_canaries_harm(&last->twin[i].canaries);
    return harm;
}
