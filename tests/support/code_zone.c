/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/code_zone.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm/limits.h"

enum {
    ZONE_BYTES = 1 << 20, /* places are taken in turn, so that no line just executed is written */
    PROGRAM_BYTES_MAX = ZONE_BYTES / 4,
    INT3 = 0xcc,
    INT3_BYTES = 64, /* behind the text */
    BELOW_ANCHOR = 64 << 20,
};

enum vm_error __real_code_reserve(struct code *code, uintptr_t anchor, size_t table_bytes,
                                  size_t text_bytes);
enum vm_error __real_code_fill(struct code *code, const void *table, const uint8_t *text);
void __real_code_unmap(struct code *code);

static struct {
    bool on;
    uint8_t *execute; /* the zone as programs run in it, or NULL before the first */
    uint8_t *write;   /* the same memory */
    size_t used;
} zone;

void t_code_zone(bool on)
{
    zone.on = on;
}

static size_t page_up(size_t bytes)
{
    return (bytes + VM_PAGE_BYTES - 1) & ~(size_t)(VM_PAGE_BYTES - 1);
}

/* Near the host's own code, so that programs call it as they do elsewhere. */
static void map_zone(void)
{
    uintptr_t host = (uintptr_t)t_code_zone & ~(uintptr_t)(VM_PAGE_BYTES - 1);
    int file = memfd_create("code zone", MFD_CLOEXEC);
    int sized = file < 0 ? -1 : ftruncate(file, ZONE_BYTES);
    assert(sized == 0);
    zone.execute =
        mmap((void *)(host - BELOW_ANCHOR), ZONE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    zone.write = mmap(NULL, ZONE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    assert(zone.execute != MAP_FAILED && zone.write != MAP_FAILED);
    close(file);
}

static bool is_in_zone(const struct code *code)
{
    return zone.execute && code->text >= zone.execute && code->text < zone.execute + ZONE_BYTES;
}

static uint8_t *writable(const uint8_t *at)
{
    return zone.write + (at - zone.execute);
}

/* Instructions written under another address count from the next serialising instruction on. iretq
 * is the one that virtual machines do not stop at. */
static void serialise(void)
{
    uint64_t stack, scratch;
    __asm__ volatile("movq %%rsp, %0\n\t"
                     "subq $128, %%rsp\n\t" /* the red zone is the compiler's */
                     "movq %%ss, %1\n\t"
                     "pushq %1\n\t"
                     "pushq %0\n\t"
                     "pushfq\n\t"
                     "movq %%cs, %1\n\t"
                     "pushq %1\n\t"
                     "leaq 1f(%%rip), %1\n\t"
                     "pushq %1\n\t"
                     "iretq\n"
                     "1:"
                     : "=&r"(stack), "=&r"(scratch)
                     :
                     : "memory", "cc");
}

enum vm_error __wrap_code_reserve(struct code *code, uintptr_t anchor, size_t table_bytes,
                                  size_t text_bytes)
{
    size_t room = code_table_room(table_bytes), bytes = room + page_up(text_bytes + INT3_BYTES);
    if (!zone.on || bytes > PROGRAM_BYTES_MAX)
        return __real_code_reserve(code, anchor, table_bytes, text_bytes);
    if (!zone.execute)
        map_zone();
    if (zone.used + bytes > ZONE_BYTES)
        zone.used = 0;
    *code = (struct code){.text = zone.execute + zone.used + room,
                          .text_bytes = text_bytes,
                          .table_bytes = table_bytes};
    zone.used += bytes;
    return VM_ERROR_OK;
}

enum vm_error __wrap_code_fill(struct code *code, const void *table, const uint8_t *text)
{
    if (!is_in_zone(code))
        return __real_code_fill(code, table, text);
    uint8_t *at = writable(code->text);
    if (code->table_bytes)
        memcpy(at - code_table_room(code->table_bytes), table, code->table_bytes);
    memcpy(at, text, code->text_bytes);
    memset(at + code->text_bytes, INT3, INT3_BYTES);
    serialise();
    return VM_ERROR_OK;
}

void __wrap_code_unmap(struct code *code)
{
    if (is_in_zone(code))
        *code = (struct code){0};
    else
        __real_code_unmap(code);
}
