/* SPDX-License-Identifier: Apache-2.0 */
/* Answers from a small site in memory: lookup, conditions in the order of RFC 9110 13.2.2, ranges.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "server/h1.h"
#include "server/limits.h"
#include "server/static.h"
#include "tests/support/tarball.h"

#define MODIFIED "Tue, 14 Nov 2023 22:13:20 GMT" /* 1700000000, tarball_add */
#define EARLIER  "Tue, 14 Nov 2023 22:13:19 GMT"
#define LATER    "Tue, 14 Nov 2023 22:13:21 GMT"

static struct static_options options;
static struct site *site;
static struct exchange ex;
static struct static_facts *facts;

static void setup(void)
{
    struct tarball *tar = calloc(1, sizeof *tar);
    tarball_file(tar, "index.html", "root");
    tarball_file(tar, "a.txt", "0123456789");
    tarball_file(tar, "empty", "");
    tarball_file(tar, "about.html", "about");
    tarball_file(tar, "both.html", "page");
    tarball_file(tar, "both/index.html", "directory");
    tarball_file(tar, "docs/index.html", "docs");
    tarball_file(tar, "docs/a b", "space");
    tarball_file(tar, "bare/file", "f");
    tarball_file(tar, "mixed.html", "mixed");
    tarball_file(tar, "mixed/file", "f");
    tarball_file(tar, "404.html", "not here");
    tarball_file(tar, "coded.css", "plain css");
    tarball_file(tar, "coded.css.gz", "GZIP");
    tarball_file(tar, "coded.css.br", "BROTLI");
    tarball_file(tar, "zipped.js.zst", "ZSTD");
    tarball_file(tar, ".zeroserve/index.html", "secret");
    tarball_file(tar, ".zeroserve/notes", "secret");
    site = tarball_site(tar);
    options = (struct static_options){.index = "index.html"};
    exchange_init(&ex);
    facts = static_facts_create();
    cr_assert_not_null(facts);
}

static void teardown(void)
{
    exchange_free(&ex);
    static_facts_free(facts);
    site_free(site);
}

static void ask(const char *method, const char *target)
{
    exchange_reset(&ex);
    ex.proto_major = 1;
    ex.method = span_of(method);
    cr_assert(exchange_set_target(&ex, span_of(target)), "%s", target);
}

static void with(const char *name, const char *value)
{
    cr_assert(field_add(&ex, &ex.request_fields, span_of(name), span_of(value)));
}

/* The content a client would get, read from the tar. */
static struct span content(void)
{
    static char buffer[4096];
    if (ex.body.kind == BODY_BYTES) {
        return ex.body.bytes;
    }
    if (ex.body.kind == BODY_NONE) {
        return SPAN("");
    }
    if (ex.body.kind == BODY_SEGMENTS) {
        size_t at = 0;
        for (unsigned i = 0; i < ex.body.segment_count; i++) {
            const struct body_segment *segment = &ex.body.segments[i];
            cr_assert_leq(at + segment->bytes.len + segment->file_bytes, sizeof buffer);
            memcpy(buffer + at, segment->bytes.base, segment->bytes.len);
            at += segment->bytes.len;
            ssize_t read =
                pread(site_fd(site), buffer + at, segment->file_bytes, (off_t)segment->file_offset);
            cr_assert_eq((uint64_t)read, segment->file_bytes);
            at += segment->file_bytes;
        }
        return (struct span){buffer, at};
    }
    cr_assert_leq(ex.body.file_bytes, sizeof buffer);
    ssize_t bytes = pread(site_fd(site), buffer, ex.body.file_bytes, (off_t)ex.body.file_offset);
    cr_assert_eq((uint64_t)bytes, ex.body.file_bytes);
    return (struct span){buffer, ex.body.file_bytes};
}

static struct span header(const char *name)
{
    const struct field *field = field_find(&ex.response_fields, span_of(name));
    return field != NULL ? field->value : (struct span){NULL, 0};
}

