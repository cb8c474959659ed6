/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a program that tells source lines; filled by vm_program_create. For vm/ only. */
#ifndef VM_LINES_H
#define VM_LINES_H

#include "vm/engine.h"

/* Checks and copies what the description says; on failure what was copied is still to free. */
enum vm_error vm_copy_lines(struct vm_program *program, const struct vm_program_desc *desc,
                            struct vm_diag *diag) VM_MUST_USE;
void vm_free_lines(struct vm_program *program);

#endif
