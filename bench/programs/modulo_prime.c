/* SPDX-License-Identifier: Apache-2.0 */
/* Counts primes by trial division: 32-bit remainders by a register. */
#include "bench/programs/program.h"

ENTRY entry(u64 n)
{
    u64 count = 0;

    for (u32 i = 2; i < n * 32; i++) {
        u32 d = 2;

        while (d * d <= i && i % d != 0) {
            d++;
        }
        count += d * d > i;
    }
    return count;
}