static void expect_header(const char *name, const char *value)
{
    struct span got = header(name);
    if (value == NULL) {
        cr_expect_null(got.base, "%s: %.*s", name, (int)got.len, got.base);
        return;
    }
    cr_expect(span_equal(got, span_of(value)), "%s: %.*s, want %s", name, (int)got.len, got.base,
              value);
}

static void answer(void)
{
    static_answer(&ex, site, &options, facts);
    response_finish(&ex);
}

static void expect_get(const char *target, unsigned status, const char *want)
{
    ask("GET", target);
    answer();
    cr_expect_eq(ex.status, status, "%s: %u", target, ex.status);
    cr_expect(span_equal(content(), span_of(want)), "%s", target);
}

/* The head is the same from the text of our own fields as from the fields, which `own` of are. */
static void expect_head(unsigned own)
{
    const struct span date = SPAN(MODIFIED);
    struct buffer head = {0}, plain = {0};
    cr_assert(h1_append_head(&ex, true, date, &head, 1024));
    cr_expect_eq(ex.response_fields.known, own, "%u", ex.response_fields.known);
    ex.response_fields.known_told = false;
    cr_assert(h1_append_head(&ex, true, date, &plain, 1024));
    cr_expect(span_equal(buffer_span(&head), buffer_span(&plain)), "%.*s", (int)head.end,
              head.base);
    buffer_release(&head);
    buffer_release(&plain);
}

static void expect_redirect(const char *target, const char *location)
{
    ask("GET", target);
    answer();
    cr_expect_eq(ex.status, 308, "%s: %u", target, ex.status);
    expect_header("location", location);
}

TestSuite(static, .init = setup, .fini = teardown);

Test(static, files)
{
    expect_get("/a.txt", 200, "0123456789");
    expect_header("content-type", "text/plain; charset=utf-8");
    expect_header("last-modified", MODIFIED);
    expect_header("accept-ranges", "bytes");
    cr_expect_not_null(header("etag").base);
    expect_get("/a.txt?query", 200, "0123456789");
    expect_get("/docs/../%61.txt", 200, "0123456789");
    expect_get("/docs/a%20b", 200, "space");
    expect_get("/empty", 200, "");
    expect_get("/a.txt/", 404, "not here");
    expect_get("/a.TXT", 404, "not here");
    expect_get("/a.txt%20", 404, "not here");
}

static void ask_plain(void)
{
    ask("GET", "/a.txt");
    static_answer(&ex, site, &options, facts);
    cr_expect(ex.response_fields.known_told);
}

Test(static, heads_have_what_became_of_their_fields)
{
    struct field_list *list = &ex.response_fields;
    ask_plain();
    expect_head(4);
    ask("GET", "/coded.css");
    static_answer(&ex, site, &options, facts);
    expect_head(5); /* with Vary */
    ask_plain();
    cr_assert(field_add(&ex, list, SPAN("x-new"), SPAN("1")));
    expect_head(4);
    ask_plain();
    cr_assert(field_set(&ex, list, SPAN("ETag"), SPAN("\"new\"")));
    expect_head(2);
    expect_header("etag", "\"new\"");
    ask_plain();
    cr_expect_eq(field_delete(list, SPAN("Content-Type")), 1);
    expect_head(0);
    expect_header("content-type", NULL);
    ask_plain();
    cr_expect_eq(field_delete(list, SPAN("x-none")), 0);
    expect_head(4);
    ask_plain();
    response_error(&ex, 404);
    expect_head(0);
    ask("GET", "/a.txt"); /* facts of their own, and of the plain file alone */
    with("accept-encoding", "br");
    static_answer(&ex, site, &options, NULL);
    expect_head(4);
    ask("GET", "/coded.css");
    with("accept-encoding", "br");
    static_answer(&ex, site, &options, facts);
    cr_expect_not(list->known_told);
    expect_head(6);
}

