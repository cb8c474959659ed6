/* SPDX-License-Identifier: Apache-2.0 */
/* See server/conditional.h. A field that cannot be parsed counts as absent, or as matching nothing
 * where it is a list of entity tags. */
#include "server/conditional.h"

#include "server/date.h"

/* ---- entity tags, RFC 9110 8.8.3 */

struct entity_tag {
    struct span opaque; /* with quotes */
    bool weak;
};

/* Takes an entity tag off the front of `rest`. */
static bool take_tag(struct span *rest, struct entity_tag *tag)
{
    size_t start = rest->len > 2 && memcmp(rest->base, "W/", 2) == 0 ? 2 : 0;
    if (rest->len < start + 2 || rest->base[start] != '"') {
        return false;
    }
    const char *text = rest->base + start;
    const char *close = memchr(text + 1, '"', rest->len - start - 1);
    if (close == NULL) {
        return false;
    }
    *tag = (struct entity_tag){{text, (size_t)(close + 1 - text)}, start != 0};
    rest->len -= (size_t)(close + 1 - rest->base);
    rest->base = close + 1;
    return true;
}

static void skip(struct span *rest, const char *bytes)
{
    while (rest->len > 0 && strchr(bytes, rest->base[0]) != NULL && rest->base[0] != '\0') {
        rest->base++;
        rest->len--;
    }
}

/* Is `etag` in the list? What follows a malformed member is not read. */
static bool list_has(struct span list, struct span etag, bool weak_too)
{
    struct entity_tag tag;
    for (;;) {
        skip(&list, " \t,");
        if (!take_tag(&list, &tag)) {
            return false;
        }
        if (span_equal(tag.opaque, etag) && (weak_too || !tag.weak)) {
            return true;
        }
        skip(&list, " \t");
        if (list.len > 0 && list.base[0] != ',') {
            return false;
        }
    }
}

/* Looks through all lines of If-Match or If-None-Match. False in *present: there is none. */
static bool fields_match(const struct field_list *fields, struct span name, struct span etag,
                         bool weak_too, bool *present)
{
    bool match = false;
    *present = false;
    for (unsigned i = 0; i < fields->count && !match; i++) {
        if (span_equal_nocase(fields->items[i].name, name)) {
            struct span value = fields->items[i].value;
            *present = true;
            match = span_equal(value, SPAN("*")) || list_has(value, etag, weak_too);
        }
    }
    return match;
}

static bool field_date(const struct field_list *fields, struct span name, int64_t *seconds)
{
    const struct field *field = field_find(fields, name);
    return field != NULL && date_parse(field->value, seconds);
}

enum conditional_result conditional_check(const struct field_list *fields,
                                          const struct validators *validators)
{
    bool present;
    int64_t date;
    bool match = fields_match(fields, SPAN("if-match"), validators->etag, false, &present);
    if (present) {
        if (!match) {
            return CONDITIONAL_FAILED;
        }
    } else if (field_date(fields, SPAN("if-unmodified-since"), &date) &&
               validators->last_modified > date) {
        return CONDITIONAL_FAILED;
    }
    match = fields_match(fields, SPAN("if-none-match"), validators->etag, true, &present);
    if (present) {
        return match ? CONDITIONAL_UNCHANGED : CONDITIONAL_PASS;
    }
    if (field_date(fields, SPAN("if-modified-since"), &date) && validators->last_modified <= date) {
        return CONDITIONAL_UNCHANGED;
    }
    return CONDITIONAL_PASS;
}

/* ---- ranges */

/* 1*DIGIT; numbers too large become the largest. */
static bool take_number(struct span *rest, uint64_t *number)
{
    size_t digits = 0;
    *number = 0;
    while (digits < rest->len && rest->base[digits] >= '0' && rest->base[digits] <= '9') {
        unsigned digit = (unsigned)(rest->base[digits++] - '0');
        *number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *number * 10 + digit;
    }
    rest->base += digits;
    rest->len -= digits;
    return digits > 0;
}

static bool take_char(struct span *rest, char c)
{
    if (rest->len == 0 || rest->base[0] != c) {
        return false;
    }
    rest->base++;
    rest->len--;
    return true;
}

/* "bytes=" and one range, as 14.1.2 has it. The last position is UINT64_MAX when it is left out. */
static bool parse_range(struct span value, bool *suffix, uint64_t *first, uint64_t *last)
{
    const struct span unit = SPAN("bytes");
    if (value.len < unit.len || !span_equal_nocase((struct span){value.base, unit.len}, unit)) {
        return false;
    }
    value.base += unit.len;
    value.len -= unit.len;
    if (!take_char(&value, '=')) {
        return false;
    }
    skip(&value, " \t,"); /* lists may have empty members, 5.6.1 */
    *last = UINT64_MAX;
    *suffix = take_char(&value, '-');
    if (!take_number(&value, first)) {
        return false;
    }
    if (!*suffix) {
        if (!take_char(&value, '-')) {
            return false;
        }
        uint64_t number;
        if (take_number(&value, &number)) {
            *last = number;
        }
    }
    skip(&value, " \t,");
    return value.len == 0 && *first <= *last;
}

/* Does If-Range, if any, name the file as it is now? Only strong validators count, 13.1.5. */
static bool range_is_current(const struct field_list *fields, const struct validators *validators)
{
    const struct field *field = field_find(fields, SPAN("if-range"));
    if (field == NULL) {
        return true;
    }
    struct span value = field->value;
    struct entity_tag tag;
    int64_t date;
    if (take_tag(&value, &tag)) {
        return value.len == 0 && !tag.weak && span_equal(tag.opaque, validators->etag);
    }
    return date_parse(field->value, &date) && date == validators->last_modified;
}

enum range_result range_select(const struct field_list *fields, const struct validators *validators,
                               uint64_t bytes, uint64_t *offset, uint64_t *count)
{
    const struct field *field = field_find(fields, SPAN("range"));
    bool suffix;
    uint64_t first, last;
    if (field == NULL || !parse_range(field->value, &suffix, &first, &last) ||
        !range_is_current(fields, validators)) {
        return RANGE_ALL;
    }
    if (suffix) {
        *count = first < bytes ? first : bytes;
        *offset = bytes - *count;
        return *count > 0 ? RANGE_PART : RANGE_NONE;
    }
    if (first >= bytes) {
        return RANGE_NONE;
    }
    *offset = first;
    *count = (last < bytes - 1 ? last : bytes - 1) - first + 1;
    return RANGE_PART;
}
