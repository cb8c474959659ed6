/* SPDX-License-Identifier: Apache-2.0 */
/* Priorities of HTTP (RFC 9218) as one octet: how urgent an answer is, and whether pieces of it are
 * of use before it is complete. */
#ifndef SERVER_H2_PRIORITY_H
#define SERVER_H2_PRIORITY_H

#include <stdbool.h>
#include <stdint.h>

#include "server/span.h"

enum {
    H2_URGENCIES = 8,
    H2_INCREMENTAL = 8, /* a bit beside the urgency */
    H2_PRIORITY_DEFAULT = 3,
};

static inline unsigned h2_urgency(uint8_t priority)
{
    return priority % H2_URGENCIES;
}

/* Of the text of a `priority` field or a PRIORITY_UPDATE frame: a dictionary (RFC 8941 3.2) of
 * which `u` and `i` count, when they have values that they may have. One that is malformed says
 * nothing. */
uint8_t h2_priority_parse(struct span text);

#endif