Test(static, directories)
{
    expect_get("/", 200, "root");
    expect_get("/docs/", 200, "docs");
    expect_redirect("/docs", "/docs/");
    expect_redirect("/docs?a=b&c", "/docs/?a=b&c");
    expect_redirect("/bare", "/bare/");
    expect_get("/bare/", 404, "not here");
    expect_get("/none/", 404, "not here");
    options.index = "a b";
    expect_get("/docs/", 200, "space");
}

static void ask_rewritten(const char *asked, const char *rewritten)
{
    ask("GET", asked);
    cr_assert(exchange_rewrite(&ex, span_of(rewritten)));
    answer();
}

Test(static, redirects_of_rewritten_paths_keep_the_address_that_the_client_knows)
{
    ask_rewritten("/a%20b/docs?q", "/docs?x");
    cr_expect_eq(ex.status, 308);
    expect_header("location", "/a%20b/docs/?q");
    ask_rewritten("/docs", "/x/docs");
    cr_assert(exchange_rewrite(&ex, SPAN("/docs")));
    answer();
    expect_header("location", "/docs/");
    ask_rewritten("/guide", "/docs"); /* the name is the script's */
    cr_expect_eq(ex.status, 200);
    cr_expect(span_equal(content(), SPAN("docs")));
    ask_rewritten("/docs/", "/docs");
    cr_expect_eq(ex.status, 200);
    ask_rewritten("/guide", "/bare");
    cr_expect_eq(ex.status, 404);
}

/* A path that starts with two slashes would be an address on another host. */
Test(static, redirects_stay_here)
{
    expect_redirect("//docs", "/docs/");
    expect_redirect("//evil.example/../docs", "/docs/");
    expect_redirect("/\\evil.example/../docs", "/docs/");
    expect_redirect("/%64ocs", "/docs/");

    struct tarball *tar = calloc(1, sizeof *tar);
    tarball_file(tar, "a%\\\r\n\xc3\xa9?/index.html", "odd");
    site_free(site);
    site = tarball_site(tar);
    expect_redirect("/a%25%5c%0d%0a%c3%a9%3f", "/a%25%5C%0D%0A%C3%A9%3F/");
}

Test(static, directories_without_redirect)
{
    options.no_dir_redirect = true;
    expect_get("/docs", 200, "docs");
    expect_get("/bare", 404, "not here");
}

Test(static, try_html)
{
    expect_get("/about", 404, "not here");
    options.try_html = true;
    expect_get("/about", 200, "about");
    expect_header("content-type", "text/html; charset=utf-8");
    expect_get("/about/", 404, "not here");
    expect_redirect("/both", "/both/");
    expect_get("/mixed", 200, "mixed");
    options.no_dir_redirect = true;
    expect_get("/both", 200, "directory");
}

Test(static, private_files_are_not_there)
{
    static const char *const paths[] = {
        "/.zeroserve",           "/.zeroserve/",           "/.zeroserve/notes",
        "/.zeroserve/index",     "/.zeroserve/index.html", "/docs/../.zeroserve/notes",
        "/%2ezeroserve/%6eotes", "//.zeroserve//notes",    "/./.zeroserve/./notes",
    };
    options.try_html = true;
    for (unsigned redirect = 0; redirect < 2; redirect++) {
        options.no_dir_redirect = redirect == 0;
        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
            expect_get(paths[i], 404, "not here");
        }
    }
}

Test(static, not_found)
{
    expect_get("/none", 404, "not here");
    expect_header("content-type", "text/html; charset=utf-8");
    expect_header("etag", NULL);
    expect_header("last-modified", NULL);
    expect_header("accept-ranges", NULL);
    ask("GET", "/none");
    with("if-none-match", "*");
    with("range", "bytes=0-1");
    answer();
    cr_expect_eq(ex.status, 404);
    site_free(site);
    site = site_empty();
    expect_get("/none", 404, "404 Not Found\n");
    expect_get("/", 404, "404 Not Found\n");
}

