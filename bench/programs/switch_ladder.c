/* SPDX-License-Identifier: Apache-2.0 */
/* A machine of 16 operations: a switch whose cases come at random. */
#include "bench/programs/program.h"

#define OPERATION(i) ((u8)(MIX(i) >> 7 & 15u))

u8 code[256] = {TABLE256(OPERATION, 0)};

ENTRY entry(u64 n)
{
    u64 a = n;
    u64 b = 1;

    for (u64 pc = 0; pc < n * 16; pc++) {
        switch (code[pc]) {
        case 0: a += b; break;
        case 1: a -= 3; break;
        case 2: a ^= b << 3; break;
        case 3: b += a; break;
        case 4: a = a << 1 | a >> 63; break;
        case 5: b ^= a >> 5; break;
        case 6: a *= 3; break;
        case 7: b -= pc; break;
        case 8: a |= 0x100; break;
        case 9: b &= ~0x10ull; break;
        case 10: a ^= b; break;
        case 11: b += 7; break;
        case 12: a -= b; break;
        case 13: b = b << 5 | b >> 59; break;
        case 14: a += pc; break;
        default: b ^= a; break;
        }
    }
    return a ^ b;
}
