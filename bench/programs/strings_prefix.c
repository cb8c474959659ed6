/* SPDX-License-Identifier: Apache-2.0 */
/* Compares blocks of 64 bytes by words of 8, then by bytes. */
#include "bench/programs/program.h"

u64 first[128] = {TABLE64(MIX, 0), TABLE64(MIX, 0)};
u64 second[128] = {TABLE64(MIX, 0), TABLE64(MIX, 0)};

ENTRY entry(u64 n)
{
    u64 equal = 0;

    second[77] = n;
    for (u64 block = 0; block < 16 * n; block++) {
        const u8 *a = (const u8 *)(first + block % 15 * 8);
        const u8 *b = (const u8 *)(second + block % 15 * 8);
        u64 i = 0;

        while (i < 64 && *(const u64 *)(a + i) == *(const u64 *)(b + i)) {
            i += 8;
        }
        while (i < 64 && a[i] == b[i]) {
            i++;
        }
        equal += i;
    }
    return equal;
}
