/* SPDX-License-Identifier: Apache-2.0 */
/* A parser of structured dictionaries (RFC 8941 4.2.2) that remembers of a value what priorities
 * need: whether it is an integer of one digit, or a boolean. All else is only skipped, by the
 * grammar, so that a comma in a string ends nothing. Each function takes what it parsed off `text`;
 * false: malformed. */
#include "server/h2_priority.h"

#include "server/chars.h"

struct value {
    enum { OTHER, DIGIT, BOOLEAN } kind;
    unsigned number;
};

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool in(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static char first(const struct span *text)
{
    return text->len > 0 ? text->base[0] : '\0';
}

static bool skip(struct span *text, char c)
{
    bool is_there = text->len > 0 && text->base[0] == c;
    (void)span_take(text, is_there ? 1 : 0);
    return is_there;
}

static void skip_all(struct span *text, const char *set)
{
    while (in(first(text), set)) {
        (void)span_take(text, 1);
    }
}

static bool parse_key(struct span *text, struct span *key)
{
    const char *start = text->base;
    if (!is_lower(first(text)) && first(text) != '*') {
        return false;
    }
    while (is_lower(first(text)) || char_digit(first(text)) || in(first(text), "_-.*")) {
        (void)span_take(text, 1);
    }
    *key = (struct span){start, (size_t)(text->base - start)};
    return true;
}

static bool parse_number(struct span *text, struct value *value)
{
    enum { DIGITS_MAX = 15 };
    bool is_negative = skip(text, '-');
    char digit = first(text);
    size_t digits = 0;
    size_t points = 0;
    while (char_digit(first(text)) || (digits > 0 && points == 0 && first(text) == '.')) {
        points += first(text) == '.';
        digits += first(text) != '.';
        (void)span_take(text, 1);
    }
    if (digits == 1 && points == 0 && !is_negative) {
        *value = (struct value){DIGIT, (unsigned)(digit - '0')};
    }
    return digits > 0 && digits <= DIGITS_MAX;
}

static bool parse_string(struct span *text)
{
    (void)skip(text, '"');
    while (text->len > 0 && first(text) >= ' ' && first(text) <= '~') {
        if (skip(text, '"')) {
            return true;
        }
        if (skip(text, '\\') && !in(first(text), "\"\\")) {
            return false;
        }
        (void)span_take(text, 1);
    }
    return false;
}

static bool parse_item(struct span *text, struct value *value)
{
    char c = first(text);
    *value = (struct value){OTHER, 0};
    if (char_digit(c) || c == '-') {
        return parse_number(text, value);
    }
    if (c == '"') {
        return parse_string(text);
    }
    if (skip(text, '?')) {
        *value = (struct value){BOOLEAN, first(text) == '1'};
        return skip(text, '0') || skip(text, '1');
    }
    bool is_bytes = skip(text, ':');
    if (!is_bytes && !is_lower(ascii_lower(c)) && c != '*') {
        return false;
    }
    while (is_lower(ascii_lower(first(text))) || char_digit(first(text)) ||
           in(first(text), is_bytes ? "+/=" : "!#$%&'*+-.^_`|~:/")) {
        (void)span_take(text, 1);
    }
    return !is_bytes || skip(text, ':');
}

static bool parse_parameters(struct span *text)
{
    while (skip(text, ';')) {
        struct span key;
        struct value value;
        skip_all(text, " ");
        if (!parse_key(text, &key) || (skip(text, '=') && !parse_item(text, &value))) {
            return false;
        }
    }
    return true;
}

/* An inner list, whose members are items. */
static bool parse_list(struct span *text)
{
    struct value value;
    for (;;) {
        skip_all(text, " ");
        if (skip(text, ')')) {
            return true;
        }
        if (!parse_item(text, &value) || !parse_parameters(text) || !in(first(text), " )")) {
            return false;
        }
    }
}

static bool parse_member(struct span *text, struct span *key, struct value *value)
{
    *value = (struct value){BOOLEAN, 1};
    if (!parse_key(text, key)) {
        return false;
    }
    if (skip(text, '=')) {
        bool is_list = skip(text, '(');
        if (is_list) {
            *value = (struct value){OTHER, 0};
        }
        if (!(is_list ? parse_list(text) : parse_item(text, value))) {
            return false;
        }
    }
    return parse_parameters(text);
}

uint8_t h2_priority_parse(struct span text)
{
    unsigned urgency = H2_PRIORITY_DEFAULT;
    unsigned incremental = 0;
    skip_all(&text, " ");
    while (text.len > 0) {
        struct span key;
        struct value value;
        if (!parse_member(&text, &key, &value)) {
            return H2_PRIORITY_DEFAULT;
        }
        if (span_equal(key, SPAN("u")) && value.kind == DIGIT && value.number < H2_URGENCIES) {
            urgency = value.number;
        } else if (span_equal(key, SPAN("i")) && value.kind == BOOLEAN) {
            incremental = value.number;
        }
        skip_all(&text, " \t");
        if (text.len == 0) {
            break;
        }
        bool goes_on = skip(&text, ',');
        skip_all(&text, " \t");
        if (!goes_on || text.len == 0) {
            return H2_PRIORITY_DEFAULT;
        }
    }
    return (uint8_t)(urgency | (incremental != 0 ? H2_INCREMENTAL : 0));
}
