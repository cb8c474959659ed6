/* SPDX-License-Identifier: Apache-2.0 */
/* Adds 1 to n the slow way, for threads.c: memory keeps the compiler from knowing the sum.
 *
 *     clang -target bpf -mcpu=v3 -O2 -c count.c
 */
typedef unsigned long long u64;

static volatile u64 sum; /* each run has its own, zero at the start */

u64 count(u64 n)
{
    for (u64 i = 1; i <= n; i++) {
        sum += i;
    }
    return sum;
}
