/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-2-4 over 1 KiB: additions, rotations and exclusive ors. */
#include "bench/programs/program.h"

#define WIDE(i) (MIX(i) * 0x9e3779b97f4a7c15ull)

u64 message[128] = {TABLE64(WIDE, 0), TABLE64(WIDE, 64)};

#define ROTATE(x, by) ((x) << (by) | (x) >> (64 - (by)))
#define ROUND                                                                                      \
    do {                                                                                           \
        v0 += v1, v1 = ROTATE(v1, 13), v1 ^= v0, v0 = ROTATE(v0, 32);                              \
        v2 += v3, v3 = ROTATE(v3, 16), v3 ^= v2;                                                   \
        v0 += v3, v3 = ROTATE(v3, 21), v3 ^= v0;                                                   \
        v2 += v1, v1 = ROTATE(v1, 17), v1 ^= v2, v2 = ROTATE(v2, 32);                              \
    } while (0)

ENTRY entry(u64 n)
{
    u64 v0 = 0x736f6d6570736575ull, v1 = 0x646f72616e646f6dull;
    u64 v2 = 0x6c7967656e657261ull, v3 = 0x7465646279746573ull;

    for (u64 i = 0; i < n * 8; i++) {
        v3 ^= message[i];
        ROUND;
        ROUND;
        v0 ^= message[i];
    }
    v2 ^= 0xff;
    ROUND;
    ROUND;
    ROUND;
    ROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}
