/* SPDX-License-Identifier: Apache-2.0 */
/* Both versions are refused at the first byte that fits neither. Version 1 is read strictly: one
 * space between words, no leading zeros, nothing behind the ports; a balancer that writes something
 * else is not one, and a client must not be able to make the address up. */
#include "server/proxy_protocol.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "server/chars.h"
#include "server/limits.h"

/* Version 1: the longest line, with CR LF. */
enum { V1_LINE_BYTES = 107 };
/* Version 2: signature, command, family, length; then addresses, then what is skipped. */
enum { V2_HEAD_BYTES = 16, V2_COMMAND = 12, V2_FAMILY = 13, V2_LENGTH = 14 };
enum { V2_LOCAL = 0x20, V2_PROXY = 0x21 };
enum { V2_UNSPEC = 0x00, V2_TCP4 = 0x11, V2_TCP6 = 0x21, V2_UNIX = 0x31 };
enum { V2_TCP4_BYTES = 12, V2_TCP6_BYTES = 36, V2_UNIX_BYTES = 216 };

_Static_assert(LIM_PROXY_HEADER_BYTES >= V1_LINE_BYTES &&
                   LIM_PROXY_HEADER_BYTES >= V2_HEAD_BYTES + V2_UNIX_BYTES,
               "a header without extras fits");

static const char v1_start[] = "PROXY ";
static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

/* ---- version 1 ---- */

/* Cuts the word up to the next space, or the end, off `line`. */
static struct span next_word(struct span *line)
{
    const char *space = memchr(line->base, ' ', line->len);
    struct span word = {line->base, space != NULL ? (size_t)(space - line->base) : line->len};
    size_t taken = word.len + (space != NULL);
    line->base += taken;
    line->len -= taken;
    return word;
}

static bool parse_port(struct span word, in_port_t *port)
{
    uint64_t value;
    bool padded = word.len > 1 && word.base[0] == '0';
    if (padded || !chars_number(word, UINT16_MAX, &value)) {
        return false;
    }
    *port = htons((uint16_t)value);
    return true;
}

static bool parse_address(struct span word, int family, void *address)
{
    char text[INET6_ADDRSTRLEN];
    if (word.len == 0 || word.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, word.base, word.len);
    text[word.len] = '\0';
    return strlen(text) == word.len && inet_pton(family, text, address) == 1;
}

/* What follows the protocol's name: source, destination, their ports. */
static bool parse_v1_addresses(struct span line, int family, struct proxy_header *header)
{
    struct in6_addr source;
    struct in6_addr destination;
    in_port_t source_port;
    in_port_t destination_port;
    /* A word less than these leaves an empty one, which none of them may be. */
    if (!parse_address(next_word(&line), family, &source) ||
        !parse_address(next_word(&line), family, &destination) ||
        !parse_port(next_word(&line), &source_port) || memchr(line.base, ' ', line.len) != NULL ||
        !parse_port(line, &destination_port)) {
        return false;
    }
    if (family == AF_INET) {
        header->source.v4.sin_family = AF_INET;
        header->source.v4.sin_port = source_port;
        memcpy(&header->source.v4.sin_addr, &source, sizeof(header->source.v4.sin_addr));
    } else {
        header->source.v6.sin6_family = AF_INET6;
        header->source.v6.sin6_port = source_port;
        header->source.v6.sin6_addr = source;
    }
    return true;
}

/* `line` is without CR LF and begins with v1_start. */
static bool parse_v1_line(struct span line, struct proxy_header *header)
{
    line.base += sizeof(v1_start) - 1;
    line.len -= sizeof(v1_start) - 1;
    struct span protocol = next_word(&line);
    if (span_equal(protocol, SPAN("UNKNOWN"))) {
        return true;
    }
    if (span_equal(protocol, SPAN("TCP4"))) {
        return parse_v1_addresses(line, AF_INET, header);
    }
    return span_equal(protocol, SPAN("TCP6")) && parse_v1_addresses(line, AF_INET6, header);
}

