/* SPDX-License-Identifier: Apache-2.0 */
/* The access log of one worker: one line for each request, collected in memory and written to
 * standard error once per turn of the loop.
 *
 *   2026-01-31T12:00:00.000Z 192.0.2.1:4711 "GET /index.html HTTP/1.1" 200 1234 56
 *
 * that is time, peer, request as received, status (- when none was sent), bytes of the body that
 * were sent, microseconds. Quotes, backslashes and bytes outside printable ASCII become \xHH.
 */
#ifndef SERVER_ACCESS_H
#define SERVER_ACCESS_H

#include <stdint.h>
#include <sys/socket.h>

#include "server/limits.h"
#include "server/span.h"

struct access_log {
    size_t used;
    time_t second; /* that `date` shows */
    char date[24];
    char lines[LIM_ACCESS_LOG_BYTES];
};

struct access_entry {
    const struct sockaddr *peer;
    struct span method; /* empty when the head was malformed */
    struct span target;
    unsigned minor; /* HTTP/1.<minor> */
    unsigned status;
    uint64_t body_bytes;
    uint64_t microseconds;
};

void access_add(struct access_log *log, const struct access_entry *entry);
/* Writes what was collected. */
void access_flush(struct access_log *log);

#endif
