/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: a 4 GiB-aligned window between guards, and the only code that maps it. See the map
 * in vm/limits.h. */
#ifndef VM_ARENA_H
#define VM_ARENA_H

#include <string.h>

#include "vm/engine.h"

enum { VM_REGION_RODATA, VM_REGION_DATA, VM_REGION_STACK, VM_REGION_HEAP, VM_REGION_COUNT };

/* Mapped guest memory [start, end). All but the constants are writable. */
struct vm_region {
    uint32_t start;
    uint32_t end;
};

/* What each run needs comes first. */
struct vm_arena {
    uint8_t *base; /* guest address 0 */
    struct vm_region regions[VM_REGION_COUNT];
    uint32_t stack_pristine; /* of the stack, no instruction writes to anything below */
    uint32_t stack_low;      /* nor was anything below this given to a helper to be written */
    uint32_t heap_used;      /* bytes given out */
    uint32_t heap_bytes_max;
    const struct vm_program *program;
    uint8_t *reservation; /* PROT_NONE but for what is mapped below */
    size_t reservation_bytes;
};

/* Maps an arena for `program`, pristine. False: *diag filled, nothing kept. */
bool vm_arena_create(struct vm_arena *arena, const struct vm_program *program,
                     uint32_t heap_bytes_max, struct vm_diag *diag) VM_MUST_USE;
/* Makes a pristine arena one of `program`, for which it has the right memory. */
void vm_arena_set_program(struct vm_arena *arena, const struct vm_program *program);
void vm_arena_destroy(struct vm_arena *arena);
/* Of vm_arena_restore, what few programs need: all but the stack. */
void vm_arena_restore_others(struct vm_arena *arena);
/* As vm_arena_restore for the next run of a batch: the heap stays mapped, so that its size may
 * show. */
void vm_arena_rewind(struct vm_arena *arena);
/* See vm_run_heap_alloc. */
uint32_t vm_arena_heap_alloc(struct vm_arena *arena, uint32_t bytes, uint8_t **host);
/* Whether some of `bytes` from `address` on cannot be read, as the processor sees it: by the page.
 * The first that cannot is *unmapped. Addresses count from the base. Async-signal-safe. */
bool vm_arena_unmapped(const struct vm_arena *arena, int64_t address, uint32_t bytes,
                       int64_t *unmapped);
/* Whether all of [address, address + length) is in the region. */
static inline bool vm_region_has(const struct vm_region *region, uint32_t address, uint64_t length)
{
    return address >= region->start && address < region->end && length <= region->end - address;
}

/* Host address of memory that is readable, or NULL. */
static inline uint8_t *vm_arena_readable(const struct vm_arena *arena, uint64_t address,
                                         uint64_t length)
{
    const struct vm_region *regions = arena->regions;
    uint32_t start = (uint32_t)address;
    /* The last that does not begin above it, found without a branch that goes either way. */
    size_t i = (size_t)(start >= regions[VM_REGION_DATA].start) + (start >= VM_STACK_BOTTOM) +
               (start >= VM_HEAP_BASE);

    return vm_region_has(&regions[i], start, length) ? arena->base + start : NULL;
}

/* The same of what is going to be written, which is no constant. */
static inline uint8_t *vm_arena_writable(struct vm_arena *arena, uint64_t address, uint64_t length)
{
    const struct vm_region *regions = arena->regions;
    uint32_t start = (uint32_t)address;

    if (start >= VM_STACK_BOTTOM && start < VM_STACK_TOP) {
        if (!vm_region_has(&regions[VM_REGION_STACK], start, length)) {
            return NULL;
        }
        if (start < arena->stack_low) {
            arena->stack_low = start;
        }
        return arena->base + start;
    }
    const struct vm_region *region =
        &regions[start >= VM_HEAP_BASE ? VM_REGION_HEAP : VM_REGION_DATA];
    return vm_region_has(region, start, length) ? arena->base + start : NULL;
}

/* Undoes what a run wrote to the stack. Of most programs it is little, which is cleared without a
 * call, in blocks: they divide pages, so that no block is mapped in part. Nothing to clear must not
 * become a call: clearing 0 bytes of what is not mapped takes long. */
static inline void vm_arena_restore_stack(struct vm_arena *arena)
{
    enum { BLOCK = 64, CALL_FROM = 512 };
    uint32_t low = arena->stack_low & ~(BLOCK - 1u);

    arena->stack_low = arena->stack_pristine;
    if (VM_STACK_TOP - low >= CALL_FROM) {
        memset(arena->base + low, 0, VM_STACK_TOP - low);
        return;
    }
    for (; low != VM_STACK_TOP; low += BLOCK) {
        memset(arena->base + low, 0, BLOCK);
        __asm__(""); /* or the compiler makes the loop a call */
    }
}

/* Undoes all that a run wrote. */
static inline void vm_arena_restore(struct vm_arena *arena)
{
    const struct vm_region *regions = arena->regions;

    vm_arena_restore_stack(arena);
    if (regions[VM_REGION_DATA].start != regions[VM_REGION_DATA].end ||
        regions[VM_REGION_HEAP].end != VM_HEAP_BASE) {
        vm_arena_restore_others(arena);
    }
}

/* The context below the window. What is below it, VM_FIBER_STACK_BYTES, is for a native stack. */
static inline struct vm_context *vm_arena_context(const struct vm_arena *arena)
{
    return (struct vm_context *)(void *)(arena->base - VM_CONTEXT_BELOW);
}

enum {
    VM_ARENA_BESIDE = (sizeof(struct vm_context) + 63) & ~63u,
    VM_ARENA_BESIDE_BYTES = VM_CONTEXT_BELOW % VM_PAGE_BYTES - VM_ARENA_BESIDE
};
/* The rest of the context's page, zeroed at first: for what is used together with it. It lives as
 * long as the arena. */
static inline void *vm_arena_beside(const struct vm_arena *arena)
{
    return (uint8_t *)vm_arena_context(arena) + VM_ARENA_BESIDE;
}

#endif
