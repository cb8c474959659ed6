/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/canary.h"

#include <string.h>
#include <sys/mman.h>

#include "vm/run.h"

enum {
    CANARY = 0xa7,
    BEHIND = VM_ARENA_BESIDE + sizeof(struct vm_run),
    BEHIND_BYTES = VM_ARENA_BESIDE + VM_ARENA_BESIDE_BYTES - BEHIND
};

static uint8_t *page_at(uint8_t *address)
{
    uint8_t *page = mmap(address, VM_PAGE_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    memset(page, CANARY, VM_PAGE_BYTES);
    return page;
}

struct t_canaries t_canaries_put(const struct vm_arena *arena)
{
    struct t_canaries c = {.below = page_at(arena->reservation - VM_PAGE_BYTES),
                           .above = page_at(arena->reservation + arena->reservation_bytes),
                           .context = (uint8_t *)vm_arena_context(arena)};
    memset(c.context + BEHIND, CANARY, BEHIND_BYTES);
    return c;
}

static bool intact(const uint8_t *start, size_t bytes)
{
    return start[0] == CANARY && !memcmp(start, start + 1, bytes - 1);
}

const char *t_canaries_harm(const struct t_canaries *c)
{
    if (!intact(c->context + BEHIND, BEHIND_BYTES))
        return "the page of the context was written to";
    if (c->below && !intact(c->below, VM_PAGE_BYTES))
        return "memory below the window was written to";
    if (c->above && !intact(c->above, VM_PAGE_BYTES))
        return "memory above the window was written to";
    return NULL;
}

void t_canaries_drop(const struct t_canaries *c)
{
    if (c->below)
        munmap(c->below, VM_PAGE_BYTES);
    if (c->above)
        munmap(c->above, VM_PAGE_BYTES);
}
