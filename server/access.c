/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the access log. Every line is shorter than LINE_BYTES, because the parts that a client
 * chooses are cut, so a line is never split by a flush. */
#include "server/access.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES (2 * LIM_ACCESS_TARGET_BYTES + 512u)

_Static_assert(LINE_BYTES <= LIM_ACCESS_LOG_BYTES, "the buffer holds a line");

static char *put_time(struct access_log *log, char *out)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    if (log->second != now.tv_sec && gmtime_r(&now.tv_sec, &tm) != NULL) {
        strftime(log->date, sizeof(log->date), "%Y-%m-%dT%H:%M:%S", &tm);
        log->second = now.tv_sec;
    }
    return out + snprintf(out, 40, "%s.%03ldZ ", log->date, now.tv_nsec / 1000000);
}

static char *put_peer(char *out, const struct sockaddr *peer)
{
    char text[INET6_ADDRSTRLEN] = "-";
    if (peer->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)peer;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
        return out + snprintf(out, 64, "%s:%u", text, ntohs(v4->sin_port));
    }
    if (peer->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)peer;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
        return out + snprintf(out, 64, "[%s]:%u", text, ntohs(v6->sin6_port));
    }
    *out = '-';
    return out + 1;
}

/* At most LIM_ACCESS_TARGET_BYTES + 6 bytes come of it. */
static char *put_escaped(char *out, struct span text)
{
    static const char digits[] = "0123456789abcdef";
    const char *end = out + LIM_ACCESS_TARGET_BYTES;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.base[i];
        if (out >= end) {
            memcpy(out, "...", 3);
            return out + 3;
        }
        if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
            *out++ = (char)c;
        } else {
            *out++ = '\\';
            *out++ = 'x';
            *out++ = digits[c >> 4];
            *out++ = digits[c & 15];
        }
    }
    return out;
}

static char *put_status(char *out, unsigned status)
{
    return out + (status == 0 ? snprintf(out, 16, "-") : snprintf(out, 16, "%u", status));
}

void access_add(struct access_log *log, const struct access_entry *entry)
{
    if (sizeof(log->lines) - log->used < LINE_BYTES) {
        access_flush(log);
    }
    char *line = log->lines + log->used;
    char *out = put_peer(put_time(log, line), entry->peer);
    memcpy(out, " \"", 2);
    out += 2;
    if (entry->method.len > 0) {
        out = put_escaped(out, entry->method);
        *out++ = ' ';
        out = put_escaped(out, entry->target);
        out += snprintf(out, 16, " HTTP/1.%u", entry->minor);
    }
    memcpy(out, "\" ", 2);
    out = put_status(out + 2, entry->status);
    out += snprintf(out, 64, " %" PRIu64 " %" PRIu64 "\n", entry->body_bytes, entry->microseconds);
    log->used += (size_t)(out - line);
}

void access_flush(struct access_log *log)
{
    size_t written = 0;
    while (written < log->used) {
        ssize_t n = write(STDERR_FILENO, log->lines + written, log->used - written);
        if (n <= 0) {
            break; /* a log nobody reads must not stop the server */
        }
        written += (size_t)n;
    }
    log->used = 0;
}
