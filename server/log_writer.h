/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that writes lines to one descriptor, so that no other thread ever waits for whoever
 * reads them. Every thread that hands lines over has a queue of its own, made at its first line.
 *
 * When the reader is too slow, or gone, lines are dropped; once lines get through again, their
 * number is told in a line: `NAME: N lines dropped`.
 */
#ifndef SERVER_LOG_WRITER_H
#define SERVER_LOG_WRITER_H

#include <stdbool.h>

#include "server/span.h"

struct log_writer;

/* Where to write: to `path`, appending, made when it is not there; NULL: to the descriptor `fd`,
 * which stays the caller's. */
struct log_target {
    const char *name; /* of the log, for its messages */
    const char *path;
    int fd;
    /* Takes a line about the log itself; NULL: such lines go into it. Called by the writer. */
    void (*tell)(const char *line);
};

/* Opens the target; lines may be put, and wait. Strings are borrowed. NULL: `error`. */
struct log_writer *log_writer_open(const struct log_target *target, char *error,
                                   size_t error_bytes);
/* Starts the thread. False: it does not, and the writer is of no use. */
bool log_writer_start(struct log_writer *writer);
/* Whole lines, with their newlines. Never waits. From any thread. Lines that are not urgent are
 * written within LIM_LOG_REST_MS. */
void log_writer_put(struct log_writer *writer, struct span text, unsigned lines, bool urgent);
/* Opens `path` again: somebody moved the file away. Until then, and when that fails, lines go to
 * the old one. From any thread. */
void log_writer_reopen(struct log_writer *writer);
/* Writes what was put before. Waits for the reader as long as something moves, a second without
 * and five in all at most; false: it did not end, and the writer lives on until the process ends.
 * No other thread may put any more. */
bool log_writer_stop(struct log_writer *writer);

#endif
