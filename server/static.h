/* SPDX-License-Identifier: Apache-2.0 */
/* Answers a request with a file of the site (RFC 9110 sections 8, 13, 15). No I/O: the answer's
 * body is a range of the tar. */
#ifndef SERVER_STATIC_H
#define SERVER_STATIC_H

#include "server/exchange.h"
#include "server/site.h"

/* `glob` is matched with the path of the file in the site when it has a '/' (one that it begins
 * with is the root), else with the last part of the path. `*` is any bytes, also '/'; `?` is one
 * byte. */
struct cache_rule {
    const char *glob;
    const char *value; /* of Cache-Control */
};

struct static_options {
    const char *index;                    /* document of a directory: "index.html" */
    bool try_html;                        /* /about serves about.html */
    bool no_dir_redirect;                 /* serve a directory without trailing slash in place */
    const struct cache_rule *cache_rules; /* the first that matches counts */
    unsigned cache_rule_count;
};

/* What was told about files of one site lately, so that it is not made again. One for each thread.
 * NULL: out of memory. */
struct static_facts;
struct static_facts *static_facts_create(void);
/* NULL is fine. */
void static_facts_free(struct static_facts *facts);

/* Always makes a response: 200, 304, 308, 404, 405, 406, 412, 206 or 416. A 404 carries the site's
 * /404.html when there is one. `known` of this site, or NULL. */
void static_answer(struct exchange *ex, const struct site *site,
                   const struct static_options *options, struct static_facts *known);

#endif
