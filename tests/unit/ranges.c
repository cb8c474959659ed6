/* SPDX-License-Identifier: Apache-2.0 */
/* What a Range field selects: the examples of RFC 9110 14.1.2, coalescing, order, and the caps. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "server/conditional.h"

static struct exchange ex;

/* "all", "none", or the ranges as "first-last,...". */
static const char *select_of(const char *value, uint64_t bytes)
{
    static char text[1024];
    struct validators validators = {.etag = SPAN("\"e\"")};
    struct range_set set;
    exchange_reset(&ex);
    cr_assert(field_add(&ex, &ex.request_fields, SPAN("range"), span_of(value)), "%s", value);
    switch (range_select(&ex.request_fields, &validators, bytes, &set)) {
    case RANGE_ALL: return "all";
    case RANGE_NONE: return "none";
    case RANGE_PART: break;
    }
    size_t at = 0;
    for (unsigned i = 0; i < set.count; i++) {
        const struct byte_range *range = &set.items[i];
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%llu-%llu", i > 0 ? "," : "",
                               (unsigned long long)range->offset,
                               (unsigned long long)(range->offset + range->count - 1));
        cr_assert_lt(at, sizeof text);
    }
    return text;
}

static void setup(void)
{
    exchange_init(&ex);
}

static void teardown(void)
{
    exchange_free(&ex);
}

TestSuite(ranges, .init = setup, .fini = teardown);

struct row {
    const char *value;
    uint64_t bytes;
    const char *want;
};

/* clang-format off */
static const struct row rows[] = {
    /* RFC 9110 14.1.2, a representation of 10000 bytes */
    {"bytes=0-499", 10000, "0-499"},
    {"bytes=500-999", 10000, "500-999"},
    {"bytes=-500", 10000, "9500-9999"},
    {"bytes=9500-", 10000, "9500-9999"},
    {"bytes=0-0,-1", 10000, "0-0,9999-9999"},
    {"bytes= 0-999, 4500-5499, -1000", 10000, "0-999,4500-5499,9000-9999"},
    {"bytes=500-600,601-999", 10000, "500-999"},
    {"bytes=500-700,601-999", 10000, "500-999"},
    /* order is the client's */
    {"bytes=90-99,0-9,50-59", 100, "90-99,0-9,50-59"},
    {"bytes=-1,0-0", 100, "99-99,0-0"},
    /* what overlaps or touches becomes one, in the place of the first */
    {"bytes=50-59,0-9,60-69", 100, "50-69,0-9"},
    {"bytes=0-9,20-29,10-19", 100, "0-29"},
    {"bytes=20-29,40-49,0-9,30-39", 100, "20-49,0-9"},
    {"bytes=0-9,20-29,40-49,5-44", 200, "0-49"},
    {"bytes=0-1,0-1", 10, "0-1"},
    {"bytes=0-1,3-4", 10, "0-1,3-4"},
    {"bytes=0-1,2-2", 10, "0-2"},
    {"bytes=5-,-5", 10, "5-9"},
    /* what is not satisfiable is passed over, unless all is */
    {"bytes=0-1,20-30", 10, "0-1"},
    {"bytes=20-30,3-4,-0,6-6", 10, "3-4,6-6"},
    {"bytes=10-,-0", 10, "none"},
    {"bytes=0-0,1-1", 0, "none"},
    {"bytes=-1", 0, "none"},
    /* more bytes than there are */
    {"bytes=0-,0-0", 10, "all"},
    {"bytes=0-5,4-9", 10, "all"},
    {"bytes=0-4,5-9", 10, "0-9"},
    {"bytes=0-18446744073709551615,0-18446744073709551615", 10, "all"},
    {"bytes=1-18446744073709551615", UINT64_MAX, "1-18446744073709551614"},
    {"bytes=0-0,18446744073709551614-", UINT64_MAX, "0-0,18446744073709551614-18446744073709551614"},
    {"bytes=18446744073709551613-,0-18446744073709551612", UINT64_MAX, "0-18446744073709551614"},
    /* 16 are heeded, 17 are not, whether or not they can be satisfied */
    {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30", 99,
     "0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30"},
    {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30,32-32",
     99, "all"},
    {"bytes=99-,99-,99-,99-,99-,99-,99-,99-,99-,99-,99-,99-,99-,99-,99-,99-,0-0", 99, "all"},
    /* lists may have empty members and blanks at commas, and nowhere else */
    {"bytes=,,0-0 ,\t, 2-2,,", 10, "0-0,2-2"},
    {"bytes=0-0 2-2", 10, "all"},
    {"bytes=0 -1", 10, "all"},
    {"bytes=0- 1", 10, "all"},
    {"bytes=- 1", 10, "all"},
    {"bytes=0-1;2-3", 10, "all"},
    {"bytes=0-1,x", 10, "all"},
    {"bytes=0-1,3-2", 10, "all"},
    {"bytes=0-1,bytes=3-4", 10, "all"},
    {"bytes=,", 10, "all"},
    {"bytes=", 10, "all"},
    {"byte=0-1", 10, "all"},
    {"bytess=0-1", 10, "all"},
};
/* clang-format on */

Test(ranges, of_a_field)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *got = select_of(rows[i].value, rows[i].bytes);
        cr_expect_str_eq(got, rows[i].want, "%s of %llu: %s, want %s", rows[i].value,
                         (unsigned long long)rows[i].bytes, got, rows[i].want);
    }
}
