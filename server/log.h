/* SPDX-License-Identifier: Apache-2.0 */
/* Lines on standard error. A line is written with one write(2), so lines of several threads do not
 * mix. Control characters become '?'. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

/* One line, without final newline, at most 1 KiB; longer ones are cut. Thread-safe. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
