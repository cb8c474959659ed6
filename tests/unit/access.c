/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the access log: the formats, and what hostile bytes become in them. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/access.h"
#include "server/cidr.h"
#include "server/tls.h"

static const struct timespec moment = {.tv_sec = 1769860800, .tv_nsec = 7999999};
static union peer_address client = {.v4 = {.sin_family = AF_INET}};

static void init(void)
{
    inet_pton(AF_INET, "192.0.2.1", &client.v4.sin_addr);
    client.v4.sin_port = htons(4711);
}

static struct access_entry entry_of(const char *target)
{
    return (struct access_entry){
        .peer = &client,
        .method = span_of("GET"),
        .target = span_of(target),
        .minor = 1,
        .status = 200,
        .body_bytes = 1234,
        .microseconds = 56,
    };
}

/* The line, without its newline. */
static const char *line_of(const struct access_entry *entry, enum access_format format)
{
    static struct access_log log;
    log = (struct access_log){0};
    access_add_at(&log, entry, format, &moment);
    cr_assert(log.used > 0 && log.used < sizeof log.lines && log.count == 1);
    cr_assert_eq(log.lines[log.used - 1], '\n');
    log.lines[log.used - 1] = '\0';
    cr_assert_eq(strlen(log.lines), log.used - 1);
    cr_assert_null(strchr(log.lines, '\n'));
    return log.lines;
}

static const char *member(json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

Test(access, formats_are_found_by_name)
{
    cr_expect_eq(access_format_find("plain"), ACCESS_PLAIN);
    cr_expect_eq(access_format_find("combined"), ACCESS_COMBINED);
    cr_expect_eq(access_format_find("json"), ACCESS_JSON);
    cr_expect_eq(access_format_find("JSON"), ACCESS_FORMATS);
    cr_expect_eq(access_format_find(""), ACCESS_FORMATS);
}

Test(access, plain, .init = init)
{
    struct access_entry entry = entry_of("/a?b=c");
    cr_expect_str_eq(line_of(&entry, ACCESS_PLAIN),
                     "2026-01-31T12:00:00.007Z 192.0.2.1:4711 \"GET /a?b=c HTTP/1.1\" 200 1234 56");
    entry.major = 2;
    entry.status = 0;
    cr_expect_str_eq(line_of(&entry, ACCESS_PLAIN),
                     "2026-01-31T12:00:00.007Z 192.0.2.1:4711 \"GET /a?b=c HTTP/2\" - 1234 56");
    entry.method.len = 0;
    cr_expect_str_eq(line_of(&entry, ACCESS_PLAIN),
                     "2026-01-31T12:00:00.007Z 192.0.2.1:4711 \"\" - 1234 56");
}

Test(access, combined, .init = init)
{
    struct access_entry entry = entry_of("/");
    cr_expect_str_eq(
        line_of(&entry, ACCESS_COMBINED),
        "192.0.2.1 - - [31/Jan/2026:12:00:00 +0000] \"GET / HTTP/1.1\" 200 1234 \"-\" \"-\"");
    entry.status = 0;
    entry.referer = span_of("http://x/\"");
    entry.user_agent = span_of("a\tb");
    cr_expect_str_eq(line_of(&entry, ACCESS_COMBINED),
                     "192.0.2.1 - - [31/Jan/2026:12:00:00 +0000] \"GET / HTTP/1.1\" 000 1234 "
                     "\"http://x/\\x22\" \"a\\x09b\"");
}

Test(access, addresses_of_every_family)
{
    union peer_address v6 = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(1)}};
    union peer_address other = {.any = {.sa_family = AF_UNIX}};
    struct access_entry entry = entry_of("/");
    v6.v6.sin6_addr.s6_addr[15] = 1;
    entry.peer = &v6;
    cr_expect_not_null(strstr(line_of(&entry, ACCESS_PLAIN), " [::1]:1 "));
    cr_expect_eq(strncmp(line_of(&entry, ACCESS_COMBINED), "::1 - - ", 8), 0);
    inet_pton(AF_INET6, "::ffff:192.0.2.7", &v6.v6.sin6_addr); /* by a socket of both families */
    cr_expect_not_null(strstr(line_of(&entry, ACCESS_PLAIN), " 192.0.2.7:1 "));
    cr_expect_eq(strncmp(line_of(&entry, ACCESS_COMBINED), "192.0.2.7 - - ", 14), 0);
    entry.peer = &other;
    cr_expect_not_null(strstr(line_of(&entry, ACCESS_PLAIN), "Z - \"GET"));
    cr_expect_eq(strncmp(line_of(&entry, ACCESS_COMBINED), "- - - ", 6), 0);
}

