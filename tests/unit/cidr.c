/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and networks: what parses, what is contained in what, one form for each address. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>

#include "server/cidr.h"

static bool matches(const char *range, const char *ip)
{
    struct cidr cidr;
    struct address address;

    cr_assert(cidr_parse(span_of(range), &cidr), "%s", range);
    cr_assert(address_parse(span_of(ip), &address), "%s", ip);
    return cidr_contains(&cidr, &address);
}

Test(cidr, contains)
{
    cr_expect(matches("192.0.2.7", "192.0.2.7"));
    cr_expect(!matches("192.0.2.7", "192.0.2.6"));
    cr_expect(matches("192.0.2.0/24", "192.0.2.255"));
    cr_expect(!matches("192.0.2.0/24", "192.0.3.0"));
    cr_expect(matches("192.0.2.99/24", "192.0.2.1"));
    cr_expect(matches("10.0.0.0/9", "10.127.255.255"));
    cr_expect(!matches("10.0.0.0/9", "10.128.0.0"));
    cr_expect(matches("128.0.0.0/1", "255.1.1.1"));
    cr_expect(!matches("128.0.0.0/1", "127.1.1.1"));
    cr_expect(matches("0.0.0.0/0", "203.0.113.9"));
    cr_expect(matches("203.0.113.8/31", "203.0.113.9"));
    cr_expect(!matches("203.0.113.8/32", "203.0.113.9"));
    cr_expect(matches("2001:db8::/32", "2001:db8:ffff::1"));
    cr_expect(!matches("2001:db8::/32", "2001:db9::1"));
    cr_expect(matches("::/0", "2001:db8::1"));
    cr_expect(matches("fe80::/10", "febf::1"));
    cr_expect(!matches("fe80::/10", "fec0::1"));
    cr_expect(matches("::1", "0:0:0:0:0:0:0:1"));
}

Test(cidr, families_do_not_mix)
{
    cr_expect(!matches("::/0", "192.0.2.1"));
    cr_expect(!matches("0.0.0.0/0", "2001:db8::1"));
    cr_expect(matches("::ffff:192.0.2.0/120", "192.0.2.1"));
    cr_expect(matches("192.0.2.0/24", "::ffff:192.0.2.1"));
    cr_expect(!matches("::ffff:0:0/90", "192.0.2.1"));
}

Test(cidr, malformed)
{
    static const char *const bad[] = {
        "",
        "/",
        "/8",
        "1.2.3",
        "1.2.3.4/",
        "1.2.3.4/33",
        "1.2.3.4/-1",
        "1.2.3.4/ 8",
        "1.2.3.4/0008",
        "1.2.3.4/8/8",
        "1.2.3.4 ",
        "256.1.1.1",
        "::1/129",
        ":::",
        "[::1]",
        "localhost",
        "fe80::1%eth0",
        "1.2.3.4:80",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
    };
    struct cidr cidr;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect(!cidr_parse(span_of(bad[i]), &cidr), "%s", bad[i]);
    }
    cr_expect(!cidr_parse((struct span){"1.2.3.4\0", 8}, &cidr));
    cr_expect(!cidr_parse((struct span){NULL, 0}, &cidr));
}

Test(cidr, one_form)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    union peer_address peer = {.any.sa_family = AF_UNIX};
    char text[ADDRESS_TEXT_BYTES];
    struct address address;

    cr_expect(!address_of(&peer, &address));
    inet_pton(AF_INET6, "::ffff:192.0.2.7", &v6.sin6_addr);
    memcpy(&peer, &v6, sizeof v6);
    cr_assert(address_of(&peer, &address));
    cr_expect(address.v4);
    cr_expect_eq(address_format(&address, text), 9);
    cr_expect_str_eq(text, "192.0.2.7");
    cr_assert(address_parse(SPAN("2001:DB8:0:0::1"), &address));
    cr_expect_eq(address_format(&address, text), 11);
    cr_expect_str_eq(text, "2001:db8::1");
}

/* inet_ntop writes IPv4 also where nothing but zeros is before it, which is an address of IPv6 like
 * any other; else it agrees. */
Test(cidr, texts_are_those_of_inet_ntop)
{
    uint64_t random = 1;
    for (unsigned i = 0; i < 200000; i++) {
        struct address address = {.v4 = false};
        char text[ADDRESS_TEXT_BYTES], want[INET6_ADDRSTRLEN];
        for (unsigned group = 0; group < 8; group++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            unsigned bits = random >> 60; /* few, so that there are zeros */
            unsigned value = bits < 8 ? 0 : (unsigned)(random >> 33) & (0xffff >> (bits & 15));
            address.bytes[2 * group] = (uint8_t)(value >> 8);
            address.bytes[2 * group + 1] = (uint8_t)value;
        }
        inet_ntop(AF_INET6, address.bytes, want, sizeof want);
        size_t length = address_format(&address, text);
        cr_assert_eq(length, strlen(text));
        cr_assert(strchr(want, '.') != NULL || strcmp(text, want) == 0, "%s, want %s", text, want);
        for (unsigned octet = 0; octet < 4; octet++)
            address.bytes[12 + octet] = (uint8_t)(random >> (8 * octet + 16));
        address.v4 = true;
        inet_ntop(AF_INET, address.bytes + 12, want, sizeof want);
        address_format(&address, text);
        cr_assert_str_eq(text, want);
    }
}
