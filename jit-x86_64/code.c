/* SPDX-License-Identifier: Apache-2.0 */
/* Maps compiled programs, see code.h. No other file may ask for executable memory. */
#include "jit-x86_64/code.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vm/limits.h"

#define INT3 0xcc

static size_t page_round(size_t bytes)
{
    return (bytes + VM_PAGE_BYTES - 1) & ~(size_t)(VM_PAGE_BYTES - 1);
}

size_t code_table_room(size_t table_bytes)
{
    return page_round(table_bytes);
}

/* Fills the writable middle of the mapping and seals it. */
static bool fill(uint8_t *middle, const void *table, size_t table_bytes, const uint8_t *text,
                 size_t text_bytes)
{
    size_t table_room = page_round(table_bytes), text_room = page_round(text_bytes);
    if (mprotect(middle, table_room + text_room, PROT_READ | PROT_WRITE) != 0) {
        return false;
    }
    if (table_bytes != 0) {
        memcpy(middle, table, table_bytes);
    }
    uint8_t *start = middle + table_room;
    memcpy(start, text, text_bytes);
    memset(start + text_bytes, INT3, text_room - text_bytes);
    if (table_room != 0 && mprotect(middle, table_room, PROT_READ) != 0) {
        return false;
    }
    return mprotect(start, text_room, PROT_READ | PROT_EXEC) == 0;
}

enum vm_error code_map(struct code *code, const void *table, size_t table_bytes,
                       const uint8_t *text, size_t text_bytes)
{
    assert(text_bytes != 0);
    size_t table_room = page_round(table_bytes);
    size_t bytes = VM_PAGE_BYTES + table_room + page_round(text_bytes) + VM_PAGE_BYTES;
    *code = (struct code){.mapping = NULL};
    uint8_t *mapping = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) {
        return VM_ERROR_HOST;
    }
    if (!fill(mapping + VM_PAGE_BYTES, table, table_bytes, text, text_bytes)) {
        int saved = errno;
        munmap(mapping, bytes);
        errno = saved;
        return VM_ERROR_HOST;
    }
    *code = (struct code){.mapping = mapping,
                          .mapping_bytes = bytes,
                          .text = mapping + VM_PAGE_BYTES + table_room,
                          .text_bytes = text_bytes};
    return VM_ERROR_OK;
}

void code_unmap(struct code *code)
{
    if (code->mapping != NULL) {
        munmap(code->mapping, code->mapping_bytes);
    }
    *code = (struct code){.mapping = NULL};
}
