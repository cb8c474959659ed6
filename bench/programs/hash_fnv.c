/* SPDX-License-Identifier: Apache-2.0 */
/* FNV-1a over 1 KiB of bytes: byte loads on a dependent chain. */
#include "bench/programs/program.h"

u8 text[1024] = {TABLE1024((u8)MIX, 0)};

ENTRY entry(u64 n)
{
    u64 hash = 0xcbf29ce484222325ull;

    for (u64 i = 0; i < n * 64; i++) {
        hash = (hash ^ text[i]) * 0x100000001b3ull;
    }
    return hash;
}
