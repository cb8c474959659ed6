/* SPDX-License-Identifier: Apache-2.0 */
/* The running server: listeners, workers, signals. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/options.h"
#include "server/script.h"
#include "server/site.h"

struct tls_context; /* server/tls.h */

/* What every request is served from; immutable, outlives the workers. */
struct snapshot {
    struct site *site;
    struct script_set *scripts;
    struct tls_context *tls; /* NULL: no TLS */
};

/* Serves until SIGTERM or SIGINT, then drains. Prints `listening on http://IP:PORT (N worker
 * thread(s))`, and the same of https when there is TLS. Returns the exit code. Borrows both. */
int server_run(const struct options *options, const struct snapshot *snapshot);

#endif
