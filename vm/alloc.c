/* SPDX-License-Identifier: Apache-2.0 */
/* The allocator in force, and how many blocks are out: it may only change when none is. */
#include "vm/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "vm/vm.h"

static void *libc_allocate(void *context, size_t bytes)
{
    (void)context;
    return malloc(bytes);
}

static void *libc_resize(void *context, void *block, size_t bytes)
{
    (void)context;
    return realloc(block, bytes);
}

static void libc_release(void *context, void *block)
{
    (void)context;
    free(block);
}

static const struct vm_allocator libc = {
    .allocate = libc_allocate, .resize = libc_resize, .release = libc_release};
static struct vm_allocator current = {
    .allocate = libc_allocate, .resize = libc_resize, .release = libc_release};
static atomic_size_t blocks;

bool vm_set_allocator(const struct vm_allocator *allocator)
{
    if (atomic_load(&blocks) != 0) {
        return false;
    }
    current = allocator != NULL ? *allocator : libc;
    return true;
}

void *vm_allocate(size_t bytes)
{
    void *block = current.allocate(current.context, bytes != 0 ? bytes : 1);

    if (block != NULL) {
        atomic_fetch_add_explicit(&blocks, 1, memory_order_relaxed);
    }
    return block;
}

void *vm_allocate_zero(size_t count, size_t size)
{
    size_t bytes;
    void *block;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    block = vm_allocate(bytes);
    if (block != NULL) {
        memset(block, 0, bytes);
    }
    return block;
}

void *vm_reallocate(void *block, size_t bytes)
{
    if (block == NULL) {
        return vm_allocate(bytes);
    }
    return current.resize(current.context, block, bytes != 0 ? bytes : 1);
}

char *vm_copy_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = vm_allocate(bytes);

    if (copy != NULL) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

void vm_release(void *block)
{
    if (block != NULL) {
        atomic_fetch_sub_explicit(&blocks, 1, memory_order_relaxed);
        current.release(current.context, block);
    }
}
