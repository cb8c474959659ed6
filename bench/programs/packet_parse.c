/* SPDX-License-Identifier: Apache-2.0 */
/* Parses Ethernet, IPv4 or IPv6, and TCP or UDP: loads at small offsets and byte swaps. */
#include "bench/programs/program.h"

#define ANY(i) ((u8)MIX(i))

u8 packets[4][64] = {
    {TABLE4(ANY, 0),
     TABLE4(ANY, 4),
     TABLE4(ANY, 8),
     8,
     0,
     0x45,
     0,
     0,
     50,
     1,
     2,
     0x40,
     0,
     64,
     6,
     3,
     4,
     10,
     0,
     0,
     1,
     10,
     0,
     0,
     2,
     0x1f,
     0x90,
     0,
     80,
     TABLE16(ANY, 30)},
    {TABLE4(ANY, 1),
     TABLE4(ANY, 5),
     TABLE4(ANY, 9),
     8,
     0,
     0x46,
     0,
     0,
     50,
     1,
     2,
     0x40,
     0,
     64,
     17,
     3,
     4,
     10,
     0,
     0,
     9,
     10,
     0,
     0,
     7,
     1,
     1,
     1,
     1,
     0,
     53,
     0x30,
     0x39,
     TABLE16(ANY, 60)},
    {TABLE4(ANY, 2), TABLE4(ANY, 6), TABLE4(ANY, 7), 0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64,
     TABLE16(ANY, 70), TABLE16(ANY, 90), 0, 22, 0xc0, 0x12},
    {TABLE4(ANY, 3), TABLE4(ANY, 7), TABLE4(ANY, 5), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1,
     TABLE16(ANY, 99)},
};

static u32 half(const u8 *p)
{
    return __builtin_bswap16(*(const u16 *)p);
}

static u32 word(const u8 *p)
{
    return __builtin_bswap32(*(const u32 *)p);
}

static u64 parse(const u8 *p)
{
    u64 flow;
    u32 protocol;
    const u8 *ports;

    if (half(p + 12) == 0x0800) {
        if (p[14] >> 4 != 4 || (p[14] & 15) < 5) {
            return 2;
        }
        protocol = p[23];
        flow = (u64)word(p + 26) << 32 | word(p + 30);
        ports = p + 14 + (p[14] & 15) * 4;
    } else if (half(p + 12) == 0x86dd) {
        protocol = p[20];
        flow = (u64)word(p + 34) << 32 | word(p + 50);
        ports = p + 54;
    } else {
        return 1;
    }
    if (protocol != 6 && protocol != 17) {
        return 3;
    }
    return flow * 31 + (half(ports) << 16 | half(ports + 2)) + protocol;
}

ENTRY entry(u64 n)
{
    u64 hash = 0;

    for (u64 i = 0; i < n * 16; i++) {
        hash = hash * 3 + parse(packets[(i * 7 + i / 5) & 3]);
    }
    return hash;
}
