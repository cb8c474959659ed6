/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4). From any thread. */
#ifndef SERVER_SHA256_H
#define SERVER_SHA256_H

#include <stdbool.h>
#include <stdint.h>

#include "server/span.h"

enum { SHA256_BYTES = 32 };

/* Of two pieces, one behind the other. `out` may be one of them. False: the library has no memory,
 * or no such algorithm. */
bool sha256(struct span first, struct span second, uint8_t out[SHA256_BYTES]);

#endif
