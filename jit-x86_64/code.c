/* SPDX-License-Identifier: Apache-2.0 */
/* Maps compiled programs, see code.h. No other file may ask for executable memory. */
#include "jit-x86_64/code.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
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

/* ---- the place ------------------------------------------------------------------------------- */

#define NEAR_BYTES   (1ull << 29) /* programs lie that far below what they call, at most */
#define NEAR_TRIES   4
#define NEAR_SPACING (4ull << 20) /* where the next one is tried, so that most tries succeed */

/* The kernel takes the address for a wish. */
static uint8_t *map_at(uintptr_t wish, size_t bytes)
{
    uint8_t *at =
        mmap((void *)wish, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static bool is_near(uintptr_t a, uintptr_t b)
{
    return (a < b ? b - a : a - b) <= INT32_MAX / 2; /* and the text is far smaller than the rest */
}

/* Below the anchor: there is free space under an executable, what grows is above it. */
static uint8_t *map_near(uintptr_t anchor, size_t bytes)
{
    static atomic_size_t used;
    for (unsigned i = 0; i < NEAR_TRIES; i++) {
        size_t step = (bytes + NEAR_SPACING - 1) / NEAR_SPACING * NEAR_SPACING;
        uintptr_t below = (atomic_fetch_add(&used, step) + step) % NEAR_BYTES + NEAR_SPACING;
        if (anchor <= below + VM_GUARD_BYTES) {
            break;
        }
        uint8_t *at = map_at((anchor - below) & ~(uintptr_t)(VM_PAGE_BYTES - 1), bytes);
        if (at == NULL || is_near((uintptr_t)at, anchor)) {
            return at;
        }
        munmap(at, bytes);
    }
    return map_at(0, bytes);
}

enum vm_error code_reserve(struct code *code, uintptr_t anchor, size_t table_bytes,
                           size_t text_bytes)
{
    assert(text_bytes != 0);
    size_t table_room = page_round(table_bytes);
    size_t bytes = VM_PAGE_BYTES + table_room + page_round(text_bytes) + VM_PAGE_BYTES;
    *code = (struct code){.mapping = map_near(anchor, bytes)};
    if (code->mapping == NULL) {
        return VM_ERROR_HOST;
    }
    code->mapping_bytes = bytes;
    code->text = code->mapping + VM_PAGE_BYTES + table_room;
    code->text_bytes = text_bytes;
    code->table_bytes = table_bytes;
    return VM_ERROR_OK;
}

bool code_reaches(const struct code *code, uintptr_t target)
{
    return is_near((uintptr_t)code->text, target);
}

/* ---- its contents -----------------------------------------------------------------------------
 */

static bool fill(const struct code *code, const void *table, const uint8_t *text)
{
    size_t table_room = page_round(code->table_bytes), text_room = page_round(code->text_bytes);
    uint8_t *middle = code->text - table_room;
    if (mprotect(middle, table_room + text_room, PROT_READ | PROT_WRITE) != 0) {
        return false;
    }
    if (code->table_bytes != 0) {
        memcpy(middle, table, code->table_bytes);
    }
    memcpy(code->text, text, code->text_bytes);
    memset(code->text + code->text_bytes, INT3, text_room - code->text_bytes);
    if (table_room != 0 && mprotect(middle, table_room, PROT_READ) != 0) {
        return false;
    }
    return mprotect(code->text, text_room, PROT_READ | PROT_EXEC) == 0;
}

enum vm_error code_fill(struct code *code, const void *table, const uint8_t *text)
{
    if (fill(code, table, text)) {
        return VM_ERROR_OK;
    }
    int saved = errno;
    code_unmap(code);
    errno = saved;
    return VM_ERROR_HOST;
}

void code_unmap(struct code *code)
{
    if (code->mapping != NULL) {
        munmap(code->mapping, code->mapping_bytes);
    }
    *code = (struct code){.mapping = NULL};
}
