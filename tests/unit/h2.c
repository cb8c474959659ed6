/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 as an ordinary client uses it: nghttp2's client session on the other side. What hostile
 * peers do is in h2_limits.c. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/support/h2_peer.h"

#define FIELD(name, value)                                                                         \
    {                                                                                              \
        (uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1,                \
            NGHTTP2_NV_FLAG_NONE                                                                   \
    }

static const struct h2_options defaults;

static struct h2_peer *open_peer(void)
{
    struct h2_peer *peer = h2_peer_new();
    h2_peer_open(peer, &defaults);
    return peer;
}

Test(h2, preface_is_recognised)
{
    const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n and more";
    bool more;
    for (size_t i = 0; i < 24; i++) {
        cr_expect_not(h2_is_preface((struct span){preface, i}, &more));
        cr_expect(more, "%zu bytes", i);
    }
    cr_expect(h2_is_preface((struct span){preface, 24}, &more) && !more);
    cr_expect(h2_is_preface((struct span){preface, sizeof preface}, &more) && !more);
    cr_expect(!h2_is_preface(SPAN("PRI * HTTP/1.1\r\n"), &more) && !more);
    cr_expect(!h2_is_preface(SPAN("G"), &more) && !more);
}

Test(h2, a_request_and_its_answer)
{
    struct h2_peer *peer = h2_peer_new();
    peer->app.answer_bytes = 1000;
    h2_peer_open(peer, &defaults);
    int32_t id = h2_peer_request(peer, "GET", "/a?b", NULL, 0);
    h2_peer_run(peer);
    struct h2_app_request *seen = h2_peer_seen(peer, id);
    cr_assert_not_null(seen);
    cr_expect_str_eq(seen->text, "GET https h.example /a?b");
    cr_expect_eq(seen->head.status, 0);
    cr_expect_not(seen->head.has_body);
    cr_expect_eq(seen->head.field_count, 1, "Host is made of :authority");
    cr_expect(seen->closed && seen->closed_error == H2_NO_ERROR);
    struct h2_answer *answer = h2_peer_answer(peer, id);
    cr_expect_eq(answer->status, 200);
    cr_expect_str_eq(answer->fields,
                     "server: app\nx-app: yes\ndate: Sun, 06 Nov 1994 08:49:37 GMT\ncontent-length: 1000\n");
    cr_expect(answer->body_bytes == 1000 && !answer->body_wrong && answer->closed);
    cr_expect_eq(h2_streams(peer->app.h2), 0);
    cr_expect_not(peer->server_done);
    h2_peer_free(peer);
}

Test(h2, an_answer_without_a_body_ends_with_its_head)
{
    struct h2_peer *peer = open_peer();
    int32_t id = h2_peer_request(peer, "HEAD", "/", NULL, 0);
    h2_peer_run(peer);
    cr_expect(h2_peer_answer(peer, id)->closed);
    cr_expect_eq(peer->order_count, 0);
    cr_expect_not_null(strstr(h2_peer_answer(peer, id)->fields, "content-length: 0\n"));
    h2_peer_free(peer);
}

Test(h2, many_requests_share_a_connection)
{
    struct h2_peer *peer = h2_peer_new();
    peer->app.answer_bytes = 200000;
    h2_peer_open(peer, &defaults);
    nghttp2_submit_window_update(peer->session, NGHTTP2_FLAG_NONE, 0, 1 << 28);
    int32_t ids[50];
    for (int i = 0; i < 50; i++) {
        ids[i] = h2_peer_request(peer, "GET", "/", NULL, 0);
    }
    h2_peer_run(peer);
    for (int i = 0; i < 50; i++) {
        struct h2_answer *answer = h2_peer_answer(peer, ids[i]);
        cr_expect(answer->status == 200 && answer->closed && !answer->body_wrong);
        cr_expect_eq(answer->body_bytes, 200000);
    }
    cr_expect_eq(peer->max_frame, 16384, "a DATA frame and its head fill a TLS record");
    h2_peer_free(peer);
}

/* Whatever room the output has, frames are whole and bodies right. */
Test(h2, answers_fit_any_output)
{
    static const size_t rooms[] = {1, 10, 100, 1000, 16384, 1 << 20};
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        struct h2_peer *peer = h2_peer_new();
        peer->app.answer_bytes = 100000;
        peer->out_max = rooms[i];
        h2_peer_open(peer, &defaults);
        int32_t first = h2_peer_request(peer, "GET", "/", NULL, 0);
        int32_t second = h2_peer_request(peer, "GET", "/", NULL, 0);
        h2_peer_run(peer);
        cr_expect_eq(h2_peer_answer(peer, first)->body_bytes, 100000);
        cr_expect_eq(h2_peer_answer(peer, second)->body_bytes, 100000);
        cr_expect(h2_peer_answer(peer, first)->closed && h2_peer_answer(peer, second)->closed);
        h2_peer_free(peer);
    }
}

