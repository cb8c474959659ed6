/* SPDX-License-Identifier: Apache-2.0 */
/* Multiplies matrices of 16 by 16 words in memory. */
#include "bench/programs/program.h"

u32 left[256] = {TABLE256(MIX, 0)};
u32 right[256] = {TABLE256(MIX, 1000)};
u32 product[256];

ENTRY entry(u64 n)
{
    u64 trace = 0;

    for (u64 i = 0; i < n; i++) {
        for (u64 j = 0; j < n; j++) {
            u32 sum = 0;

            for (u64 k = 0; k < n; k++) {
                sum += left[i * 16 + k] * right[k * 16 + j];
            }
            product[i * 16 + j] = sum;
        }
    }
    for (u64 i = 0; i < n; i++) {
        trace = trace * 31 + product[i * 17];
    }
    return trace;
}
