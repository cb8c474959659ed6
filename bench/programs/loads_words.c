/* SPDX-License-Identifier: Apache-2.0 */
/* Adds up 8 KiB of 64-bit words in four sums. */
#include "bench/programs/program.h"

#define WIDE(i) (MIX(i) * 0x100000001ull)

u64 numbers[1024] = {TABLE1024(WIDE, 0)};

ENTRY entry(u64 n)
{
    u64 a = 0, b = 0, c = 0, d = 0;

    for (u64 i = 0; i < n * 64; i += 4) {
        a += numbers[i];
        b ^= numbers[i + 1];
        c += numbers[i + 2] >> 3;
        d ^= numbers[i + 3] << 1;
    }
    return a ^ b * 3 ^ c * 5 ^ d * 7;
}
