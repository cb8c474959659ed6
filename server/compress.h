/* SPDX-License-Identifier: Apache-2.0 */
/* Compresses whole files at the highest level, when a site is packed. The same bytes in give the
 * same bytes out: no time and no name gets in. */
#ifndef SERVER_COMPRESS_H
#define SERVER_COMPRESS_H

#include <stdint.h>

#include "server/encoding.h"

/* Is content of this type worth a try? What is compressed already is not. */
bool compress_type(struct span type);
/* `bytes` (> 0, at most LIM_COMPRESS_BYTES) in a coding other than identity, malloc'ed. NULL: out
 * of memory. */
uint8_t *compress_bytes(enum encoding coding, const uint8_t *in, size_t bytes, size_t *out_bytes);

#endif
