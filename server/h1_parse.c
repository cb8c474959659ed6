/* SPDX-License-Identifier: Apache-2.0 */
/* The request line and the field lines of HTTP/1 (RFC 9112 2 to 5).
 *
 * Lines are judged as soon as they are complete, so a bad request is refused without waiting for
 * its end. Their spans are of use only when the whole head lies in one buffer: a head that came in
 * pieces is parsed once more when it is complete. The answer does not depend on the pieces: every
 * check looks at a prefix of the head, and the checks are made in the order of those prefixes.
 */
#include <assert.h>

#include "server/chars.h"
#include "server/h1_int.h"

enum {
    METHOD_BYTES_MAX = 32, /* no method is nearly as long */
    EMPTY_LINES_BYTES = 4, /* two empty lines before the request line, RFC 9112 2.2 */
    VERSION_BYTES = 8,     /* "HTTP/1.1" */
};

void h1_parser_init(struct h1_parser *parser)
{
    *parser = (struct h1_parser){0};
}

static bool parse_version(struct h1_parser *parser, struct span text, struct h1_head *head)
{
    if (text.len != VERSION_BYTES || memcmp(text.base, "HTTP/", 5) != 0 ||
        !char_digit(text.base[5]) || text.base[6] != '.' || !char_digit(text.base[7])) {
        return h1_refuse(parser, 400, "malformed HTTP version");
    }
    if (text.base[5] != '1' || text.base[7] > '1') {
        return h1_refuse(parser, 505, "HTTP version not supported");
    }
    head->minor = (uint8_t)(text.base[7] - '0');
    return true;
}

static bool parse_target(struct h1_parser *parser, struct span target, struct h1_head *head)
{
    if (target.len == 0 || !chars_all_target(target)) {
        return h1_refuse(parser, 400, "bad character in request target");
    }
    if (span_equal(head->method, SPAN("CONNECT"))) {
        return h1_refuse(parser, 501, "CONNECT is not implemented");
    }
    bool asterisk = span_equal(target, SPAN("*"));
    if (target.base[0] == '/' || (asterisk && span_equal(head->method, SPAN("OPTIONS")))) {
        head->target = target;
        return true;
    }
    if (!h1_absolute_split(target, &head->authority, &head->target)) {
        return h1_refuse(parser, 400, "malformed request target");
    }
    return true;
}

/* method SP request-target SP HTTP-version, with nothing else anywhere. */
static bool parse_request_line(struct h1_parser *parser, struct span line, struct h1_head *head)
{
    head->authority = SPAN("");
    const char *end = line.base + line.len;
    const char *first = line.base;
    while (char_is(*first, CHAR_TOKEN)) { /* the line end is none */
        first++;
    }
    if (first == line.base || *first != ' ') {
        return h1_refuse(parser, 400, "method is not a token");
    }
    const char *second = memchr(first + 1, ' ', (size_t)(end - first - 1));
    if (second == NULL) {
        return h1_refuse(parser, 400, "malformed request line");
    }
    head->method = (struct span){line.base, (size_t)(first - line.base)};
    if (head->method.len > METHOD_BYTES_MAX) {
        return h1_refuse(parser, 501, "method too long");
    }
    struct span target = {first + 1, (size_t)(second - first - 1)};
    struct span version = {second + 1, (size_t)(end - second - 1)};
    return parse_version(parser, version, head) && parse_target(parser, target, head);
}

const char *h1_split_field(struct span line, struct field *field)
{
    struct span name = {line.base, chars_token_bytes(line)};
    const char *colon = line.base + name.len; /* or the line end, which is none */
    if (name.len == 0 || *colon != ':') {
        return char_blank(line.base[0]) ? "folded field line" : "malformed field name";
    }
    struct span value = chars_trim((struct span){colon + 1, line.len - name.len - 1});
    if (!chars_all_value(value)) {
        return "bad character in field value";
    }
    *field = (struct field){name, value};
    return NULL;
}

/* The line parser->line begins in, without its line end; `reach` is how far it is known, up to its
 * LF or the end of the buffer. Also right for a line that is not complete. */
