/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that change the request. What could not stand in an HTTP message ends the script, so that
 * no later reader of the exchange has to check again. */
#include "server/helpers/helpers.h"

uint64_t host_zs_req_set_method(struct vm_context *context, const struct vm_arg arg[5])
{
    struct exchange *ex = helper_exchange(context);
    struct span method = helper_name(context, &arg[0]);

    if (method.len > LIM_FIELD_BYTES || !field_name_valid(method)) {
        vm_helper_fault(context, "invalid method");
    }
    ex->method = helper_keep(context, &arg[0], method);
    return 0;
}

/* Visible ASCII starting with '/'; no fragment. */
static bool is_origin_form(struct span uri)
{
    for (size_t i = 0; i < uri.len; i++) {
        if (uri.base[i] <= ' ' || uri.base[i] > '~' || uri.base[i] == '#') {
            return false;
        }
    }
    return uri.len > 0 && uri.base[0] == '/';
}

/* A path that is well written but leads nowhere, as "/../x", is the client's mistake as often as
 * the script's: the request keeps its target and is answered 400 after the chain. */
uint64_t host_zs_req_set_uri(struct vm_context *context, const struct vm_arg arg[5])
{
    struct exchange *ex = helper_exchange(context);
    struct span uri = helper_name(context, &arg[0]);

    if (!is_origin_form(uri)) {
        vm_helper_fault(context, "invalid URI: want /path?query");
    }
    if (uri.len > LIM_REQUEST_LINE_BYTES) {
        vm_helper_fault(context, "URI is too long");
    }
    ex->bad_target = !exchange_rewrite(ex, uri);
    helper_allocated(context, true);
    return 0;
}

uint64_t host_zs_req_set_header(struct vm_context *context, const struct vm_arg arg[5])
{
    struct exchange *ex = helper_exchange(context);
    struct field field = helper_field(context, &arg[0], &arg[2]);

    helper_allocated(context, field_touch(ex, field.name));
    if (field.value.len == 0) {
        field_delete(&ex->request_fields, field.name);
    } else {
        helper_allocated(context, field_set(ex, &ex->request_fields, field.name, field.value));
    }
    return 0;
}

uint64_t host_zs_req_append_header(struct vm_context *context, const struct vm_arg arg[5])
{
    struct exchange *ex = helper_exchange(context);
    struct field field = helper_field(context, &arg[0], &arg[2]);

    helper_allocated(context, field_touch(ex, field.name));
    helper_allocated(context, field_add(ex, &ex->request_fields, field.name, field.value));
    return 0;
}

uint64_t host_zs_req_delete_header(struct vm_context *context, const struct vm_arg arg[5])
{
    struct exchange *ex = helper_exchange(context);
    struct field_list *fields = &ex->request_fields;
    struct span pattern = helper_name(context, &arg[0]);
    unsigned kept = 0;

    if (!field_pattern_valid(pattern)) {
        vm_helper_fault(context, "invalid header pattern");
    }
    helper_allocated(context, field_touch(ex, pattern));
    for (unsigned i = 0; i < fields->count; i++) {
        if (!field_matches(pattern, fields->items[i].name)) {
            fields->items[kept++] = fields->items[i];
        }
    }
    fields->count = kept;
    return 0;
}