Test(static, long_paths)
{
    static char path[20000];
    memset(path, 'a', sizeof path - 1);
    path[0] = '/';
    options.try_html = true;
    expect_get(path, 404, "not here");
    path[LIM_TAR_PATH_BYTES + 1] = '\0';
    expect_get(path, 404, "not here");
    path[LIM_TAR_PATH_BYTES] = '/';
    expect_get(path, 404, "not here");
}

Test(static, methods)
{
    ask("HEAD", "/a.txt");
    with("range", "bytes=0-1");
    answer();
    cr_expect_eq(ex.status, 200);
    cr_expect_eq(ex.body.file_bytes, 10);
    ask("OPTIONS", "*");
    answer();
    cr_expect_eq(ex.status, 204);
    cr_expect_eq(ex.body.kind, BODY_NONE);
    expect_header("allow", "GET, HEAD, OPTIONS");
    static const char *const others[] = {"POST", "PUT", "DELETE", "get", "TRACE", "X"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        ask(others[i], "/a.txt");
        answer();
        cr_expect_eq(ex.status, 405);
        expect_header("allow", "GET, HEAD, OPTIONS");
    }
}

/* ---- conditions: up to four fields, and `@` stands for the file's entity tag */

struct condition {
    const char *fields[4][2];
    unsigned status;
};

/* clang-format off */
static const struct condition conditions[] = {
    {{{"if-match", "*"}}, 200},
    {{{"if-match", "@"}}, 200},
    {{{"if-match", "\"x\", @"}}, 200},
    {{{"if-match", "\"x\""}, {"if-match", "@"}}, 200},
    {{{"if-match", "\"x\""}}, 412},
    {{{"if-match", "W/@"}}, 412},
    {{{"if-match", ""}}, 412},
    {{{"if-unmodified-since", MODIFIED}}, 200},
    {{{"if-unmodified-since", LATER}}, 200},
    {{{"if-unmodified-since", EARLIER}}, 412},
    {{{"if-unmodified-since", "yesterday"}}, 200},
    {{{"if-match", "@"}, {"if-unmodified-since", EARLIER}}, 200},
    {{{"if-match", "\"x\""}, {"if-none-match", "@"}}, 412},
    {{{"if-none-match", "*"}}, 304},
    {{{"if-none-match", "@"}}, 304},
    {{{"if-none-match", "W/@"}}, 304},
    {{{"if-none-match", "\"a,b\" , ,\t@"}}, 304},
    {{{"if-none-match", "\"x\""}, {"if-none-match", "@"}}, 304},
    {{{"if-none-match", "\"x\""}}, 200},
    {{{"if-none-match", "x"}}, 200},
    {{{"if-none-match", "\"x"}}, 200},
    {{{"if-none-match", "\"x\" @"}}, 200},
    {{{"if-none-match", "w/@"}}, 200},
    {{{"if-none-match", "W/"}}, 200},
    {{{"if-none-match", ""}}, 200},
    {{{"if-modified-since", MODIFIED}}, 304},
    {{{"if-modified-since", "Tuesday, 14-Nov-23 22:13:20 GMT"}}, 304},
    {{{"if-modified-since", "Tue Nov 14 22:13:20 2023"}}, 304},
    {{{"if-modified-since", LATER}}, 304},
    {{{"if-modified-since", EARLIER}}, 200},
    {{{"if-modified-since", "0"}}, 200},
    {{{"if-none-match", "\"x\""}, {"if-modified-since", MODIFIED}}, 200},
    {{{"if-unmodified-since", MODIFIED}, {"if-modified-since", MODIFIED}}, 304},
    /* ranges */
    {{{"range", "bytes=0-1"}, {"if-none-match", "@"}}, 304},
    {{{"range", "bytes=0-1"}, {"if-match", "@"}}, 206},
    {{{"range", "bytes=0-1"}, {"if-range", "@"}}, 206},
    {{{"range", "bytes=0-1"}, {"if-range", "W/@"}}, 200},
    {{{"range", "bytes=0-1"}, {"if-range", "\"x\""}}, 200},
    {{{"range", "bytes=0-1"}, {"if-range", "@, @"}}, 200},
    {{{"range", "bytes=0-1"}, {"if-range", "*"}}, 200},
    {{{"range", "bytes=0-1"}, {"if-range", MODIFIED}}, 206},
    {{{"range", "bytes=0-1"}, {"if-range", LATER}}, 200},
    {{{"range", "bytes=0-1"}, {"if-range", EARLIER}}, 200},
    {{{"range", "bytes=99-"}, {"if-range", "\"x\""}}, 200},
    {{{"if-range", "@"}}, 200},
};
/* clang-format on */

