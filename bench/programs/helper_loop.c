/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of a helper, one after the other, each taking the result of the last. */
#include "bench/programs/program.h"

ENTRY entry(u64 n)
{
    u64 value = n;

    for (u64 i = 0; i < n * 64; i++) {
        value = bench_helper(value, i, 0, 0, 0);
    }
    return value;
}
