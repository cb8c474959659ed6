/* SPDX-License-Identifier: Apache-2.0 */
/* Fibonacci numbers in a loop: nothing but dependent additions. */
#include "bench/programs/program.h"

ENTRY entry(u64 n)
{
    u64 a = 0;
    u64 b = 1;

    for (u64 i = 0; i < n * 256; i++) {
        u64 c = a + b;

        a = b ^ (i & 1);
        b = c;
    }
    return b;
}
