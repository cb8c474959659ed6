/* SPDX-License-Identifier: Apache-2.0 */
/* What became of the streams that a client opened last, once they are closed: what it still sends
 * for them is right, wrong, or a grave error by that (RFC 9113 5.1). Older ones are forgotten. */
#ifndef SERVER_H2_PAST_H
#define SERVER_H2_PAST_H

#include <stdint.h>

enum { H2_PAST_IDS = 256 }; /* of clients, so odd: the last ones up to the highest that was used */

enum h2_fate {
    H2_SKIPPED,   /* it was never opened, and may not be any more */
    H2_ENDED,     /* by both sides */
    H2_LEFT,      /* reset by the client */
    H2_DISMISSED, /* reset by us, which the client may not know yet; or too long ago to be known */
};

/* All zero: no stream was opened. */
struct h2_past {
    uint32_t id_last; /* the highest that was used, or 0 */
    uint8_t fates[H2_PAST_IDS / 4];
};

/* `id` is odd and above id_last: it is opened, or refused, and those between were skipped. */
void h2_past_open(struct h2_past *past, uint32_t id);
/* A stream that was opened is closed. */
void h2_past_close(struct h2_past *past, uint32_t id, enum h2_fate fate);
/* Of a stream that is not open; `id` is odd and id_last at most. */
enum h2_fate h2_past_fate(const struct h2_past *past, uint32_t id);

#endif
