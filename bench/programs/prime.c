/* SPDX-License-Identifier: Apache-2.0 */
/* Counts primes below 2000 by trial division: remainders by a register. */
typedef unsigned int u32;
typedef unsigned long long u64;

u64 entry(const unsigned char *mem, u64 len)
{
    u32 count = 0;

    (void)mem;
    (void)len;
    for (u32 n = 2; n < 2000; n++) {
        u32 d = 2;

        while (d * d <= n && n % d != 0) {
            d++;
        }
        count += d * d > n;
    }
    return count;
}
