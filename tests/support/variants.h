/* SPDX-License-Identifier: Apache-2.0 */
/* Every way to run a program that must give the same outcome: the interpreter, the compiler as it
 * is, without BMI2, without each of its optimisations (enum jit_optimisation) alone, and without
 * all of them. Variant 0 is the oracle, variant 1 what users get. */
#ifndef TESTS_SUPPORT_VARIANTS_H
#define TESTS_SUPPORT_VARIANTS_H

#include "tests/support/machine.h"

enum { T_VARIANT_INTERP, T_VARIANT_JIT, T_VARIANT_PLAIN, T_VARIANT_NO_BMI2, T_VARIANT_FIRST_OFF };

/* T_VARIANT_FIRST_OFF and one for each optimisation. */
unsigned t_variant_count(void);
/* "jit without 0x4": valid until the next call. */
const char *t_variant_name(unsigned variant);
/* NULL with *diag when the engine refuses. One thread at a time. */
struct vm_image *t_variant_image(unsigned variant, const struct vm_program *program,
                                 struct vm_diag *diag);

#endif
