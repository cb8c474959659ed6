/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that make the response or change the one that follows. Fields that a script adds or
 * deletes are kept apart from the response: they hold whoever answers. */
#include <string.h>

#include "server/helpers/helpers.h"

#define STATUS_MAX 65535u /* beyond it is no status but a mistake of the script */

struct helper_answer helper_answer_take(struct exchange *ex)
{
    struct helper_answer answer = {
        .status = ex->status,
        .fields = ex->response_fields,
        .body = ex->body,
        .proxy = ex->proxy,
        .aborted = ex->aborted,
    };

    helper_answer_put(ex, &(struct helper_answer){0});
    return answer;
}

void helper_answer_put(struct exchange *ex, const struct helper_answer *answer)
{
    ex->status = answer->status;
    ex->response_fields = answer->fields;
    ex->body = answer->body;
    ex->proxy = answer->proxy;
    ex->aborted = answer->aborted;
}

uint8_t *helper_respond(struct vm_context *context, uint64_t status, size_t bytes)
{
    struct helper_state *state = helper_state(context);
    struct exchange *ex = state->ex;

    if (status > STATUS_MAX) {
        vm_helper_fault(context, "no such status");
    }
    if (bytes > LIM_RESPONSE_BODY_BYTES) {
        vm_helper_fault(context, "response body is too large");
    }
    if (bytes > state->body_capacity) {
        state->body_capacity = 0;
        state->body = pool_alloc(&ex->pool, bytes);
        helper_allocated(context, state->body != NULL);
        state->body_capacity = bytes;
    }
    response_start(ex, status < 100 || status > 999 ? 500 : (unsigned)status);
    ex->body = (struct body){.kind = BODY_BYTES, .bytes = {(const char *)state->body, bytes}};
    return state->body;
}

uint64_t host_zs_respond(struct vm_context *context, const struct vm_arg arg[5])
{
    uint8_t *body = helper_respond(context, arg[0].value, arg[1].length);

    if (arg[1].length > 0) {
        memcpy(body, arg[1].data, arg[1].length);
    }
    return 0;
}

uint64_t host_zs_response_pending(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)arg;
    return helper_exchange(context)->status != 0;
}

static void drop_response(struct exchange *ex)
{
    ex->status = 0;
    field_clear(&ex->response_fields);
    ex->body = (struct body){.kind = BODY_NONE};
}

uint64_t host_zs_response_clear(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)arg;
    drop_response(helper_exchange(context));
    return 0;
}

/* Nothing that was to be sent is; what the script answers afterwards counts. */
uint64_t host_zs_abort(struct vm_context *context, const struct vm_arg arg[5])
{
    struct exchange *ex = helper_exchange(context);

    (void)arg;
    drop_response(ex);
    ex->proxy = NULL;
    ex->aborted = true;
    return 0;
}

uint64_t host_zs_res_add_header(struct vm_context *context, const struct vm_arg arg[5])
{
    struct exchange *ex = helper_exchange(context);
    struct field field = helper_field(context, &arg[0], &arg[2]);
    size_t bytes = field.name.len + field.value.len;

    if (ex->added_fields.count >= LIM_RESPONSE_FIELDS) {
        vm_helper_fault(context, "too many response headers");
    }
    for (unsigned i = 0; i < ex->added_fields.count; i++) {
        bytes += ex->added_fields.items[i].name.len + ex->added_fields.items[i].value.len;
    }
    if (bytes > LIM_HEAD_FIELDS_BYTES) {
        vm_helper_fault(context, "response headers are too large");
    }
    field.name = helper_keep(context, &arg[0], field.name);
    field.value = helper_keep(context, &arg[2], field.value);
    helper_allocated(context, field_refer(ex, &ex->added_fields, field.name, field.value));
    return 0;
}

/* Metadata that would set the field again. */
static void forget_metadata(struct exchange *ex, struct span name)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < ex->meta.count; i++) {
        struct field entry = ex->meta.items[i];
        struct span set;

        if (field_of_meta(entry.name, &set) && span_equal_nocase(set, name)) {
            ex->meta_bytes -= entry.name.len + entry.value.len;
        } else {
            ex->meta.items[kept++] = entry;
        }
    }
    ex->meta.count = kept;
}

uint64_t host_zs_res_delete_header(struct vm_context *context, const struct vm_arg arg[5])
{
    struct exchange *ex = helper_exchange(context);
    struct vm_arg no_value[2] = {{0}};
    struct span name = helper_field(context, &arg[0], no_value).name;

    field_delete(&ex->added_fields, name);
    forget_metadata(ex, name);
    if (field_find(&ex->deleted_fields, name) != NULL) {
        return 0;
    }
    if (ex->deleted_fields.count >= LIM_RESPONSE_FIELDS) {
        vm_helper_fault(context, "too many response headers");
    }
    name = helper_keep(context, &arg[0], name);
    helper_allocated(context, field_refer(ex, &ex->deleted_fields, name, SPAN("")));
    return 0;
}
