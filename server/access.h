/* SPDX-License-Identifier: Apache-2.0 */
/* The access log of one worker: one line for each request, collected in memory and handed to the
 * log once per turn of the loop. Three formats:
 *
 *   plain     2026-01-31T12:00:00.000Z 192.0.2.1:4711 "GET /index.html HTTP/1.1" 200 1234 56
 *             time, peer, request as received, status (- when none was sent), bytes of the body
 *             that were sent, microseconds
 *   combined  what web servers and their statistics agree on:
 *             192.0.2.1 - - [31/Jan/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 1234 "referer"
 * "agent" json      an object a line, with all that is known; docs/zeroserve.1 lists its members
 *
 * What clients choose is cut at a length, and bytes that would end a string or a line, or that are
 * not printable ASCII, become \xHH, in JSON \u00HH.
 */
#ifndef SERVER_ACCESS_H
#define SERVER_ACCESS_H

#include <stdint.h>
#include <time.h>

#include "server/limits.h"
#include "server/span.h"

struct tls_info;    /* server/tls.h */
union peer_address; /* server/cidr.h */

enum access_format { ACCESS_PLAIN, ACCESS_COMBINED, ACCESS_JSON, ACCESS_FORMATS };

/* What became of the request, by its scripts. */
enum access_decision {
    ACCESS_PASS,      /* no script decided; a file or an error was the answer */
    ACCESS_RESPONDED, /* a script answered */
    ACCESS_ABORTED,   /* a script closed the connection */
    ACCESS_FAULTED,   /* a script was killed */
    ACCESS_PROXIED,   /* an upstream answered */
    ACCESS_DECISIONS
};

struct access_log {
    size_t used;
    unsigned count; /* of lines */
    time_t second;  /* that `date` shows */
    char date[32];
    char lines[LIM_ACCESS_LOG_BYTES];
};

/* All but peer may be left empty. */
struct access_entry {
    const union peer_address *peer;
    struct span method; /* empty when the head was malformed */
    struct span target;
    unsigned major; /* HTTP/<major>.<minor>; 0: 1 */
    unsigned minor;
    unsigned status;
    uint64_t body_bytes;
    uint64_t microseconds;
    uint64_t id; /* of the exchange, as other lines of the log name it */
    struct span host;
    struct span user_agent;
    struct span referer;
    const struct tls_info *tls; /* NULL: plain */
    enum access_decision decision;
    struct span upstream; /* when proxied */
};

/* By name; ACCESS_FORMATS: there is none of that name. */
enum access_format access_format_find(const char *name);
/* Of all logs of the process; called before there are any. */
void access_set_format(enum access_format format);
/* Whether lines tell more of an entry than its peer, request line, status, size and time. */
bool access_wants_details(void);

void access_add(struct access_log *log, const struct access_entry *entry);
/* The same with a given format and time. */
void access_add_at(struct access_log *log, const struct access_entry *entry,
                   enum access_format format, const struct timespec *now);
/* Hands over what was collected. */
void access_flush(struct access_log *log);

#endif
