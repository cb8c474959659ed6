/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: appending and consuming, bounds, and what is held without room for more. */
#include "server/buffer.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect(const struct buffer *buffer, const char *text)
{
    struct span held = buffer_span(buffer);
    cr_expect(span_equal(held, (struct span){text, strlen(text)}), "'%.*s', not '%s'",
              (int)held.len, held.base, text);
}

Test(buffer, what_is_appended_comes_out_in_order)
{
    struct buffer buffer = {0};
    cr_assert(buffer_append(&buffer, SPAN("one two"), 7));
    buffer_consume(&buffer, 4);
    expect(&buffer, "two");
    cr_expect(!buffer_append(&buffer, SPAN("three"), 7), "beyond the bound");
    cr_expect(buffer_append(&buffer, SPAN("four"), 7));
    expect(&buffer, "twofour");
    buffer_consume(&buffer, 7);
    expect(&buffer, "");
    buffer_release(&buffer);
    cr_expect_null(buffer.base);
}

Test(buffer, what_is_held_takes_little_and_may_still_grow)
{
    struct buffer buffer = {0};
    cr_assert(buffer_hold(&buffer, SPAN("held")));
    cr_expect_eq(buffer.capacity, 64);
    expect(&buffer, "held");
    cr_assert(buffer_append(&buffer, SPAN(" and more"), 100));
    expect(&buffer, "held and more");
    buffer_release(&buffer);
}

Test(buffer, what_is_held_lies_in_what_there_is)
{
    struct buffer buffer = {0};
    cr_assert(buffer_append(&buffer, SPAN("it was sent"), 100));
    const char *base = buffer.base;
    buffer_consume(&buffer, 11);
    cr_assert(buffer_hold(&buffer, SPAN("held")));
    cr_expect_eq(buffer.base, base);
    expect(&buffer, "held");
    buffer_release(&buffer);
}

Test(buffer, an_empty_one_keeps_as_much_as_it_may)
{
    struct buffer buffer = {0};
    cr_assert(buffer_append(&buffer, SPAN("it"), 100));
    size_t capacity = buffer.capacity;
    buffer_trim(&buffer, 0);
    expect(&buffer, "it");
    buffer_consume(&buffer, 2);
    buffer_trim(&buffer, capacity);
    cr_expect_eq(buffer.capacity, capacity);
    buffer_trim(&buffer, capacity - 1);
    cr_expect_null(buffer.base);
    cr_expect_eq(buffer.capacity, 0);
}

Test(buffer, nothing_is_held_without_memory)
{
    struct buffer buffer = {0};
    cr_assert(buffer_hold(&buffer, SPAN("")));
    cr_expect_null(buffer.base);
    cr_expect(buffer_append(&buffer, SPAN("later"), 5));
    expect(&buffer, "later");
    buffer_release(&buffer);
}