static bool within_limits(struct h1_parser *parser, size_t reach)
{
    size_t line_bytes = reach - parser->line;
    if (parser->lines == 0) {
        return line_bytes < LIM_REQUEST_LINE_BYTES ||
               h1_refuse(parser, 414, "request line too long");
    }
    if (line_bytes >= LIM_FIELD_BYTES) {
        return h1_refuse(parser, 431, "field line too long");
    }
    if (reach - parser->fields >= LIM_HEAD_FIELDS_BYTES) {
        return h1_refuse(parser, 431, "fields too long");
    }
    return true;
}

/* Takes the line parser->line begins in, without its line end. H1_DONE: it is complete. */
static enum h1_result take_line(struct h1_parser *parser, const char *buf, size_t len,
                                struct span *line)
{
    size_t start = parser->line;
    if (parser->scanned == len) {
        return H1_MORE;
    }
    if (parser->lines == 0 && buf[start] != '\r' && !char_is(buf[start], CHAR_TOKEN)) {
        h1_refuse(parser, 400, "method is not a token"); /* TLS, for example: do not wait */
        return H1_BAD;
    }
    const char *lf = memchr(buf + parser->scanned, '\n', len - parser->scanned);
    size_t reach = lf != NULL ? (size_t)(lf - buf) : len;
    if (!within_limits(parser, reach)) {
        return H1_BAD;
    }
    if (lf == NULL) {
        parser->scanned = len;
        return H1_MORE;
    }
    if (reach == start || buf[reach - 1] != '\r') {
        h1_refuse(parser, 400, "line feed without carriage return");
        return H1_BAD;
    }
    *line = (struct span){buf + start, reach - 1 - start};
    parser->line = parser->scanned = reach + 1;
    return H1_DONE;
}

/* The request line, or an empty one before it. */
static bool parse_first_line(struct h1_parser *parser, struct span line, struct h1_head *head)
{
    if (line.len == 0) {
        return parser->line <= EMPTY_LINES_BYTES ||
               h1_refuse(parser, 400, "empty lines before the request");
    }
    parser->lines = 1;
    parser->fields = parser->line;
    return parse_request_line(parser, line, head);
}

static bool parse_field(struct h1_parser *parser, struct span line, struct h1_head *head)
{
    if (parser->lines > LIM_FIELD_COUNT) {
        return h1_refuse(parser, 431, "too many fields");
    }
    parser->lines++;
    assert(head->field_count < LIM_FIELD_COUNT);
    const char *reason = h1_split_field(line, &head->fields[head->field_count]);
    if (reason != NULL) {
        return h1_refuse(parser, 400, reason);
    }
    head->field_count++;
    return true;
}

/* H1_DONE: the empty line that ends the head was met. */
static enum h1_result parse_lines(struct h1_parser *parser, const char *buf, size_t len,
                                  struct h1_head *head)
{
    enum h1_result result;
    struct span line;
    head->field_count = 0;
    while ((result = take_line(parser, buf, len, &line)) == H1_DONE) {
        bool begun = parser->lines > 0;
        if (begun && line.len == 0) {
            return H1_DONE;
        }
        if (!(begun ? parse_field(parser, line, head) : parse_first_line(parser, line, head))) {
            return H1_BAD;
        }
    }
    return result;
}

enum h1_result h1_parse_head(struct h1_parser *parser, const char *buf, size_t len,
                             struct h1_head *head, size_t *consumed)
{
    assert(parser->status == 0);
    assert(parser->scanned <= len);
    bool resumed = parser->lines > 0;
    enum h1_result result = parse_lines(parser, buf, len, head);
    if (result == H1_DONE && resumed) {
        size_t head_bytes = parser->line;
        h1_parser_init(parser);
        result = parse_lines(parser, buf, head_bytes, head);
        assert(result == H1_DONE);
    }
    if (result == H1_DONE && !h1_head_finish(parser, head)) {
        result = H1_BAD;
    }
    *consumed = result == H1_DONE ? parser->line : 0;
    return result;
}
