/* SPDX-License-Identifier: Apache-2.0 */
/* The running server: listeners, workers, signals. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/options.h"
#include "server/snapshot.h"

/* Loads again what is served. NULL: told, and nothing changed. */
typedef struct snapshot *server_load_fn(void *context);

/* Serves until SIGTERM or SIGINT, then drains. On SIGHUP, and when the file of
 * --reload-signal-file changes, `load` is called with `context` and what it gives is served from
 * then on. Prints `listening on http://IP:PORT (N worker thread(s))`, and the same of https when
 * there is TLS. Returns the exit code. Borrows the options and the snapshot. */
int server_run(const struct options *options, struct snapshot *snapshot, server_load_fn *load,
               void *context);

#endif
