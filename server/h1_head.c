/* SPDX-License-Identifier: Apache-2.0 */
/* What the fields of an HTTP/1 request head mean together: whom it is for (RFC 9112 3.2, 3.3), how
 * its body is framed (6), whether the connection goes on (9.3). Each rule refuses what another
 * parser could read otherwise, because that is how requests are smuggled. */
#include <arpa/inet.h>
#include <limits.h>

#include "server/chars.h"
#include "server/h1_int.h"

/* ---- authorities */

static bool ipv6_valid(struct span text)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (text.len >= sizeof copy || memchr(text.base, '\0', text.len) != NULL) {
        return false;
    }
    memcpy(copy, text.base, text.len);
    copy[text.len] = '\0';
    return inet_pton(AF_INET6, copy, &address) == 1;
}

/* Bytes of the host at the start of `text`; 0 when there is none or it is malformed. */
static size_t host_bytes(struct span text)
{
    if (text.len > 0 && text.base[0] == '[') {
        const char *close = memchr(text.base, ']', text.len);
        if (close == NULL ||
            !ipv6_valid((struct span){text.base + 1, (size_t)(close - text.base) - 1})) {
            return 0;
        }
        return (size_t)(close - text.base) + 1;
    }
    size_t n = 0;
    for (;;) {
        while (n < text.len && char_is(text.base[n], CHAR_HOST)) {
            n++;
        }
        if (text.len - n <= 2 || text.base[n] != '%' || char_hex(text.base[n + 1]) < 0 ||
            char_hex(text.base[n + 2]) < 0) {
            return n;
        }
        n += 3;
    }
}

static bool port_valid(struct span port)
{
    uint64_t value;
    return port.len == 0 || chars_number(port, UINT16_MAX, &value); /* RFC 3986 3.2.3 */
}

bool h1_authority_valid(struct span text)
{
    size_t host = host_bytes(text);
    if (host == 0) {
        return false;
    }
    if (host == text.len) {
        return true;
    }
    return text.base[host] == ':' &&
           port_valid((struct span){text.base + host + 1, text.len - host - 1});
}

bool h1_absolute_split(struct span uri, struct span *authority, struct span *target)
{
    static const struct span schemes[] = {SPAN("http://"), SPAN("https://")};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t start = schemes[i].len;
        if (uri.len < start || !span_equal_nocase((struct span){uri.base, start}, schemes[i])) {
            continue;
        }
        size_t end = start;
        while (end < uri.len && uri.base[end] != '/' && uri.base[end] != '?') {
            end++;
        }
        *authority = (struct span){uri.base + start, end - start};
        *target = (struct span){uri.base + end, uri.len - end};
        if (target->len == 0) {
            *target = (struct span){uri.base + start - 1, 1}; /* the '/' before the authority */
        }
        return h1_authority_valid(*authority);
    }
    return false;
}

/* ---- fields */

/* The fields that matter here, the last of each name, and how often they came. */
struct seen {
    const struct span *host, *length, *coding, *expect;
    uint8_t hosts, lengths, codings, expects;
    bool close, keep_alive;
};

_Static_assert(LIM_FIELD_COUNT <= UINT8_MAX, "so that they can be counted");

bool h1_list_next(struct span *list, struct span *element)
{
    if (list->len == 0) {
        return false;
    }
    const char *end = list->base + list->len;
    const char *comma = memchr(list->base, ',', list->len);
    const char *last = comma != NULL ? comma : end;
    *element = chars_trim((struct span){list->base, (size_t)(last - list->base)});
    *list = comma != NULL ? (struct span){comma + 1, (size_t)(end - comma) - 1} : SPAN("");
    return true;
}

static void note_connection(struct seen *seen, struct span list)
{
    struct span option;
    while (h1_list_next(&list, &option)) {
        seen->close |= span_equal_nocase(option, SPAN("close"));
        seen->keep_alive |= span_equal_nocase(option, SPAN("keep-alive"));
    }
}

