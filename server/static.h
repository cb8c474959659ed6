/* SPDX-License-Identifier: Apache-2.0 */
/* Answers a request with a file of the site (RFC 9110 sections 8, 13, 15). No I/O: the answer's
 * body is a range of the tar. */
#ifndef SERVER_STATIC_H
#define SERVER_STATIC_H

#include "server/exchange.h"
#include "server/site.h"

struct static_options {
    const char *index;    /* document of a directory: "index.html" */
    bool try_html;        /* /about serves about.html */
    bool no_dir_redirect; /* serve a directory without trailing slash in place */
};

/* Always makes a response: 200, 304, 308, 404, 405, 406, 412, 206 or 416. A 404 carries the site's
 * /404.html when there is one. */
void static_answer(struct exchange *ex, const struct site *site,
                   const struct static_options *options);

#endif
