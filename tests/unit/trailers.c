/* SPDX-License-Identifier: Apache-2.0 */
/* Which trailers may go on, whose, and to whom. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "server/h1.h"
#include "server/limits.h"
#include "server/trailers.h"

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static struct exchange ex;

static void open_exchange(void)
{
    exchange_init(&ex);
    ex.proto_major = 1;
    ex.proto_minor = 1;
}

static void close_exchange(void)
{
    exchange_free(&ex);
}

TestSuite(trailers, .init = open_exchange, .fini = close_exchange);

Test(trailers, what_decides_by_the_head_does_not_come_behind_it)
{
    static const char *const never[] = {
        "Content-Length",
        "Transfer-Encoding",
        "Host",
        "Set-Cookie",
        "X-Forwarded-For",
        "Trailer",
        "connection",
        "Authorization",
        "Cookie",
        "Content-Type",
        "TE",
        "upgrade",
        "if-none-match",
        "Via",
        "proxy-authorization",
    };
    struct field_list *list = &ex.request_body.trailers;
    for (size_t i = 0; i < COUNT(never); i++) {
        cr_expect(trailers_add(&ex, list, &(struct field){span_of(never[i]), SPAN("0")}));
        cr_expect_eq(list->count, 0, "%s", never[i]);
    }
    cr_expect(trailers_add(&ex, list, &(struct field){SPAN("grpc-status"), SPAN("0")}));
    cr_expect(trailers_add(&ex, list, &(struct field){SPAN("Content-Digest"), SPAN("")}));
    cr_expect_eq(list->count, 2);
}

Test(trailers, sections)
{
    struct span section = SPAN("x-a: 1\r\nHost: evil\r\nX-B:\t2 \r\nx-c:\r\n\r\n");
    struct field_list *list = &ex.response_trailers;
    cr_expect(trailers_add_section(&ex, list, section));
    cr_assert_eq(list->count, 3);
    cr_expect(span_equal(list->items[1].name, SPAN("X-B")));
    cr_expect(span_equal(list->items[1].value, SPAN("2")));
    cr_expect_eq(list->items[2].value.len, 0);
    cr_expect(trailers_add_section(&ex, list, SPAN("\r\n")));
    cr_expect(trailers_add_section(&ex, list, SPAN("")));
    cr_expect_eq(list->count, 3);
}

Test(trailers, as_many_as_fields_of_an_answer)
{
    struct field field = {SPAN("x"), SPAN("y")};
    for (unsigned i = 0; i < LIM_RESPONSE_FIELDS; i++) {
        cr_assert(trailers_add(&ex, &ex.response_trailers, &field));
    }
    cr_expect_not(trailers_add(&ex, &ex.response_trailers, &field));
}

Test(trailers, what_scripts_took_from_the_answer_does_not_come_behind_it)
{
    struct field secret = {SPAN("X-Secret"), SPAN("1")};
    cr_assert(trailers_add(&ex, &ex.response_trailers, &secret));
    cr_assert(field_add(&ex, &ex.deleted_fields, SPAN("x-secret"), SPAN("")));
    cr_assert(trailers_add(&ex, &ex.response_trailers, &secret));
    cr_expect_eq(ex.response_trailers.count, 1, "the one before the script");
    ex.status = 200;
    response_finish(&ex);
    cr_expect_eq(ex.response_trailers.count, 0);
}

Test(trailers, what_scripts_decided_about_the_request_does_not_come_behind_it)
{
    static const char *const names[] = {"x-user", "X-Auth-Role", "a_b", "x-kept"};
    struct field_list *list = &ex.request_body.trailers;
    for (size_t i = 0; i < COUNT(names); i++) {
        cr_assert(trailers_add(&ex, list, &(struct field){span_of(names[i]), SPAN("0")}));
    }
    cr_assert(field_touch(&ex, SPAN("X-User")));
    cr_assert(field_touch(&ex, SPAN("x-auth-*")));
    trailers_withhold(&ex);
    cr_assert_eq(list->count, 1);
    cr_expect(span_equal(list->items[0].name, SPAN("x-kept")));
    for (unsigned i = 0; i <= LIM_RESPONSE_FIELDS; i++) {
        char name[16];
        snprintf(name, sizeof name, "x-%u", i);
        cr_assert(field_touch(&ex, span_of(name)));
    }
    trailers_withhold(&ex);
    cr_expect_eq(list->count, 0, "more were touched than are remembered");
}

Test(trailers, who_takes_them)
{
    cr_expect_not(trailers_taken(&ex));
    cr_assert(field_add(&ex, &ex.request_fields, SPAN("TE"), SPAN("gzip;q=0.5")));
    cr_expect_not(trailers_taken(&ex));
    cr_assert(field_add(&ex, &ex.request_fields, SPAN("te"), SPAN("gzip , Trailers")));
    cr_expect(trailers_taken(&ex) && trailers_asked_for(&ex));
    ex.proto_minor = 0;
    cr_expect_not(trailers_taken(&ex), "HTTP/1.0 has no chunks");
    ex.request_fields.count = 0;
    ex.proto_major = 2;
    cr_expect(trailers_taken(&ex) && !trailers_asked_for(&ex));
}

Test(trailers, announcements)
{
    static const struct {
        const char *values[2];
        const char *announced;
    } rows[] = {
        {{"x-a"}, "x-a"},
        {{"x-a , Digest"}, "x-a , Digest"},
        {{"x-a, content-length"}, ""},
        {{"x-a", "x-b"}, ""},
        {{""}, ""},
        {{NULL}, ""},
        {{"x-a,,x-b"}, ""},
        {{"x a"}, ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct field fields[2];
        unsigned count = 0;
        while (count < 2 && rows[i].values[count] != NULL) {
            fields[count] = (struct field){SPAN("Trailer"), span_of(rows[i].values[count])};
            count++;
        }
        cr_expect(span_equal(trailers_announced(fields, count), span_of(rows[i].announced)),
                  "row %zu", i);
    }
}
