/* SPDX-License-Identifier: Apache-2.0 */
/* Insertion sort of 64 words on the stack: frame accesses, unpredictable branches. */
#include "bench/programs/program.h"

ENTRY entry(u64 n)
{
    volatile u32 a[64];
    u32 x = 12345;

    for (u32 i = 0; i < 4 * n; i++) {
        x = x * 1664525u + 1013904223u;
        a[i] = x >> 16;
    }
    for (u32 i = 1; i < 4 * n; i++) {
        u32 v = a[i];
        u32 j = i;

        for (; j > 0 && a[j - 1] > v; j--) {
            a[j] = a[j - 1];
        }
        a[j] = v;
    }
    return a[0] * 65536ull + a[63];
}
