/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP dates (RFC 9110 5.6.7): written as IMF-fixdate, read in all three forms. Pure functions, but
 * that date_parse asks the clock for the century of a two-digit year. */
#ifndef SERVER_DATE_H
#define SERVER_DATE_H

#include <stdint.h>

#include "server/span.h"

enum { DATE_BYTES = 29 }; /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* Writes DATE_BYTES bytes and a NUL. Times outside the years 1970 to 9999 become the nearest of
 * them. */
void date_format(int64_t unix_seconds, char out[DATE_BYTES + 1]);
/* False: none of the three forms, or no such day or time; *unix_seconds is untouched. */
bool date_parse(struct span text, int64_t *unix_seconds);

#endif
