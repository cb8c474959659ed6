/* SPDX-License-Identifier: Apache-2.0 */
/* Puts words together from bytes, both orders: many byte loads and shifts. */
#include "bench/programs/program.h"

u8 stream[1032] = {TABLE1024((u8)MIX, 0)};

static u64 little(const u8 *p)
{
    return p[0] | p[1] << 8 | p[2] << 16 | (u64)p[3] << 24;
}

static u64 big(const u8 *p)
{
    return (u64)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

ENTRY entry(u64 n)
{
    u64 sum = 0;

    for (u64 i = 0; i < n * 64; i += 4) {
        sum = sum * 3 + little(stream + i) + big(stream + i + 4);
    }
    return sum;
}
