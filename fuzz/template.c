/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata in pages. The sizes of the pieces and the room for the result make no difference, and a
 * page without a tag stays as it is.
 *
 * Input: a byte for the size of the pieces, a byte for the room, then the page.
 */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "server/template.h"

enum { PAGE_BYTES = 4096, VALUE_BYTES = 8, RESULT_BYTES = PAGE_BYTES * 4 };

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static size_t run(const struct field_list *meta, struct span page, size_t piece, size_t room,
                  char *result)
{
    struct template t;
    size_t used = 0;

    template_init(&t, meta);
    do {
        struct span part = {page.base, page.len < piece ? page.len : piece};
        size_t bytes;

        page.base += part.len;
        page.len -= part.len;
        do {
            must(RESULT_BYTES - used >= room);
            bytes = template_run(&t, &part, page.len == 0, result + used, room);
            must(bytes <= room);
            used += bytes;
        } while (bytes > 0);
        must(part.len == 0);
    } while (page.len > 0);
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char whole[RESULT_BYTES];
    static char pieces[RESULT_BYTES];
    struct field items[] = {{SPAN("k"), SPAN("<value&>")}, {SPAN(""), SPAN("none")}};
    struct field_list meta = {.items = items, .count = 2, .capacity = 2};
    struct span page;
    size_t first, second;

    if (size < 2 || size > PAGE_BYTES) {
        return 0;
    }
    page = (struct span){(const char *)data + 2, size - 2};
    first = run(&meta, page, PAGE_BYTES, 1024, whole);
    second = run(&meta, page, 1 + data[0] % 32u, TEMPLATE_ROOM_MIN + data[1] % 64u, pieces);
    must(first == second && memcmp(whole, pieces, first) == 0);
    if (memmem(page.base, page.len, "</zs-meta>", 10) == NULL) {
        must(first == page.len && (first == 0 || memcmp(whole, page.base, first) == 0));
    }
    return 0;
}
