/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an exchange, its target, and what every response has in common. */
#include "server/exchange.h"

#include <assert.h>

#include "server/chars.h"
#include "server/limits.h"

void exchange_init(struct exchange *ex)
{
    *ex = (struct exchange){.request_body.complete = true};
    pool_init(&ex->pool, LIM_EXCHANGE_POOL_BYTES);
}

void exchange_reset(struct exchange *ex)
{
    pool_reset(&ex->pool);
    buffer_release(&ex->request_body.bytes);
    buffer_release(&ex->request_body.trailer_section);
    size_t kept = offsetof(struct exchange, id);
    bytes_clear((char *)ex + kept, sizeof *ex - kept);
    ex->request_body.complete = true;
}

void exchange_free(struct exchange *ex)
{
    pool_free(&ex->pool);
    buffer_release(&ex->request_body.bytes);
    buffer_release(&ex->request_body.trailer_section);
}

bool exchange_set_target(struct exchange *ex, struct span target)
{
    if (!chars_all_target(target)) {
        return false;
    }
    struct span copy = pool_copy(&ex->pool, target);
    return copy.base != NULL && exchange_refer_target(ex, copy);
}

/* The path that files are looked up by. Nearly all that are sent are one, and stay where they are.
 */
static bool find_path(struct exchange *ex, struct span raw, struct span *path)
{
    if (raw.base[0] == '/' && chars_plain_path(raw)) {
        *path = raw;
        return true;
    }
    char *normal = pool_alloc(&ex->pool, raw.len + 1);
    size_t bytes;
    if (normal == NULL || !path_normalize(raw, normal, &bytes)) {
        return false;
    }
    *path = (struct span){normal, bytes};
    return true;
}

bool exchange_refer_target(struct exchange *ex, struct span target)
{
    if (target.len == 0) {
        return false;
    }
    const char *mark = memchr(target.base, '?', target.len);
    struct span raw = {target.base, mark != NULL ? (size_t)(mark - target.base) : target.len};
    raw = raw.len == 0 ? SPAN("/") : raw;
    struct span path;
    if (!find_path(ex, span_equal(target, SPAN("*")) ? SPAN("/") : raw, &path)) {
        return false;
    }
    ex->raw_path = raw;
    ex->query = mark != NULL
                    ? (struct span){mark + 1, (size_t)(target.base + target.len - mark) - 1}
                    : SPAN("");
    ex->path = path;
    return true;
}

bool exchange_rewrite(struct exchange *ex, struct span target)
{
    struct span path = ex->path;
    struct span query = ex->query;
    if (!exchange_set_target(ex, target)) {
        return false;
    }
    if (!ex->uri_changed) {
        ex->client_path = path;
        ex->client_query = query;
    }
    ex->uri_changed = true;
    return true;
}

/* ---- responses */

/* clang-format off */
const char *status_reason(unsigned status)
{
    switch (status) {
#define STATUS(code, reason) case code: return reason;
#include "server/status.def"
    default: return "";
    }
}

/* Static, because an error must be told also when the pool is used up. */
static struct span error_text(unsigned status)
{
    switch (status) {
#define STATUS(code, reason) case code: return SPAN(#code " " reason "\n");
#include "server/status.def"
    default: return SPAN("error\n");
    }
}
/* clang-format on */

uint64_t body_length(const struct body *body)
{
    uint64_t bytes = 0;
    switch (body->kind) {
    case BODY_BYTES: return body->bytes.len;
    case BODY_FILE: return body->file_bytes;
    case BODY_SEGMENTS:
        for (unsigned i = 0; i < body->segment_count; i++) {
            bytes += body->segments[i].bytes.len + body->segments[i].file_bytes;
        }
        break;
    case BODY_STREAMED: return body->length;
    case BODY_NONE: break;
    }
    return bytes;
}

bool body_has_length(const struct body *body)
{
    return body->kind != BODY_STREAMED || body->has_length;
}

void response_start(struct exchange *ex, unsigned status)
{
    field_clear(&ex->response_fields);
    field_clear(&ex->response_trailers);
    field_clear(&ex->untrailed_fields);
    ex->announced_trailers = SPAN("");
    ex->body = (struct body){.kind = BODY_NONE};
    ex->status = status;
}

void response_error(struct exchange *ex, unsigned status)
{
    response_start(ex, status);
    ex->body = (struct body){.kind = BODY_BYTES, .bytes = error_text(status)};
    /* Without memory for it the answer goes out untyped, which is still an answer. */
    (void)field_refer(ex, &ex->response_fields, SPAN("content-type"),
                      SPAN("text/plain; charset=utf-8"));
}

/* Fields that say how bytes are framed on the connection: only the server sets them. */
#define FRAMING(NAME)                                                                              \
    NAME("te")                                                                                     \
    NAME("upgrade")                                                                                \
    NAME("trailer")                                                                                \
    NAME("connection")                                                                             \
    NAME("keep-alive")                                                                             \
    NAME("content-length")                                                                         \
    NAME("transfer-encoding")

static bool is_framing(struct span name)
{
    SPAN_RETURN_IS_NAMED(name, FRAMING);
}

/* From items[from..). Cold: few lists have any. */
static __attribute__((noinline, cold)) void drop_framing_from(struct field_list *list,
                                                              unsigned from)
{
    unsigned kept = from;
    for (unsigned i = from; i < list->count; i++) {
        if (!is_framing(list->items[i].name)) {
            list->items[kept++] = list->items[i];
        }
    }
    list->count = kept;
}

static void drop_framing(struct field_list *list)
{
    unsigned at = list->known;
    while (at < list->count && !is_framing(list->items[at].name)) {
        at++;
    }
    if (at < list->count) {
        drop_framing_from(list, at);
    }
}

/* They can be sent and lie in the pool; those without room in the list are left out. With all that
 * it calls inlined: most have one. */
static __attribute__((flatten)) void apply_meta(struct exchange *ex)
{
    for (unsigned i = 0; i < ex->meta.count; i++) {
        struct span name;
        if (field_of_meta(ex->meta.items[i].name, &name)) {
            (void)field_replace(ex, &ex->response_fields, name, ex->meta.items[i].value);
        }
    }
}

static bool has_no_content(unsigned status)
{
    return status == 204 || status == 205 || status == 304;
}

void response_finish(struct exchange *ex)
{
    assert(ex->status != 0);
    if (ex->status < 200 || ex->status > 999) { /* 1xx announce a response, they are none */
        response_error(ex, 500);
    }
    for (unsigned i = 0; i < ex->deleted_fields.count; i++) {
        field_delete(&ex->response_fields, ex->deleted_fields.items[i].name);
        field_delete(&ex->response_trailers, ex->deleted_fields.items[i].name);
    }
    apply_meta(ex);
    for (unsigned i = 0; i < ex->added_fields.count; i++) {
        (void)field_refer(ex, &ex->response_fields, ex->added_fields.items[i].name,
                          ex->added_fields.items[i].value);
    }
    drop_framing(&ex->response_fields);
    if (ex->announced_trailers.len > 0) {
        (void)field_add(ex, &ex->response_fields, SPAN("trailer"), ex->announced_trailers);
    }
    if (has_no_content(ex->status)) {
        ex->body = (struct body){.kind = BODY_NONE};
    }
}
