/* SPDX-License-Identifier: Apache-2.0 */
#include "server/span.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdlib.h>

enum { LENGTH_MAX = 40 };

/* Of its own size, so that sanitizers see what is read beyond it. */
static char *copy_of(const char *text, size_t bytes)
{
    char *copy = malloc(bytes > 0 ? bytes : 1);
    cr_assert_not_null(copy);
    memcpy(copy, text, bytes);
    return copy;
}

static bool equal_one_by_one(const char *a, const char *b, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (tolower((unsigned char)a[i]) != tolower((unsigned char)b[i])) {
            return false;
        }
    }
    return true;
}

Test(span, any_two_octets_at_any_place_compare_as_letters_do)
{
    for (size_t bytes = 1; bytes <= 18; bytes++) {
        char *a = copy_of("xXyYzZ@[`{xXyYzZ@[", bytes);
        char *b = copy_of("XxYyZz@[`{XxYyZz@[", bytes);
        unsigned step = bytes > 8 ? 7 : 1;
        cr_expect(span_equal_nocase((struct span){a, bytes}, (struct span){b, bytes}));
        for (size_t at = 0; at < bytes; at++) {
            for (unsigned pair = 0; pair < 65536; pair += step) {
                char before = a[at];
                char other = b[at];
                a[at] = (char)(pair & 0xff);
                b[at] = (char)(pair >> 8);
                cr_assert_eq(span_equal_nocase((struct span){a, bytes}, (struct span){b, bytes}),
                             equal_one_by_one(a, b, bytes), "%zu octets, at %zu: %#x", bytes, at,
                             pair);
                a[at] = before;
                b[at] = other;
            }
        }
        free(a);
        free(b);
    }
}

Test(span, lengths_differ)
{
    cr_expect(span_equal_nocase(SPAN(""), SPAN("")));
    cr_expect(span_equal_nocase((struct span){NULL, 0}, SPAN("")));
    cr_expect_not(span_equal_nocase(SPAN("host"), SPAN("hos")));
    cr_expect_not(span_equal_nocase(SPAN(""), SPAN("h")));
}

Test(span, letters_become_lower_case_and_nothing_else_changes)
{
    char text[LENGTH_MAX];
    for (unsigned first = 0; first < 256; first++) {
        for (size_t bytes = 0; bytes <= LENGTH_MAX; bytes++) {
            for (size_t i = 0; i < bytes; i++) {
                text[i] = (char)(first + i * 11);
            }
            char *from = copy_of(text, bytes);
            char *lower = copy_of(text, bytes);
            cr_expect_eq(span_put_lower(lower, (struct span){from, bytes}), lower + bytes);
            for (size_t i = 0; i < bytes; i++) {
                cr_assert_eq((unsigned char)lower[i],
                             (unsigned char)tolower((unsigned char)text[i]));
            }
            free(from);
            free(lower);
        }
    }
}
