/* SPDX-License-Identifier: Apache-2.0 */
/* The request fields that choose what is sent of a file: Range, Accept-Encoding, If-Range,
 * If-None-Match, If-Modified-Since. Ranges lie inside, apart from each other, and are no more than
 * there is; a coding is one there is.
 *
 * Input: a byte for the codings there are, a byte for the size, then a line for each field above.
 */
#include "fuzz/fuzz.h"

#include <stdbool.h>
#include <stdlib.h>

#include "server/conditional.h"
#include "server/encoding.h"

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_ranges(const struct field_list *fields, const struct validators *validators,
                         uint64_t bytes)
{
    struct range_set set;
    uint64_t sum = 0;
    enum range_result result = range_select(fields, validators, bytes, &set);
    must(set.count <= LIM_RANGES && (set.count > 0) == (result == RANGE_PART));
    must(result == RANGE_ALL || field_find(fields, SPAN("range")) != NULL);
    for (unsigned i = 0; i < set.count; i++) {
        const struct byte_range *a = &set.items[i];
        must(a->count > 0 && a->offset < bytes && a->count <= bytes - a->offset);
        must(a->count <= bytes - sum);
        sum += a->count;
        for (unsigned j = 0; j < i; j++) {
            const struct byte_range *b = &set.items[j];
            must(a->offset + a->count < b->offset || b->offset + b->count < a->offset);
        }
    }
}

static void check_coding(const struct field_list *fields, unsigned available)
{
    enum encoding coding = encoding_select(fields, available);
    must(coding == ENCODINGS || (available & ENCODING_BIT(coding)) != 0);
    bool identity = (available & ENCODING_BIT(ENCODING_IDENTITY)) != 0;
    if (field_find(fields, SPAN("accept-encoding")) == NULL && identity) {
        must(coding == ENCODING_IDENTITY);
    }
}

static void add_lines(struct exchange *ex, struct span rest)
{
    static const struct span names[] = {SPAN("range"), SPAN("accept-encoding"), SPAN("if-range"),
                                        SPAN("if-none-match"), SPAN("if-modified-since")};
    for (size_t i = 0; i < sizeof names / sizeof names[0] && rest.len > 0; i++) {
        const char *end = memchr(rest.base, '\n', rest.len);
        size_t bytes = end != NULL ? (size_t)(end - rest.base) : rest.len;
        /* What no request can hold is left out. */
        (void)field_add(ex, &ex->request_fields, names[i], (struct span){rest.base, bytes});
        size_t taken = bytes + (end != NULL);
        rest.base += taken;
        rest.len -= taken;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct exchange ex;
    struct validators validators = {.etag = SPAN("\"e\""), .last_modified = 784111777};
    if (size < 2 || size > LIM_HEAD_FIELDS_BYTES) {
        return 0;
    }
    uint64_t bytes = data[1] < 64 ? data[1] : UINT64_MAX >> (data[1] & 63);
    exchange_init(&ex);
    add_lines(&ex, (struct span){(const char *)data + 2, size - 2});
    check_ranges(&ex.request_fields, &validators, bytes);
    check_coding(&ex.request_fields, data[0] & (ENCODING_BIT(ENCODINGS) - 1));
    (void)conditional_check(&ex.request_fields, &validators);
    exchange_free(&ex);
    return 0;
}
