/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata: a small map that the scripts of a request share. Keys differ by case; those below
 * zs.response.header. are fields of the response (see response_finish). */
#include "server/helpers/helpers.h"

static struct span key_of(struct vm_context *context, const struct vm_arg *in)
{
    struct span key = helper_name(context, in);

    if (key.len == 0) {
        vm_helper_fault(context, "empty metadata key");
    }
    return key;
}

static struct field *find(struct exchange *ex, struct span key)
{
    for (unsigned i = 0; i < ex->meta.count; i++) {
        if (span_equal(ex->meta.items[i].name, key)) {
            return &ex->meta.items[i];
        }
    }
    return NULL;
}

uint64_t host_zs_meta_get(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct field *entry = find(helper_exchange(context), key_of(context, &arg[0]));

    return helper_text_out(&arg[2], entry == NULL ? SPAN("") : entry->value);
}

/* A field that could not be sent is refused where it is set. */
static struct span check_field(struct vm_context *context, struct span key,
                               const struct vm_arg *key_in, const struct vm_arg *value)
{
    struct span name;

    return field_of_meta(key, &name) ? helper_field_named(context, name, key_in, value).value
                                     : helper_text(context, value);
}

/* With all that it calls inlined: what it does is little, and in many small functions. */
__attribute__((flatten)) uint64_t host_zs_meta_set(struct vm_context *context,
                                                   const struct vm_arg arg[5])
{
    struct exchange *ex = helper_exchange(context);
    struct span key = key_of(context, &arg[0]);
    struct span value = check_field(context, key, &arg[0], &arg[2]);
    struct field *old = find(ex, key);
    size_t others = ex->meta_bytes - (old == NULL ? 0 : old->name.len + old->value.len);

    if (old == NULL && ex->meta.count >= LIM_META_ENTRIES) {
        vm_helper_fault(context, "too many metadata entries");
    }
    if (key.len + value.len > LIM_META_BYTES - others) {
        vm_helper_fault(context, "too much metadata");
    }
    value = helper_keep(context, &arg[2], value);
    if (old == NULL) {
        key = helper_keep(context, &arg[0], key);
        helper_allocated(context, field_refer(ex, &ex->meta, key, value));
    } else {
        old->value = value;
    }
    ex->meta_bytes = others + key.len + value.len;
    return 0;
}