Test(access, json_has_all_members, .init = init)
{
    struct tls_info tls = {.sni = span_of("example.org"),
                           .version = SPAN("TLSv1.3"),
                           .cipher = SPAN("TLS_X"),
                           .ja4 = SPAN("t13d")};
    struct access_entry entry = entry_of("/p");
    entry.id = 18446744073709551615u;
    entry.host = span_of("example.org:8443");
    entry.user_agent = span_of("agent");
    entry.referer = span_of("http://r/");
    entry.tls = &tls;
    entry.decision = ACCESS_PROXIED;
    entry.upstream = span_of("http://10.0.0.1:80");
    cr_expect_str_eq(
        line_of(&entry, ACCESS_JSON),
        "{\"time\":\"2026-01-31T12:00:00.007Z\",\"id\":18446744073709551615,\"peer\":\"192.0.2.1:"
        "4711\",\"method\":\"GET\",\"target\":\"/p\",\"protocol\":\"HTTP/1.1\",\"host\":\"example."
        "org:8443\",\"user_agent\":\"agent\",\"referer\":\"http://r/"
        "\",\"status\":200,\"bytes\":1234,\"duration_us\":56,\"decision\":\"proxied\","
        "\"upstream\":\"http://10.0.0.1:80\",\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":\"TLS_X\","
        "\"sni\":\"example.org\",\"ja4\":\"t13d\"}}");
}

Test(access, json_of_nothing, .init = init)
{
    struct access_entry entry = {.peer = &client};
    json_t *object = json_loads(line_of(&entry, ACCESS_JSON), JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(object);
    cr_expect_str_eq(member(object, "method"), "");
    cr_expect_str_eq(member(object, "protocol"), "");
    cr_expect_str_eq(member(object, "decision"), "pass");
    cr_expect_str_eq(member(object, "upstream"), "");
    cr_expect(json_is_null(json_object_get(object, "tls")));
    cr_expect_eq(json_integer_value(json_object_get(object, "status")), 0);
    json_decref(object);
}

/* Every byte comes back out of JSON as the code point of its number, and no raw one is in a line.
 */
Test(access, every_byte_is_safe, .init = init)
{
    char bytes[256];
    for (unsigned i = 0; i < 256; i++) {
        bytes[i] = (char)i;
    }
    struct access_entry entry = entry_of("/");
    entry.target = (struct span){bytes, 256};
    entry.user_agent = entry.referer = entry.host = entry.target;
    entry.method = span_of("A\"\\\n");
    for (unsigned format = 0; format < ACCESS_FORMATS; format++) {
        for (const char *p = line_of(&entry, (enum access_format)format); *p != '\0'; p++) {
            cr_assert(*p >= ' ' && *p < 0x7f);
        }
    }
    cr_expect_not_null(strstr(line_of(&entry, ACCESS_PLAIN), "\"A\\x22\\x5c\\x0a \\x00\\x01"));
    json_t *object = json_loads(line_of(&entry, ACCESS_JSON), JSON_ALLOW_NUL, NULL);
    cr_assert_not_null(object);
    const unsigned char *text =
        (const unsigned char *)member(object, "user_agent"); /* UTF-8 by now */
    for (unsigned i = 0; i < 256; i++) {
        if (i < 0x80) {
            cr_expect_eq(*text++, i);
        } else {
            cr_expect_eq(text[0], 0xc0 | i >> 6);
            cr_expect_eq(text[1], 0x80 | (i & 0x3f));
            text += 2;
        }
    }
    json_decref(object);
}

/* Whatever the lengths, a line is complete and the texts are cut. */
Test(access, long_texts_are_cut, .init = init)
{
    static char text[100000];
    static struct access_log log;
    struct tls_info tls = {.version = SPAN(""), .cipher = SPAN(""), .ja4 = SPAN("")};
    for (unsigned filler = 0; filler < 2; filler++) {
        memset(text, filler == 0 ? 'x' : '\n', sizeof text);
        struct span all = {text, sizeof text};
        tls.sni = all;
        struct access_entry entry = entry_of("/");
        entry.method = entry.target = entry.host = entry.user_agent = entry.referer = all;
        entry.upstream = all;
        entry.tls = &tls;
        json_t *object = json_loads(line_of(&entry, ACCESS_JSON), 0, NULL);
        cr_assert_not_null(object);
        size_t bytes = strlen(member(object, "target"));
        cr_expect(bytes > 3 && bytes <= LIM_ACCESS_TARGET_BYTES + 3);
        cr_expect_str_eq(member(object, "target") + bytes - 3, "...");
        json_decref(object);
        /* Many such lines: they are handed over before there is no room. */
        log = (struct access_log){0};
        int saved = dup(STDERR_FILENO);
        cr_assert(freopen("/dev/null", "w", stderr) != NULL);
        for (unsigned i = 0; i < 20; i++) {
            access_add_at(&log, &entry, (enum access_format)(i % ACCESS_FORMATS), &moment);
        }
        access_flush(&log);
        cr_expect(log.used == 0 && log.count == 0);
        dup2(saved, STDERR_FILENO);
        close(saved);
    }
}
