/* SPDX-License-Identifier: Apache-2.0 */
/* Where compiled code is entered and left: calls.S. Those that leave it keep registers of the guest
 * in context->kept, where a fault finds them, and go on in C. They are called as compiled code
 * finds it convenient, not by the C calling convention. Also read by the assembler. */
#ifndef JIT_X86_64_CALLS_H
#define JIT_X86_64_CALLS_H

/* Offsets of struct vm_context, VM_CONTEXT_BELOW and VM_STACK_TOP; jit.c compares. */
#define CALLS_KEPT      40
#define CALLS_BELOW     0x1f800
#define CALLS_STACK_TOP 0x2020000

/* Compiled code knows which gate a helper has. */
#define CALLS_GATES(row)                                                                           \
    row(any) row(scalar) row(READ_NONE) row(WRITE_NONE) row(READ_READ) row(READ_WRITE)

#ifndef __ASSEMBLER__
#include "vm/engine.h"

/* Goes to native address `at`, where a guest function starts, with the registers it begins with. It
 * is the function that returns. */
vm_fiber_main jit_enter;
/* As vm_gate_*, called in its way, with r12 the arena's base: keeps R6..R10. */
#define CALLS_ROW(gate) void jit_gate_##gate(void);
CALLS_GATES(CALLS_ROW)
#undef CALLS_ROW
/* Of these, the address of the one for `gate`. */
uintptr_t calls_gate(vm_gate_fn *gate);
/* Raises the fault of kind r10d at guest address r11d, in the instruction context->insn; keeps all
 * registers. r12 is the arena's base, rsp aligned. Does not return. */
void jit_fault_raise(void);
#endif

#endif
