/* SPDX-License-Identifier: Apache-2.0 */
/* The head of an HTTP/1 response. Room is checked once against an upper bound, then everything is
 * copied. Fields were checked when they were added (field_add), so no value can end its line. */
#include <assert.h>

#include "server/chars.h"
#include "server/date.h"
#include "server/h1.h"

/* Upper bound of what is written besides the reason, the date and the fields of the exchange:
 * "HTTP/1.1 200 ", CRLF, "date: ...", "content-length: " with 20 digits, "connection: keep-alive",
 * the empty line. */
enum { FIXED_BYTES = 13 + 2 + 6 + 2 + 16 + 20 + 2 + 22 + 2 + 2 };

/* Those before are in the text of our own fields. */
static unsigned first_written(const struct field_list *list)
{
    return list->own_told ? list->own : 0;
}

size_t h1_head_bytes(const struct exchange *ex)
{
    const struct field_list *list = &ex->response_fields;
    size_t bytes = FIXED_BYTES + strlen(status_reason(ex->status)) + DATE_BYTES;
    bytes += list->own_told ? ex->own_text.len : 0;
    for (unsigned i = first_written(list); i < list->count; i++) {
        const struct field *field = &list->items[i];
        bytes += field->name.len + field->value.len + 4; /* ": " and CRLF */
    }
    return bytes;
}

static char *put_number(char *out, uint64_t value)
{
    char digits[CHAR_DECIMAL_MAX];
    char *end = digits + sizeof digits;
    char *first = char_decimal(end, value);
    return span_put(out, (struct span){first, (size_t)(end - first)});
}

static char *put_status_line(char *out, unsigned status)
{
    char code[3] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                    (char)('0' + status % 10)};
    out = span_put(out, SPAN("HTTP/1.1 "));
    out = span_put(out, (struct span){code, sizeof code});
    out = span_put(out, SPAN(" "));
    out = span_put(out, span_of(status_reason(status)));
    return span_put(out, SPAN("\r\n"));
}

/* Puts the fields; *dated tells whether a Date is among them. */
static char *put_fields(char *out, const struct exchange *ex, bool *dated)
{
    const struct field_list *list = &ex->response_fields;
    out = list->own_told ? span_put(out, ex->own_text) : out;
    for (unsigned i = first_written(list); i < list->count; i++) {
        const struct field *field = &list->items[i];
        out = span_put(out, field->name);
        out = span_put(out, SPAN(": "));
        out = span_put(out, field->value);
        out = span_put(out, SPAN("\r\n"));
        *dated |= span_equal_nocase(field->name, SPAN("date"));
    }
    return out;
}

size_t h1_write_head(const struct exchange *ex, bool keep_alive, struct span date, char *out,
                     size_t capacity)
{
    assert(ex->status >= 200 && ex->status <= 999);
    assert(date.len == DATE_BYTES);
    if (capacity < h1_head_bytes(ex)) {
        return 0;
    }
    bool dated = false;
    char *at = put_status_line(out, ex->status);
    at = put_fields(at, ex, &dated);
    if (!dated) {
        at = span_put(at, SPAN("date: "));
        at = span_put(at, date);
        at = span_put(at, SPAN("\r\n"));
    }
    if (!body_has_length(&ex->body)) {
        if (ex->proto_minor > 0) {
            at = span_put(at, SPAN("transfer-encoding: chunked\r\n"));
        }
    } else if (ex->status != 204 && ex->status != 304) {
        at = span_put(at, SPAN("content-length: "));
        at = put_number(at, body_length(&ex->body));
        at = span_put(at, SPAN("\r\n"));
    }
    if (!keep_alive) {
        at = span_put(at, SPAN("connection: close\r\n"));
    } else if (ex->proto_major == 1 && ex->proto_minor == 0) {
        at = span_put(at, SPAN("connection: keep-alive\r\n"));
    }
    at = span_put(at, SPAN("\r\n"));
    assert((size_t)(at - out) <= capacity);
    return (size_t)(at - out);
}
