/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of fields in the pool of an exchange. Every list but the metadata goes to a peer or a
 * script as header fields, so nothing that could end a line ever gets into one; nor does it into
 * the metadata that are fields of the response. */
#include "server/exchange.h"

#include <assert.h>

#include "server/chars.h"
#include "server/limits.h"

enum {
    FIELDS_FIRST = 4, /* capacity of a list when its first field comes */
    FIELDS_SPARE = 2, /* of one that is copied: for what scripts and proxies add */
};

bool field_name_valid(struct span name)
{
    return name.len > 0 && chars_all_token(name);
}

bool field_value_valid(struct span value)
{
    return value.len == 0 || (!char_blank(value.base[0]) &&
                              !char_blank(value.base[value.len - 1]) && chars_all_value(value));
}

static bool valid_in(const struct exchange *ex, const struct field_list *list, struct span name,
                     struct span value)
{
    if (list == &ex->meta && !field_of_meta(name, &name)) {
        return name.len > 0;
    }
    return field_name_valid(name) && field_value_valid(value);
}

static bool reserve(struct pool *pool, struct field_list *list, unsigned capacity)
{
    struct field *items = pool_alloc(pool, capacity * sizeof *items);
    if (items == NULL) {
        return false;
    }
    if (list->count > 0) {
        memcpy(items, list->items, list->count * sizeof *items);
    }
    list->items = items;
    assert(capacity <= UINT16_MAX);
    list->capacity = (uint16_t)capacity;
    return true;
}

static bool grow(struct pool *pool, struct field_list *list)
{
    return reserve(pool, list, list->capacity == 0 ? FIELDS_FIRST : list->capacity * 2);
}

bool field_refer(struct exchange *ex, struct field_list *list, struct span name, struct span value)
{
    unsigned count_max = list == &ex->meta ? LIM_META_ENTRIES : LIM_RESPONSE_FIELDS;
    if (list->count >= count_max || (list->count == list->capacity && !grow(&ex->pool, list))) {
        return false;
    }
    list->items[list->count++] = (struct field){name, value};
    return true;
}

bool field_own(struct exchange *ex, struct field_list *list, struct span name, struct span value)
{
    bool follows = list->known == list->count;
    if (!field_refer(ex, list, name, value)) {
        return false;
    }
    list->known += follows && list->known < UINT8_MAX;
    list->known_told = false;
    return true;
}

void field_own_all(struct field_list *list, struct field *items, uint8_t count, uint8_t capacity)
{
    assert(list->count == 0 && count <= capacity);
    *list =
        (struct field_list){.items = items, .count = count, .capacity = capacity, .known = count};
}

void field_known(struct field_list *list, bool dated)
{
    bool all = list->count <= UINT8_MAX;
    list->known = all ? (uint8_t)list->count : 0;
    list->known_dated = all && dated;
    list->known_told = false;
}

/* The field at this place is not what it was. */
static void forget_known(struct field_list *list, unsigned at)
{
    if (at < list->known) {
        list->known = list->known_dated ? 0 : (uint8_t)at;
        list->known_dated = list->known_told = false;
    }
}

void field_clear(struct field_list *list)
{
    list->count = 0;
    forget_known(list, 0);
}

/* Without a look at them. */
static bool add_copy(struct exchange *ex, struct field_list *list, struct span name,
                     struct span value)
{
    if (name.len > SIZE_MAX - value.len) {
        return false;
    }
    char *text = pool_alloc(&ex->pool, name.len + value.len);
    if (text == NULL) {
        return false;
    }
    memcpy(text, name.base, name.len);
    if (value.len > 0) {
        memcpy(text + name.len, value.base, value.len);
    }
    return field_refer(ex, list, (struct span){text, name.len},
                       (struct span){text + name.len, value.len});
}

/* The list is empty and becomes that many fields, which the caller puts into its items. Returns
 * room for so many bytes of their text. NULL: out of memory. */
static char *make_room(struct exchange *ex, struct field_list *list, unsigned count, size_t bytes)
{
    assert(list->count == 0 && count <= LIM_RESPONSE_FIELDS && bytes <= SIZE_MAX / 2);
    unsigned capacity = count + FIELDS_SPARE;
    struct field *items = pool_alloc(&ex->pool, capacity * sizeof *items + bytes);
    if (items == NULL) {
        return NULL;
    }
    list->items = items;
    list->capacity = (uint16_t)capacity;
    list->count = count;
    return (char *)(items + capacity);
}

bool field_copy_all(struct exchange *ex, struct field_list *list, const struct field *fields,
                    unsigned count)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        bytes += fields[i].name.len + fields[i].value.len;
    }
    char *at = make_room(ex, list, count, bytes);
    if (at == NULL) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        struct field *copy = &list->items[i];
        *copy = (struct field){{at, fields[i].name.len}, {NULL, fields[i].value.len}};
        copy->value.base = span_put(at, fields[i].name);
        at = span_put((char *)copy->value.base, fields[i].value);
    }
    return true;
}

