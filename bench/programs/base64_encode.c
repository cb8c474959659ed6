/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 of 768 bytes by a table of 64 letters. */
#include "bench/programs/program.h"

u8 letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
u8 plain[768] = {TABLE256((u8)MIX, 0), TABLE256((u8)MIX, 256), TABLE256((u8)MIX, 512)};
u8 encoded[1024];

ENTRY entry(u64 n)
{
    u64 hash = 0;
    u64 to = 0;

    for (u64 i = 0; i < n * 48; i += 3) {
        u32 v = (u32)plain[i] << 16 | (u32)plain[i + 1] << 8 | plain[i + 2];

        encoded[to] = letters[v >> 18];
        encoded[to + 1] = letters[v >> 12 & 63];
        encoded[to + 2] = letters[v >> 6 & 63];
        encoded[to + 3] = letters[v & 63];
        to += 4;
    }
    for (u64 i = 0; i < to; i += 8) {
        hash = hash * 31 + encoded[i];
    }
    return hash;
}
