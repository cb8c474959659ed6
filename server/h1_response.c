/* SPDX-License-Identifier: Apache-2.0 */
/* The status line, the field lines and the framing of HTTP/1 answers (RFC 9112 4 to 6). As with
 * requests, lines are judged when they are complete, and a head that came in pieces is parsed once
 * more when all of it lies in one buffer. */
#include "server/h1_response.h"

#include <assert.h>

#include "server/chars.h"
#include "server/h1_int.h"

enum {
    STATUS_OFFSET = 9,     /* of the digits in "HTTP/1.1 200 OK" */
    STATUS_LINE_BYTES = 12 /* the shortest one: "HTTP/1.1 200" */
};

static bool refuse(struct h1_parser *parser, const char *reason)
{
    return h1_refuse(parser, 502, reason);
}

/* "HTTP/1." digit SP 3DIGIT [SP reason]. RFC 9112 4 has the second space also before an empty
 * reason; many leave it out. */
static bool parse_status_line(struct h1_parser *parser, struct span line, struct h1_response *head)
{
    const char *at = line.base;
    if (line.len < STATUS_LINE_BYTES || memcmp(at, "HTTP/1.", 7) != 0 || at[8] != ' ') {
        return refuse(parser, "malformed status line");
    }
    if (at[7] != '0' && at[7] != '1') {
        return refuse(parser, "HTTP version not supported");
    }
    parser->lines = 1;
    head->minor = (uint8_t)(at[7] - '0');
    struct span code = {at + STATUS_OFFSET, STATUS_LINE_BYTES - STATUS_OFFSET};
    uint64_t status;
    if (!chars_number(code, 999, &status) || status < 100) {
        return refuse(parser, "malformed status");
    }
    head->status = (unsigned)status;
    head->reason = SPAN("");
    if (line.len > STATUS_LINE_BYTES) {
        head->reason = (struct span){at + STATUS_LINE_BYTES + 1, line.len - STATUS_LINE_BYTES - 1};
        if (at[STATUS_LINE_BYTES] != ' ' || !chars_all(head->reason, CHAR_VALUE)) {
            return refuse(parser, "malformed status line");
        }
    }
    return true;
}

static bool parse_field(struct h1_parser *parser, struct span line, struct h1_response *head)
{
    if (parser->lines > LIM_UPSTREAM_FIELDS) { /* field_count is of this call alone */
        return refuse(parser, "too many fields");
    }
    parser->lines++;
    const char *reason = h1_split_field(line, &head->fields[head->field_count]);
    if (reason != NULL) {
        return refuse(parser, reason);
    }
    head->field_count++;
    return true;
}

/* What is not HTTP at all is refused at its first bytes. */
static bool may_be_http(const char *buf, size_t len)
{
    const struct span start = SPAN("HTTP/1.");
    return len == 0 || memcmp(buf, start.base, len < start.len ? len : start.len) == 0;
}

/* The next line, without its end. H1_MORE: it is not complete. */
static inline enum h1_result next_line(struct h1_parser *parser, const char *buf, size_t len,
                                       struct span *line)
{
    size_t fresh = len - parser->scanned;
    const char *lf = fresh > 0 ? memchr(buf + parser->scanned, '\n', fresh) : NULL;
    size_t reach = lf != NULL ? (size_t)(lf - buf) : len;
    if (reach >= LIM_UPSTREAM_HEAD_BYTES) {
        refuse(parser, "head too long");
        return H1_BAD;
    }
    if (lf == NULL) {
        parser->scanned = len;
        return H1_MORE;
    }
    *line = (struct span){buf + parser->line, reach - parser->line};
    if (line->len == 0 || lf[-1] != '\r') {
        refuse(parser, "line feed without carriage return");
        return H1_BAD;
    }
    line->len--;
    parser->line = parser->scanned = reach + 1;
    return H1_DONE;
}

/* H1_DONE: the empty line that ends the head was met. */
static enum h1_result parse_lines(struct h1_parser *parser, const char *buf, size_t len,
                                  struct h1_response *head)
{
    enum h1_result result;
    struct span line;
    head->field_count = 0;
    if (parser->lines == 0 && !may_be_http(buf, len)) {
        refuse(parser, "not HTTP/1");
        return H1_BAD;
    }
    while ((result = next_line(parser, buf, len, &line)) == H1_DONE && line.len > 0) {
        bool fine = parser->lines == 0 ? parse_status_line(parser, line, head)
                                       : parse_field(parser, line, head);
        if (!fine) {
            return H1_BAD;
        }
    }
    return result;
}

