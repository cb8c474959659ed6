/* SPDX-License-Identifier: Apache-2.0 */
/* Copies 1 KiB byte by byte, upper case to lower case. */
#include "bench/programs/program.h"

#define LETTER(i) ((u8)(MIX(i) % 96u + 32u))

u8 from[1024] = {TABLE1024(LETTER, 0)};
u8 to[1024];

ENTRY entry(u64 n)
{
    u64 hash = 0;

    for (u64 round = 0; round < 4; round++) {
        for (u64 i = 0; i < n * 64; i++) {
            u32 c = from[i];

            to[i] = (u8)(c - 'A' < 26u ? c + 32 : c);
        }
        hash = hash * 31 + to[round * 17];
    }
    return hash;
}
