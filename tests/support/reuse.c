/* SPDX-License-Identifier: Apache-2.0 */
/* Reaches into the pool of the thread: a pooled run that belongs to no image is given to the next
 * program with the same layout of memory. Clients of the library have no way to do that. */
#include "tests/support/reuse.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "vm/run.h"

enum { CANARY = 0xa7 };

struct canaries {
    uint8_t *below; /* the page before the reservation, or NULL when it is taken */
    uint8_t *above; /* the page behind it, likewise */
    uint8_t *context;
};

/* ---- memory of earlier programs */

static uint32_t pages(uint32_t bytes)
{
    return (bytes + VM_PAGE_BYTES - 1) / VM_PAGE_BYTES;
}

static bool fits(const struct vm_run *run, const struct vm_program *program)
{
    const struct vm_region *region = run->arena.regions;
    uint32_t rodata = region[VM_REGION_RODATA].end - region[VM_REGION_RODATA].start;
    uint32_t data = region[VM_REGION_DATA].end - region[VM_REGION_DATA].start;
    uint32_t stack = region[VM_REGION_STACK].end - region[VM_REGION_STACK].start;
    return rodata == program->rodata_bytes && data == program->data_bytes_total &&
           stack / VM_PAGE_BYTES == pages(program->stack_bytes) &&
           !memcmp(run->arena.base + VM_IMAGE_BASE, program->rodata, rodata) &&
           !memcmp(run->arena.base + region[VM_REGION_DATA].start, program->data,
                   program->data_bytes);
}

static void adopt(const struct vm_image *image)
{
    for (struct vm_run *run = t_thread()->pool; run; run = run->next)
        if (!run->image && fits(run, image->program)) {
            run->image = image;
            run->arena.program = image->program;
            vm_arena_context(&run->arena)->program = image->program;
            return;
        }
}

/* ---- canaries */

static uint8_t *page_at(uint8_t *address)
{
    uint8_t *page = mmap(address, VM_PAGE_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    memset(page, CANARY, VM_PAGE_BYTES);
    return page;
}

static struct canaries put_canaries(struct vm_run *run)
{
    const struct vm_arena *arena = &run->arena;
    struct canaries c = {.below = page_at(arena->reservation - VM_PAGE_BYTES),
                         .above = page_at(arena->reservation + arena->reservation_bytes),
                         .context = arena->reservation};
    memset(c.context + sizeof(struct vm_context), CANARY,
           VM_PAGE_BYTES - sizeof(struct vm_context));
    return c;
}

static bool intact(const uint8_t *start, size_t bytes)
{
    return start[0] == CANARY && !memcmp(start, start + 1, bytes - 1);
}

/* NULL when all are as they were. */
static const char *take_canaries(const struct canaries *c)
{
    bool below = !c->below || intact(c->below, VM_PAGE_BYTES);
    bool above = !c->above || intact(c->above, VM_PAGE_BYTES);
    if (c->below)
        munmap(c->below, VM_PAGE_BYTES);
    if (c->above)
        munmap(c->above, VM_PAGE_BYTES);
    if (!intact(c->context + sizeof(struct vm_context), VM_PAGE_BYTES - sizeof(struct vm_context)))
        return "the page of the context";
    return below ? above ? NULL : "memory above the window" : "memory below the window";
}

const char *t_run_reusing(const struct vm_image *image, const struct t_input *input,
                          struct t_outcome *out)
{
    struct vm_run *run;
    struct canaries canaries;
    adopt(image);
    run = vm_run_start(t_thread(), image, NULL, NULL);
    assert(run);
    canaries = put_canaries(run);
    t_run_started(run, input, out); /* and back to the pool, which is never emptied meanwhile */
    run->image = NULL;
    return take_canaries(&canaries);
}
