/* SPDX-License-Identifier: Apache-2.0 */
/* See server/conditional.h. A field that cannot be parsed counts as absent, or as matching nothing
 * where it is a list of entity tags. */
#include "server/conditional.h"

#include "server/chars.h"
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

bool conditional_any(const struct field_list *fields)
{
    const uint32_t lengths = 1u << 5 | 1u << 8 | 1u << 13 | 1u << 17 | 1u << 19;
    for (unsigned i = 0; i < fields->count; i++) {
        struct span name = fields->items[i].name;
        char first = name.len < 20 && (lengths >> name.len & 1) ? ascii_lower(name.base[0]) : 0;
        if (first == 'i' || first == 'r') {
            return true;
        }
    }
    return false;
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
    while (digits < rest->len && char_digit(rest->base[digits])) {
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

/* "bytes=", RFC 9110 14.1. */
static bool take_unit(struct span *rest)
{
    const struct span unit = SPAN("bytes");
    if (rest->len < unit.len || !span_equal_nocase((struct span){rest->base, unit.len}, unit)) {
        return false;
    }
    rest->base += unit.len;
    rest->len -= unit.len;
    return take_char(rest, '=');
}

/* One range-spec of 14.1.2. */
struct range_spec {
    bool suffix;
    uint64_t first; /* or the length of the suffix */
    uint64_t last;  /* UINT64_MAX when it is left out */
};

static bool take_spec(struct span *rest, struct range_spec *spec)
{
    uint64_t number;
    *spec = (struct range_spec){.suffix = take_char(rest, '-'), .last = UINT64_MAX};
    if (!take_number(rest, &spec->first)) {
        return false;
    }
    if (!spec->suffix) {
        if (!take_char(rest, '-')) {
            return false;
        }
        if (take_number(rest, &number)) {
            spec->last = number;
        }
    }
    skip(rest, " \t");
    return spec->first <= spec->last && (rest->len == 0 || rest->base[0] == ',');
}

/* What the spec means for `bytes`. False: nothing, it is not satisfiable. */
static bool resolve(const struct range_spec *spec, uint64_t bytes, struct byte_range *range)
{
    if (spec->suffix) {
        range->count = spec->first < bytes ? spec->first : bytes;
        range->offset = bytes - range->count;
        return range->count > 0;
    }
    if (spec->first >= bytes) {
        return false;
    }
    range->offset = spec->first;
    range->count = (spec->last < bytes - 1 ? spec->last : bytes - 1) - spec->first + 1;
    return true;
}

static bool touches(const struct byte_range *a, const struct byte_range *b)
{
    return a->offset <= b->offset + b->count && b->offset <= a->offset + a->count;
}

/* Adds the range; those it overlaps or touches become one, in the place of the first of them. */
static void set_add(struct range_set *set, struct byte_range range)
{
    unsigned place = set->count;
    for (unsigned i = 0; i < set->count;) {
        const struct byte_range other = set->items[i];
        if (!touches(&other, &range)) {
            i++;
            continue;
        }
        uint64_t end = range.offset + range.count;
        uint64_t other_end = other.offset + other.count;
        range.offset = other.offset < range.offset ? other.offset : range.offset;
        range.count = (other_end > end ? other_end : end) - range.offset;
        set->count--;
        memmove(&set->items[i], &set->items[i + 1], (set->count - i) * sizeof set->items[0]);
        place = place < i ? place : i;
        i = 0; /* it grew, so it may touch one that was passed */
    }
    place = place < set->count ? place : set->count;
    memmove(&set->items[place + 1], &set->items[place],
            (set->count - place) * sizeof set->items[0]);
    set->items[place] = range;
    set->count++;
}

/* The ranges of a Range field. False: malformed, too many, or more bytes than there are. */
static bool parse_ranges(struct span value, uint64_t bytes, struct range_set *set)
{
    struct range_spec spec;
    struct byte_range range;
    unsigned specs = 0;
    uint64_t left = bytes;
    if (!take_unit(&value)) {
        return false;
    }
    for (skip(&value, " \t,"); value.len > 0; skip(&value, " \t,")) {
        if (specs++ == LIM_RANGES || !take_spec(&value, &spec)) {
            return false;
        }
        if (resolve(&spec, bytes, &range)) {
            if (range.count > left) {
                return false;
            }
            left -= range.count;
            set_add(set, range);
        }
    }
    return specs > 0;
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
                               uint64_t bytes, struct range_set *set)
{
    const struct field *field = field_find(fields, SPAN("range"));
    set->count = 0;
    if (field == NULL || !parse_ranges(field->value, bytes, set) ||
        !range_is_current(fields, validators)) {
        set->count = 0;
        return RANGE_ALL;
    }
    return set->count > 0 ? RANGE_PART : RANGE_NONE;
}
