/* SPDX-License-Identifier: Apache-2.0 */
#include "jit-x86_64/calls.h"

#include <assert.h>
#include <stddef.h>

uintptr_t calls_gate(vm_gate_fn *gate)
{
    static const struct {
        vm_gate_fn *gate;
        void (*call)(void);
    } table[] = {
#define ROW(gate) {vm_gate_##gate, jit_gate_##gate},
        CALLS_GATES(ROW)
#undef ROW
    };
    size_t i = 0;
    while (table[i].gate != gate) {
        i++;
        assert(i < sizeof(table) / sizeof(*table));
    }
    return (uintptr_t)table[i].call;
}
