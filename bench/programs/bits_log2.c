/* SPDX-License-Identifier: Apache-2.0 */
/* Logarithms by halving and bits in reverse order: shifts and short branches. */
#include "bench/programs/program.h"

ENTRY entry(u64 n)
{
    u64 sum = 0;
    u32 x = (u32)n;

    for (u32 i = 0; i < n * 16; i++) {
        u32 v = x >> (i & 31);
        u32 log = 0;

        x = x * 1664525u + 1013904223u;
        for (u32 step = 16; step != 0; step /= 2) {
            if (v >> step != 0) {
                v >>= step;
                log += step;
            }
        }
        v = x;
        v = v >> 1 & 0x55555555u | (v & 0x55555555u) << 1;
        v = v >> 2 & 0x33333333u | (v & 0x33333333u) << 2;
        v = v >> 4 & 0x0f0f0f0fu | (v & 0x0f0f0f0fu) << 4;
        sum = sum * 7 + log + v;
    }
    return sum;
}
