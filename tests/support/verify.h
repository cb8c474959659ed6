/* SPDX-License-Identifier: Apache-2.0 */
/* The native code of a program, with BMI2 and without, against its proof. */
#ifndef TESTS_SUPPORT_VERIFY_H
#define TESTS_SUPPORT_VERIFY_H

#include "vm/vm.h"

/* Compiles twice and verifies both; false with *diag when either fails. */
bool t_verify(const struct vm_program *program, struct vm_diag *diag);

#endif
