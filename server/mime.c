/* SPDX-License-Identifier: Apache-2.0 */
/* Content-Type by extension, from mime.def. The table is sorted, so a look-up is a binary search.
 */
#include <stdlib.h>

#include "server/site.h"

enum { EXTENSION_BYTES_MAX = 15 };

struct mime {
    char extension[EXTENSION_BYTES_MAX + 1];
    struct span type;
};

static const struct mime table[] = {
#define MIME(extension, type) {extension, {type, sizeof(type) - 1}},
#include "server/mime.def"
};

static int mime_order(const void *key, const void *row)
{
    return strcmp(key, ((const struct mime *)row)->extension);
}

struct span mime_type(struct span path)
{
    static const struct span unknown = SPAN("application/octet-stream");
    char extension[EXTENSION_BYTES_MAX + 1];
    size_t at = path.len;
    while (at > 0 && path.base[at - 1] != '.' && path.base[at - 1] != '/') {
        at--;
    }
    size_t bytes = path.len - at;
    if (at == 0 || path.base[at - 1] != '.' || bytes == 0 || bytes > EXTENSION_BYTES_MAX) {
        return unknown;
    }
    *span_put_lower(extension, (struct span){path.base + at, bytes}) = '\0';
    const struct mime *row =
        bsearch(extension, table, sizeof table / sizeof table[0], sizeof table[0], mime_order);
    return row != NULL ? row->type : unknown;
}
