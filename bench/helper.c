/* SPDX-License-Identifier: Apache-2.0 */
/* The helper of bench/programs as natively compiled programs call it: an ordinary function of
 * another object file. The one the VM calls is in vmside.c. */
#include "bench/programs/program.h"

u64 bench_helper(u64 a, u64 b, u64 c, u64 d, u64 e)
{
    u64 sum = a + b;

    (void)c;
    (void)d;
    (void)e;
    return sum << 9 | sum >> 55;
}
