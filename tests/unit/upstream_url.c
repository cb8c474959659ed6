/* SPDX-License-Identifier: Apache-2.0 */
/* Targets of the reverse proxy, by tables: what each form means, and what is refused. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/upstream_url.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

struct row {
    const char *text;
    enum upstream_scheme scheme;
    const char *host, *authority;
    unsigned port;
    const char *base, *path, *key;
};

/* clang-format off */
static const struct row rows[] = {
    {"http://a", UPSTREAM_HTTP, "a", "a", 80, "", "", "http://a:80"},
    {"HTTP://Ex.Test", UPSTREAM_HTTP, "Ex.Test", "Ex.Test", 80, "", "", "http://ex.test:80"},
    {"http://a:", UPSTREAM_HTTP, "a", "a:", 80, "", "", "http://a:80"},
    {"http://a:8080/", UPSTREAM_HTTP, "a", "a:8080", 8080, "", "", "http://a:8080"},
    {"http://a:00080//", UPSTREAM_HTTP, "a", "a:00080", 80, "", "", "http://a:80"},
    {"http://127.0.0.1:65535/b", UPSTREAM_HTTP, "127.0.0.1", "127.0.0.1:65535", 65535, "/b", "",
     "http://127.0.0.1:65535"},
    {"https://a_b-c.d/x/y/", UPSTREAM_HTTPS, "a_b-c.d", "a_b-c.d", 443, "/x/y", "",
     "https://a_b-c.d:443"},
    {"https://[::1]:8443/%20", UPSTREAM_HTTPS, "::1", "[::1]:8443", 8443, "/%20", "",
     "https://::1:8443"},
    {"http://[2001:DB8::2]", UPSTREAM_HTTP, "2001:DB8::2", "[2001:DB8::2]", 80, "", "",
     "http://2001:db8::2:80"},
    {"http://[::ffff:192.0.2.1]", UPSTREAM_HTTP, "::ffff:192.0.2.1", "[::ffff:192.0.2.1]", 80, "",
     "", "http://::ffff:192.0.2.1:80"},
    {"unix//run/app.sock", UPSTREAM_UNIX, "", "", 0, "", "/run/app.sock", "unix//run/app.sock"},
    {"unix/app sock", UPSTREAM_UNIX, "", "", 0, "", "app sock", "unix/app sock"},
};

static const char *const refused[] = {
    "", "/", "a", "a:80", "//a", "http:", "http:/a", "http://", "http:///x", "https://:443",
    "ftp://a", "http://a:0", "http://a:65536", "http://a:99999999999999999999", "http://a:+80",
    "http://a:8 0", "http://a:80:80", "http://u@a", "http://u:p@a/", "http://a b", "http://a%41",
    "http://a\r\nx", "http://a/\r\n", "http://a/ b", "http://a/?q", "http://a?q", "http://a#f",
    "http://a/b#f", "http://a/%", "http://a/%2", "http://a/%zz", "http://a/\x7f", "http://a/\xc3\xa4",
    "http://[", "http://[]", "http://[::1", "http://[::1]x", "http://[::g]", "http://[127.0.0.1]",
    "http://[fe80::1%25eth0]", "http://::1", "http://.a", "http://-a", "http://a!", "http://\xc3\xa4",
    "unix/", "unix", "unix:/run/x", "unix/a\nb", "unix/a\x7f",
};
/* clang-format on */

/* A copy of exactly these bytes, so that a sanitizer sees reads beyond. */
static struct span exact(const char *text, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    cr_assert_not_null(copy);
    memcpy(copy, text, len);
    return (struct span){copy, len};
}

Test(upstream_url, forms)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct row *row = &rows[i];
        struct span text = exact(row->text, strlen(row->text));
        struct upstream_url url;
        char key[LIM_UPSTREAM_KEY_BYTES];
        cr_assert_null(upstream_url_parse(text, &url), "%s", row->text);
        cr_expect_eq(url.scheme, row->scheme, "%s", row->text);
        cr_expect_eq(url.port, row->port, "%s: %u", row->text, url.port);
        cr_expect(span_equal(url.host, span_of(row->host)), "%s", row->text);
        cr_expect(span_equal(url.authority, span_of(row->authority)), "%s", row->text);
        cr_expect(span_equal(url.base, span_of(row->base)), "%s", row->text);
        cr_expect(span_equal(url.path, span_of(row->path)), "%s", row->text);
        size_t bytes = upstream_url_key(&url, key);
        cr_expect(span_equal((struct span){key, bytes}, span_of(row->key)), "%s: %.*s", row->text,
                  (int)bytes, key);
        free((char *)text.base);
    }
}

