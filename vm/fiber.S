/* SPDX-License-Identifier: Apache-2.0 */
/* Switching native stacks (System V x86-64 ABI). Only callee-saved registers and the stack pointer are kept: the caller made a call. */

        .intel_syntax noprefix
        .text

/* The registers that the ABI has a callee keep, and where debuggers find them; RESTORE begins where SAVE ended. */
        .macro SAVE
        .irp reg, rbp, rbx, r12, r13, r14, r15
        push \reg
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset \reg, 0
        .endr
        .endm
        .macro RESTORE
        .irp reg, r15, r14, r13, r12, rbx, rbp
        pop \reg
        .cfi_adjust_cfa_offset -8
        .cfi_restore \reg
        .endr
        .endm

/* uint64_t vm_fiber_switch(void **save_sp, void *to_sp): what is in rax stays there. */
        .globl vm_fiber_switch
        .hidden vm_fiber_switch
        .type vm_fiber_switch, @function
        .p2align 4
vm_fiber_switch:
        .cfi_startproc
        SAVE
        mov [rdi], rsp
        mov rsp, rsi
        RESTORE
        ret
        .cfi_endproc
        .size vm_fiber_switch, . - vm_fiber_switch

/* uint64_t vm_fiber_start(void *argument, uintptr_t at, vm_fiber_main *main, void **caller_sp): calls main on the stack that begins below caller_sp and
 * comes back when it returns, with its result, by way of *caller_sp, which vm_fiber_switch may have changed meanwhile. Every return here has its call, so that
 * the processor predicts them all. Debuggers find the caller's frame by *caller_sp, which the escapes say in DWARF: what rcx, then rsp, points at. */
        .globl vm_fiber_start
        .hidden vm_fiber_start
        .type vm_fiber_start, @function
        .p2align 6
vm_fiber_start:
        .cfi_startproc
        SAVE
        mov [rcx], rsp
        .cfi_escape 0x0f, 5, 0x72, 0, 0x06, 0x23, 56    /* cfa = *rcx + 56 */
        mov rsp, rcx
        .cfi_escape 0x0f, 5, 0x77, 0, 0x06, 0x23, 56    /* cfa = *rsp + 56 */
        call rdx
        mov rsp, [rsp]
        .cfi_def_cfa rsp, 56
        RESTORE
        ret
        .cfi_endproc
        .size vm_fiber_start, . - vm_fiber_start

/* uint64_t vm_fiber_call(void *argument, uintptr_t at, vm_fiber_main *main): for C, which has registers kept. */
        .globl vm_fiber_call
        .hidden vm_fiber_call
        .type vm_fiber_call, @function
        .p2align 4
vm_fiber_call:
        .cfi_startproc
        SAVE
        sub rsp, 8
        .cfi_adjust_cfa_offset 8
        call rdx
        add rsp, 8
        .cfi_adjust_cfa_offset -8
        RESTORE
        ret
        .cfi_endproc
        .size vm_fiber_call, . - vm_fiber_call

/* Where the tick handler sends guest code. The interrupted address lies on the stack as if this had been called from there; everything else is as it was,
 * so everything is saved: the code may be between a compare and its branch. */
        .globl vm_preempt_landing
        .hidden vm_preempt_landing
        .type vm_preempt_landing, @function
        .p2align 4
vm_preempt_landing:
        pushfq
        push rax
        push rcx
        push rdx
        push rbx
        push rbp
        push rsi
        push rdi
        push r8
        push r9
        push r10
        push r11
        push r12
        push r13
        push r14
        push r15
        mov rbp, rsp
        and rsp, -16
        cld
        call vm_preempted
        mov rsp, rbp
        pop r15
        pop r14
        pop r13
        pop r12
        pop r11
        pop r10
        pop r9
        pop r8
        pop rdi
        pop rsi
        pop rbp
        pop rbx
        pop rdx
        pop rcx
        pop rax
        popfq
        ret
        .size vm_preempt_landing, . - vm_preempt_landing

        .section .note.GNU-stack,"",@progbits
