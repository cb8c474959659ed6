/* SPDX-License-Identifier: Apache-2.0 */
/* Reaches into the pool of the thread: a pooled run that belongs to no image is given to the next
 * program with the same layout of memory. Clients of the library have no way to do that. */
#include "tests/support/reuse.h"

#include <assert.h>
#include <string.h>

#include "tests/support/canary.h"
#include "vm/run.h"

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

/* Takes a run that fits and has no image off this list. NULL: there is none. */
static struct vm_run *take(struct vm_run **list, const struct vm_program *program)
{
    for (struct vm_run **link = list; *link; link = &(*link)->next) {
        struct vm_run *run = *link;
        if (!run->image && fits(run, program)) {
            *link = run->next;
            return run;
        }
    }
    return NULL;
}

static void adopt(const struct vm_image *image)
{
    struct vm_run **pool = vm_pool_of(t_thread(), image);
    struct vm_run *run = NULL;
    for (uint32_t i = 0; !run && i < VM_POOL_LISTS; i++)
        run = take(&t_thread()->pool[i], image->program);
    if (run) {
        vm_run_set_image(run, image);
        run->next = *pool;
        *pool = run;
    }
}

const char *t_run_reusing(const struct vm_image *image, const struct t_input *input,
                          struct t_outcome *out)
{
    struct vm_run *run;
    struct t_canaries canaries;
    const char *harm;
    adopt(image);
    run = vm_run_start(t_thread(), image, NULL, NULL);
    assert(run);
    canaries = t_canaries_put(&run->arena);
    t_run_started(run, input, out); /* and back to the pool, which is never emptied meanwhile */
    run->image = NULL;
    harm = t_canaries_harm(&canaries);
    t_canaries_drop(&canaries);
    return harm;
}