Test(h2, bodies_of_requests_come_in)
{
    struct h2_peer *peer = open_peer();
    peer->upload_bytes = 3 << 20;
    const nghttp2_nv fields[] = {FIELD("content-length", "3145728")};
    int32_t id = h2_peer_upload(peer, "/up", fields, 1);
    peer->app.hold_answers = true;
    h2_peer_run(peer);
    struct h2_app_request *seen = h2_peer_seen(peer, id);
    cr_assert_not_null(seen);
    cr_expect(seen->head.has_body && seen->head.has_length);
    cr_expect_eq(seen->head.content_length, 3 << 20);
    cr_expect_eq(seen->body_bytes, 3 << 20, "got %lu", seen->body_bytes);
    cr_expect(seen->body_ended && !seen->closed);
    h2_app_answer(seen);
    h2_peer_run(peer);
    cr_expect(seen->closed && seen->closed_error == H2_NO_ERROR);
    cr_expect_eq(h2_peer_answer(peer, id)->status, 200);
    h2_peer_free(peer);
}

/* A body nobody reads stops at the window of its stream, and hinders no other. */
Test(h2, windows_hold_bodies_back)
{
    struct h2_peer *peer = open_peer();
    peer->app.hold_answers = true;
    peer->app.hold_bodies = true;
    peer->upload_bytes = 1 << 20;
    int32_t id = h2_peer_upload(peer, "/", NULL, 0);
    h2_peer_run(peer);
    struct h2_app_request *seen = h2_peer_seen(peer, id);
    cr_assert_not_null(seen);
    cr_expect_eq(seen->body_bytes, LIM_H2_STREAM_WINDOW);
    h2_consumed(peer->app.h2, id, 50000);
    h2_peer_run(peer);
    cr_expect_eq(seen->body_bytes, LIM_H2_STREAM_WINDOW + 50000);
    h2_widen(peer->app.h2, id, 500000);
    h2_peer_run(peer);
    cr_expect_gt(seen->body_bytes, 500000);
    cr_expect_not(seen->body_ended);
    h2_peer_free(peer);
}

/* What a stream's owner never gave back comes back to the connection when the stream ends. */
Test(h2, closed_streams_leak_no_window)
{
    struct h2_peer *peer = open_peer();
    peer->app.hold_bodies = true;
    peer->app.hold_answers = true;
    for (int i = 0; i < 64; i++) {
        peer->upload_bytes = 60000;
        int32_t id = h2_peer_upload(peer, "/", NULL, 0);
        h2_peer_run(peer);
        struct h2_app_request *seen = h2_peer_seen(peer, id);
        cr_assert(seen != NULL && seen->body_bytes == 60000, "upload %d stalls", i);
        h2_app_answer(seen);
        h2_peer_run(peer);
        cr_expect(seen->closed);
    }
    h2_peer_free(peer);
}

