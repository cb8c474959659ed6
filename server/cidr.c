/* SPDX-License-Identifier: Apache-2.0 */
#include "server/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { V4_AT = 12, V4_BITS = 32, ALL_BITS = 128 };

static void set_v4(struct address *out, const void *four)
{
    static const uint8_t mapped[V4_AT] = {[10] = 0xff, [11] = 0xff};

    out->v4 = true;
    memcpy(out->bytes, mapped, sizeof mapped);
    memcpy(out->bytes + V4_AT, four, sizeof out->bytes - V4_AT);
}

static void set_v6(struct address *out, const struct in6_addr *v6)
{
    out->v4 = IN6_IS_ADDR_V4MAPPED(v6);
    memcpy(out->bytes, v6, sizeof out->bytes);
}

bool address_of(const union peer_address *peer, struct address *out)
{
    if (peer->any.sa_family == AF_INET) {
        set_v4(out, &peer->v4.sin_addr);
        return true;
    }
    if (peer->any.sa_family == AF_INET6) {
        set_v6(out, &peer->v6.sin6_addr);
        return true;
    }
    return false;
}

bool address_parse(struct span text, struct address *out)
{
    char copy[ADDRESS_TEXT_BYTES];
    struct in6_addr v6;
    struct in_addr v4;

    if (text.len == 0 || text.len >= sizeof copy || memchr(text.base, '\0', text.len) != NULL) {
        return false;
    }
    memcpy(copy, text.base, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, &v4) == 1) {
        set_v4(out, &v4);
        return true;
    }
    if (inet_pton(AF_INET6, copy, &v6) == 1) {
        set_v6(out, &v6);
        return true;
    }
    return false;
}

static char *put_decimal(char *out, uint8_t value)
{
    if (value >= 100) {
        *out++ = (char)('0' + value / 100);
    }
    if (value >= 10) {
        *out++ = (char)('0' + value / 10 % 10);
    }
    *out++ = (char)('0' + value % 10);
    return out;
}

/* Of IPv4 by hand: every request to an upstream tells the client's, and inet_ntop takes as long as
 * all the rest of that. */
size_t address_format(const struct address *address, char out[ADDRESS_TEXT_BYTES])
{
    if (!address->v4) {
        inet_ntop(AF_INET6, address->bytes, out, ADDRESS_TEXT_BYTES);
        return strlen(out);
    }
    char *at = out;
    for (unsigned i = 0; i < 4; i++) {
        at = put_decimal(at, address->bytes[V4_AT + i]);
        *at++ = i < 3 ? '.' : '\0';
    }
    return (size_t)(at - 1 - out);
}

/* One to three digits. False: anything else, or more than `max`. */
static bool parse_bits(struct span text, unsigned max, unsigned *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.base[i] < '0' || text.base[i] > '9') {
            return false;
        }
        *out = *out * 10 + (unsigned)(text.base[i] - '0');
    }
    return text.len > 0 && text.len <= 3 && *out <= max;
}

bool cidr_parse(struct span text, struct cidr *out)
{
    const char *slash = text.len == 0 ? NULL : memchr(text.base, '/', text.len);
    struct span address = {text.base, slash == NULL ? text.len : (size_t)(slash - text.base)};
    bool dotted;
    unsigned max;

    if (!address_parse(address, &out->network)) {
        return false;
    }
    dotted = memchr(address.base, ':', address.len) == NULL;
    max = dotted ? V4_BITS : ALL_BITS;
    out->bits = max;
    if (slash != NULL &&
        !parse_bits((struct span){slash + 1, text.len - address.len - 1}, max, &out->bits)) {
        return false;
    }
    out->bits += ALL_BITS - max;
    /* ::ffff:0:0/90 is a range of IPv6 addresses, none of which a peer here can have. */
    out->network.v4 = out->network.v4 && out->bits >= ALL_BITS - V4_BITS;
    return true;
}

bool cidr_contains(const struct cidr *cidr, const struct address *address)
{
    unsigned whole = cidr->bits / 8;
    unsigned rest = cidr->bits % 8;

    if (cidr->network.v4 != address->v4 ||
        memcmp(cidr->network.bytes, address->bytes, whole) != 0) {
        return false;
    }
    return rest == 0 ||
           ((cidr->network.bytes[whole] ^ address->bytes[whole]) & (0xff00u >> rest) & 0xff) == 0;
}