/* ---- what the fields mean together */

/* The fields that matter here, the last of each name, and how often they came. */
struct seen {
    struct span length, coding;
    unsigned lengths, codings;
    bool close, keep_alive;
};

static void note_field(struct seen *seen, const struct field *field)
{
    if (span_equal_nocase(field->name, SPAN("content-length"))) {
        seen->length = field->value;
        seen->lengths++;
    } else if (span_equal_nocase(field->name, SPAN("transfer-encoding"))) {
        seen->coding = field->value;
        seen->codings++;
    } else if (span_equal_nocase(field->name, SPAN("connection"))) {
        struct span list = field->value;
        struct span option;
        while (h1_list_next(&list, &option)) {
            seen->close |= span_equal_nocase(option, SPAN("close"));
            seen->keep_alive |= span_equal_nocase(option, SPAN("keep-alive"));
        }
    }
}

/* No other coding was asked for, so none but a lone `chunked` may come. */
static bool framing_valid(struct h1_parser *parser, struct h1_response *head,
                          const struct seen *seen)
{
    if (seen->codings > 0 && seen->lengths > 0) {
        return refuse(parser, "both Transfer-Encoding and Content-Length");
    }
    if (seen->codings > 0 && head->minor == 0) {
        return refuse(parser, "Transfer-Encoding in HTTP/1.0");
    }
    if (seen->codings > 1 ||
        (seen->codings == 1 && !span_equal_nocase(seen->coding, SPAN("chunked")))) {
        return refuse(parser, "Transfer-Encoding is not chunked");
    }
    if (seen->lengths > 1) {
        return refuse(parser, "more than one Content-Length");
    }
    if (seen->lengths == 1 && !h1_parse_length(seen->length, &head->content_length)) {
        return refuse(parser, "malformed Content-Length");
    }
    return true;
}

/* RFC 9112 6.3, 1 and 2. */
static bool has_no_body(unsigned status, struct span method)
{
    return status < 200 || status == 204 || status == 304 || span_equal(method, SPAN("HEAD")) ||
           (status < 300 && span_equal(method, SPAN("CONNECT")));
}

static bool finish(struct h1_parser *parser, struct span method, struct h1_response *head)
{
    struct seen seen = {.lengths = 0};
    for (unsigned i = 0; i < head->field_count; i++) {
        note_field(&seen, &head->fields[i]);
    }
    head->content_length = 0;
    if (!framing_valid(parser, head, &seen)) {
        return false;
    }
    head->has_length = seen.lengths > 0;
    head->framing = H1_BODY_NONE;
    head->until_close = false;
    if (has_no_body(head->status, method)) {
        /* A body that must not be there may all the same follow such fields. */
        bool odd = head->status == 204 && (seen.codings > 0 || head->content_length > 0);
        head->keep_alive = !odd && head->status != 101;
    } else {
        head->framing = seen.codings > 0           ? H1_BODY_CHUNKED
                        : head->content_length > 0 ? H1_BODY_LENGTH
                                                   : H1_BODY_NONE;
        head->until_close = seen.codings == 0 && seen.lengths == 0;
        head->keep_alive = !head->until_close;
    }
    head->keep_alive &= !seen.close && (head->minor > 0 || seen.keep_alive);
    return true;
}

enum h1_result h1_parse_response(struct h1_parser *parser, const char *buf, size_t len,
                                 struct span method, struct h1_response *head, size_t *consumed)
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
    if (result == H1_DONE && !finish(parser, method, head)) {
        result = H1_BAD;
    }
    *consumed = result == H1_DONE ? parser->line : 0;
    return result;
}

/* ---- bodies */

void h1_response_body_init(struct h1_response_body *body, const struct h1_response *head)
{
    body->until_close = head->until_close;
    h1_body_start(&body->framed, head->framing, head->content_length);
}

enum h1_result h1_response_body_next(struct h1_response_body *body, const char *buf, size_t len,
                                     size_t *consumed, struct span *content)
{
    if (!body->until_close) {
        return h1_body_next(&body->framed, buf, len, consumed, content);
    }
    *consumed = len;
    *content = (struct span){buf, len};
    return H1_MORE;
}

bool h1_response_body_complete_at_eof(const struct h1_response_body *body)
{
    return body->until_close;
}
