/* SPDX-License-Identifier: Apache-2.0 */
/* The only place that writes lines to standard error. */
#include "server/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { LINE_BYTES = 1024 }; /* with the newline */

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
    ssize_t ignored = write(STDERR_FILENO, line, bytes + 1);
    (void)ignored; /* there is nowhere to complain to */
}