/* The first CR and the first LF are the end of the line, next to each other. */
static enum proxy_result parse_v1(struct span received, struct proxy_header *header)
{
    size_t most = received.len < V1_LINE_BYTES ? received.len : V1_LINE_BYTES;
    const char *cr = memchr(received.base, '\r', most);
    const char *lf = memchr(received.base, '\n', most);
    if (lf == NULL) {
        bool may_follow = most < V1_LINE_BYTES && (cr == NULL || cr + 1 == received.base + most);
        return may_follow ? PROXY_MORE : PROXY_BAD;
    }
    if (cr == NULL || lf != cr + 1 ||
        !parse_v1_line((struct span){received.base, (size_t)(cr - received.base)}, header)) {
        return PROXY_BAD;
    }
    header->bytes = (size_t)(lf + 1 - received.base);
    return PROXY_DONE;
}

/* ---- version 2 ---- */

/* Addresses and, behind each family's two, ports. False: too short, or not of a stream. */
static bool parse_v2_addresses(unsigned family, struct span rest, struct proxy_header *header)
{
    switch (family) {
    case V2_UNSPEC: return true;
    case V2_UNIX: return rest.len >= V2_UNIX_BYTES;
    case V2_TCP4:
        if (rest.len < V2_TCP4_BYTES) {
            return false;
        }
        header->source.v4.sin_family = AF_INET;
        memcpy(&header->source.v4.sin_addr, rest.base, 4);
        memcpy(&header->source.v4.sin_port, rest.base + 8, 2);
        return true;
    case V2_TCP6:
        if (rest.len < V2_TCP6_BYTES) {
            return false;
        }
        header->source.v6.sin6_family = AF_INET6;
        memcpy(&header->source.v6.sin6_addr, rest.base, 16);
        memcpy(&header->source.v6.sin6_port, rest.base + 32, 2);
        return true;
    default: return false;
    }
}

static enum proxy_result parse_v2(struct span received, struct proxy_header *header)
{
    const unsigned char *bytes = (const unsigned char *)received.base;
    unsigned command = received.len > V2_COMMAND ? bytes[V2_COMMAND] : V2_LOCAL;
    if (command != V2_LOCAL && command != V2_PROXY) {
        return PROXY_BAD;
    }
    if (received.len < V2_HEAD_BYTES) {
        return PROXY_MORE;
    }
    size_t rest = (size_t)bytes[V2_LENGTH] << 8 | bytes[V2_LENGTH + 1];
    if (V2_HEAD_BYTES + rest > LIM_PROXY_HEADER_BYTES) {
        return PROXY_BAD;
    }
    if (received.len < V2_HEAD_BYTES + rest) {
        return PROXY_MORE;
    }
    struct span addresses = {received.base + V2_HEAD_BYTES, rest};
    if (command == V2_PROXY && !parse_v2_addresses(bytes[V2_FAMILY], addresses, header)) {
        return PROXY_BAD;
    }
    header->bytes = V2_HEAD_BYTES + rest;
    return PROXY_DONE;
}

/* ---- both ---- */

/* Is one the beginning of the other? */
static bool begins(struct span received, const char *start, size_t bytes)
{
    return memcmp(received.base, start, received.len < bytes ? received.len : bytes) == 0;
}

enum proxy_result proxy_parse(struct span received, struct proxy_header *header)
{
    memset(header, 0, sizeof(*header));
    header->source.any.sa_family = AF_UNSPEC;
    if (received.len == 0) {
        return PROXY_MORE;
    }
    if (begins(received, v1_start, sizeof(v1_start) - 1)) {
        return received.len < sizeof(v1_start) - 1 ? PROXY_MORE : parse_v1(received, header);
    }
    if (begins(received, v2_signature, sizeof(v2_signature) - 1)) {
        return received.len < sizeof(v2_signature) - 1 ? PROXY_MORE : parse_v2(received, header);
    }
    return PROXY_BAD;
}
