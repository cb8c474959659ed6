/* SPDX-License-Identifier: Apache-2.0 */
/* Copies 8 KiB, 8 bytes a step, to and fro. */
#include "bench/programs/program.h"

u64 here[512] = {TABLE256(MIX, 0)};
u64 there[512];

static NOINLINE void copy(u64 *to, const u64 *from, u64 words)
{
    for (u64 i = 0; i < words; i++) {
        to[i] = from[i];
    }
}

ENTRY entry(u64 n)
{
    for (u64 round = 0; round < 4; round++) {
        copy(there, here, n * 32);
        copy(here, there, n * 32);
    }
    return there[n] ^ here[100];
}
