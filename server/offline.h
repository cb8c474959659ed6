/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a request from text into an exchange, as if it had come by a connection. For tools. */
#ifndef SERVER_OFFLINE_H
#define SERVER_OFFLINE_H

#include <stdbool.h>
#include <stddef.h>

/* Who sends the request. All zero: somebody on this machine, without TLS. */
struct offline_client {
    const char *peer; /* address without port; NULL: 127.0.0.1 */
    bool tls;
    const char *const *fields; /* "Name: value", sent behind those of the request */
    unsigned field_count;
};

struct exchange;

/* Plain newlines in the head are fine, and the empty line at its end may be missing; the body is
 * taken as it is. False: one line in `error`, and *status is that of the answer which such a
 * request gets, or 0 when it gets none. What `ex` refers to is in *text, to be freed after it. */
bool offline_request(struct exchange *ex, const struct offline_client *client, const char *raw,
                     size_t raw_bytes, char **text, unsigned *status, char *error,
                     size_t error_bytes);

#endif
