/* SPDX-License-Identifier: Apache-2.0 */
/* What RFC 9113 8.2 and 8.3 call malformed, field by field and then of all together: names, octets
 * of values, fields about a connection, pseudo fields. What is well formed and may not be served
 * all the same is h2_head.c's affair. */
#include "server/chars.h"
#include "server/h1_int.h"
#include "server/h2_int.h"

/* Bits of h2_block.seen. */
enum {
    SEEN_METHOD = 1 << 0,
    SEEN_SCHEME = 1 << 1,
    SEEN_AUTHORITY = 1 << 2,
    SEEN_PATH = 1 << 3,
    SEEN_PROTOCOL = 1 << 4,
    SEEN_HOST = 1 << 5,
    SEEN_LENGTH = 1 << 6,
    SEEN_FIELD = 1 << 7, /* any that is no pseudo field */
    SEEN_CONNECT = 1 << 8,
    SEEN_OPTIONS = 1 << 9,
    SEEN_HTTP = 1 << 10,     /* a scheme whose paths begin with a slash */
    SEEN_ASTERISK = 1 << 11, /* a path that is "*" */
    SEEN_SLASH = 1 << 12,    /* a path that begins with a slash */
};

static bool once(struct h2_block *block, unsigned bit)
{
    bool is_first = (block->seen & bit) == 0;
    block->seen |= bit;
    return is_first;
}

/* Visible characters, of which ASCII has no others than these for a host. */
static bool authority_allowed(struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.base[i];
        bool is_mark = c == ':' || c == '[' || c == ']' || c == '@' || c == '%';
        if (!is_mark && !char_is(c, CHAR_HOST)) {
            return false;
        }
    }
    return value.len > 0;
}

static bool check_method(struct h2_block *block, struct span value)
{
    if (span_equal(value, SPAN("CONNECT"))) {
        block->seen |= SEEN_CONNECT;
    } else if (span_equal(value, SPAN("OPTIONS"))) {
        block->seen |= SEEN_OPTIONS;
    }
    return once(block, SEEN_METHOD) && field_name_valid(value);
}

/* RFC 3986 3.1 */
static bool check_scheme(struct h2_block *block, struct span value)
{
    if (span_equal_nocase(value, SPAN("https")) || span_equal_nocase(value, SPAN("http"))) {
        block->seen |= SEEN_HTTP;
        return once(block, SEEN_SCHEME);
    }
    for (size_t i = 0; i < value.len; i++) {
        char c = ascii_lower(value.base[i]);
        bool is_letter = c >= 'a' && c <= 'z';
        bool is_other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
        if (!is_letter && (i == 0 || !is_other)) {
            return false;
        }
    }
    return value.len > 0 && once(block, SEEN_SCHEME);
}

static bool check_path(struct h2_block *block, struct span value)
{
    if (value.len == 0 || !once(block, SEEN_PATH)) {
        return false;
    }
    block->seen |= value.base[0] == '/'           ? SEEN_SLASH
                   : span_equal(value, SPAN("*")) ? SEEN_ASTERISK
                                                  : 0;
    return chars_all_target(value) ||
           (chars_all_value(value) && memchr(value.base, ' ', value.len) == NULL &&
            memchr(value.base, '\t', value.len) == NULL);
}

static bool check_pseudo(struct h2_block *block, struct span name, struct span value)
{
    if (block->start.kind == H2_TRAILERS || (block->seen & SEEN_FIELD) != 0) {
        return false;
    }
    switch (name.len) {
    case 5: return span_equal(name, SPAN(":path")) && check_path(block, value);
    case 7:
        return span_equal(name, SPAN(":method"))   ? check_method(block, value)
               : span_equal(name, SPAN(":scheme")) ? check_scheme(block, value)
                                                   : false;
    case 9:
        return span_equal(name, SPAN(":protocol")) && block->start.takes_protocol &&
               once(block, SEEN_PROTOCOL) && field_value_valid(value) && value.len > 0;
    case 10:
        return span_equal(name, SPAN(":authority")) && once(block, SEEN_AUTHORITY) &&
               authority_allowed(value);
    default: return false;
    }
}

/* Fields with rules of their own. False: not with this value, or not at all. */
static bool check_known(struct h2_block *block, struct span name, struct span value)
{
    switch (name.len) {
    case 2: return !span_equal(name, SPAN("te")) || span_equal_nocase(value, SPAN("trailers"));
    case 4:
        return !span_equal(name, SPAN("host")) ||
               (once(block, SEEN_HOST) && authority_allowed(value));
    case 7: return !span_equal(name, SPAN("upgrade"));
    case 10: return !span_equal(name, SPAN("connection")) && !span_equal(name, SPAN("keep-alive"));
    case 14:
        return !span_equal(name, SPAN("content-length")) ||
               (once(block, SEEN_LENGTH) && h1_parse_length(value, &block->head.content_length));
    case 16: return !span_equal(name, SPAN("proxy-connection"));
    case 17: return !span_equal(name, SPAN("transfer-encoding"));
    default: return true;
    }
}

bool h2_field_check(struct h2_block *block, struct span name, struct span value)
{
    if (name.len > 0 && name.base[0] == ':') {
        return check_pseudo(block, name, value);
    }
    block->seen |= SEEN_FIELD;
    return field_name_valid(name) && !chars_any_upper(name) && field_value_valid(value) &&
           check_known(block, name, value);
}

static bool has(const struct h2_block *block, unsigned bits)
{
    return (block->seen & bits) == bits;
}

bool h2_fields_complete(const struct h2_block *block)
{
    bool is_connect = has(block, SEEN_CONNECT);
    bool has_protocol = has(block, SEEN_PROTOCOL);
    if (block->start.ends_stream && block->head.content_length > 0) {
        return false;
    }
    if (is_connect && !has_protocol) { /* RFC 9113 8.5 */
        return has(block, SEEN_AUTHORITY) && (block->seen & (SEEN_SCHEME | SEEN_PATH)) == 0;
    }
    if (has_protocol && !(is_connect && has(block, SEEN_AUTHORITY))) { /* RFC 8441 4 */
        return false;
    }
    bool has_path = !has(block, SEEN_HTTP) || has(block, SEEN_SLASH) ||
                    has(block, SEEN_OPTIONS | SEEN_ASTERISK);
    return has(block, SEEN_METHOD | SEEN_SCHEME | SEEN_PATH) && has_path &&
           (block->seen & (SEEN_AUTHORITY | SEEN_HOST)) != 0;
}
