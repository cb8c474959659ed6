/* SPDX-License-Identifier: Apache-2.0 */
/* An owner of HTTP/2 streams that keeps the handler's contract and aborts when h2 breaks it. */
#include "tests/support/h2_app.h"

#include <stdio.h>
#include <stdlib.h>

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"

static void check(bool property)
{
    if (!property) {
        abort();
    }
}

static void note_cookie(struct h2_app_request *request, const struct h2_head *head)
{
    for (unsigned i = 0; i < head->field_count; i++) {
        struct span value = head->fields[i].value;
        check(field_name_valid(head->fields[i].name) && field_value_valid(value));
        if (span_equal(head->fields[i].name, SPAN("cookie"))) {
            check(request->cookie[0] == '\0');
            snprintf(request->cookie, sizeof request->cookie, "%.*s", (int)value.len, value.base);
        }
    }
}

void h2_app_answer(struct h2_app_request *request)
{
    struct exchange *ex = &request->exchange;
    ex->proto_major = 2;
    ex->status = request->head.status != 0 ? request->head.status : 200;
    ex->body = (struct body){.kind = BODY_FILE, .file_bytes = request->answer_bytes};
    check(field_add(ex, &ex->response_fields, SPAN("Server"), SPAN("app")));
    check(field_add(ex, &ex->response_fields, SPAN("Proxy-Connection"), SPAN("close")));
    check(field_add(ex, &ex->response_fields, SPAN("x-app"), SPAN("yes")));
    request->answered = h2_respond(request->app->h2, request->id, ex, span_of(DATE),
                                   request->answer_bytes > 0 || request->app->with_trailers);
    if (request->closed) {
        exchange_free(ex);
    }
}

void h2_app_provide(struct h2_app_request *request, uint64_t bytes)
{
    request->ready_bytes += bytes;
    h2_resume(request->app->h2, request->id);
}

static void *on_request(void *owner, int32_t id, const struct h2_head *head)
{
    struct h2_app *app = owner;
    check(head->field_count <= LIM_FIELD_COUNT + 1);
    if (app->refuse || app->request_count == H2_APP_REQUESTS) {
        return NULL;
    }
    struct h2_app_request *request = &app->requests[app->request_count++];
    *request = (struct h2_app_request){.app = app, .id = id, .head = *head};
    exchange_init(&request->exchange);
    snprintf(request->text, sizeof request->text, "%.*s %.*s %.*s %.*s", (int)head->method.len,
             head->method.base, (int)head->scheme.len, head->scheme.base, (int)head->authority.len,
             head->authority.base, (int)head->target.len, head->target.base);
    note_cookie(request, head);
    request->answer_bytes = app->answer_bytes;
    request->ready_bytes = app->defer_bodies ? 0 : app->answer_bytes;
    if (!app->hold_answers) {
        h2_app_answer(request);
    }
    return request;
}

static void on_body(void *stream, struct span bytes)
{
    struct h2_app_request *request = stream;
    check(!request->closed && !request->body_ended && request->head.has_body && bytes.len > 0);
    request->body_bytes += bytes.len;
    if (!request->app->hold_bodies) {
        h2_consumed(request->app->h2, request->id, bytes.len);
    }
}

static void on_body_end(void *stream, const struct field *trailers, unsigned count)
{
    struct h2_app_request *request = stream;
    for (unsigned i = 0; i < count; i++) {
        check(field_name_valid(trailers[i].name) && field_value_valid(trailers[i].value));
    }
    request->trailer_count = count;
    check(!request->closed && !request->body_ended && request->head.has_body);
    request->body_ended = true;
}

static size_t on_ready(void *stream, size_t max, bool *end)
{
    struct h2_app_request *request = stream;
    check(!request->closed && request->answered && max > 0);
    uint64_t bytes = request->ready_bytes - request->taken_bytes;
    bytes = bytes < max ? bytes : max;
    *end = request->taken_bytes + bytes == request->answer_bytes;
    request->promised_bytes = bytes;
    if (*end && request->app->with_trailers) {
        struct field sum = {SPAN("x-sum"), SPAN("1")};
        check(h2_trailers(request->app->h2, request->id,
                          &(struct field_list){.items = &sum, .count = 1}));
    }
    return (size_t)bytes;
}

static bool on_take(void *stream, struct span head, struct buffer *out, size_t bytes)
{
    struct h2_app_request *request = stream;
    check(!request->closed && bytes == request->promised_bytes);
    check(buffer_append(out, head, SIZE_MAX / 2) && buffer_reserve(out, bytes, SIZE_MAX / 2));
    for (size_t i = 0; i < bytes; i++) {
        out->base[out->end++] = h2_app_byte(request->taken_bytes++);
    }
    return true;
}

static void on_closed(void *stream, uint32_t error)
{
    struct h2_app_request *request = stream;
    check(!request->closed);
    exchange_free(&request->exchange);
    request->closed = true;
    request->closed_error = error;
    request->app->closed_count++;
}

static const struct h2_handler handler = {
    .request = on_request,
    .body = on_body,
    .body_end = on_body_end,
    .ready = on_ready,
    .take = on_take,
    .closed = on_closed,
};

void h2_app_open(struct h2_app *app, const struct h2_options *options)
{
    app->request_count = 0;
    app->closed_count = 0;
    app->h2 = h2_open(options, &handler, app);
    check(app->h2 != NULL);
}
