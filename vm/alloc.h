/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the library's own: every block of vm/, jit-x86_64/ and loader/ comes from here and so
 * from the host's vm_allocator, if it set one. What is mapped (guest memory, stacks, native code)
 * does not. */
#ifndef VM_ALLOC_H
#define VM_ALLOC_H

#include <stddef.h>

/* NULL when out of memory, never for 0 bytes. Release with vm_release, which takes NULL. */
void *vm_allocate(size_t bytes);
/* Zeroed; NULL also when the product overflows. */
void *vm_allocate_zero(size_t count, size_t size);
/* On NULL the old block is as it was. */
void *vm_reallocate(void *block, size_t bytes);
char *vm_copy_text(const char *text);
void vm_release(void *block);

#endif
