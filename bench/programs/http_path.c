/* SPDX-License-Identifier: Apache-2.0 */
/* Normalises and decodes a path: escapes, dots and double slashes, byte by byte. */
#include "bench/programs/program.h"

u8 path[] = "/a/b/../c/./d%20e/f//g/%41%42%43/../../images/%7euser/index.html?query=1&x=%3f";
u8 clean[128];

static u32 hex(u32 c)
{
    return c - '0' < 10u ? c - '0' : (c | 0x20) - 'a' + 10;
}

static NOINLINE u32 decode(void)
{
    u32 to = 0;

    for (u32 from = 0; path[from] != '?'; from++) {
        u32 c = path[from];

        if (c == '%') {
            c = hex(path[from + 1]) << 4 | hex(path[from + 2]);
            from += 2;
        }
        if (c == '/' && to >= 3 && clean[to - 1] == '.' && clean[to - 2] == '.' &&
            clean[to - 3] == '/') {
            to -= 3;
            while (to > 0 && clean[--to] != '/') {
            }
        } else if (c == '/' && to >= 2 && clean[to - 1] == '.' && clean[to - 2] == '/') {
            to -= 2;
        } else if (c == '/' && to >= 1 && clean[to - 1] == '/') {
            to--;
        }
        clean[to++] = (u8)c;
    }
    return to;
}

ENTRY entry(u64 n)
{
    u64 hash = 0;

    for (u64 round = 0; round < n; round++) {
        u32 length = decode();

        for (u32 i = 0; i < length; i++) {
            hash = hash * 131 + clean[i];
        }
    }
    return hash;
}