char *field_copy_text(struct exchange *ex, struct field_list *list, const struct field *fields,
                      unsigned count, struct span text)
{
    char *copy = make_room(ex, list, count, text.len);
    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy, text.base, text.len);
    for (unsigned i = 0; i < count; i++) {
        struct span name = fields[i].name;
        struct span value = fields[i].value;
        assert(name.base >= text.base && value.base > name.base + name.len);
        list->items[i] = (struct field){{copy + (name.base - text.base), name.len},
                                        {copy + (value.base - text.base), value.len}};
    }
    return copy;
}

bool field_copy_lines(struct exchange *ex, struct field_list *list, const struct field *fields,
                      unsigned count)
{
    if (count == 0) {
        return true;
    }
    const char *text = fields[0].name.base;
    const struct span *last = &fields[count - 1].value;
    size_t bytes = (size_t)(last->base + last->len - text);
    return field_copy_text(ex, list, fields, count, (struct span){text, bytes}) != NULL;
}

bool field_add(struct exchange *ex, struct field_list *list, struct span name, struct span value)
{
    return valid_in(ex, list, name, value) && add_copy(ex, list, name, value);
}

/* Removes from items[from..) what is called `name`. */
static unsigned delete_from(struct field_list *list, unsigned from, struct span name)
{
    unsigned kept = from;
    for (unsigned i = from; i < list->count; i++) {
        if (!span_equal_nocase(list->items[i].name, name)) {
            list->items[kept++] = list->items[i];
        } else {
            forget_known(list, kept);
        }
    }
    unsigned deleted = list->count - kept;
    list->count = kept;
    return deleted;
}

/* The first that is called `name`; list->count: there is none. */
static unsigned find_first(const struct field_list *list, struct span name)
{
    unsigned at = 0;
    while (at < list->count && !span_equal_nocase(list->items[at].name, name)) {
        at++;
    }
    return at;
}

bool field_replace(struct exchange *ex, struct field_list *list, struct span name,
                   struct span value)
{
    unsigned at = find_first(list, name);
    if (at == list->count) {
        return field_refer(ex, list, name, value);
    }
    list->items[at].value = value;
    forget_known(list, at);
    delete_from(list, at + 1, name);
    return true;
}

bool field_set(struct exchange *ex, struct field_list *list, struct span name, struct span value)
{
    if (!valid_in(ex, list, name, value)) {
        return false;
    }
    if (find_first(list, name) == list->count) {
        return add_copy(ex, list, name, value);
    }
    struct span copy = pool_copy(&ex->pool, value);
    return copy.base != NULL && field_replace(ex, list, name, copy);
}

unsigned field_delete(struct field_list *list, struct span name)
{
    return delete_from(list, 0, name);
}

const struct field *field_find(const struct field_list *list, struct span name)
{
    for (unsigned i = list->count; i > 0; i--) {
        if (span_equal_nocase(list->items[i - 1].name, name)) {
            return &list->items[i - 1];
        }
    }
    return NULL;
}

/* ---- patterns */

static bool has_star(struct span text, size_t at)
{
    return at < text.len && text.base[at] == '*';
}

/* Without the stars. */
static struct span bare(struct span pattern)
{
    size_t start = has_star(pattern, 0);
    size_t end = pattern.len - (pattern.len > start && has_star(pattern, pattern.len - 1));
    return (struct span){pattern.base + start, end - start};
}

bool field_pattern_valid(struct span pattern)
{
    struct span text = bare(pattern);
    return field_name_valid(pattern) && memchr(text.base, '*', text.len) == NULL;
}

bool field_matches(struct span pattern, struct span name)
{
    struct span text = bare(pattern);
    bool open_start = has_star(pattern, 0);
    bool open_end = has_star(pattern, pattern.len - 1);
    if (name.len < text.len) {
        return false;
    }
    size_t last = name.len - text.len;
    for (size_t at = 0; at <= last; at++) {
        bool allowed = (at == 0 || open_start) && (at == last || open_end);
        if (allowed && span_equal_nocase((struct span){name.base + at, text.len}, text)) {
            return true;
        }
    }
    return false;
}

bool field_touch(struct exchange *ex, struct span pattern)
{
    struct field_list *list = &ex->touched_fields;
    if (field_find(list, pattern) != NULL) {
        return true;
    }
    if (list->count == LIM_RESPONSE_FIELDS) {
        list->items[0].name = SPAN("*"); /* more than are remembered: so all */
        return true;
    }
    return field_add(ex, list, pattern, SPAN(""));
}
