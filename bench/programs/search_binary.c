/* SPDX-License-Identifier: Apache-2.0 */
/* Binary search of 256 sorted words: unpredictable branches. */
#include "bench/programs/program.h"

#define SORTED(i) ((i)*40u + MIX(i) % 40u)

u32 sorted[256] = {TABLE256(SORTED, 0)};

ENTRY entry(u64 n)
{
    u64 found = 0;

    for (u32 i = 0; i < n * 16; i++) {
        u32 want = i * 2654435761u % 10240u;
        u32 low = 0;
        u32 high = 256;

        while (low < high) {
            u32 middle = (low + high) / 2;

            if (sorted[middle] < want) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        found = found * 3 + low;
    }
    return found;
}