Test(h2, an_early_answer_ends_the_upload)
{
    struct h2_peer *peer = open_peer();
    peer->app.hold_bodies = true;
    peer->upload_bytes = 1 << 20;
    int32_t id = h2_peer_upload(peer, "/", NULL, 0);
    h2_peer_run(peer);
    struct h2_answer *answer = h2_peer_answer(peer, id);
    cr_expect_eq(answer->status, 200);
    cr_expect(answer->closed && answer->error == H2_NO_ERROR);
    cr_expect(h2_peer_seen(peer, id)->closed);
    cr_expect_not(peer->server_done);
    h2_peer_free(peer);
}

Test(h2, bodies_may_come_later_and_in_pieces)
{
    struct h2_peer *peer = h2_peer_new();
    peer->app.answer_bytes = 30000;
    peer->app.defer_bodies = true;
    h2_peer_open(peer, &defaults);
    int32_t id = h2_peer_request(peer, "GET", "/", NULL, 0);
    h2_peer_run(peer);
    struct h2_answer *answer = h2_peer_answer(peer, id);
    cr_expect(answer->status == 200 && answer->body_bytes == 0);
    for (unsigned i = 1; i <= 3; i++) {
        cr_expect_not(answer->closed);
        h2_app_provide(h2_peer_seen(peer, id), 10000);
        h2_peer_run(peer);
        cr_expect_eq(answer->body_bytes, i * 10000);
    }
    cr_expect(answer->closed && !answer->body_wrong);
    h2_peer_free(peer);
}

Test(h2, interim_answers_and_trailers)
{
    struct h2_peer *peer = h2_peer_new();
    peer->app.answer_bytes = 10;
    peer->app.hold_answers = true;
    peer->app.with_trailers = true;
    h2_peer_open(peer, &defaults);
    int32_t id = h2_peer_request(peer, "GET", "/", NULL, 0);
    h2_peer_run(peer);
    cr_expect(h2_inform(peer->app.h2, id, 103, NULL));
    h2_app_answer(h2_peer_seen(peer, id));
    cr_expect_not(h2_inform(peer->app.h2, id, 103, NULL), "after the answer");
    h2_peer_run(peer);
    struct h2_answer *answer = h2_peer_answer(peer, id);
    cr_expect(answer->interim == 103 && answer->status == 200);
    cr_expect_str_eq(answer->trailers, "x-sum: 1\n");
    cr_expect(answer->closed && answer->error == H2_NO_ERROR);
    cr_expect_not(h2_inform(peer->app.h2, 99, 103, NULL), "no such stream");
    h2_peer_free(peer);
}

Test(h2, refused_and_reset_streams)
{
    struct h2_peer *peer = open_peer();
    peer->app.refuse = true;
    int32_t id = h2_peer_request(peer, "GET", "/", NULL, 0);
    h2_peer_run(peer);
    cr_expect_eq(h2_peer_answer(peer, id)->error, H2_REFUSED_STREAM);
    peer->app.refuse = false;
    peer->app.hold_answers = true;
    id = h2_peer_request(peer, "GET", "/", NULL, 0);
    h2_peer_run(peer);
    struct h2_app_request *seen = h2_peer_seen(peer, id);
    h2_reset(peer->app.h2, id, H2_CANCEL);
    h2_reset(peer->app.h2, id, H2_CANCEL);
    h2_peer_run(peer);
    cr_expect(seen->closed && seen->closed_error == H2_CANCEL);
    cr_expect_eq(h2_peer_answer(peer, id)->error, H2_CANCEL);
    id = h2_peer_request(peer, "GET", "/", NULL, 0);
    h2_peer_run(peer);
    nghttp2_submit_rst_stream(peer->session, NGHTTP2_FLAG_NONE, id, H2_CANCEL);
    h2_peer_run(peer);
    seen = h2_peer_seen(peer, id);
    cr_expect(seen->closed && seen->closed_error == H2_CANCEL);
    h2_app_answer(seen);
    cr_expect_not(seen->answered, "the stream is gone");
    h2_resume(peer->app.h2, id);
    h2_consumed(peer->app.h2, id, 5);
    h2_peer_run(peer);
    h2_peer_free(peer);
}

