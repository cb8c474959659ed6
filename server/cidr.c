/* SPDX-License-Identifier: Apache-2.0 */
#include "server/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "server/chars.h"

enum { V4_AT = 12, V4_BITS = 32, ALL_BITS = 128, GROUPS = 8 };

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

static char *put_v4(char *out, const uint8_t bytes[4])
{
    for (unsigned i = 0; i < 4; i++) {
        out = char_put_decimal(out, bytes[i]);
        *out++ = '.';
    }
    return out - 1;
}

/* Without zeros in front. */
static char *put_group(char *out, unsigned group)
{
    return char_put_hex(out, group, group > 0xfff ? 4 : group > 0xff ? 3 : group > 0xf ? 2 : 1);
}

struct groups {
    unsigned first;
    unsigned end;
};

/* The first of the longest runs of two groups or more that are zero, as a span of groups. */
static struct groups zero_run(const unsigned group[GROUPS])
{
    struct groups best = {GROUPS, GROUPS};
    for (unsigned i = 0; i < GROUPS; i++) {
        unsigned end = i;
        while (end < GROUPS && group[end] == 0) {
            end++;
        }
        if (end - i >= 2 && end - i > best.end - best.first) {
            best = (struct groups){i, end};
        }
    }
    return best;
}

/* RFC 5952 4. */
static char *put_v6(char *out, const uint8_t bytes[2 * GROUPS])
{
    unsigned group[GROUPS];
    for (unsigned i = 0; i < GROUPS; i++) {
        group[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
    }
    struct groups zeros = zero_run(group);
    for (unsigned i = 0; i < GROUPS; i++) {
        if (i >= zeros.first && i < zeros.end) {
            out = i == zeros.first ? span_put(out, SPAN("::")) : out;
            continue;
        }
        if (i > 0 && i != zeros.end) {
            *out++ = ':';
        }
        out = put_group(out, group[i]);
    }
    return out;
}

/* By hand: every request to an upstream tells the client's, and inet_ntop takes as long as all the
 * rest of that. */
size_t address_format(const struct address *address, char out[ADDRESS_TEXT_BYTES])
{
    char *end = address->v4 ? put_v4(out, address->bytes + V4_AT) : put_v6(out, address->bytes);
    *end = '\0';
    return (size_t)(end - out);
}

/* One to three digits. False: anything else, or more than `max`. */
static bool parse_bits(struct span text, unsigned max, unsigned *out)
{
    uint64_t bits;

    if (text.len > 3 || !chars_number(text, max, &bits)) {
        return false;
    }
    *out = (unsigned)bits;
    return true;
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
