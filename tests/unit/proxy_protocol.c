/* SPDX-License-Identifier: Apache-2.0 */
/* The PROXY protocol: what is a header, what is none, and that it may come in pieces. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "server/limits.h"
#include "server/proxy_protocol.h"

#define V2   "\r\n\r\n\0\r\nQUIT\n"
#define REST " and more"

/* What the header says, as "ip port"; "-": nothing; "more" and "bad" else. */
static const char *parse(const char *bytes, size_t count, size_t *consumed)
{
    static char text[INET6_ADDRSTRLEN + 8];
    char ip[INET6_ADDRSTRLEN] = "";
    struct proxy_header header;
    enum proxy_result result = proxy_parse((struct span){bytes, count}, &header);
    if (result != PROXY_DONE) {
        return result == PROXY_MORE ? "more" : "bad";
    }
    *consumed = header.bytes;
    if (header.source.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &header.source.v4.sin_addr, ip, sizeof ip);
        snprintf(text, sizeof text, "%s %u", ip, ntohs(header.source.v4.sin_port));
    } else if (header.source.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &header.source.v6.sin6_addr, ip, sizeof ip);
        snprintf(text, sizeof text, "%s %u", ip, ntohs(header.source.v6.sin6_port));
    } else {
        return "-";
    }
    return text;
}

/* `bytes` is a header and REST. It is the same at every split, and no prefix is enough. */
static void good(const char *bytes, size_t count, const char *wanted)
{
    size_t header_bytes = count - strlen(REST);
    for (size_t i = 0; i <= count; i++) {
        size_t consumed = 0;
        const char *got = parse(bytes, i, &consumed);
        cr_expect_str_eq(got, i < header_bytes ? "more" : wanted, "%zu of %s: %s", i, wanted, got);
        cr_expect_eq(consumed, i < header_bytes ? 0 : header_bytes);
    }
}
#define GOOD(literal, wanted) good(literal REST, sizeof(literal REST) - 1, wanted)

Test(proxy_protocol, version_1)
{
    GOOD("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", "192.0.2.1 56324");
    GOOD("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255 65535");
    GOOD("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0 0");
    GOOD("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", "2001:db8::1 1");
    GOOD("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535");
    GOOD("PROXY UNKNOWN\r\n", "-");
    GOOD("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         "-");
}

/* The last byte makes it bad, or the end of the line does. */
static void bad(const char *bytes, size_t count)
{
    size_t consumed;
    size_t i = 0;
    while (i < count && strcmp(parse(bytes, i, &consumed), "more") == 0) {
        i++;
    }
    for (; i <= count; i++) {
        cr_expect_str_eq(parse(bytes, i, &consumed), "bad", "%zu of %s", i, bytes);
    }
}
#define BAD(literal) bad(literal, sizeof(literal) - 1)

Test(proxy_protocol, version_1_is_strict)
{
    BAD("GET / HTTP/1.1\r\n");
    BAD("proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n");
    BAD("PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n");
    BAD("PROXY TCP4 1.2.3.4  1.2.3.4 1 1\r\n");
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n");
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n");
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n");
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n");
    BAD("PROXY TCP4 1.2.3.4\r\n");
    BAD("PROXY TCP4\r\n");
    BAD("PROXY TCP4 \r\n");
    BAD("PROXY \r\n");
    BAD("PROXY\r\n");
    BAD("PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n");
    BAD("PROXY TCP4 ::1 ::1 1 1\r\n");
    BAD("PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n");
    BAD("PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n");
    BAD("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 1\r\n");
    BAD("PROXY TCP4 1.2.3.4 1.2.3.256 1 1\r\n");
    BAD("PROXY TCP6 fe80::1%lo ::1 1 1\r\n");
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n");
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n");
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 -1\r\n");
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 +1\r\n");
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n");
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n\r\n");
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\rx");
    BAD("PROXY UNKNOWN\n");
    BAD("PROXY UNKNOWNX\r\n");
}

Test(proxy_protocol, version_1_has_a_longest_line)
{
    char line[200] = "PROXY UNKNOWN ";
    size_t consumed;
    memset(line + strlen(line), 'x', sizeof line - strlen(line));
    memcpy(line + 105, "\r\n", 2);
    cr_expect_str_eq(parse(line, 107, &consumed), "-");
    cr_expect_eq(consumed, 107);
    memcpy(line + 105, "x\r\n", 3);
    cr_expect_str_eq(parse(line, 106, &consumed), "more");
    cr_expect_str_eq(parse(line, 107, &consumed), "bad");
    cr_expect_str_eq(parse(line, 108, &consumed), "bad");
}

Test(proxy_protocol, version_2)
{
    GOOD(V2 "\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb", "192.0.2.1 56324");
    GOOD(V2 "\x21\x21\0\x24"
            "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
            "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
            "\0\x01\xff\xff",
         "2001:db8::1 1");
    /* With something behind the addresses. */
    GOOD(V2 "\x21\x11\0\x13\xc0\0\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb\x04\0\x04\0\0\0\0",
         "192.0.2.1 56324");
    /* A check of the balancer's own, whatever it says. */
    GOOD(V2 "\x20\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb", "-");
    GOOD(V2 "\x20\0\0\0", "-");
    GOOD(V2 "\x20\xff\0\x01x", "-");
    GOOD(V2 "\x21\0\0\0", "-");
    GOOD(V2 "\x21\0\0\x03xyz", "-");
}

Test(proxy_protocol, version_2_of_unix_sockets)
{
    char bytes[16 + 216 + sizeof REST] = V2 "\x21\x31\0\xd8";
    memcpy(bytes + 16 + 216, REST, sizeof REST);
    good(bytes, sizeof bytes - 1, "-");
    bytes[15] = (char)0xd7;
    bad(bytes, sizeof bytes - 1);
}

Test(proxy_protocol, version_2_is_strict)
{
    BAD("\r\nGET / HTTP/1.1\r\n\r\n");
    BAD("\r\n\r\n\0\r\nQUIT\r");
    BAD(V2 "\x11\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb");
    BAD(V2 "\x22\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb");
    BAD(V2 "\x21\x11\0\x0b\xc0\0\x02\x01\xc6\x33\x64\x07\xdc\x04\x01");
    BAD(V2 "\x21\x11\0\0");
    BAD(V2 "\x21\x12\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb");
    BAD(V2 "\x21\x21\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb");
    BAD(V2 "\x21\x10\0\0");
    BAD(V2 "\x21\x01\0\0");
}

Test(proxy_protocol, version_2_has_a_longest_header)
{
    static char bytes[LIM_PROXY_HEADER_BYTES] = V2 "\x20\0";
    size_t consumed = 0;
    size_t rest = sizeof bytes - 16;
    bytes[14] = (char)(rest >> 8);
    bytes[15] = (char)rest;
    cr_expect_str_eq(parse(bytes, sizeof bytes - 1, &consumed), "more");
    cr_expect_str_eq(parse(bytes, sizeof bytes, &consumed), "-");
    cr_expect_eq(consumed, sizeof bytes);
    bytes[14] = (char)((rest + 1) >> 8);
    bytes[15] = (char)(rest + 1);
    cr_expect_str_eq(parse(bytes, 16, &consumed), "bad");
}
