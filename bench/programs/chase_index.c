/* SPDX-License-Identifier: Apache-2.0 */
/* Follows a chain of indices through 4 KiB: the latency of a load. */
#include "bench/programs/program.h"

#define NEXT_OF(i) (((i)*389u + 151u) & 1023u)

u32 next_of[1024] = {TABLE1024(NEXT_OF, 0)};

ENTRY entry(u64 n)
{
    u32 at = (u32)n;
    u64 sum = 0;

    for (u64 i = 0; i < n * 128; i++) {
        at = next_of[at];
        sum += at;
    }
    return sum;
}
