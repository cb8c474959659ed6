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

Test(buffer, what_is_held_has_its_own_size_and_may_still_grow)
{
    struct buffer buffer = {0};
    cr_assert(buffer_append(&buffer, SPAN("gone"), 100));
    buffer_consume(&buffer, 4);
    cr_assert(buffer_hold(&buffer, SPAN("held")));
    cr_expect_eq(buffer.capacity, 4);
    expect(&buffer, "held");
    cr_assert(buffer_append(&buffer, SPAN(" and more"), 100));
    expect(&buffer, "held and more");
    buffer_release(&buffer);
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