Test(upstream_url, refused)
{
    struct upstream_url url;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct span text = exact(refused[i], strlen(refused[i]));
        cr_expect_not_null(upstream_url_parse(text, &url), "'%s'", refused[i]);
        free((char *)text.base);
    }
    cr_expect_not_null(upstream_url_parse((struct span){"http://a\0b", 10}, &url));
    cr_expect_not_null(upstream_url_parse((struct span){"http://[::1\0]", 13}, &url));
    cr_expect_not_null(upstream_url_parse((struct span){"unix/a\0b", 8}, &url));
}

Test(upstream_url, every_prefix_is_safe)
{
    struct upstream_url url;
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t len = 0; len < strlen(rows[i].text); len++) {
            struct span text = exact(rows[i].text, len);
            if (upstream_url_parse(text, &url) == NULL) {
                cr_expect(url.host.len > 0 || url.path.len > 0);
            }
            free((char *)text.base);
        }
    }
}

Test(upstream_url, longest_host_and_path)
{
    char text[400];
    char key[LIM_UPSTREAM_KEY_BYTES];
    struct upstream_url url;
    memset(text, 'a', sizeof text);
    memcpy(text, "https://", 8);
    memcpy(text + 8 + 253, ":65535", 6);
    cr_assert_null(upstream_url_parse((struct span){text, 8 + 253 + 6}, &url));
    cr_expect_eq(upstream_url_key(&url, key), 8 + 253 + 6);
    memset(text + 8, 'a', 300);
    cr_expect_not_null(upstream_url_parse((struct span){text, 8 + 254}, &url));
    memcpy(text, "unix/", 5);
    cr_assert_null(upstream_url_parse((struct span){text, 5 + 107}, &url));
    cr_expect_eq(upstream_url_key(&url, key), 5 + 107);
    cr_expect_not_null(upstream_url_parse((struct span){text, 5 + 108}, &url));
}

static unsigned parse_list(const char *text, struct upstream_url *urls, const char **reason,
                           struct span *culprit)
{
    return upstream_list_parse(span_of(text), urls, reason, culprit);
}

Test(upstream_url, lists)
{
    struct upstream_url urls[LIM_UPSTREAM_TARGETS];
    const char *reason;
    struct span culprit;
    cr_assert_eq(parse_list("http://a , \thttps://b:1/c,unix/d", urls, &reason, &culprit), 3);
    cr_expect(span_equal(urls[0].host, SPAN("a")));
    cr_expect(span_equal(urls[1].base, SPAN("/c")));
    cr_expect(span_equal(urls[2].path, SPAN("d")));
    static const char *const bad[] = {
        "", ",", "http://a,", ",http://a", "http://a,,http://b", "http://a,b", "http://a http://b"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        cr_expect_eq(parse_list(bad[i], urls, &reason, &culprit), 0, "%s", bad[i]);
        cr_expect_not_null(reason);
    }
    cr_expect_eq(parse_list("http://a,ftp://b,x", urls, &reason, &culprit), 0);
    cr_expect(span_equal(culprit, SPAN("ftp://b")));
}

Test(upstream_url, lists_are_bounded)
{
    static char text[LIM_UPSTREAM_LIST_BYTES + 2];
    struct upstream_url urls[LIM_UPSTREAM_TARGETS];
    const char *reason;
    struct span culprit;
    size_t used = 0;
    for (unsigned i = 0; i < LIM_UPSTREAM_TARGETS + 1; i++) {
        memcpy(text + used, "http://a,", 9);
        used += 9;
        unsigned count =
            upstream_list_parse((struct span){text, used - 1}, urls, &reason, &culprit);
        cr_expect_eq(count, i < LIM_UPSTREAM_TARGETS ? i + 1 : 0);
    }
    memset(text, 'a', sizeof text);
    memcpy(text, "http://a/", 9);
    cr_expect_eq(
        upstream_list_parse((struct span){text, LIM_UPSTREAM_LIST_BYTES}, urls, &reason, &culprit),
        1);
    cr_expect_eq(upstream_list_parse((struct span){text, LIM_UPSTREAM_LIST_BYTES + 1}, urls,
                                     &reason, &culprit),
                 0);
}
