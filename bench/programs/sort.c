/* SPDX-License-Identifier: Apache-2.0 */
/* Insertion sort of 64 words on the stack: frame accesses, unpredictable branches. */
typedef unsigned long long u64;

u64 entry(const unsigned char *mem, u64 len)
{
    volatile unsigned int a[64];
    unsigned int x = 12345;

    (void)mem;
    (void)len;
    for (int i = 0; i < 64; i++) {
        x = x * 1664525u + 1013904223u;
        a[i] = x >> 16;
    }
    for (int i = 1; i < 64; i++) {
        unsigned int v = a[i];
        int j = i;

        for (; j > 0 && a[j - 1] > v; j--) {
            a[j] = a[j - 1];
        }
        a[j] = v;
    }
    return a[0] * 65536ull + a[63];
}
