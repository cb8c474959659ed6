/* SPDX-License-Identifier: Apache-2.0 */
/* Executable memory, and the only file that makes any.
 *
 *   guard page | table (r--) | text (r-x), its last page filled up with int3 | guard page
 *
 * Finished text is copied in while the mapping is writable; then it becomes executable, once, and
 * is never writable again. Where it will be is known before it is finished: calls out of it are
 * relative, so the place is sought within their reach. The table starts at `table_bytes` rounded up
 * to pages below the text, so that text can reach it relative to itself.
 */
#ifndef JIT_X86_64_CODE_H
#define JIT_X86_64_CODE_H

#include <stddef.h>
#include <stdint.h>

#include "vm/vm.h"

struct code {
    uint8_t *mapping; /* with its guards, or NULL */
    size_t mapping_bytes;
    uint8_t *text;
    size_t text_bytes;
    size_t table_bytes;
};

/* Bytes from the start of a table of `table_bytes` to the start of the text. */
size_t code_table_room(size_t table_bytes);

/* Finds a place, near the host's function at `anchor` if there is one. VM_ERROR_OK, or
 * VM_ERROR_HOST with errno set and *code empty. */
enum vm_error code_reserve(struct code *code, uintptr_t anchor, size_t table_bytes,
                           size_t text_bytes) VM_MUST_USE;
/* Whether a call from anywhere in the text can reach the host's function at `target`. */
bool code_reaches(const struct code *code, uintptr_t target);
/* Puts table and text in their places, once. Errors as before; `table` may be NULL with 0 bytes. */
enum vm_error code_fill(struct code *code, const void *table, const uint8_t *text) VM_MUST_USE;
void code_unmap(struct code *code);

#endif
