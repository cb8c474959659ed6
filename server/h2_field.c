/* SPDX-License-Identifier: Apache-2.0 */
/* What RFC 9113 8.2 and 8.3 call malformed, field by field and then of all together: names, octets
 * of values, fields about a connection, pseudo fields. What is well formed and may not be served
 * all the same is h2_head.c's affair. */
#include "server/chars.h"
#include "server/h1_int.h"
#include "server/h2_int.h"

/* ---- an entry of HPACK's table comes again and again, but has to be looked at only once */

enum { MARK_VALID = 1 }; /* in hpack_field.marks: by itself, it is all that it has to be */

static bool is_marked(const struct hpack_field *field)
{
    return field->marks != NULL && (*field->marks & MARK_VALID) != 0;
}

static void mark(const struct hpack_field *field)
{
    if (field->marks != NULL) {
        *field->marks |= MARK_VALID;
    }
}

/* ---- field by field */

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

/* Of Host or :authority. */
static bool check_authority(struct h2_block *block, unsigned bit, const struct hpack_field *field)
{
    if (!once(block, bit)) {
        return false;
    }
    if (is_marked(field) || h1_authority_valid(field->value)) {
        mark(field);
        return true;
    }
    block->seen |= H2_SEEN_BAD_HOST;
    return authority_allowed(field->value);
}

static bool check_method(struct h2_block *block, struct span value)
{
    if (span_equal(value, SPAN("CONNECT"))) {
        block->seen |= H2_SEEN_CONNECT;
    } else if (span_equal(value, SPAN("OPTIONS"))) {
        block->seen |= H2_SEEN_OPTIONS;
    }
    return once(block, H2_SEEN_METHOD) && field_name_valid(value);
}

/* RFC 3986 3.1 */
static bool check_scheme(struct h2_block *block, struct span value)
{
    if (span_equal_nocase(value, SPAN("https")) || span_equal_nocase(value, SPAN("http"))) {
        block->seen |= H2_SEEN_HTTP;
        return once(block, H2_SEEN_SCHEME);
    }
    for (size_t i = 0; i < value.len; i++) {
        char c = ascii_lower(value.base[i]);
        bool is_letter = c >= 'a' && c <= 'z';
        bool is_other = char_digit(c) || c == '+' || c == '-' || c == '.';
        if (!is_letter && (i == 0 || !is_other)) {
            return false;
        }
    }
    return value.len > 0 && once(block, H2_SEEN_SCHEME);
}

static bool check_path(struct h2_block *block, struct span value)
{
    if (value.len == 0 || !once(block, H2_SEEN_PATH)) {
        return false;
    }
    block->seen |= value.base[0] == '/'           ? H2_SEEN_SLASH
                   : span_equal(value, SPAN("*")) ? H2_SEEN_ASTERISK
                                                  : 0;
    if (chars_all_target(value)) {
        return true;
    }
    block->seen |= H2_SEEN_BAD_PATH;
    return chars_all_value(value) && memchr(value.base, ' ', value.len) == NULL &&
           memchr(value.base, '\t', value.len) == NULL;
}

static bool check_pseudo(struct h2_block *block, const struct hpack_field *field)
{
    struct span value = field->value;
    if (block->start.kind == H2_TRAILERS || (block->seen & H2_SEEN_FIELD) != 0) {
        return false;
    }
    switch (field->name_index) {
    case HPACK_PATH: return check_path(block, value);
    case HPACK_METHOD: return check_method(block, value);
    case HPACK_SCHEME: return check_scheme(block, value);
    case HPACK_AUTHORITY: return check_authority(block, H2_SEEN_AUTHORITY, field);
    default:
        return span_equal(field->name, SPAN(":protocol")) && block->start.takes_protocol &&
               once(block, H2_SEEN_PROTOCOL) && field_value_valid(value) && value.len > 0;
    }
}

#define CONNECTION_SPECIFIC(NAME)                                                                  \
    NAME("upgrade")                                                                                \
    NAME("connection")                                                                             \
    NAME("keep-alive")                                                                             \
    NAME("proxy-connection")                                                                       \
    NAME("transfer-encoding")

bool h2_connection_specific(struct span name)
{
    SPAN_RETURN_IS_NAMED(name, CONNECTION_SPECIFIC);
}

/* Those of the static table that have nothing to do with others are. */
static bool name_allowed(const struct hpack_field *field)
{
    if (field->name_index > 0) {
        return field->name_index != HPACK_TRANSFER_ENCODING;
    }
    return field->name.len > 0 && chars_all(field->name, CHAR_LOWER) &&
           !h2_connection_specific(field->name);
}

static bool value_allowed(const struct hpack_field *field)
{
    return field_value_valid(field->value) && (!span_equal(field->name, SPAN("te")) ||
                                               span_equal_nocase(field->value, SPAN("trailers")));
}

/* What depends on the other fields, too. */
static bool check_known(struct h2_block *block, const struct hpack_field *field)
{
    switch (field->name_index) {
    case HPACK_HOST: return check_authority(block, H2_SEEN_HOST, field);
    case HPACK_CONTENT_LENGTH:
        return once(block, H2_SEEN_LENGTH) &&
               h1_parse_length(field->value, &block->head.content_length);
    default: mark(field); return true;
    }
}

bool h2_field_check(struct h2_block *block, const struct hpack_field *field)
{
    if (field->name.len > 0 && field->name.base[0] == ':') {
        return check_pseudo(block, field);
    }
    block->seen |= H2_SEEN_FIELD;
    bool allowed = is_marked(field) || (name_allowed(field) && value_allowed(field));
    return allowed && check_known(block, field);
}

/* ---- all of them */

static bool has(const struct h2_block *block, unsigned bits)
{
    return (block->seen & bits) == bits;
}

bool h2_fields_complete(const struct h2_block *block)
{
    bool is_connect = has(block, H2_SEEN_CONNECT);
    bool has_protocol = has(block, H2_SEEN_PROTOCOL);
    if (block->start.ends_stream && block->head.content_length > 0) {
        return false;
    }
    if (is_connect && !has_protocol) { /* RFC 9113 8.5 */
        return has(block, H2_SEEN_AUTHORITY) &&
               (block->seen & (H2_SEEN_SCHEME | H2_SEEN_PATH)) == 0;
    }
    if (has_protocol && !(is_connect && has(block, H2_SEEN_AUTHORITY))) { /* RFC 8441 4 */
        return false;
    }
    bool has_path = !has(block, H2_SEEN_HTTP) || has(block, H2_SEEN_SLASH) ||
                    has(block, H2_SEEN_OPTIONS | H2_SEEN_ASTERISK);
    return has(block, H2_SEEN_METHOD | H2_SEEN_SCHEME | H2_SEEN_PATH) && has_path &&
           (block->seen & (H2_SEEN_AUTHORITY | H2_SEEN_HOST)) != 0;
}
