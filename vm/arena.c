/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory. An address outside the regions is never mapped, so that a stray access faults and
 * nothing of the host is in reach:
 *
 *   guard page | native stack, context, run | guard 64 KiB | window 4 GiB | guard 64 KiB
 *                               base - 126 KiB                base (4 GiB aligned)
 */
#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "vm/arena.h"
#include "vm/fiber.h"

/* What is mapped below the window ends so far from its base, behind the page of the context. */
#define MAPPED_END     (VM_CONTEXT_BELOW / VM_PAGE_BYTES * VM_PAGE_BYTES)
#define MAPPED_BYTES   (VM_FIBER_STACK_BYTES + VM_PAGE_BYTES)
#define RESERVED_BELOW (MAPPED_END + MAPPED_BYTES + VM_PAGE_BYTES)

_Static_assert(sizeof(struct vm_context) <= VM_CONTEXT_BELOW % VM_PAGE_BYTES,
               "the context ends on its page");
_Static_assert(MAPPED_END >= VM_GUARD_BYTES, "the guard keeps its width");
_Static_assert(VM_FIBER_STACK_BYTES % VM_PAGE_BYTES == 0, "whole pages are mapped");

static uint32_t page_up(uint32_t bytes)
{
    return (bytes + VM_PAGE_BYTES - 1) & ~(VM_PAGE_BYTES - 1);
}

/* Reserves address space and finds the aligned base in it. */
static bool reserve(struct vm_arena *arena)
{
    size_t bytes = 2 * VM_WINDOW_BYTES + RESERVED_BELOW + VM_GUARD_BYTES;
    uint8_t *start =
        mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uintptr_t base;
    size_t lead;

    if (start == MAP_FAILED) {
        return false;
    }
    base = ((uintptr_t)start + RESERVED_BELOW + VM_WINDOW_BYTES - 1) & ~(VM_WINDOW_BYTES - 1);
    lead = base - RESERVED_BELOW - (uintptr_t)start;
    if (lead != 0) {
        munmap(start, lead);
    }
    arena->reservation = (uint8_t *)base - RESERVED_BELOW;
    arena->reservation_bytes = RESERVED_BELOW + VM_WINDOW_BYTES + VM_GUARD_BYTES;
    arena->base = (uint8_t *)base;
    munmap(arena->reservation + arena->reservation_bytes, bytes - lead - arena->reservation_bytes);
    return true;
}

static bool map_region(struct vm_arena *arena, int region, uint32_t start, uint32_t bytes)
{
    arena->regions[region] = (struct vm_region){start, start + bytes};
    return bytes == 0 || mprotect(arena->base + start, page_up(bytes), PROT_READ | PROT_WRITE) == 0;
}

static bool map_rodata(struct vm_arena *arena, const struct vm_program *program)
{
    uint32_t bytes = program->rodata_bytes;

    arena->regions[VM_REGION_RODATA] = (struct vm_region){VM_IMAGE_BASE, VM_IMAGE_BASE + bytes};
    return bytes == 0 || mmap(arena->base + VM_IMAGE_BASE, page_up(bytes), PROT_READ,
                              MAP_SHARED | MAP_FIXED, program->rodata_fd, 0) != MAP_FAILED;
}

/* Maps what the program needs. Only the stack it can use is mapped, so restoring the rest is never
 * needed. */
static bool map_regions(struct vm_arena *arena, const struct vm_program *program)
{
    uint32_t stack = page_up(program->stack_bytes);

    return mprotect(arena->reservation + VM_PAGE_BYTES, MAPPED_BYTES, PROT_READ | PROT_WRITE) ==
               0 &&
           map_rodata(arena, program) &&
           map_region(arena, VM_REGION_DATA, vm_data_address(program->rodata_bytes),
                      program->data_bytes_total) &&
           map_region(arena, VM_REGION_STACK, VM_STACK_TOP - stack, stack) &&
           map_region(arena, VM_REGION_HEAP, VM_HEAP_BASE, 0);
}

void vm_arena_set_program(struct vm_arena *arena, const struct vm_program *program)
{
    uint32_t start = arena->regions[VM_REGION_STACK].start;
    uint32_t low = VM_STACK_TOP - program->stored_bytes;

    arena->program = program;
    arena->stack_pristine = low < start ? start : low;
    arena->stack_low = arena->stack_pristine;
}

