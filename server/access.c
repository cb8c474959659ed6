/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the access log. Every line is shorter than LINE_BYTES, because the parts that others
 * choose are cut, so a line is never split by a flush. */
#include "server/access.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#include "server/chars.h"
#include "server/cidr.h"
#include "server/log.h"
#include "server/tls.h"

/* Method, target, host, agent, referer, server name, upstream, each with what an escape may add. */
#define LINE_BYTES (7 * (LIM_ACCESS_TARGET_BYTES + 16u) + 1024u)

_Static_assert(LINE_BYTES <= LIM_ACCESS_LOG_BYTES, "the buffer holds a line");

static const char *const format_names[ACCESS_FORMATS] = {
    [ACCESS_PLAIN] = "plain",
    [ACCESS_COMBINED] = "combined",
    [ACCESS_JSON] = "json",
};

static const char *const decision_names[ACCESS_DECISIONS] = {
    [ACCESS_PASS] = "pass",       [ACCESS_RESPONDED] = "responded", [ACCESS_ABORTED] = "aborted",
    [ACCESS_FAULTED] = "faulted", [ACCESS_PROXIED] = "proxied",
};

static enum access_format format_of_process;

enum access_format access_format_find(const char *name)
{
    unsigned format = 0;
    while (format < ACCESS_FORMATS && strcmp(format_names[format], name) != 0) {
        format++;
    }
    return (enum access_format)format;
}

void access_set_format(enum access_format format)
{
    format_of_process = format;
}

bool access_wants_details(void)
{
    return format_of_process != ACCESS_PLAIN;
}

/* ---- parts ---- */

/* What follows does without snprintf and inet_ntop, with which a line took 440 ns instead of 140:
 * a tenth of a small request. Inlined, so that constant texts have constant lengths. */
static inline char *put(char *out, const char *text)
{
    size_t bytes = strlen(text);
    memcpy(out, text, bytes);
    return out + bytes;
}

static char *put_three_digits(char *out, unsigned number)
{
    *out++ = (char)('0' + number / 100 % 10);
    *out++ = (char)('0' + number / 10 % 10);
    *out++ = (char)('0' + number % 10);
    return out;
}

/* The date to the second is the same for many lines. */
static char *put_date(struct access_log *log, char *out, const struct timespec *now, bool iso)
{
    struct tm tm;
    if (log->second != now->tv_sec && gmtime_r(&now->tv_sec, &tm) != NULL) {
        strftime(log->date, sizeof(log->date), iso ? "%Y-%m-%dT%H:%M:%S" : "%d/%b/%Y:%H:%M:%S",
                 &tm);
        log->second = now->tv_sec;
    }
    return put(out, log->date);
}

static char *put_time(struct access_log *log, char *out, const struct timespec *now)
{
    out = put(put_date(log, out, now, true), ".");
    out = put_three_digits(out, (unsigned)(now->tv_nsec / 1000000));
    return put(out, "Z");
}

static char *put_address(char *out, const union peer_address *peer)
{
    struct address address;
    return address_of(peer, &address) ? out + address_format(&address, out) : put(out, "-");
}

/* 192.0.2.1:4711, [2001:db8::1]:4711 */
static char *put_peer(char *out, const union peer_address *peer)
{
    struct address address;
    if (!address_of(peer, &address)) {
        return put(out, "-");
    }
    uint16_t port = peer->any.sa_family == AF_INET ? peer->v4.sin_port : peer->v6.sin6_port;
    out = address.v4 ? out : put(out, "[");
    out += address_format(&address, out);
    out = put(out, address.v4 ? ":" : "]:");
    return char_put_decimal(out, ntohs(port));
}

/* At most LIM_ACCESS_TARGET_BYTES + 8 bytes come of it. `escape`: what stands before the two digits
 * of a byte. */
static char *put_escaped(char *out, struct span text, const char *escape)
{
    const char *end = out + LIM_ACCESS_TARGET_BYTES;
    while (text.len > 0 && out < end) {
        size_t room = (size_t)(end - out);
        size_t plain = chars_quotable_bytes(text);
        out = span_put(out, span_take(&text, plain < room ? plain : room));
        if (text.len > 0 && out < end) {
            out = char_put_hex(put(out, escape), (unsigned char)*span_take(&text, 1).base, 2);
        }
    }
    return text.len > 0 ? put(out, "...") : out;
}

static char *put_protocol(char *out, const struct access_entry *entry)
{
    out = put(out, entry->major > 1 ? "HTTP/" : "HTTP/1.");
    return char_put_decimal(out, (entry->major > 1 ? entry->major : entry->minor) % 10);
}

/* ---- lines of text ---- */

static char *put_quoted(char *out, struct span text)
{
    *out++ = '"';
    out = put_escaped(out, text, "\\x");
    *out++ = '"';
    return out;
}

