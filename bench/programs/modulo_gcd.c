/* SPDX-License-Identifier: Apache-2.0 */
/* Greatest common divisors of 64-bit numbers: remainders by a register. */
#include "bench/programs/program.h"

ENTRY entry(u64 n)
{
    u64 sum = 0;

    for (u64 i = 1; i <= n * 2; i++) {
        u64 a = i * 0x9e3779b97f4a7c15ull;
        u64 b = i * i * 0xc2b2ae3d27d4eb4full;

        while (b != 0) {
            u64 r = a % b;

            a = b;
            b = r;
        }
        sum = sum * 3 + a;
    }
    return sum;
}
