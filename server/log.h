/* SPDX-License-Identifier: Apache-2.0 */
/* The logs: lines on standard error, and those of the access log, which go there too or to a file.
 *
 * Before log_open and after log_stop a line is written at once, by one write(2). In between, lines
 * go through server/log_writer.h: no thread waits for whoever reads the log.
 */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <stdbool.h>

#include "server/span.h"

enum log_stream { LOG_MESSAGES, LOG_ACCESS, LOG_STREAMS };

/* One line, without final newline, at most 1 KiB; longer ones are cut. Control characters become
 * '?'. Thread-safe. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Whole lines with their newlines. Thread-safe. */
void log_put(enum log_stream stream, struct span text, unsigned lines);

/* `access_path`: file of the access log, borrowed; NULL: standard error. False: `error`. */
bool log_open(const char *access_path, char *error, size_t error_bytes);
/* Starts the threads that write. Lines since log_open have waited for them. SIGPIPE is blocked by
 * the caller. False: they do not start. */
bool log_start(void);
/* Opens the file of the access log again. */
void log_reopen(void);
/* Writes what is left, waiting a short time for the reader. Other threads log no more. */
void log_stop(void);

#endif
