/* SPDX-License-Identifier: Apache-2.0 */
/* Which coding a client gets: Accept-Encoding with weights, `*` and mistakes, against what there
 * is. */
#include <criterion/criterion.h>

#include "server/encoding.h"

#define I ENCODING_BIT(ENCODING_IDENTITY)
#define G ENCODING_BIT(ENCODING_GZIP)
#define Z ENCODING_BIT(ENCODING_ZSTD)
#define B ENCODING_BIT(ENCODING_BR)

struct row {
    const char *lines[2]; /* of Accept-Encoding */
    unsigned available;
    enum encoding want;
};

/* clang-format off */
static const struct row rows[] = {
    {{NULL}, I | G | Z | B, ENCODING_IDENTITY},
    {{""}, I | G | Z | B, ENCODING_IDENTITY},
    {{"identity"}, I | G | Z | B, ENCODING_IDENTITY},
    {{"gzip"}, I | G | Z | B, ENCODING_GZIP},
    {{"gzip"}, I | Z | B, ENCODING_IDENTITY},
    {{"gzip"}, I, ENCODING_IDENTITY},
    /* equal weights: ours */
    {{"gzip, deflate, br, zstd"}, I | G | Z | B, ENCODING_BR},
    {{"gzip, deflate, br, zstd"}, I | G | Z, ENCODING_ZSTD},
    {{"gzip, deflate, br, zstd"}, I | G, ENCODING_GZIP},
    {{"identity, gzip"}, I | G, ENCODING_GZIP},
    /* RFC 9110 12.5.3 */
    {{"compress, gzip"}, I | G | Z | B, ENCODING_GZIP},
    {{"*"}, I | G | Z | B, ENCODING_BR},
    {{"*"}, I, ENCODING_IDENTITY},
    {{"compress;q=0.5, gzip;q=1.0"}, I | G | Z | B, ENCODING_GZIP},
    {{"gzip;q=1.0, identity; q=0.5, *;q=0"}, I | G | Z | B, ENCODING_GZIP},
    {{"gzip;q=1.0, identity; q=0.5, *;q=0"}, I | Z | B, ENCODING_IDENTITY},
    {{"gzip;q=1.0, identity; q=0.5, *;q=0"}, Z | B, ENCODINGS},
    /* weights */
    {{"br;q=0.5, gzip;q=0.8"}, I | G | B, ENCODING_GZIP},
    {{"br;q=0.001, gzip;q=0.002"}, I | G | B, ENCODING_GZIP},
    {{"br;q=0.3,identity;q=0.6"}, I | B, ENCODING_IDENTITY},
    {{"br;q=0.001"}, I | B, ENCODING_BR},
    {{"gzip;q=0"}, I | G, ENCODING_IDENTITY},
    {{"gzip;q=0, *"}, I | G, ENCODING_IDENTITY},
    {{"gzip;q=0.000, *"}, I | G | Z, ENCODING_ZSTD},
    {{"*;q=0.4, gzip;q=0.2"}, I | G, ENCODING_IDENTITY},
    {{"br;q=0.5", "gzip"}, I | G | B, ENCODING_GZIP},
    {{"gzip", "gzip;q=0"}, I | G, ENCODING_IDENTITY},
    /* no identity */
    {{"identity;q=0"}, I, ENCODINGS},
    {{"identity;q=0"}, I | G | B, ENCODINGS},
    {{"identity;q=0, gzip"}, I | G | B, ENCODING_GZIP},
    {{"identity;q=0, gzip"}, I | B, ENCODINGS},
    {{"*;q=0"}, I | G | Z | B, ENCODINGS},
    {{"*;q=0, identity"}, I | G, ENCODING_IDENTITY},
    {{"identity;q=0, *;q=0.1"}, I | G | B, ENCODING_BR},
    /* spelling */
    {{"GZip"}, I | G, ENCODING_GZIP},
    {{"x-gzip"}, I | G, ENCODING_GZIP},
    {{",\t, gzip \t;\t Q=0.5 ,,"}, I | G, ENCODING_GZIP},
    /* mistakes count as absent */
    {{"gzip;q=2"}, I | G, ENCODING_IDENTITY},
    {{"gzip;q=1.001"}, I | G, ENCODING_IDENTITY},
    {{"gzip;q=0.1234"}, I | G, ENCODING_IDENTITY},
    {{"gzip;q=.5"}, I | G, ENCODING_IDENTITY},
    {{"gzip;q=-1"}, I | G, ENCODING_IDENTITY},
    {{"gzip;q="}, I | G, ENCODING_IDENTITY},
    {{"gzip;q"}, I | G, ENCODING_IDENTITY},
    {{"gzip;"}, I | G, ENCODING_IDENTITY},
    {{"gzip;level=9"}, I | G, ENCODING_IDENTITY},
    {{"gzip;q=0.5;x"}, I | G, ENCODING_IDENTITY},
    {{"gzip br"}, I | G | B, ENCODING_IDENTITY},
    {{"gzipp, xbr, b"}, I | G | B, ENCODING_IDENTITY},
    {{"identity;q=x"}, I, ENCODING_IDENTITY},
    {{";q=1, gzip"}, I | G, ENCODING_GZIP},
    {{"gzip;q=1."}, I | G, ENCODING_GZIP},
};
/* clang-format on */

Test(encoding, is_selected)
{
    struct exchange ex;
    exchange_init(&ex);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        exchange_reset(&ex);
        for (unsigned l = 0; l < 2 && row->lines[l] != NULL; l++) {
            cr_assert(field_add(&ex, &ex.request_fields, SPAN("Accept-Encoding"),
                                span_of(row->lines[l])));
        }
        enum encoding got = encoding_select(&ex.request_fields, row->available);
        cr_expect_eq(got, row->want, "row %zu, %s: %u, want %u", i,
                     row->lines[0] != NULL ? row->lines[0] : "no field", got, row->want);
    }
    exchange_free(&ex);
}
