/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that read the request. They see it as the scripts before have left it. */
#include "server/chars.h"
#include "server/helpers/helpers.h"

uint64_t host_zs_req_method(struct vm_context *context, const struct vm_arg arg[5])
{
    return helper_text_out(&arg[0], helper_exchange(context)->method);
}

uint64_t host_zs_req_path(struct vm_context *context, const struct vm_arg arg[5])
{
    return helper_text_out(&arg[0], helper_exchange(context)->path);
}

uint64_t host_zs_req_normalized_path(struct vm_context *context, const struct vm_arg arg[5])
{
    return helper_text_out(&arg[0], helper_exchange(context)->path);
}

uint64_t host_zs_req_raw_path(struct vm_context *context, const struct vm_arg arg[5])
{
    return helper_text_out(&arg[0], helper_exchange(context)->raw_path);
}

uint64_t host_zs_req_query(struct vm_context *context, const struct vm_arg arg[5])
{
    return helper_text_out(&arg[0], helper_exchange(context)->query);
}

/* The path as sent: a URI is made of encoded text. */
uint64_t host_zs_req_uri(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct exchange *ex = helper_exchange(context);
    struct helper_out out = helper_out(&arg[0]);

    helper_put(&out, ex->raw_path);
    if (ex->query.len > 0) {
        helper_put(&out, SPAN("?"));
        helper_put(&out, ex->query);
    }
    return helper_end(&out);
}

uint64_t host_zs_req_scheme(struct vm_context *context, const struct vm_arg arg[5])
{
    return helper_text_out(&arg[0], helper_exchange(context)->scheme);
}

uint64_t host_zs_req_proto_major(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)arg;
    return helper_exchange(context)->proto_major;
}

uint64_t host_zs_req_proto_minor(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)arg;
    return helper_exchange(context)->proto_minor;
}

uint64_t host_zs_req_is_tls(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)arg;
    return helper_exchange(context)->is_tls;
}

/* ---- fields and parameters ---- */

/* Digits only; what is too large for 64 bits is the largest. */
static bool parse_length(struct span text, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned char)text.base[i] - '0';

        if (digit > 9) {
            return false;
        }
        *out = *out > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *out * 10 + digit;
    }
    return text.len > 0;
}

/* The lowest limit holds, whichever script set it. */
uint64_t host_zs_req_body_limit(struct vm_context *context, const struct vm_arg arg[5])
{
    struct exchange *ex = helper_exchange(context);
    const struct field *field = field_find(&ex->request_fields, SPAN("content-length"));
    uint64_t length;

    if (!ex->body_limited || arg[0].value < ex->body_limit) {
        ex->body_limited = true;
        ex->body_limit = arg[0].value;
    }
    return field != NULL && parse_length(field->value, &length) && length > arg[0].value;
}

/* With all that it calls inlined: what it does is little, and in many small functions. */
__attribute__((flatten)) uint64_t host_zs_req_header(struct vm_context *context,
                                                     const struct vm_arg arg[5])
{
    const struct exchange *ex = helper_exchange(context);
    const struct field *field = field_find(&ex->request_fields, helper_name(context, &arg[0]));

    return helper_text_out(&arg[2], field == NULL ? SPAN("") : field->value);
}

/* Takes the next `name=value` off *query. False at the end. */
static bool next_parameter(struct span *query, struct span *name, struct span *value)
{
    const char *end;
    const char *equals;

    if (query->len == 0) {
        return false;
    }
    end = memchr(query->base, '&', query->len);
    *name = (struct span){query->base, end == NULL ? query->len : (size_t)(end - query->base)};
    query->base += name->len;
    query->len -= name->len;
    if (end != NULL) {
        query->base++;
        query->len--;
    }
    *value = (struct span){"", 0};
    equals = name->len == 0 ? NULL : memchr(name->base, '=', name->len);
    if (equals != NULL) {
        *value = (struct span){equals + 1, name->len - (size_t)(equals - name->base) - 1};
        name->len = (size_t)(equals - name->base);
    }
    return true;
}

/* Takes the next byte off form-encoded text that is not empty. A '%' that starts no escape stands
 * for itself, as in browsers. */
static char next_decoded(struct span *text)
{
    char c = text->base[0];
    int high = text->len > 2 ? char_hex(text->base[1]) : -1;
    int low = text->len > 2 ? char_hex(text->base[2]) : -1;
    size_t taken = 1;

    if (c == '+') {
        c = ' ';
    } else if (c == '%' && high >= 0 && low >= 0) {
        c = (char)(high * 16 + low);
        taken = 3;
    }
    text->base += taken;
    text->len -= taken;
    return c;
}

static bool decodes_to(struct span encoded, struct span text)
{
    size_t i = 0;

    while (encoded.len > 0) {
        if (i == text.len || next_decoded(&encoded) != text.base[i]) {
            return false;
        }
        i++;
    }
    return i == text.len;
}

uint64_t host_zs_req_query_param(struct vm_context *context, const struct vm_arg arg[5])
{
    struct span query = helper_exchange(context)->query;
    struct span wanted = helper_name(context, &arg[0]);
    struct helper_out out = helper_out(&arg[2]);
    struct span name;
    struct span value;

    while (next_parameter(&query, &name, &value)) {
        if (!decodes_to(name, wanted)) {
            continue;
        }
        while (value.len > 0) {
            char c = next_decoded(&value);

            helper_put(&out, (struct span){&c, 1});
        }
        break;
    }
    return helper_end(&out);
}

uint64_t host_zs_req_query_param_matches(struct vm_context *context, const struct vm_arg arg[5])
{
    struct span query = helper_exchange(context)->query;
    struct span wanted = helper_name(context, &arg[0]);
    struct span match = helper_text(context, &arg[2]);
    bool any = span_equal(match, SPAN("*"));
    struct span name;
    struct span value;

    while (next_parameter(&query, &name, &value)) {
        if (decodes_to(name, wanted) && (any || decodes_to(value, match))) {
            return 1;
        }
    }
    return 0;
}
