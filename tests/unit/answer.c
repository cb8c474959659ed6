/* SPDX-License-Identifier: Apache-2.0 */
/* What an upstream sends becomes events, the same however it is cut. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/answer.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define OK           "HTTP/1.1 200 OK\r\n"
#define FIVE         OK "Content-Length: 5\r\n\r\n"
#define CHUNKED      OK "Transfer-Encoding: chunked\r\n\r\n"

struct row {
    const char *method, *text;
    const char *events; /* statuses, content, and "done", "reuse", "switch", "more" or the reason;
                           content is joined */
    bool eof;           /* the upstream closes behind the text */
};

/* clang-format off */
static const struct row rows[] = {
    {"GET", FIVE "hello", "200 'hello' reuse", false},
    {"GET", FIVE "hello", "200 'hello' done", true},
    {"GET", FIVE "helloH", "200 'hello' done", false},
    {"GET", FIVE "hell", "200 'hell' more", false},
    {"GET", FIVE "hell", "200 'hell' closed within a body", true},
    {"GET", FIVE, "200 more", false},
    {"HEAD", FIVE, "200 reuse", false},
    {"HEAD", FIVE "hello", "200 done", false},
    {"GET", OK "Content-Length: 5\r\nConnection: close\r\n\r\nhello", "200 'hello' done", false},
    {"GET", OK "Content-Length: 0\r\n\r\n", "200 reuse", false},
    {"GET", "HTTP/1.1 204 x\r\n\r\n", "204 reuse", false},
    {"GET", "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", "304 reuse", false},
    {"GET", OK "\r\nhello", "200 'hello' more", false},
    {"GET", OK "\r\nhello", "200 'hello' done", true},
    {"GET", OK "\r\n", "200 done", true},
    {"GET", CHUNKED "2\r\nhe\r\n3;x\r\nllo\r\n0\r\nT: v\r\n\r\n", "200 'hello' reuse", false},
    {"GET", CHUNKED "5\r\nhello\r\n0\r\n\r\n\r\n", "200 'hello' done", false},
    {"GET", CHUNKED "5\r\nhello\r\n", "200 'hello' more", false},
    {"GET", CHUNKED "5\r\nhello\r\n0\r\n", "200 'hello' closed within a body", true},
    {"GET", CHUNKED "5\r\nhello\n", "200 'hello' malformed body", false},
    {"GET", "HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 x\r\nLink: a\r\n\r\n" FIVE "hello",
     "100 103 200 'hello' reuse", false},
    {"GET", "HTTP/1.1 100 \r\n\r\n", "100 more", false},
    {"GET", "HTTP/1.1 100 \r\n\r\n", "100 closed without an answer", true},
    {"GET", "HTTP/1.1 101 \r\nUpgrade: x\r\n\r\n\x81\x05hello", "101 switch", false},
    {"GET", "", "more", false},
    {"GET", "", "closed without an answer", true},
    {"GET", "HTTP/1.1 200", "closed within a head", true},
    {"GET", "nonsense", "not HTTP/1", false},
    {"GET", OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "more than one Content-Length", false},
};
/* clang-format on */

/* The events as a text; bytes of content in a row are one piece of it. */
struct transcript {
    char text[1024];
    size_t used;
    bool quoted;
};

static void note(struct transcript *t, struct span text)
{
    cr_assert_lt(text.len, sizeof t->text - t->used);
    if (text.len > 0) {
        memcpy(t->text + t->used, text.base, text.len);
    }
    t->used += text.len;
    t->text[t->used] = '\0';
}

static void note_word(struct transcript *t, const char *word)
{
    note(t, t->quoted ? SPAN("'") : SPAN(""));
    t->quoted = false;
    note(t, t->used > 0 ? SPAN(" ") : SPAN(""));
    note(t, span_of(word));
}

static void note_content(struct transcript *t, struct span content)
{
    if (!t->quoted) {
        note_word(t, "'");
        t->quoted = true;
    }
    note(t, content);
}

/* False: nothing comes after this event. */
static bool note_event(struct transcript *t, const struct answer *answer, enum answer_event event,
                       const struct h1_response *head, struct span content)
{
    char status[8];
    switch (event) {
    case ANSWER_INTERIM:
    case ANSWER_HEAD:
    case ANSWER_SWITCH:
        snprintf(status, sizeof status, "%u", head->status);
        note_word(t, status);
        if (event == ANSWER_SWITCH) {
            note_word(t, "switch");
        }
        return event != ANSWER_SWITCH;
    case ANSWER_CONTENT: note_content(t, content); return true;
    case ANSWER_DONE: note_word(t, answer->reusable ? "reuse" : "done"); return false;
    case ANSWER_BAD: note_word(t, answer->reason); return false;
    case ANSWER_MORE: break;
    }
    return true;
}

