/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32 of 1 KiB by a table of 256 words that is made first. */
#include "bench/programs/program.h"

u32 crc_table[256];
u8 message[1024] = {TABLE1024((u8)MIX, 0)};

ENTRY entry(u64 n)
{
    u32 crc = ~0u;

    for (u32 i = 0; i < n * 16; i++) {
        u32 c = i;

        for (int k = 0; k < 8; k++) {
            c = (c & 1) != 0 ? c >> 1 ^ 0xedb88320u : c >> 1;
        }
        crc_table[i] = c;
    }
    for (u32 i = 0; i < n * 64; i++) {
        crc = crc >> 8 ^ crc_table[(crc ^ message[i]) & 0xff];
    }
    return ~crc;
}
