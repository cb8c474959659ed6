/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata in pages: what is a tag and what is not, escaping, and that neither the sizes of the
 * pieces nor the room for the result matter. */
#include <criterion/criterion.h>

#include "server/template.h"

static struct exchange ex;

static void begin(void)
{
    exchange_init(&ex);
    field_add(&ex, &ex.meta, SPAN("name"), SPAN("Ada"));
    field_add(&ex, &ex.meta, SPAN("two words"), SPAN("2"));
    field_add(&ex, &ex.meta, SPAN("evil"), SPAN("<b a=\"1\" b='2'>&amp;</b>"));
    field_add(&ex, &ex.meta, SPAN("tag"), SPAN("<zs-meta>name</zs-meta>"));
    field_add(&ex, &ex.meta, SPAN("empty"), SPAN(""));
    field_add(&ex, &ex.meta, SPAN("zs.response.header.x"), SPAN("hidden"));
}

static void end(void)
{
    exchange_free(&ex);
}

TestSuite(template, .init = begin, .fini = end);

/* `page` in pieces of `a`, then `b` bytes, then the rest; results of at most `room` bytes. */
static struct span run(struct span page, size_t a, size_t b, size_t room)
{
    static char result[8192];
    struct span pieces[3] = {
        {page.base, a}, {page.base + a, b}, {page.base + a + b, page.len - a - b}};
    size_t used = 0;
    struct template t;

    template_init(&t, &ex.meta);
    for (unsigned i = 0; i < 3; i++) {
        size_t bytes;

        do {
            bytes = template_run(&t, &pieces[i], i == 2, result + used, room);
            used += bytes;
            cr_assert_leq(bytes, room);
            cr_assert_lt(used + room, sizeof result);
        } while (bytes > 0);
        cr_assert_eq(pieces[i].len, 0);
    }
    return (struct span){result, used};
}

static void expect(const char *page, const char *want)
{
    struct span text = span_of(page);

    for (size_t a = 0; a <= text.len; a++) {
        for (size_t b = 0; b <= text.len - a; b += b < 3 ? 1 : 7) {
            for (size_t room = TEMPLATE_ROOM_MIN; room <= 64; room += 16) {
                struct span got = run(text, a, b, room);

                cr_assert(span_equal(got, span_of(want)), "%s split at %zu, %zu: %.*s", page, a, b,
                          (int)got.len, got.base);
            }
        }
    }
}

Test(template, tags)
{
    expect("", "");
    expect("plain text & <b>tags</b>\n", "plain text & <b>tags</b>\n");
    expect("<zs-meta>name</zs-meta>", "Ada");
    expect("a<zs-meta> name </zs-meta>b<zs-meta>\n\tname\r\n</zs-meta>c", "aAdabAdac");
    expect("<zs-meta>two words</zs-meta>!", "2!");
    expect("[<zs-meta>none</zs-meta><zs-meta>empty</zs-meta><zs-meta></zs-meta>]", "[]");
    expect("[<zs-meta>zs.response.header.x</zs-meta>]", "[]");
    expect("<zs-meta >name</zs-meta><zs-meta\n>name</zs-meta>", "AdaAda");
}

Test(template, escaping)
{
    expect("<p><zs-meta>evil</zs-meta></p>",
           "<p>&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;amp;&lt;/b&gt;</p>");
    expect("<p><zs-meta raw>evil</zs-meta></p>", "<p><b a=\"1\" b='2'>&amp;</b></p>");
    expect("<zs-meta  raw >name</zs-meta>", "Ada");
    /* Values are not looked through again. */
    expect("<zs-meta raw>tag</zs-meta>", "<zs-meta>name</zs-meta>");
}

Test(template, what_is_no_tag_stays)
{
    static const char *const pages[] = {
        "<zs-meta",
        "<zs-meta>",
        "<zs-meta>name",
        "<zs-meta>name</zs-meta",
        "<zs-metaraw>name</zs-meta>",
        "<zs-meta ra>name</zs-meta>",
        "<zs-meta raww>name</zs-meta>",
        "<zs-meta raw raw>name</zs-meta>",
        "<zs-meta r aw>name</zs-meta>",
        "<zs-meta x>name</zs-meta>",
        "<ZS-META>name</ZS-META>",
        "<zs-meta>na<b>me</b></zs-meta>",
        "</zs-meta><zs-metas>name</zs-metas><<",
        "<zs-meta/>name",
    };

    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        expect(pages[i], pages[i]);
    }
}

Test(template, a_tag_begins_where_another_was_none)
{
    expect("<<zs-meta>name</zs-meta>", "<Ada");
    expect("<zs-<zs-meta>name</zs-meta>", "<zs-Ada");
    expect("<zs-meta><zs-meta>name</zs-meta>", "<zs-meta>Ada");
    expect("<zs-meta>x<<zs-meta>name</zs-meta>", "<zs-meta>x<Ada");
    expect("<zs-meta>x</zs-<zs-meta>name</zs-meta>", "<zs-meta>x</zs-Ada");
    expect("<zs-meta raw<zs-meta>name</zs-meta>", "<zs-meta rawAda");
}

Test(template, long_tags_stay)
{
    char page[TEMPLATE_TAG_BYTES + 64] = "<zs-meta>";
    size_t at = strlen(page);

    /* White space counts. */
    memset(page + at, ' ', TEMPLATE_TAG_BYTES - at - 14);
    memcpy(page + TEMPLATE_TAG_BYTES - 14, "name</zs-meta>", 15);
    cr_expect(span_equal(run(span_of(page), 0, 0, 1000), SPAN("Ada")));
    memcpy(page + TEMPLATE_TAG_BYTES - 14, " name</zs-meta>", 16);
    cr_expect(span_equal(run(span_of(page), 7, 500, 16), span_of(page)));
}

Test(template, wanted_for_pages_with_metadata)
{
    static const struct {
        const char *type;
        bool wanted;
    } types[] = {
        {"text/html", true},           {"text/html; charset=utf-8", true},
        {"TEXT/HTML;charset=x", true}, {"application/xml", true},
        {"text/htmlx", false},         {"text/plain", false},
        {"application/xml+y", false},  {"image/svg+xml", false},
    };
    struct exchange bare;

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        response_start(&ex, 200);
        ex.body.kind = BODY_BYTES;
        field_add(&ex, &ex.response_fields, SPAN("Content-Type"), span_of(types[i].type));
        cr_expect_eq(template_wanted(&ex), types[i].wanted, "%s", types[i].type);
    }
    response_start(&ex, 200);
    ex.body.kind = BODY_BYTES;
    cr_expect(!template_wanted(&ex));
    field_add(&ex, &ex.response_fields, SPAN("content-type"), SPAN("text/html"));
    cr_expect(template_wanted(&ex));
    ex.status = 206;
    cr_expect(!template_wanted(&ex));
    ex.status = 404;
    cr_expect(template_wanted(&ex));
    field_add(&ex, &ex.response_fields, SPAN("content-encoding"), SPAN("gzip"));
    cr_expect(!template_wanted(&ex));

    exchange_init(&bare);
    response_error(&bare, 404);
    field_set(&bare, &bare.response_fields, SPAN("content-type"), SPAN("text/html"));
    field_add(&bare, &bare.meta, SPAN("zs.response.header.x"), SPAN("y"));
    cr_expect(!template_wanted(&bare));
    field_add(&bare, &bare.meta, SPAN("x"), SPAN("y"));
    cr_expect(template_wanted(&bare));
    exchange_free(&bare);
}
