/* SPDX-License-Identifier: Apache-2.0 */
/* What a program must do, in one line of a unit test: it is assembled (asm.h), runs on every
 * variant (variants.h) with the tests' helpers, and what is not as it should be fails the test. */
#ifndef TESTS_SUPPORT_CONTRACT_H
#define TESTS_SUPPORT_CONTRACT_H

#include "tests/support/asm.h"
#include "tests/support/code.h"
#include "tests/support/variants.h"

/* NULL with *diag when the program is refused. */
struct vm_program *contract_assemble(const char *text, struct vm_diag *diag);
struct vm_program *contract_accepted(const char *text);
struct vm_program *contract_built(const struct t_code *code);

/* Runs on each variant; `check` looks at every outcome. Owns program. */
void contract_on_all(struct vm_program *program, const struct t_input *input,
                     void (*check)(const struct t_outcome *o, const char *variant, uint64_t want),
                     uint64_t want);
/* Such checks: r0, and enum vm_fault_kind. */
void contract_result(const struct t_outcome *o, const char *variant, uint64_t want);
void contract_fault(const struct t_outcome *o, const char *variant, uint64_t want);

void contract_returns(uint64_t want, const char *text);
/* r1 is an address of 256 bytes of heap, VM_HEAP_BASE. */
void contract_returns_with_heap(uint64_t want, const char *text);
void contract_faults(enum vm_fault_kind want, const char *text);
void contract_refused(enum vm_error want, const char *text);

#endif