bool vm_arena_create(struct vm_arena *arena, const struct vm_program *program,
                     uint32_t heap_bytes_max, struct vm_diag *diag)
{
    struct vm_context *context;

    assert(heap_bytes_max <= VM_HEAP_BYTES_MAX);
    *arena = (struct vm_arena){.program = program, .heap_bytes_max = heap_bytes_max};
    if (!reserve(arena) || !map_regions(arena, program)) {
        (void)vm_diag_set(diag, VM_ERROR_HOST, VM_NO_INSN, "cannot map guest memory: %m");
        vm_arena_destroy(arena);
        return false;
    }
    if (program->data_bytes != 0) {
        memcpy(arena->base + arena->regions[VM_REGION_DATA].start, program->data,
               program->data_bytes);
    }
    vm_arena_set_program(arena, program);
    context = vm_arena_context(arena);
    context->base = arena->base;
    return true;
}

void vm_arena_destroy(struct vm_arena *arena)
{
    if (arena->reservation != NULL) {
        munmap(arena->reservation, arena->reservation_bytes);
        arena->reservation = NULL;
    }
}

/* Clears and unmaps what the run had: how large one run's heap was must not show in the next. */
static void shrink_heap(struct vm_arena *arena)
{
    struct vm_region *heap = &arena->regions[VM_REGION_HEAP];
    size_t bytes = heap->end - heap->start;

    memset(arena->base + heap->start, 0, bytes);
    if (mprotect(arena->base + heap->start, bytes, PROT_NONE) == 0) {
        heap->end = heap->start;
    }
    arena->heap_used = 0;
}

static void restore_data(struct vm_arena *arena)
{
    const struct vm_program *program = arena->program;
    const struct vm_region *data = &arena->regions[VM_REGION_DATA];
    uint32_t bytes = page_up(data->end - data->start);

    if (bytes == 0) {
        return;
    }
    if (program->data_bytes != 0) {
        memcpy(arena->base + data->start, program->data, program->data_bytes);
    }
    /* to the end of the page: the guest can write there too */
    if (bytes != program->data_bytes) {
        memset(arena->base + data->start + program->data_bytes, 0, bytes - program->data_bytes);
    }
}

void vm_arena_restore_others(struct vm_arena *arena)
{
    restore_data(arena);
    if (arena->regions[VM_REGION_HEAP].end != VM_HEAP_BASE) {
        shrink_heap(arena);
    }
}

void vm_arena_rewind(struct vm_arena *arena)
{
    const struct vm_region *heap = &arena->regions[VM_REGION_HEAP];

    vm_arena_restore_stack(arena);
    restore_data(arena);
    if (heap->end != heap->start) {
        memset(arena->base + heap->start, 0, heap->end - heap->start);
    }
    arena->heap_used = 0;
}

uint32_t vm_arena_heap_alloc(struct vm_arena *arena, uint32_t bytes, uint8_t **host)
{
    struct vm_region *heap = &arena->regions[VM_REGION_HEAP];
    uint64_t end = (uint64_t)arena->heap_used + ((uint64_t)bytes + 15) / 16 * 16;
    uint32_t at = VM_HEAP_BASE + arena->heap_used;

    if (end > arena->heap_bytes_max) {
        return 0;
    }
    if (VM_HEAP_BASE + end > heap->end) {
        uint32_t grown = page_up((uint32_t)end);

        if (mprotect(arena->base + VM_HEAP_BASE, grown, PROT_READ | PROT_WRITE) != 0) {
            return 0;
        }
        heap->end = VM_HEAP_BASE + grown;
    }
    arena->heap_used = (uint32_t)end;
    if (host != NULL) {
        *host = arena->base + at;
    }
    return at;
}

static bool is_mapped(const struct vm_arena *arena, int64_t address)
{
    for (int i = 0; i < VM_REGION_COUNT; i++) {
        const struct vm_region *r = &arena->regions[i];

        if (r->start != r->end && address >= r->start && address < page_up(r->end)) {
            return true;
        }
    }
    return false;
}

bool vm_arena_unmapped(const struct vm_arena *arena, int64_t address, uint32_t bytes,
                       int64_t *unmapped)
{
    int64_t last = address + bytes - 1;

    *unmapped = is_mapped(arena, address) ? last & ~(int64_t)(VM_PAGE_BYTES - 1) : address;
    return !is_mapped(arena, *unmapped);
}