static void with_etag(const char *name, const char *value, struct span etag)
{
    char text[256];
    size_t at = 0;
    for (; *value != '\0'; value++) {
        struct span piece = *value == '@' ? etag : (struct span){value, 1};
        cr_assert_lt(at + piece.len, sizeof text);
        memcpy(text + at, piece.base, piece.len);
        at += piece.len;
    }
    text[at] = '\0';
    with(name, text);
}

Test(static, conditions)
{
    char etag[64];
    expect_get("/a.txt", 200, "0123456789");
    struct span tag = header("etag");
    cr_assert_lt(tag.len, sizeof etag);
    memcpy(etag, tag.base, tag.len);
    tag.base = etag;
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
        const struct condition *row = &conditions[i];
        for (unsigned head = 0; head < 2; head++) {
            ask(head ? "HEAD" : "GET", "/a.txt");
            for (unsigned f = 0; f < 4 && row->fields[f][0] != NULL; f++) {
                with_etag(row->fields[f][0], row->fields[f][1], tag);
            }
            answer();
            unsigned status = head && row->status == 206 ? 200 : row->status;
            cr_expect_eq(ex.status, status, "row %zu: %u", i, ex.status);
            if (status == 304) {
                cr_expect_eq(ex.body.kind, BODY_NONE);
                expect_header("last-modified", MODIFIED);
                cr_expect(span_equal(header("etag"), tag));
            }
        }
    }
}

struct range {
    const char *value;
    const char *content; /* NULL: 416 */
    const char *content_range;
};

/* clang-format off */
static const struct range ranges[] = {
    {"bytes=0-0", "0", "bytes 0-0/10"},
    {"bytes=2-4", "234", "bytes 2-4/10"},
    {"BYTES=2-4", "234", "bytes 2-4/10"},
    {"bytes=9-9", "9", "bytes 9-9/10"},
    {"bytes=7-", "789", "bytes 7-9/10"},
    {"bytes=0-", "0123456789", "bytes 0-9/10"},
    {"bytes=0-99", "0123456789", "bytes 0-9/10"},
    {"bytes=5-18446744073709551616", "56789", "bytes 5-9/10"},
    {"bytes=-1", "9", "bytes 9-9/10"},
    {"bytes=-10", "0123456789", "bytes 0-9/10"},
    {"bytes=-99999999999999999999999", "0123456789", "bytes 0-9/10"},
    {"bytes= 1-2", "12", "bytes 1-2/10"},
    {"bytes=, 1-2,", "12", "bytes 1-2/10"},
    {"bytes=10-", NULL, "bytes */10"},
    {"bytes=10-11", NULL, "bytes */10"},
    {"bytes=18446744073709551616-", NULL, "bytes */10"},
    {"bytes=-0", NULL, "bytes */10"},
    /* malformed or too much: all of it */
    {"bytes=2-1", "0123456789", NULL},
    {"bytes=0-1,2-4", "01234", "bytes 0-4/10"},
    {"bytes=0-9,0-9", "0123456789", NULL},
    {"bytes=-", "0123456789", NULL},
    {"bytes=", "0123456789", NULL},
    {"bytes=a-b", "0123456789", NULL},
    {"bytes=1", "0123456789", NULL},
    {"bytes=1-2x", "0123456789", NULL},
    {"bytes=1--2", "0123456789", NULL},
    {"bytes=--2", "0123456789", NULL},
    {"bytes=+1-2", "0123456789", NULL},
    {"bytes 1-2", "0123456789", NULL},
    {"bytes =1-2", "0123456789", NULL},
    {"lines=1-2", "0123456789", NULL},
    {"", "0123456789", NULL},
};
/* clang-format on */

