/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that have other functions run: now, in another script, or later, on the response. */
#include "server/helpers/json.h"

#define FAILED ((uint64_t)-1)

/* The function runs when this one waits, in memory and with handles of its own. What it returned is
 * still among its values then, and is copied from there. */
uint64_t host_zs_call(struct vm_context *context, const struct vm_arg arg[5])
{
    struct helper_state *state = helper_state(context);
    struct helper_call *call = &state->call;
    struct json_handle *handle;

    *call = (struct helper_call){
        .state = CALL_WANTED,
        .script = helper_name(context, &arg[0]),
        .function = helper_name(context, &arg[2]),
        .value = json_find(context, arg[4].value)->node,
    };
    handle = json_free_handle(context);
    do {
        vm_helper_wait(context);
    } while (call->state == CALL_WANTED);
    if (call->state == CALL_TOO_LATE) {
        vm_helper_fault(context, "no processor time is left for a call");
    }
    if (call->state == CALL_FAILED) {
        return FAILED;
    }
    (void)json_open(context);
    return json_new_document(context, handle, json_deep_copy(call->value));
}

/* ---- hooks ---- */

/* The value as text, since it outlives the script whose memory it is in. */
static struct span dump(struct vm_context *context, const json_t *value)
{
    size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    size_t bytes;
    char *text;

    (void)json_open(context);
    bytes = json_dumpb(value, NULL, 0, flags);
    json_close(context);
    text = pool_alloc(&helper_exchange(context)->pool, bytes);
    helper_allocated(context, text != NULL);
    (void)json_open(context);
    bytes = json_dumpb(value, text, bytes, flags);
    json_close(context);
    return (struct span){text, bytes};
}

uint64_t host_zs_res_hook(struct vm_context *context, const struct vm_arg arg[5])
{
    struct helper_state *state = helper_state(context);
    struct exchange *ex = state->ex;
    struct span script = helper_name(context, &arg[0]);
    struct span function = helper_name(context, &arg[2]);
    const json_t *input = json_find(context, arg[4].value)->node;
    struct response_hook **end = &ex->hooks;
    struct response_hook *hook;

    if (function.len == 0) {
        vm_helper_fault(context, "a response hook has a function");
    }
    if (ex->hook_count >= LIM_RESPONSE_HOOKS) {
        vm_helper_fault(context, "too many response hooks");
    }
    hook = pool_alloc(&ex->pool, sizeof *hook);
    helper_allocated(context, hook != NULL);
    *hook = (struct response_hook){
        .script = script.len == 0 ? span_of(state->script) : helper_keep(context, &arg[0], script),
        .function = helper_keep(context, &arg[2], function),
        .input = dump(context, input),
    };
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = hook;
    ex->hook_count++;
    return 0;
}

uint64_t host_zs_res_hooks_clear(struct vm_context *context, const struct vm_arg arg[5])
{
    struct exchange *ex = helper_exchange(context);

    (void)arg;
    ex->hooks = NULL;
    ex->hook_count = 0;
    return 0;
}

/* ---- the response, in hooks ---- */

static struct helper_answer *response(struct vm_context *context)
{
    struct helper_answer *answer = helper_state(context)->response;

    if (answer == NULL) {
        vm_helper_fault(context, "there is no response yet: this is for response hooks");
    }
    return answer;
}

uint64_t host_zs_res_status(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)arg;
    return response(context)->status;
}

uint64_t host_zs_res_set_status(struct vm_context *context, const struct vm_arg arg[5])
{
    struct helper_answer *answer = response(context);

    if (arg[0].value < 100 || arg[0].value > 999) {
        vm_helper_fault(context, "no such status");
    }
    answer->status = (unsigned)arg[0].value;
    return 0;
}

/* As it will be sent: what scripts add, set and delete counts already (see response_finish). */
static struct span effective(const struct exchange *ex, const struct helper_answer *answer,
                             struct span name)
{
    const struct field *field = field_find(&ex->added_fields, name);

    if (field != NULL) {
        return field->value;
    }
    for (unsigned i = ex->meta.count; i-- > 0;) {
        struct span set;

        if (field_of_meta(ex->meta.items[i].name, &set) && span_equal_nocase(set, name)) {
            return ex->meta.items[i].value;
        }
    }
    field =
        field_find(&ex->deleted_fields, name) == NULL ? field_find(&answer->fields, name) : NULL;
    return field == NULL ? SPAN("") : field->value;
}

uint64_t host_zs_res_header(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct helper_answer *answer = response(context);
    struct span name = helper_name(context, &arg[0]);

    if (name.len == 0) {
        vm_helper_fault(context, "invalid header name");
    }
    return helper_text_out(&arg[2], effective(helper_exchange(context), answer, name));
}
