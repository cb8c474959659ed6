/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the bits of words, one by one and in parallel. */
#include "bench/programs/program.h"

ENTRY entry(u64 n)
{
    u64 total = 0;
    u64 x = n;

    for (u32 i = 0; i < n * 8; i++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        u64 v = x;
        v = v - (v >> 1 & 0x5555555555555555ull);
        v = (v & 0x3333333333333333ull) + (v >> 2 & 0x3333333333333333ull);
        v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0full;
        total += v * 0x0101010101010101ull >> 56;
        for (u64 w = x & 0xffff0000ffffull; w != 0; w &= w - 1) {
            total++;
        }
    }
    return total;
}