Test(static, ranges)
{
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        const struct range *row = &ranges[i];
        ask("GET", "/a.txt");
        with("range", row->value);
        answer();
        unsigned status = row->content == NULL ? 416 : row->content_range != NULL ? 206 : 200;
        cr_expect_eq(ex.status, status, "%s: %u", row->value, ex.status);
        expect_header("content-range", row->content_range);
        expect_header("accept-ranges", "bytes");
        if (row->content != NULL) {
            cr_expect(span_equal(content(), span_of(row->content)), "%s", row->value);
            cr_expect_not_null(header("etag").base);
        }
    }
    ask("GET", "/empty");
    with("range", "bytes=0-");
    answer();
    cr_expect_eq(ex.status, 416);
    expect_header("content-range", "bytes */0");
}

Test(static, several_ranges)
{
    ask("GET", "/a.txt");
    with("range", "bytes=7-8, 0-1,-1");
    answer();
    cr_expect_eq(ex.status, 206);
    expect_header("content-range", NULL);
    expect_header("accept-ranges", "bytes");
    cr_expect_not_null(header("etag").base);
    const struct span outer = SPAN("multipart/byteranges; boundary=");
    struct span type = header("content-type");
    cr_assert_eq(type.len, outer.len + 32);
    cr_assert(memcmp(type.base, outer.base, outer.len) == 0);
    char want[1024];
    const char *boundary = type.base + outer.len;
    snprintf(want, sizeof want,
             "--%.32s\r\ncontent-type: text/plain; charset=utf-8\r\n"
             "content-range: bytes 7-9/10\r\n\r\n789\r\n"
             "--%.32s\r\ncontent-type: text/plain; charset=utf-8\r\n"
             "content-range: bytes 0-1/10\r\n\r\n01\r\n--%.32s--\r\n",
             boundary, boundary, boundary);
    cr_expect(span_equal(content(), span_of(want)), "%.*s", (int)content().len, content().base);
    cr_expect_eq(body_length(&ex.body), strlen(want));
    ask("HEAD", "/a.txt");
    with("range", "bytes=7-8,0-1");
    answer();
    cr_expect_eq(ex.status, 200);
    cr_expect_eq(body_length(&ex.body), 10);
}

struct coded {
    const char *accept; /* Accept-Encoding */
    const char *range;
    unsigned status;
    const char *content;
    const char *encoding;
};

/* clang-format off */
static const struct coded coded[] = {
    {NULL, NULL, 200, "plain css", NULL},
    {"gzip", NULL, 200, "GZIP", "gzip"},
    {"gzip, br", NULL, 200, "BROTLI", "br"},
    {"zstd", NULL, 200, "plain css", NULL},
    {"zstd, identity;q=0", NULL, 406, "406 Not Acceptable\n", NULL},
    {"gzip", "bytes=1-2", 206, "ZI", "gzip"},
    {"br", "bytes=-3", 206, "TLI", "br"},
    {"identity", "bytes=6-", 206, "css", NULL},
    {"gzip", "bytes=4-", 416, "416 Range Not Satisfiable\n", NULL},
};
/* clang-format on */

