/* SPDX-License-Identifier: Apache-2.0 */
/* What calls.h declares. The guest's registers are where lower.h says; of rbp the low half is r10.
 */
#include "jit-x86_64/calls.h"

        .intel_syntax noprefix
        .text

        .globl jit_enter
        .hidden jit_enter
        .type jit_enter, @function
        .p2align 6              # as each gate: within one line of the cache
jit_enter:
        .cfi_startproc
        mov r11, rsi
        lea r12, [rdi + CALLS_BELOW]
        mov rsi, [rdi + CALLS_KEPT + 16]
        mov rdx, [rdi + CALLS_KEPT + 24]
        mov rcx, [rdi + CALLS_KEPT + 32]
        mov r8, [rdi + CALLS_KEPT + 40]
        mov rdi, [rdi + CALLS_KEPT + 8]
        xor eax, eax
        xor ebx, ebx
        xor r13d, r13d
        xor r14d, r14d
        xor r15d, r15d
#ifndef ZSVM_BENCH_UNCAGED
        lea rbp, [r12 + CALLS_STACK_TOP]
#else
        mov ebp, CALLS_STACK_TOP
#endif
        jmp r11
        .cfi_endproc
        .size jit_enter, . - jit_enter

        .macro GATE name, to
        .globl \name
        .hidden \name
        .type \name, @function
        .p2align 6
\name:
        .cfi_startproc
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 48], rbx
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 56], r13
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 64], r14
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 72], r15
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 80], ebp
        mov dword ptr [r12 - CALLS_BELOW + CALLS_KEPT + 84], 0
        jmp \to
        .cfi_endproc
        .size \name, . - \name
        .endm

#define ROW(gate) GATE jit_gate_##gate, vm_gate_##gate;
        CALLS_GATES(ROW)

        .globl jit_fault_raise
        .hidden jit_fault_raise
        .type jit_fault_raise, @function
        .p2align 4
jit_fault_raise:
        .cfi_startproc
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 0], rax
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 8], rdi
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 16], rsi
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 24], rdx
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 32], rcx
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 40], r8
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 48], rbx
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 56], r13
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 64], r14
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 72], r15
        mov [r12 - CALLS_BELOW + CALLS_KEPT + 80], ebp
        mov dword ptr [r12 - CALLS_BELOW + CALLS_KEPT + 84], 0
        lea rdi, [r12 - CALLS_BELOW]
        mov esi, r10d
        mov edx, r11d
        jmp vm_fault_raise
        .cfi_endproc
        .size jit_fault_raise, . - jit_fault_raise

        .section .note.GNU-stack,"",@progbits
