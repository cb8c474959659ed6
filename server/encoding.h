/* SPDX-License-Identifier: Apache-2.0 */
/* Content codings (RFC 9110 8.4.1) and what an Accept-Encoding says of them (12.5.3). A site may
 * hold a file several times: as it is, and coded under its name with a suffix. Pure functions. */
#ifndef SERVER_ENCODING_H
#define SERVER_ENCODING_H

#include "server/exchange.h"

/* In the order of preference among codings that a client likes equally well, last first. */
enum encoding { ENCODING_IDENTITY, ENCODING_GZIP, ENCODING_ZSTD, ENCODING_BR, ENCODINGS };

#define ENCODING_BIT(encoding) (1u << (encoding))

struct encoding_row {
    struct span name;   /* in Content-Encoding */
    struct span suffix; /* of the file's name, with the dot; empty for identity */
};
extern const struct encoding_row encoding_rows[ENCODINGS];

/* The best of the codings `available` (ENCODING_BIT of each) for a request with these fields, or
 * ENCODINGS when none is acceptable. Without Accept-Encoding that is identity. Members of the list
 * that are malformed do not count. */
enum encoding encoding_select(const struct field_list *fields, unsigned available);

#endif