Test(h2, a_head_that_is_too_long_to_send)
{
    static char value[60000];
    memset(value, 'v', sizeof value);
    struct h2_peer *peer = h2_peer_new();
    peer->app.hold_answers = true;
    h2_peer_open(peer, &defaults);
    int32_t id = h2_peer_request(peer, "GET", "/", NULL, 0);
    h2_peer_run(peer);
    struct exchange ex;
    exchange_init(&ex);
    ex.status = 200;
    for (int i = 0; i < 3; i++) {
        struct span text = {value, sizeof value};
        cr_assert(field_add(&ex, &ex.response_fields, SPAN("x-long"), text));
    }
    cr_expect(h2_respond(peer->app.h2, id, &ex, SPAN("Sun, 06 Nov 1994 08:49:37 GMT"), true));
    h2_peer_run(peer);
    cr_expect_eq(h2_peer_answer(peer, id)->error, H2_INTERNAL_ERROR);
    cr_expect(h2_peer_seen(peer, id)->closed);
    exchange_free(&ex);
    cr_expect_not(peer->server_done);
    h2_peer_free(peer);
}

Test(h2, cookies_are_one_field)
{
    struct h2_peer *peer = open_peer();
    const nghttp2_nv fields[] = {FIELD("cookie", ""),    FIELD("cookie", "a=b"),
                                 FIELD("x", "y"),        FIELD("cookie", "c=d"),
                                 FIELD("cookie", "e=f"), FIELD("cookie", "")};
    int32_t id = h2_peer_request(peer, "GET", "/", fields, 6);
    h2_peer_run(peer);
    cr_expect_str_eq(h2_peer_seen(peer, id)->cookie, "a=b; c=d; e=f");
    cr_expect_eq(h2_peer_seen(peer, id)->head.field_count, 3);
    h2_peer_free(peer);
}

/* What is known of an entry of HPACK's table is as strict as a look at it: the second request and
 * the third name the field by its index. */
Test(h2, fields_are_checked_whenever_they_come)
{
    static const struct {
        nghttp2_nv field;
        uint32_t error;
        unsigned refused; /* with this status, if it reaches the server */
    } rows[] = {
        {FIELD("te", "trailers"), H2_NO_ERROR, 0},
        {FIELD("te", "gzip"), H2_PROTOCOL_ERROR, 0},
        {FIELD("x-one", "a b"), H2_NO_ERROR, 0},
        {FIELD("x-two", "a\nb"), H2_PROTOCOL_ERROR, 0},
        {FIELD("upgrade", "a"), H2_PROTOCOL_ERROR, 0},
        {FIELD("transfer-encoding", "chunked"), H2_PROTOCOL_ERROR, 0},
        {FIELD("host", "other"), H2_NO_ERROR, 400},
    };
    struct h2_peer *peer = open_peer();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            int32_t id = h2_peer_request(peer, "GET", "/", &rows[i].field, 1);
            h2_peer_run(peer);
            cr_expect_eq(h2_peer_answer(peer, id)->error, rows[i].error, "row %u", i);
            const struct h2_app_request *seen = h2_peer_seen(peer, id);
            cr_assert_eq(seen != NULL, rows[i].error == H2_NO_ERROR, "row %u", i);
            cr_expect(seen == NULL || seen->head.status == rows[i].refused, "row %u", i);
        }
    }
    h2_peer_free(peer);
}

/* Answers of 40,000 octets that are held back by nothing but h2_app_provide. */
static struct h2_peer *with_deferred_answers(void)
{
    struct h2_peer *peer = h2_peer_new();
    peer->app.answer_bytes = 40000;
    peer->app.defer_bodies = true;
    h2_peer_open(peer, &defaults);
    nghttp2_submit_window_update(peer->session, NGHTTP2_FLAG_NONE, 0, 1 << 28);
    return peer;
}

