/* SPDX-License-Identifier: Apache-2.0 */
/* C's memory functions. Compilers emit calls to the plain names. One length serves two pointers, so
 * the VM cannot check the spans by the row: it is done here. They work without a request, too. */
#include <string.h>

#include "server/helpers/helpers.h"

/* Host address of the span that argument `i` points at; one of no bytes may lie anywhere. */
static uint8_t *range(struct vm_context *context, const struct vm_arg arg[5], uint32_t i,
                      uint64_t bytes, bool write)
{
    static uint8_t nothing[1];
    uint8_t *data = bytes == 0 ? nothing : vm_guest_range(context, arg[i].value, bytes, write);

    if (data == NULL) {
        vm_helper_fault_argument(context, i + 1, bytes,
                                 write ? "is not writable" : "is not readable");
    }
    return data;
}

uint64_t host_memmove(struct vm_context *context, const struct vm_arg arg[5])
{
    uint8_t *to = range(context, arg, 0, arg[2].value, true);
    const uint8_t *from = range(context, arg, 1, arg[2].value, false);

    memmove(to, from, arg[2].value);
    return arg[0].value;
}

uint64_t host_memcpy(struct vm_context *context, const struct vm_arg arg[5])
{
    uint64_t bytes = arg[2].value;
    uint8_t *to = range(context, arg, 0, bytes, true);
    const uint8_t *from = range(context, arg, 1, bytes, false);

    if (bytes > 0 && to < from + bytes && from < to + bytes) {
        vm_helper_fault(context, "memory overlaps");
    }
    memcpy(to, from, bytes);
    return arg[0].value;
}

uint64_t host_memset(struct vm_context *context, const struct vm_arg arg[5])
{
    memset(range(context, arg, 0, arg[2].value, true), (uint8_t)arg[1].value, arg[2].value);
    return arg[0].value;
}

uint64_t host_memcmp(struct vm_context *context, const struct vm_arg arg[5])
{
    const uint8_t *a = range(context, arg, 0, arg[2].value, false);
    const uint8_t *b = range(context, arg, 1, arg[2].value, false);

    return (uint64_t)(int64_t)memcmp(a, b, arg[2].value);
}

uint64_t host_zs_memcpy(struct vm_context *context, const struct vm_arg arg[5])
{
    return host_memcpy(context, arg);
}

uint64_t host_zs_memset(struct vm_context *context, const struct vm_arg arg[5])
{
    return host_memset(context, arg);
}

uint64_t host_zs_memcmp(struct vm_context *context, const struct vm_arg arg[5])
{
    return host_memcmp(context, arg);
}
