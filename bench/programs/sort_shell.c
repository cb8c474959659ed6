/* SPDX-License-Identifier: Apache-2.0 */
/* Shell sort of 256 words of .data. */
#include "bench/programs/program.h"

u32 keys[256];

ENTRY entry(u64 n)
{
    u32 count = (u32)n * 16;
    u64 hash = 0;

    for (u32 i = 0; i < count; i++) {
        keys[i] = MIX(i);
    }
    for (u32 gap = 109; gap != 0; gap = gap * 5 / 11) {
        for (u32 i = gap; i < count; i++) {
            u32 v = keys[i];
            u32 j = i;

            for (; j >= gap && keys[j - gap] > v; j -= gap) {
                keys[j] = keys[j - gap];
            }
            keys[j] = v;
        }
    }
    for (u32 i = 0; i < count; i++) {
        hash = hash * 7 + keys[i];
    }
    return hash;
}