/* RFC 9218: the most urgent first, whatever came first; PRIORITY_UPDATE changes it. */
Test(h2, urgency_is_honoured)
{
    struct h2_peer *peer = with_deferred_answers();
    const nghttp2_nv late[] = {FIELD("priority", "u=6")};
    const nghttp2_nv soon[] = {FIELD("priority", "u=1")};
    int32_t ids[3] = {h2_peer_request(peer, "GET", "/", late, 1),
                      h2_peer_request(peer, "GET", "/", NULL, 0),
                      h2_peer_request(peer, "GET", "/", soon, 1)};
    h2_peer_run(peer);
    const char urgent[] = "u=0";
    cr_assert_eq(nghttp2_submit_priority_update(peer->session, NGHTTP2_FLAG_NONE, ids[1],
                                                (const uint8_t *)urgent, 3),
                 0);
    h2_peer_run(peer);
    for (int i = 0; i < 3; i++) {
        h2_app_provide(h2_peer_seen(peer, ids[i]), 40000);
    }
    h2_peer_run(peer);
    cr_assert_eq(peer->order_count, 9);
    static const int wanted[9] = {1, 1, 1, 2, 2, 2, 0, 0, 0};
    for (int i = 0; i < 9; i++) {
        cr_expect_eq(peer->order[i], ids[wanted[i]], "frame %d is of %d", i, peer->order[i]);
    }
    h2_peer_free(peer);
}

/* RFC 9218 7: it may come before the request, and outweighs what that says. */
Test(h2, a_priority_may_come_early)
{
    struct h2_peer *peer = with_deferred_answers();
    const nghttp2_nv late[] = {FIELD("priority", "u=6")};
    const char urgent[] = "u=1";
    cr_assert_eq(nghttp2_submit_priority_update(peer->session, NGHTTP2_FLAG_NONE, 3,
                                                (const uint8_t *)urgent, 3),
                 0);
    h2_peer_run(peer);
    int32_t first = h2_peer_request(peer, "GET", "/", NULL, 0);
    int32_t second = h2_peer_request(peer, "GET", "/", late, 1);
    cr_assert(first == 1 && second == 3);
    h2_peer_run(peer);
    h2_app_provide(h2_peer_seen(peer, first), 40000);
    h2_app_provide(h2_peer_seen(peer, second), 40000);
    h2_peer_run(peer);
    cr_assert_eq(peer->order_count, 6);
    for (int i = 0; i < 6; i++) {
        cr_expect_eq(peer->order[i], i < 3 ? second : first, "frame %d", i);
    }
    h2_peer_free(peer);
}

Test(h2, incremental_answers_share)
{
    struct h2_peer *peer = with_deferred_answers();
    const nghttp2_nv share[] = {FIELD("priority", "i")};
    int32_t ids[2] = {h2_peer_request(peer, "GET", "/", share, 1),
                      h2_peer_request(peer, "GET", "/", share, 1)};
    h2_peer_run(peer);
    h2_app_provide(h2_peer_seen(peer, ids[0]), 40000);
    h2_app_provide(h2_peer_seen(peer, ids[1]), 40000);
    h2_peer_run(peer);
    cr_assert_eq(peer->order_count, 6);
    for (int i = 0; i < 6; i++) {
        cr_expect_eq(peer->order[i], ids[i % 2], "frame %d is of %d", i, peer->order[i]);
    }
    h2_peer_free(peer);
}

