/* SPDX-License-Identifier: Apache-2.0 */
/* The head of an HTTP/1 response. Room is checked once against an upper bound, then everything is
 * copied. Fields were checked when they were added (field_add), so no value can end its line. */
#include <assert.h>

#include "server/chars.h"
#include "server/date.h"
#include "server/h1.h"

/* Upper bound of what is written besides the status line, the date and the fields of the exchange:
 * "date: ", CRLF, "content-length: " with 20 digits, CRLF, "connection: keep-alive", CRLF, the
 * empty line. */
enum { FIXED_BYTES = 6 + 2 + 16 + 20 + 2 + 22 + 2 + 2 };

/* Those before are in the text of known fields. */
static unsigned first_written(const struct field_list *list)
{
    return list->known_told ? list->known : 0;
}

/* Of a status without a reason; its code is put there. */
static const char unnamed_line[] = "HTTP/1.1 000 \r\n";
enum { CODE_END = sizeof "HTTP/1.1 000" - 1 };

static struct span status_line(unsigned status)
{
    const char *text;
    size_t bytes;
    switch (status) {
#define STATUS(code, reason)                                                                       \
    case code:                                                                                     \
        text = "HTTP/1.1 " #code " " reason "\r\n";                                                \
        bytes = sizeof "HTTP/1.1 " #code " " reason "\r\n" - 1;                                    \
        break;
#include "server/status.def"
    default:
        text = unnamed_line;
        bytes = sizeof unnamed_line - 1;
        break;
    }
    return (struct span){text, bytes};
}

static char *put_status_line(char *out, struct span line, unsigned status)
{
    char *end = span_put(out, line);
    if (line.base == unnamed_line) {
        (void)char_decimal(out + CODE_END, status);
    }
    return end;
}

/* Upper bound of what is written for `ex`. */
static size_t head_bytes(const struct exchange *ex, struct span line)
{
    const struct field_list *list = &ex->response_fields;
    size_t bytes = line.len + FIXED_BYTES + DATE_BYTES;
    bytes += list->known_told ? ex->known_text.len : 0;
    for (unsigned i = first_written(list); i < list->count; i++) {
        const struct field *field = &list->items[i];
        bytes += field->name.len + field->value.len + 4; /* ": " and CRLF */
    }
    return bytes;
}

/* Puts those that known_text does not have. Not inlined: for its registers the others' would have
 * to make way, and most answers have none. */
static __attribute__((noinline)) char *put_others(char *out, const struct field_list *list,
                                                  bool *dated)
{
    for (unsigned i = first_written(list); i < list->count; i++) {
        const struct field *field = &list->items[i];
        out = span_put(out, field->name);
        out = span_put(out, SPAN(": "));
        out = span_put(out, field->value);
        out = span_put(out, SPAN("\r\n"));
        *dated |= i >= list->known && span_equal_nocase(field->name, SPAN("date"));
    }
    return out;
}

/* Puts the fields; *dated tells whether a Date is among them. */
static char *put_fields(char *out, const struct exchange *ex, bool *dated)
{
    const struct field_list *list = &ex->response_fields;
    out = list->known_told ? span_put(out, ex->known_text) : out;
    *dated = list->known_dated;
    return first_written(list) < list->count ? put_others(out, list, dated) : out;
}

/* Puts what the connection has to know: where the body ends, and whether another answer follows. */
static char *put_framing(char *out, const struct exchange *ex, bool keep_alive)
{
    if (!body_has_length(&ex->body)) {
        if (ex->proto_minor > 0) {
            out = span_put(out, SPAN("transfer-encoding: chunked\r\n"));
        }
    } else if (ex->status != 204 && ex->status != 304) {
        out = span_put(out, SPAN("content-length: "));
        out = char_put_decimal(out, body_length(&ex->body));
        out = span_put(out, SPAN("\r\n"));
    }
    if (!keep_alive) {
        out = span_put(out, SPAN("connection: close\r\n"));
    } else if (ex->proto_major == 1 && ex->proto_minor == 0) {
        out = span_put(out, SPAN("connection: keep-alive\r\n"));
    }
    return out;
}

bool h1_append_head(const struct exchange *ex, bool keep_alive, struct span date,
                    struct buffer *out, size_t bytes_max)
{
    assert(ex->status >= 200 && ex->status <= 999);
    assert(date.len == DATE_BYTES);
    struct span line = status_line(ex->status);
    size_t room = head_bytes(ex, line);
    if (!buffer_reserve(out, room, bytes_max)) {
        return false;
    }
    bool dated;
    char *begin = out->base + out->end;
    char *at = put_fields(put_status_line(begin, line, ex->status), ex, &dated);
    if (!dated) {
        at = span_put(at, SPAN("date: "));
        at = span_put(at, (struct span){date.base, DATE_BYTES});
        at = span_put(at, SPAN("\r\n"));
    }
    at = span_put(put_framing(at, ex, keep_alive), SPAN("\r\n"));
    assert((size_t)(at - begin) <= room);
    out->end += (size_t)(at - begin);
    return true;
}
