/* SPDX-License-Identifier: Apache-2.0 */
/* A thousand calls of a small function: what a frame costs. */
#include "bench/programs/program.h"

static NOINLINE u64 mix(u64 a, u64 b)
{
    return (a ^ b) * 0x9e3779b97f4a7c15ull;
}

ENTRY entry(u64 n)
{
    u64 h = n;

    for (u64 i = 0; i < n * 64; i++) {
        h = mix(h, i);
    }
    return h;
}
