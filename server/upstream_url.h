/* SPDX-License-Identifier: Apache-2.0 */
/* Where requests are forwarded to: `http://host[:port][/base]`, `https://host[:port][/base]` or
 * `unix/<path of a socket>`; several are separated by commas. Text in, parts out: no names are
 * resolved here.
 */
#ifndef SERVER_UPSTREAM_URL_H
#define SERVER_UPSTREAM_URL_H

#include <stdint.h>

#include "server/limits.h"
#include "server/span.h"

enum upstream_scheme { UPSTREAM_HTTP, UPSTREAM_HTTPS, UPSTREAM_UNIX };

/* Spans point into the text it was parsed from. */
struct upstream_url {
    enum upstream_scheme scheme;
    struct span host;      /* a name, an IPv4 address, or an IPv6 address without its brackets;
                              empty for UPSTREAM_UNIX */
    uint16_t port;         /* 80 or 443 when none is given; 0 for UPSTREAM_UNIX */
    struct span authority; /* host and port as written, for Host; empty for UPSTREAM_UNIX */
    struct span base;      /* goes before the path of each request: empty, or begins with '/' and
                              does not end with one */
    struct span path;      /* UPSTREAM_UNIX: of the socket, fit for sun_path with its NUL */
};

/* NULL, or why `text` is none: static, for a line of the log. */
const char *upstream_url_parse(struct span text, struct upstream_url *url);
/* Parses a list; blanks around each are dropped. The number of urls filled, from 1 to
 * LIM_UPSTREAM_TARGETS; or 0, with *reason as above and *culprit the entry it is about. */
unsigned upstream_list_parse(struct span text, struct upstream_url urls[LIM_UPSTREAM_TARGETS],
                             const char **reason, struct span *culprit);
/* What a script asks for, in the pool of its exchange: to have the request answered by one of these
 * upstreams. */
struct proxy_request {
    const struct upstream_url *targets;
    unsigned target_count; /* at least 1 */
    bool sticky;           /* the same hash goes to the same target while it is there */
    uint64_t hash;
};

/* "http://", "https://" or "unix/". */
const char *upstream_prefix(enum upstream_scheme scheme);
/* Of a key for stickiness, or of an upstream's key. */
uint64_t upstream_hash(struct span text);
/* Writes what tells upstreams apart, whatever the base: scheme, host in lower case, port; or scheme
 * and path. Returns its length. */
size_t upstream_url_key(const struct upstream_url *url, char key[LIM_UPSTREAM_KEY_BYTES]);

#endif
