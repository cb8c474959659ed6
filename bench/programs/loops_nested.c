/* SPDX-License-Identifier: Apache-2.0 */
/* Three loops in one another around a little arithmetic. */
#include "bench/programs/program.h"

ENTRY entry(u64 n)
{
    u64 sum = n;

    for (u64 i = 0; i < n; i++) {
        for (u64 j = 0; j < n; j++) {
            for (u64 k = 0; k < n; k++) {
                sum = (sum ^ (i * j + k)) + (sum >> 7);
            }
        }
    }
    return sum;
}
