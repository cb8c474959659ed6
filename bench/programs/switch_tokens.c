/* SPDX-License-Identifier: Apache-2.0 */
/* Splits a text into numbers, names and signs: a state machine over bytes. */
#include "bench/programs/program.h"

u8 source[] = "if (x1 >= 42 && name != other) { total += 3 * count_of(items, 17); } else { while "
              "(i < 1000) i++; } "
              "return (a + b) * 2 - values[10] / 5; /* the end of a text of two lines */ x = y;";

ENTRY entry(u64 n)
{
    u64 result = 0;

    for (u64 round = 0; round < n / 2; round++) {
        u32 state = 0;
        u64 value = 0;

        for (const u8 *p = source; *p != 0; p++) {
            u32 c = *p;
            u32 kind;

            if (c - '0' < 10u) {
                kind = state == 2 ? 2 : 1;
            } else if ((c | 0x20) - 'a' < 26u || c == '_') {
                kind = 2;
            } else if (c == ' ') {
                kind = 0;
            } else {
                kind = 3;
            }
            if (kind != state || kind == 3) {
                result = result * 31 + value * 4 + state;
                value = 0;
                state = kind;
            }
            value = kind == 1 ? value * 10 + (c - '0') : value * 33 + c;
        }
    }
    return result;
}
