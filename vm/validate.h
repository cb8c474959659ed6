/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold before a program may run, and the decoding that goes with it. Structure only:
 * termination is for preemption. */
#ifndef VM_VALIDATE_H
#define VM_VALIDATE_H

#include "vm/engine.h"

/* Checks every instruction of program->insns and fills program->ops. Jumps are checked against the
 * program, not yet against functions. */
enum vm_error vm_validate_insns(struct vm_program *program, struct vm_diag *diag) VM_MUST_USE;

/* Once functions are known: jumps stay inside their function, calls hit function starts, no
 * function falls off its end. */
enum vm_error vm_validate_flow(const struct vm_program *program, struct vm_diag *diag) VM_MUST_USE;

/* Sets frame_bytes of every function, stack_bytes and stored_bytes of the program. */
enum vm_error vm_measure_frames(struct vm_program *program, struct vm_diag *diag) VM_MUST_USE;

/* May control go on to the next instruction after `op`? */
bool vm_op_ends_block(const struct vm_op *op);

#endif