/* A head of several frames, whose names HTTP/2 wants in lower case. */
Test(h2, a_head_longer_than_a_frame)
{
    static char value[17000];
    memset(value, 'v', sizeof value);
    struct h2_peer *peer = h2_peer_new();
    peer->app.hold_answers = true;
    peer->out_max = 100;
    h2_peer_open(peer, &defaults);
    int32_t id = h2_peer_request(peer, "GET", "/", NULL, 0);
    h2_peer_run(peer);
    struct exchange ex;
    exchange_init(&ex);
    ex.status = 204;
    struct span text = {value, sizeof value};
    cr_assert(field_add(&ex, &ex.response_fields, SPAN("X-Long"), text));
    cr_assert(field_add(&ex, &ex.response_fields, SPAN("X-Longer"), text));
    cr_assert(field_add(&ex, &ex.response_fields, SPAN("X-End"), SPAN("yes")));
    cr_expect(h2_respond(peer->app.h2, id, &ex, SPAN("Sun, 06 Nov 1994 08:49:37 GMT"), false));
    h2_peer_run(peer);
    struct h2_answer *answer = h2_peer_answer(peer, id);
    cr_expect(answer->status == 204 && answer->closed && answer->error == H2_NO_ERROR);
    cr_expect_eq(strncmp(answer->fields, "x-long: vvv", 11), 0);
    exchange_free(&ex);
    cr_expect_not(peer->server_done);
    h2_peer_free(peer);
}

Test(h2, who_has_ended_begins_nothing)
{
    struct h2_peer *peer = open_peer();
    nghttp2_session_terminate_session(peer->session, NGHTTP2_NO_ERROR);
    h2_peer_run(peer);
    cr_assert(peer->server_done);
    struct buffer bytes = {0};
    h2_raw_get(&bytes, 1, "/");
    cr_expect(h2_receive(peer->app.h2, buffer_span(&bytes), 2000));
    cr_expect_eq(peer->app.request_count, 0);
    cr_expect(h2_finished(peer->app.h2));
    buffer_release(&bytes);
    h2_peer_free(peer);
}

Test(h2, draining_lets_streams_end)
{
    struct h2_peer *peer = h2_peer_new();
    peer->app.hold_answers = true;
    h2_peer_open(peer, &defaults);
    int32_t id = h2_peer_request(peer, "GET", "/", NULL, 0);
    h2_peer_run(peer);
    h2_drain(peer->app.h2, false);
    h2_drain(peer->app.h2, false);
    h2_peer_run(peer);
    cr_expect(peer->goaways == 1 && peer->goaway_last == INT32_MAX);
    cr_expect_eq(peer->goaway_error, H2_NO_ERROR);
    cr_expect_not(peer->server_done);
    h2_drain(peer->app.h2, true);
    h2_peer_run(peer);
    cr_expect(peer->goaways == 2 && peer->goaway_last == id);
    cr_expect_not(peer->server_done);
    h2_app_answer(h2_peer_seen(peer, id));
    h2_peer_run(peer);
    cr_expect_eq(h2_peer_answer(peer, id)->status, 200);
    cr_expect(peer->server_done);
    h2_peer_free(peer);
}

Test(h2, a_client_that_leaves)
{
    struct h2_peer *peer = open_peer();
    h2_peer_request(peer, "GET", "/", NULL, 0);
    h2_peer_run(peer);
    cr_expect_not(peer->server_done);
    nghttp2_session_terminate_session(peer->session, NGHTTP2_NO_ERROR);
    h2_peer_run(peer);
    cr_expect(peer->server_done);
    h2_peer_free(peer);
}

Test(h2, freeing_closes_what_is_open)
{
    struct h2_peer *peer = h2_peer_new();
    peer->app.answer_bytes = 1;
    peer->app.defer_bodies = true;
    h2_peer_open(peer, &defaults);
    for (int i = 0; i < 10; i++) {
        h2_peer_request(peer, "GET", "/", NULL, 0);
    }
    h2_peer_run(peer);
    cr_expect_eq(h2_streams(peer->app.h2), 10);
    cr_expect_eq(peer->app.closed_count, 0);
    h2_peer_free(peer); /* checks that each was closed */
}
