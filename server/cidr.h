/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of networks: 192.0.2.0/24, 2001:db8::/32, or a single address. IPv4 that comes inside
 * IPv6 (::ffff:192.0.2.1) is IPv4 here, so that a rule sees one form of each address. */
#ifndef SERVER_CIDR_H
#define SERVER_CIDR_H

#include <netinet/in.h>
#include <stdint.h>

#include "server/span.h"

#define ADDRESS_TEXT_BYTES 46 /* longest text of an address, with NUL */

/* Who is at the other end of a connection; AF_UNSPEC: nobody knows. */
union peer_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct address {
    bool v4; /* the last four bytes are it, the others as in ::ffff:0:0/96 */
    uint8_t bytes[16];
};

struct cidr {
    struct address network;
    unsigned bits; /* of network.bytes that must agree */
};

/* False: neither IPv4 nor IPv6. */
bool address_of(const union peer_address *peer, struct address *out);
/* An address alone, without port or brackets. */
bool address_parse(struct span text, struct address *out);
/* Returns the length; no NUL counted. */
size_t address_format(const struct address *address, char out[ADDRESS_TEXT_BYTES]);

/* An address, or an address and how many of its bits count. */
bool cidr_parse(struct span text, struct cidr *out);
bool cidr_contains(const struct cidr *cidr, const struct address *address);

#endif