static void note_field(struct seen *seen, const struct field *field)
{
    switch (field->name.len) {
    case sizeof "host" - 1:
        if (octets4_are_letters(field->name.base, "host")) {
            seen->host = &field->value;
            seen->hosts++;
        }
        break;
    case sizeof "expect" - 1:
        if (span_equal_nocase(field->name, SPAN("expect"))) {
            seen->expect = &field->value;
            seen->expects++;
        }
        break;
    case sizeof "connection" - 1:
        if (span_equal_nocase(field->name, SPAN("connection"))) {
            note_connection(seen, field->value);
        }
        break;
    case sizeof "content-length" - 1:
        if (span_equal_nocase(field->name, SPAN("content-length"))) {
            seen->length = &field->value;
            seen->lengths++;
        }
        break;
    case sizeof "transfer-encoding" - 1:
        if (span_equal_nocase(field->name, SPAN("transfer-encoding"))) {
            seen->coding = &field->value;
            seen->codings++;
        }
        break;
    default: break;
    }
}

/* An absolute-form target has set the authority; it wins over Host, which must be right all the
 * same. */
static bool finish_host(struct h1_parser *parser, struct h1_head *head, const struct seen *seen)
{
    if (seen->hosts > 1) {
        return h1_refuse(parser, 400, "more than one Host");
    }
    if (seen->hosts == 0) {
        return head->minor == 0 || h1_refuse(parser, 400, "no Host");
    }
    if (!h1_authority_valid(*seen->host)) {
        return h1_refuse(parser, 400, "malformed Host");
    }
    if (head->authority.len == 0) {
        head->authority = *seen->host;
    }
    return true;
}

/* Refuses all but one lone `chunked`. A body whose end nobody can know (`chunked` is not last) is
 * malformed; other codings before `chunked` are well formed and not implemented. */
static bool finish_coding(struct h1_parser *parser, struct h1_head *head, const struct seen *seen)
{
    const struct span chunked = SPAN("chunked");
    if (head->minor == 0) {
        return h1_refuse(parser, 400, "Transfer-Encoding in HTTP/1.0");
    }
    if (seen->lengths > 0) {
        return h1_refuse(parser, 400, "both Transfer-Encoding and Content-Length");
    }
    if (seen->codings > 1) {
        return h1_refuse(parser, 400, "more than one Transfer-Encoding");
    }
    struct span value = *seen->coding;
    if (span_equal_nocase(value, chunked)) {
        head->framing = H1_BODY_CHUNKED;
        return true;
    }
    if (value.len > chunked.len) {
        size_t before = value.len - chunked.len;
        char c = value.base[before - 1];
        if ((c == ',' || c == ' ' || c == '\t') &&
            span_equal_nocase((struct span){value.base + before, chunked.len}, chunked)) {
            return h1_refuse(parser, 501, "transfer coding not implemented");
        }
    }
    return h1_refuse(parser, 400, "Transfer-Encoding does not end in chunked");
}

bool h1_parse_length(struct span text, uint64_t *length)
{
    return chars_number(text, INT64_MAX, length);
}

static bool finish_length(struct h1_parser *parser, struct h1_head *head, const struct seen *seen)
{
    if (seen->lengths > 1) {
        return h1_refuse(parser, 400, "more than one Content-Length");
    }
    if (!h1_parse_length(*seen->length, &head->content_length)) {
        return h1_refuse(parser, 400, "malformed Content-Length");
    }
    head->framing = head->content_length > 0 ? H1_BODY_LENGTH : H1_BODY_NONE;
    return true;
}

bool h1_head_finish(struct h1_parser *parser, struct h1_head *head)
{
    struct seen seen = {.hosts = 0};
    for (unsigned i = 0; i < head->field_count; i++) {
        note_field(&seen, &head->fields[i]);
    }
    head->framing = H1_BODY_NONE;
    head->content_length = 0;
    if (!finish_host(parser, head, &seen) ||
        (seen.codings > 0 && !finish_coding(parser, head, &seen)) ||
        (seen.codings == 0 && seen.lengths > 0 && !finish_length(parser, head, &seen))) {
        return false;
    }
    if (seen.expects > 1 ||
        (seen.expects == 1 && !span_equal_nocase(*seen.expect, SPAN("100-continue")))) {
        return h1_refuse(parser, 417, "unknown expectation");
    }
    /* HTTP/1.0 clients do not know interim responses, RFC 9110 10.1.1. */
    head->expect_continue = seen.expects == 1 && head->minor > 0 && head->framing != H1_BODY_NONE;
    head->keep_alive = !seen.close && (head->minor > 0 || seen.keep_alive);
    return true;
}
