/* SPDX-License-Identifier: Apache-2.0 */
/* Which log goes where. */
#include "server/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "server/log_writer.h"

enum { LINE_BYTES = 1024 }; /* with the newline */

/* Both are the same without a file for the access log. NULL: not started. Set while no other thread
 * runs. */
static struct log_writer *writers[LOG_STREAMS];

void log_put(enum log_stream stream, struct span text, unsigned lines)
{
    if (writers[stream] != NULL) {
        log_writer_put(writers[stream], text, lines, stream == LOG_MESSAGES);
        return;
    }
    ssize_t ignored = write(STDERR_FILENO, text.base, text.len);
    (void)ignored; /* there is nowhere to complain to */
}

void log_line(const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length < 0) {
        return;
    }
    size_t bytes = (size_t)length < sizeof line ? (size_t)length : sizeof line - 1;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)line[i];
        if (c < ' ' || c == 0x7f) {
            line[i] = '?';
        }
    }
    line[bytes] = '\n'; /* over the NUL */
    log_put(LOG_MESSAGES, (struct span){line, bytes + 1}, 1);
}

static void tell(const char *line)
{
    log_line("%s", line);
}

bool log_open(const char *access_path, char *error, size_t error_bytes)
{
    struct log_target messages = {.name = "log", .fd = STDERR_FILENO};
    struct log_target access = {.name = "access log", .path = access_path, .tell = tell};
    writers[LOG_MESSAGES] = log_writer_open(&messages, error, error_bytes);
    if (writers[LOG_MESSAGES] != NULL) {
        writers[LOG_ACCESS] = access_path == NULL ? writers[LOG_MESSAGES]
                                                  : log_writer_open(&access, error, error_bytes);
    }
    return writers[LOG_ACCESS] != NULL;
}

bool log_start(void)
{
    bool same = writers[LOG_ACCESS] == writers[LOG_MESSAGES];
    return log_writer_start(writers[LOG_MESSAGES]) &&
           (same || log_writer_start(writers[LOG_ACCESS]));
}

void log_reopen(void)
{
    if (writers[LOG_ACCESS] != NULL) {
        log_writer_reopen(writers[LOG_ACCESS]);
    }
}

/* A writer that does not end keeps its place: lines for it are dropped instead of waited for. */
static bool stop(enum log_stream stream)
{
    if (writers[stream] != NULL && !log_writer_stop(writers[stream])) {
        return false;
    }
    writers[stream] = NULL;
    return true;
}

void log_stop(void)
{
    if (writers[LOG_ACCESS] == writers[LOG_MESSAGES]) {
        stop(LOG_MESSAGES);
        writers[LOG_ACCESS] = writers[LOG_MESSAGES];
    } else if (stop(LOG_ACCESS)) { /* else it may still have something to say on the other */
        stop(LOG_MESSAGES);
    }
}
