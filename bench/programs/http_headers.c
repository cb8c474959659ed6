/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the header of a request: finds names, skips spaces, hashes values. */
#include "bench/programs/program.h"

u8 request[] = "GET /assets/site.css?v=20 HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: "
               "Mozilla/5.0 (X11; Linux "
               "x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: text/css,*/*;q=0.1\r\n"
               "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
               "Connection: keep-alive\r\nCookie: session=0123456789abcdef; theme=dark\r\n"
               "If-None-Match: \"5f3a\"\r\n\r\n";

static u32 lower(u32 c)
{
    return c - 'A' < 26u ? c | 0x20 : c;
}

ENTRY entry(u64 n)
{
    u64 result = 0;

    for (u64 round = 0; round < n / 4; round++) {
        const u8 *p = request;

        while (*p != '\n') {
            p++;
        }
        p++;
        while (*p != '\r') {
            u32 name = 0;
            u64 value = 5381;

            for (; *p != ':'; p++) {
                name = name * 31 + lower(*p);
            }
            do {
                p++;
            } while (*p == ' ');
            for (; *p != '\r'; p++) {
                value = value * 33 + *p;
            }
            result = result * 3 + (name ^ value);
            p += 2;
        }
    }
    return result;
}