Test(static, codings)
{
    for (size_t i = 0; i < sizeof coded / sizeof coded[0]; i++) {
        const struct coded *row = &coded[i];
        ask("GET", "/coded.css");
        if (row->accept != NULL) {
            with("accept-encoding", row->accept);
        }
        if (row->range != NULL) {
            with("range", row->range);
        }
        answer();
        cr_expect_eq(ex.status, row->status, "row %zu: %u", i, ex.status);
        cr_expect(span_equal(content(), span_of(row->content)), "row %zu", i);
        expect_header("content-encoding", row->encoding);
        expect_header("vary", "accept-encoding");
        expect_header("content-type",
                      row->status < 300 ? "text/css; charset=utf-8" : "text/plain; charset=utf-8");
    }
    ask("GET", "/a.txt");
    with("accept-encoding", "gzip, identity;q=0.5");
    answer();
    expect_header("vary", NULL);
    expect_header("content-encoding", NULL);
    /* Asked for by its own name, a sibling is a file like others. */
    ask("GET", "/coded.css.gz");
    with("accept-encoding", "gzip");
    answer();
    expect_header("content-type", "application/gzip");
    expect_header("content-encoding", NULL);
    /* A sibling alone answers for nothing else. */
    ask("GET", "/zipped.js");
    with("accept-encoding", "zstd");
    answer();
    cr_expect_eq(ex.status, 404);
}

/* Each coding has a tag of its own, and conditions are about the one that would be sent. */
Test(static, codings_have_their_own_validators)
{
    static const char *const accepts[] = {"identity", "gzip", "br"};
    char tags[3][SITE_ETAG_BYTES];
    for (unsigned i = 0; i < 3; i++) {
        ask("HEAD", "/coded.css");
        with("accept-encoding", accepts[i]);
        answer();
        struct span tag = header("etag");
        snprintf(tags[i], sizeof tags[i], "%.*s", (int)tag.len, tag.base);
        for (unsigned j = 0; j < i; j++) {
            cr_expect_str_neq(tags[i], tags[j]);
        }
    }
    for (unsigned i = 0; i < 9; i++) {
        ask("GET", "/coded.css");
        with("accept-encoding", accepts[i / 3]);
        with("if-none-match", tags[i % 3]);
        answer();
        cr_expect_eq(ex.status, i / 3 == i % 3 ? 304 : 200, "%u: %u", i, ex.status);
        expect_header("vary", "accept-encoding");
        ask("GET", "/coded.css");
        with("accept-encoding", accepts[i / 3]);
        with("range", "bytes=0-0");
        with("if-range", tags[i % 3]);
        answer();
        cr_expect_eq(ex.status, i / 3 == i % 3 ? 206 : 200, "%u: %u", i, ex.status);
    }
}

struct cached {
    const char *target;
    const char *want;
};

Test(static, cache_control)
{
    static const struct cache_rule rules[] = {
        {"a.txt", "no-store"},   {"/docs/*", "max-age=1, public"}, {"about.h?ml", "max-age=2"},
        {"*.css", "max-age=3"},  {"b*h*/*x.h*l", "max-age=4"},     {"/index.html", "max-age=5"},
        {"*.html", "max-age=6"},
    };
    static const struct cached rows[] = {
        {"/a.txt", "no-store"},
        {"/docs/a%20b", "max-age=1, public"},
        {"/docs/", "max-age=1, public"},
        {"/about.html", "max-age=2"},
        {"/coded.css", "max-age=3"},
        {"/coded.css.gz", NULL},
        {"/both/", "max-age=4"},
        {"/", "max-age=5"},
        {"/both.html", "max-age=6"},
        {"/empty", NULL},
        {"/none.css", NULL},
    };
    options.cache_rules = rules;
    options.cache_rule_count = sizeof rules / sizeof rules[0];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask("GET", rows[i].target);
        with("accept-encoding", "gzip");
        answer();
        expect_header("cache-control", rows[i].want);
    }
    ask("GET", "/a.txt");
    with("if-none-match", "*");
    answer();
    expect_header("cache-control", "no-store");
    ask("GET", "/a.txt");
    with("range", "bytes=99-");
    answer();
    expect_header("cache-control", NULL);
}

Test(static, without_memory_is_an_error)
{
    ask("GET", "/a.txt");
    while (pool_alloc(&ex.pool, 16) != NULL) {
    }
    answer();
    cr_expect_eq(ex.status, 500);
    cr_expect_eq(ex.body.kind, BODY_BYTES);
}
