/* SPDX-License-Identifier: Apache-2.0 */
/* Sums the decimal digits of a thousand numbers: division and remainder by a constant. */
typedef unsigned long long u64;

u64 entry(const unsigned char *mem, u64 len)
{
    u64 sum = 0;

    (void)mem;
    (void)len;
    for (u64 i = 0; i < 1000; i++) {
        for (u64 n = i * 0x9e3779b97f4a7c15ull; n != 0; n /= 10) {
            sum += n % 10;
        }
    }
    return sum;
}
