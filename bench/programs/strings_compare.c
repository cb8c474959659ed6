/* SPDX-License-Identifier: Apache-2.0 */
/* Compares a word with the words of a list, up to the first difference. */
#include "bench/programs/program.h"

u8 list[] =
    "accept\0accept-charset\0accept-encoding\0accept-language\0accept-ranges\0access-control-allow-"
    "origin\0"
    "age\0allow\0authorization\0cache-control\0content-disposition\0content-encoding\0content-"
    "language\0"
    "content-length\0content-location\0content-range\0content-type\0cookie\0date\0etag\0expect\0";
u8 wanted[16][20] = {"content-length",
                     "content-type",
                     "cookie",
                     "accept-ranges",
                     "x",
                     "age",
                     "expect",
                     "etag",
                     "content-range",
                     "authorization",
                     "allow",
                     "date",
                     "host",
                     "accept",
                     "cache-control",
                     "via"};

static u64 find(const u8 *name)
{
    const u8 *p = list;

    for (u64 index = 0; *p != 0; index++) {
        const u8 *q = name;

        while (*p == *q && *p != 0) {
            p++;
            q++;
        }
        if (*p == *q) {
            return index;
        }
        while (*p++ != 0) {
        }
    }
    return 99;
}

ENTRY entry(u64 n)
{
    u64 result = 0;

    for (u64 i = 0; i < n; i++) {
        result = result * 3 + find(wanted[i]);
    }
    return result;
}
