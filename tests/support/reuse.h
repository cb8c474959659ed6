/* SPDX-License-Identifier: Apache-2.0 */
/* For harnesses that run millions of programs of the same shape: a program runs in the memory that
 * an earlier one left, which spares most of its system calls. Host memory just outside the window's
 * reservation and behind the run's context is filled with a pattern and must keep it. */
#ifndef TESTS_SUPPORT_REUSE_H
#define TESTS_SUPPORT_REUSE_H

#include "tests/support/machine.h"

/* As t_run; nothing of `image` is kept. Returns NULL, or which host memory was written to. */
const char *t_run_reusing(const struct vm_image *image, const struct t_input *input,
                          struct t_outcome *out);

#endif
