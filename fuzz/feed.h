/* SPDX-License-Identifier: Apache-2.0 */
/* For harnesses of what reads a connection: its bytes arrive whole or in pieces, and what the
 * parser is shown is a copy, so that reads outside of it are seen. */
#ifndef FUZZ_FEED_H
#define FUZZ_FEED_H

#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "server/span.h"

#define FEED_DIGEST_START 0xcbf29ce484222325u

/* How much of the peer's bytes has arrived. */
struct feed {
    const char *bytes;
    size_t size;
    size_t have;
    char *shown; /* copy of the bytes from some offset to `have`; freed by the owner */
    size_t shown_bytes;
    uint32_t random; /* sizes of the pieces */
    bool whole;
};

/* Shows what has arrived from `start` on. */
static inline void feed_show(struct feed *feed, size_t start)
{
    feed->shown_bytes = feed->have - start;
    free(feed->shown);
    feed->shown = malloc(feed->shown_bytes > 0 ? feed->shown_bytes : 1);
    check(feed->shown != NULL);
    memcpy(feed->shown, feed->bytes + start, feed->shown_bytes);
}

/* More bytes; false when there are none. */
static inline bool feed_more(struct feed *feed)
{
    if (feed->have == feed->size) {
        return false;
    }
    feed->random = feed->random * 1664525u + 1013904223u;
    size_t left = feed->size - feed->have;
    size_t bytes = (feed->random >> 16) % ((feed->random >> 30) == 0 ? 64 : 5) + 1;
    feed->have += feed->whole || bytes > left ? left : bytes;
    return true;
}

/* A span that the parser gave lies in what it was shown. */
static inline void feed_check_inside(const struct feed *feed, struct span span)
{
    check(span.len == 0 || (span.base >= feed->shown && span.len <= feed->shown_bytes &&
                            span.base - feed->shown <= (ptrdiff_t)(feed->shown_bytes - span.len)));
}

/* FNV-1a. */
static inline void feed_digest_bytes(uint64_t *digest, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        *digest = (*digest ^ (uint8_t)text.base[i]) * 0x100000001b3u;
    }
}

/* And the length, so that borders count. */
static inline void feed_digest(uint64_t *digest, struct span text)
{
    feed_digest_bytes(digest, text);
    *digest = (*digest ^ text.len) * 0x100000001b3u;
}

#endif
