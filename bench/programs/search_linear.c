/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the first byte of a value in 1 KiB: a loop of one load and two branches. */
#include "bench/programs/program.h"

#define LETTER(i) ((u8)(MIX(i) % 250u))

u8 text[1025] = {TABLE1024(LETTER, 0), 255};

ENTRY entry(u64 n)
{
    u64 sum = 0;

    for (u32 i = 0; i < n; i++) {
        u32 at = i;

        while (text[at] != 255 && text[at] != 250 + i % 4) {
            at++;
        }
        sum = sum * 5 + at;
    }
    return sum;
}
