/* SPDX-License-Identifier: Apache-2.0 */
/* What HTTP/2 lets a peer do cheaply and us dearly, counted: resets of both kinds (CVE-2023-44487,
 * CVE-2025-8671), streams in one read, frames without content (the floods of 2019), oddities. The
 * clock comes in with the bytes. What one frame may be is checked elsewhere. */
#include "server/h2_int.h"

enum { THOUSANDTHS = 1000 };

void h2_guard_init(struct h2_guard *guard, uint32_t streams_total)
{
    *guard = (struct h2_guard){.streams_total = streams_total};
    guard->resets_received.thousandths = (uint64_t)LIM_H2_RESETS_BURST * THOUSANDTHS;
    guard->resets_caused = guard->resets_received;
}

bool h2_guard_read(struct h2_guard *guard, size_t bytes, uint64_t now_ms)
{
    guard->now_ms = now_ms > guard->now_ms ? now_ms : guard->now_ms;
    guard->bytes += bytes;
    guard->streams_of_read = 0;
    return guard->bytes / LIM_H2_OVERHEAD_RATIO <= guard->payload + LIM_H2_OVERHEAD_BYTES;
}

bool h2_guard_stream(struct h2_guard *guard, uint32_t streams_max)
{
    guard->streams++;
    guard->streams_of_read++;
    return guard->streams_of_read <= LIM_H2_STREAMS_PER_READ * streams_max;
}

bool h2_guard_reset(struct h2_guard *guard, struct h2_bucket *bucket)
{
    const uint64_t full = (uint64_t)LIM_H2_RESETS_BURST * THOUSANDTHS;
    uint64_t passed_ms = guard->now_ms - bucket->filled_ms;
    bucket->filled_ms = guard->now_ms;
    /* a second's worth of tokens is that many thousandths a millisecond */
    if (passed_ms >= full / LIM_H2_RESETS_PER_SECOND) {
        bucket->thousandths = full;
    } else {
        bucket->thousandths += passed_ms * LIM_H2_RESETS_PER_SECOND;
        bucket->thousandths = bucket->thousandths < full ? bucket->thousandths : full;
    }
    if (bucket->thousandths < THOUSANDTHS) {
        return false;
    }
    bucket->thousandths -= THOUSANDTHS;
    return true;
}

bool h2_guard_glitch(struct h2_guard *guard)
{
    guard->glitches++;
    return guard->glitches <= LIM_H2_GLITCHES;
}

bool h2_guard_wants_drain(const struct h2_guard *guard)
{
    return guard->streams >= guard->streams_total || guard->glitches > LIM_H2_GLITCHES / 4 * 3;
}