static char *put_request(char *out, const struct access_entry *entry)
{
    *out++ = '"';
    if (entry->method.len > 0) {
        out = put_escaped(out, entry->method, "\\x");
        *out++ = ' ';
        out = put_escaped(out, entry->target, "\\x");
        *out++ = ' ';
        out = put_protocol(out, entry);
    }
    *out++ = '"';
    return out;
}

static char *put_plain(struct access_log *log, char *out, const struct access_entry *entry,
                       const struct timespec *now)
{
    out = put(put_time(log, out, now), " ");
    out = put(put_peer(out, entry->peer), " ");
    out = put(put_request(out, entry), " ");
    out = entry->status == 0 ? put(out, "-") : char_put_decimal(out, entry->status);
    out = char_put_decimal(put(out, " "), entry->body_bytes);
    return char_put_decimal(put(out, " "), entry->microseconds);
}

/* Readers of this format want three digits of a status, and - for a text that is not there. */
static char *put_combined(struct access_log *log, char *out, const struct access_entry *entry,
                          const struct timespec *now)
{
    out = put(put_address(out, entry->peer), " - - [");
    out = put(put_date(log, out, now, false), " +0000] ");
    out = put(put_request(out, entry), " ");
    out = put(put_three_digits(out, entry->status), " ");
    out = put(char_put_decimal(out, entry->body_bytes), " ");
    out = put_quoted(out, entry->referer.len > 0 ? entry->referer : span_of("-"));
    *out++ = ' ';
    return put_quoted(out, entry->user_agent.len > 0 ? entry->user_agent : span_of("-"));
}

/* ---- JSON ---- */

/* `name` brings the comma before it. */
static char *put_member(char *out, const char *name, struct span value)
{
    out = put(put(out, name), ":\"");
    out = put_escaped(out, value, "\\u00");
    *out++ = '"';
    return out;
}

static char *put_tls(char *out, const struct tls_info *tls)
{
    if (tls == NULL) {
        return put(out, ",\"tls\":null");
    }
    out = put_member(put(out, ",\"tls\":{"), "\"version\"", tls->version);
    out = put_member(out, ",\"cipher\"", tls->cipher);
    out = put_member(out, ",\"sni\"", tls->sni);
    out = put_member(out, ",\"ja4\"", tls->ja4);
    return put(out, "}");
}

static char *put_json_request(char *out, const struct access_entry *entry)
{
    char protocol[16] = "";
    if (entry->method.len > 0) {
        *put_protocol(protocol, entry) = '\0';
    }
    out = put_member(out, ",\"method\"", entry->method);
    out = put_member(out, ",\"target\"", entry->target);
    out = put_member(out, ",\"protocol\"", span_of(protocol));
    out = put_member(out, ",\"host\"", entry->host);
    out = put_member(out, ",\"user_agent\"", entry->user_agent);
    return put_member(out, ",\"referer\"", entry->referer);
}

static char *put_json(struct access_log *log, char *out, const struct access_entry *entry,
                      const struct timespec *now)
{
    assert(entry->decision < ACCESS_DECISIONS);
    out = put_time(log, put(out, "{\"time\":\""), now);
    out = char_put_decimal(put(out, "\",\"id\":"), entry->id);
    out = put_peer(put(out, ",\"peer\":\""), entry->peer);
    out = put_json_request(put(out, "\""), entry);
    out = char_put_decimal(put(out, ",\"status\":"), entry->status);
    out = char_put_decimal(put(out, ",\"bytes\":"), entry->body_bytes);
    out = char_put_decimal(put(out, ",\"duration_us\":"), entry->microseconds);
    out = put_member(out, ",\"decision\"", span_of(decision_names[entry->decision]));
    out = put_member(out, ",\"upstream\"", entry->upstream);
    return put(put_tls(out, entry->tls), "}");
}

/* ---- the log ---- */

void access_add_at(struct access_log *log, const struct access_entry *entry,
                   enum access_format format, const struct timespec *now)
{
    if (sizeof(log->lines) - log->used < LINE_BYTES) {
        access_flush(log);
    }
    char *line = log->lines + log->used;
    char *out = format == ACCESS_JSON       ? put_json(log, line, entry, now)
                : format == ACCESS_COMBINED ? put_combined(log, line, entry, now)
                                            : put_plain(log, line, entry, now);
    *out++ = '\n';
    assert((size_t)(out - line) <= LINE_BYTES);
    log->used += (size_t)(out - line);
    log->count++;
}

void access_add(struct access_log *log, const struct access_entry *entry)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    access_add_at(log, entry, format_of_process, &now);
}

void access_flush(struct access_log *log)
{
    if (log->used > 0) {
        log_put(LOG_ACCESS, (struct span){log->lines, log->used}, log->count);
    }
    log->used = 0;
    log->count = 0;
}
