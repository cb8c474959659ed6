/* SPDX-License-Identifier: Apache-2.0 */
#include "server/siphash.h"

#include <endian.h>

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

struct state {
    uint64_t a, b, c, d; /* v0 to v3 of the paper */
};

static inline struct state sip_round(struct state v)
{
    v.a += v.b;
    v.c += v.d;
    v.b = rotate(v.b, 13) ^ v.a;
    v.d = rotate(v.d, 16) ^ v.c;
    v.a = rotate(v.a, 32);
    v.c += v.b;
    v.a += v.d;
    v.b = rotate(v.b, 17) ^ v.c;
    v.d = rotate(v.d, 21) ^ v.a;
    v.c = rotate(v.c, 32);
    return v;
}

static inline struct state absorb(struct state v, uint64_t word)
{
    v.d ^= word;
    v = sip_round(v);
    v.a ^= word;
    return v;
}

/* What is left behind the last whole word, of which the first is the lowest; fewer than eight. */
static uint64_t rest(struct span text)
{
    size_t count = text.len % 8;
    if (count > 0 && text.len > 8) {
        return le64toh(octets8(text.base + text.len - 8)) >> (8 * (8 - count));
    }
    uint64_t word = 0;
    for (; count > 0; count--) {
        word = word << 8 | (uint8_t)text.base[count - 1];
    }
    return word;
}

uint64_t siphash(const uint64_t secret[2], struct span text)
{
    uint64_t k0 = secret[0], k1 = secret[1];
    struct state v = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                      k1 ^ 0x7465646279746573};
    for (size_t at = 0; text.len - at >= 8; at += 8) {
        v = absorb(v, le64toh(octets8(text.base + at)));
    }
    v = absorb(v, (uint64_t)text.len << 56 | rest(text));
    v.c ^= 0xff;
    v = sip_round(sip_round(sip_round(v)));
    return v.a ^ v.b ^ v.c ^ v.d;
}
