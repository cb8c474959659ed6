/* SPDX-License-Identifier: Apache-2.0 */
/* Fibonacci numbers by recursion: frames, saved registers, the depth counter. */
#include "bench/programs/program.h"

static NOINLINE u64 fibonacci(u64 n)
{
    u64 sum = 1;

    if (n >= 2) {
        sum = fibonacci(n - 1);
        sum += fibonacci(n - 2);
    }
    return sum;
}

ENTRY entry(u64 n)
{
    return fibonacci(n);
}
