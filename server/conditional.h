/* SPDX-License-Identifier: Apache-2.0 */
/* Conditional and range requests (RFC 9110 13 and 14) for GET and HEAD of something that exists.
 * Pure functions of the request's fields and the file's validators. */
#ifndef SERVER_CONDITIONAL_H
#define SERVER_CONDITIONAL_H

#include <stdint.h>

#include "server/exchange.h"
#include "server/limits.h"

struct validators {
    struct span etag;      /* strong, with quotes */
    int64_t last_modified; /* seconds since 1970 */
};

enum conditional_result {
    CONDITIONAL_PASS,
    CONDITIONAL_UNCHANGED, /* 304 */
    CONDITIONAL_FAILED,    /* 412 */
};

/* Whether the functions below need be asked: few requests have a condition or a range. Says yes too
 * often, never too seldom. */
bool conditional_any(const struct field_list *fields);
/* Steps 1 to 4 of RFC 9110 13.2.2. */
enum conditional_result conditional_check(const struct field_list *fields,
                                          const struct validators *validators);

struct byte_range {
    uint64_t offset;
    uint64_t count; /* > 0 */
};

/* In the order asked for. None overlaps or touches another: such were made one. */
struct range_set {
    struct byte_range items[LIM_RANGES];
    unsigned count;
};

enum range_result {
    RANGE_ALL,  /* none asked for, malformed, too many, more bytes than there are in all, or
                   If-Range says no: answer with it all */
    RANGE_PART, /* 206; one or several in the set */
    RANGE_NONE, /* 416 */
};

/* Step 5, for GET: what the client wants of a representation of `bytes`. */
enum range_result range_select(const struct field_list *fields, const struct validators *validators,
                               uint64_t bytes, struct range_set *set);

#endif