/* The text comes in pieces: `first` bytes, then `step` each. */
static void play(const struct row *row, size_t first, size_t step, struct transcript *t)
{
    static struct h1_response head;
    struct answer answer;
    size_t at = 0, len = strlen(row->text), have = first;
    *t = (struct transcript){.used = 0};
    answer_start(&answer, span_of(row->method));
    for (bool more = true; more;) {
        struct span content;
        size_t consumed;
        char *copy = malloc(have - at + 1);
        cr_assert_not_null(copy);
        memcpy(copy, row->text + at, have - at);
        copy = realloc(copy, have > at ? have - at : 1);
        bool eof = row->eof && have == len;
        enum answer_event event =
            answer_next(&answer, (struct span){copy, have - at}, eof, &head, &consumed, &content);
        cr_assert_leq(consumed, have - at);
        cr_assert(event != ANSWER_MORE || !eof);
        more = note_event(t, &answer, event, &head, content);
        free(copy);
        at += consumed;
        if (event == ANSWER_MORE && have == len) {
            note_word(t, "more");
            more = false;
        } else if (event == ANSWER_MORE) {
            have = step < len - have ? have + step : len;
        }
    }
}

/* Whether the connection is reusable depends on the bytes seen when the answer was complete: cut
 * right there, the next ones come unasked for later. */
static void expect_events(const struct row *row, size_t first, size_t step)
{
    struct transcript t;
    play(row, first, step, &t);
    const char *got = t.text;
    size_t same = t.used > 5 && strcmp(got + t.used - 5, "reuse") == 0 ? t.used - 5 : t.used;
    bool late = same < t.used && strcmp(row->events + strlen(row->events) - 4, "done") == 0;
    cr_expect(strcmp(got, row->events) == 0 || (late && strncmp(got, row->events, same) == 0),
              "cut at %zu: '%s', want '%s'", first, got, row->events);
    cr_expect(!late || first < strlen(row->text));
}

Test(answer, events)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len = strlen(rows[i].text);
        expect_events(&rows[i], len, 1);
        for (size_t first = 0; first < len; first++) {
            expect_events(&rows[i], first, len);
        }
        expect_events(&rows[i], 0, 1);
    }
}

Test(answer, interim_answers_are_bounded)
{
    static struct h1_response head;
    struct answer answer;
    const struct span interim = SPAN("HTTP/1.1 102 x\r\n\r\n");
    struct span content;
    size_t consumed;
    answer_start(&answer, SPAN("GET"));
    for (unsigned i = 0; i < LIM_UPSTREAM_INTERIM; i++) {
        cr_assert_eq(answer_next(&answer, interim, false, &head, &consumed, &content),
                     ANSWER_INTERIM);
        cr_expect_eq(consumed, interim.len);
    }
    cr_expect_eq(answer_next(&answer, interim, false, &head, &consumed, &content), ANSWER_BAD);
}

/* What the answer to such a request says of its body once its head came, and after one octet. */
static uint64_t left_of(const char *method, const char *text, uint64_t *later)
{
    struct answer answer;
    struct h1_response head;
    struct span content;
    struct span in = span_of(text);
    size_t consumed;
    answer_start(&answer, span_of(method));
    cr_assert_eq(answer_left(&answer), 0, "before the head");
    cr_assert_eq(answer_next(&answer, in, false, &head, &consumed, &content), ANSWER_HEAD);
    uint64_t left = answer_left(&answer);
    in = (struct span){in.base + consumed, in.len - consumed};
    answer_next(&answer, in, false, &head, &consumed, &content);
    *later = answer_left(&answer);
    return left;
}

Test(answer, what_is_left_of_a_body)
{
    uint64_t later;
    cr_assert_eq(left_of("GET", FIVE "h", &later), 5);
    cr_assert_eq(later, 4);
    cr_assert_eq(left_of("HEAD", FIVE, &later), 0);
    cr_assert_eq(left_of("GET", CHUNKED "5\r\nh", &later), 0);
    cr_assert_eq(later, 0, "of a chunk, but not of the body");
    cr_assert_eq(left_of("GET", OK "\r\nhello", &later), 0, "until the upstream closes");
}
