/* SPDX-License-Identifier: Apache-2.0 */
/* A thousand calls of a small function: what a frame costs. */
typedef unsigned long long u64;

static __attribute__((noinline)) u64 mix(u64 a, u64 b)
{
    return (a ^ b) * 0x9e3779b97f4a7c15ull;
}

u64 entry(const unsigned char *mem, u64 len)
{
    u64 h = 1;

    (void)mem;
    (void)len;
    for (u64 i = 0; i < 1000; i++) {
        h = mix(h, i);
    }
    return h;
}
