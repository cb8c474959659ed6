/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that call functions, six deep, with values that live across the calls. */
#include "bench/programs/program.h"

#define LINK(name, next, op)                                                                       \
    static NOINLINE u64 name(u64 a, u64 b)                                                         \
    {                                                                                              \
        u64 c = next(a op b, b + 1);                                                               \
        return c op a + b;                                                                         \
    }

static NOINLINE u64 last(u64 a, u64 b)
{
    return a * 31 + b;
}
LINK(fifth, last, ^)
LINK(fourth, fifth, +)
LINK(third, fourth, -)
LINK(second, third, ^)
LINK(first, second, +)

ENTRY entry(u64 n)
{
    u64 h = n;

    for (u64 i = 0; i < n * 8; i++) {
        h ^= first(h, i);
    }
    return h;
}
