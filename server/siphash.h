/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"): a hash for tables whose
 * keys others choose. Who does not know the secret cannot make keys that meet. */
#ifndef SERVER_SIPHASH_H
#define SERVER_SIPHASH_H

#include <stdint.h>

#include "server/span.h"

uint64_t siphash(const uint64_t secret[2], struct span text);

#endif
