/* SPDX-License-Identifier: Apache-2.0 */
/* FNV-1a over 4 KiB of bytes: byte loads on a dependent chain. */
typedef unsigned long long u64;

u64 entry(const unsigned char *mem, u64 len)
{
    static unsigned char text[4096];
    u64 hash = 0xcbf29ce484222325ull;

    (void)mem;
    (void)len;
    for (int i = 0; i < 4096; i++) {
        text[i] = (unsigned char)(i * 31);
    }
    for (int i = 0; i < 4096; i++) {
        hash = (hash ^ text[i]) * 0x100000001b3ull;
    }
    return hash;
}
