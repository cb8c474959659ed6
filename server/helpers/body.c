/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that read the request's body. They suspend the script while it arrives. */
#include "server/helpers/helpers.h"
#include "server/helpers/shared.h"

/* Octets of the body that scripts may have. */
static size_t allowed(const struct helper_state *state)
{
    const struct exchange *ex = state->ex;
    size_t max = state->shared->body_bytes_max;
    return ex->body_limited && ex->body_limit < max ? (size_t)ex->body_limit : max;
}

/* Waits until all of the body is here. False: it is longer than scripts may have it. */
static bool await_body(struct vm_context *context)
{
    struct exchange *ex = helper_exchange(context);
    struct request_body *body = &ex->request_body;
    size_t max = allowed(helper_state(context));

    if (body->length != REQUEST_BODY_UNKNOWN && body->length > max) {
        return false;
    }
    /* One more than allowed, so that a body of just that length is seen to end. */
    body->gather_max = max + 1;
    body->awaited = true;
    while (!request_body_settled(body)) {
        vm_helper_wait(context);
    }
    body->awaited = false;
    return buffer_bytes(&body->bytes) <= max;
}

uint64_t host_zs_req_body(struct vm_context *context, const struct vm_arg arg[5])
{
    if (!await_body(context)) {
        return (uint64_t)-1;
    }
    struct span body = buffer_span(&helper_exchange(context)->request_body.bytes);
    size_t copied = body.len < arg[0].length ? body.len : arg[0].length;
    if (copied > 0) {
        memcpy(arg[0].data, body.base, copied);
    }
    return body.len;
}

uint64_t host_zs_req_body_json(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)arg;
    if (!await_body(context)) {
        return (uint64_t)-1;
    }
    struct span body = buffer_span(&helper_exchange(context)->request_body.bytes);
    const struct vm_arg text[5] = {{.data = (uint8_t *)body.base, .length = body.len}};
    return body.len == 0 ? (uint64_t)-1 : host_zs_json_parse(context, text);
}
