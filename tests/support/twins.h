/* SPDX-License-Identifier: Apache-2.0 */
/* Two runs side by side, for harnesses that compare millions of programs of the generator: their
 * memory and native stacks stay mapped from one program to the next, so that a comparison takes no
 * system call, and looks at no more memory than the program could write. Host memory just outside
 * the windows' reservations and behind the contexts is filled with a pattern and must keep it. */
#ifndef TESTS_SUPPORT_TWINS_H
#define TESTS_SUPPORT_TWINS_H

#include "tests/support/generate.h"
#include "tests/support/machine.h"

enum { T_TWINS = 2 };

/* Runs images[0] and images[1], of a t_generated_bare program, from pristine memory,
 * `input->memory` on their heaps; `memory` and `writable_hash` of the outcomes are not filled. */
void t_twins_run(const struct t_code *code, const struct vm_image *const images[T_TWINS],
                 const struct t_input *input, struct t_outcome outcomes[T_TWINS]);
/* After it: NULL when both ended in the same way and left the same in all memory they could write,
 * else what differs; `detail` says where. */
const char *t_twins_difference(const struct t_outcome outcomes[T_TWINS], char *detail,
                               size_t detail_bytes);
/* NULL, or which host memory one of the two has written to, or if nobody would clear its stack. */
const char *t_twins_harm(void);

#endif
