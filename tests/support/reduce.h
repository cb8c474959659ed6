/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a program that fails smaller, so that a person can see why it does. */
#ifndef TESTS_SUPPORT_REDUCE_H
#define TESTS_SUPPORT_REDUCE_H

#include "tests/support/code.h"

/* Whether a program fails; called in a process of its own, which may also die (then it does) or
 * take too long (then it does not), and whose output is lost. False for what is no valid program.
 */
typedef bool t_fails_fn(const struct t_code *code, void *context);

/* Takes instructions out of *code for as long as it fails, and makes constants small. */
void t_reduce(struct t_code *code, t_fails_fn *fails, void *context);

#endif
