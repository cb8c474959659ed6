/* SPDX-License-Identifier: Apache-2.0 */
/* Internet checksum of 2 KiB: 16-bit loads and sums. */
#include "bench/programs/program.h"

#define HALF(i) ((u16)MIX(i))

u16 words[1024] = {TABLE1024(HALF, 0)};

ENTRY entry(u64 n)
{
    u64 sum = n;

    for (u32 i = 0; i < 64 * n; i++) {
        sum += words[i];
    }
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return ~sum & 0xffff;
}
