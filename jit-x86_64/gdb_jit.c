/* SPDX-License-Identifier: Apache-2.0 */
/* gdb's "JIT compilation interface": a list of object files in memory, and a function that gdb puts
 * a breakpoint on to learn of changes. Names and layout are gdb's. Other compilers in the process
 * may bring the same two symbols, so ours are weak. */
#include <pthread.h>
#include <stdlib.h>

#include "jit-x86_64/symbols.h"
#include "vm/alloc.h"

enum { ACTION_NONE, ACTION_REGISTER, ACTION_UNREGISTER };

struct gdb_entry {
    struct gdb_entry *next;
    struct gdb_entry *previous;
    uint8_t *object;
    uint64_t object_bytes;
};

struct jit_descriptor {
    uint32_t version;
    uint32_t action;
    struct gdb_entry *relevant;
    struct gdb_entry *first;
};

#define FOR_GDB __attribute__((weak, used, visibility("default")))

void __jit_debug_register_code(void);
extern struct jit_descriptor __jit_debug_descriptor;

FOR_GDB struct jit_descriptor __jit_debug_descriptor = {.version = 1, .action = ACTION_NONE};

FOR_GDB __attribute__((noinline)) void __jit_debug_register_code(void)
{
    __asm__ volatile("" ::: "memory"); /* keeps the call */
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void announce(struct gdb_entry *entry, uint32_t action)
{
    __jit_debug_descriptor.relevant = entry;
    __jit_debug_descriptor.action = action;
    __jit_debug_register_code();
    __jit_debug_descriptor.relevant = NULL;
    __jit_debug_descriptor.action = ACTION_NONE;
}

struct gdb_entry *gdb_entry_add(const struct symbols_input *in)
{
    struct gdb_entry *entry = vm_allocate_zero(1, sizeof *entry);
    size_t bytes = 0;

    if (entry == NULL) {
        return NULL;
    }
    entry->object = gdb_object(in, &bytes);
    entry->object_bytes = bytes;
    if (entry->object == NULL) {
        vm_release(entry);
        return NULL;
    }
    pthread_mutex_lock(&lock);
    entry->next = __jit_debug_descriptor.first;
    if (entry->next != NULL) {
        entry->next->previous = entry;
    }
    __jit_debug_descriptor.first = entry;
    announce(entry, ACTION_REGISTER);
    pthread_mutex_unlock(&lock);
    return entry;
}

void gdb_entry_remove(struct gdb_entry *entry)
{
    if (entry == NULL) {
        return;
    }
    pthread_mutex_lock(&lock);
    if (entry->previous != NULL) {
        entry->previous->next = entry->next;
    } else {
        __jit_debug_descriptor.first = entry->next;
    }
    if (entry->next != NULL) {
        entry->next->previous = entry->previous;
    }
    announce(entry, ACTION_UNREGISTER);
    pthread_mutex_unlock(&lock);
    vm_release(entry->object);
    vm_release(entry);
}
