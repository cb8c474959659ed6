/* SPDX-License-Identifier: Apache-2.0 */
/* Sums decimal digits: division and remainder by a constant. */
#include "bench/programs/program.h"

ENTRY entry(u64 n)
{
    u64 sum = 0;

    for (u64 i = 0; i < n * 4; i++) {
        for (u64 v = i * 0x9e3779b97f4a7c15ull; v != 0; v /= 10) {
            sum += v % 10;
        }
    }
    return sum;
}
