/* SPDX-License-Identifier: Apache-2.0 */
/* JSON for scripts: handles into documents. A handle is a place: when another handle replaces what
 * is there, both see it. Values go into documents as copies, so there are no cycles and a container
 * stays at its depth. */
#include "server/helpers/json.h"

#include <string.h>

#define ABSENT ((uint64_t)-1)

/* ---- handles ---- */

struct json_handle *json_find(struct vm_context *context, uint64_t id)
{
    struct helper_json *json = helper_state(context)->json;

    for (unsigned i = 0; json != NULL && id != 0 && i < LIM_JSON_HANDLES; i++) {
        if (json->handles[i].id == id) {
            return &json->handles[i];
        }
    }
    vm_helper_fault(context, "no such JSON handle");
}

struct json_handle *json_free_handle(struct vm_context *context)
{
    struct helper_json *json = helper_state(context)->json;

    for (unsigned i = 0; json != NULL && i < LIM_JSON_HANDLES; i++) {
        if (json->handles[i].id == 0) {
            return &json->handles[i];
        }
    }
    if (json == NULL) {
        return &json_open(context)->handles[0];
    }
    vm_helper_fault(context, "too many JSON handles");
}

static void drop(struct json_handle *handle)
{
    if (--handle->document->handles == 0) {
        json_decref(handle->document->root);
        json_release(handle->document);
    }
    json_decref(handle->node);
    json_decref(handle->parent);
    json_release(handle->key);
    *handle = (struct json_handle){0};
}

/* Opened. False: no root, or refused. Takes `root`. */
static bool put_document(struct helper_json *json, struct json_handle *handle, json_t *root)
{
    struct json_document *document = root == NULL ? NULL : json_allocate(sizeof *document);

    if (document == NULL) {
        json_decref(root);
        return false;
    }
    *document = (struct json_document){.root = root, .handles = 1};
    *handle = (struct json_handle){
        .id = ++json->last_id, .document = document, .node = json_incref(root)};
    return true;
}

uint64_t json_new_document(struct vm_context *context, struct json_handle *handle, json_t *root)
{
    bool made = put_document(helper_state(context)->json, handle, root);

    json_close(context);
    return made ? handle->id : ABSENT;
}

/* ---- for whoever runs the scripts ---- */

/* Its first value: the first handle is free. */
static uint64_t give(struct helper_state *to, const json_t *value, const struct vm_arg *text)
{
    bool made;

    if (!json_begin(to)) {
        return 0;
    }
    made = put_document(to->json, &to->json->handles[0],
                        value != NULL ? json_deep_copy(value) : json_read(text));
    return json_end(to) && made ? to->json->handles[0].id : 0;
}

uint64_t helper_json_give(struct helper_state *to, const struct json_t *value)
{
    return give(to, value, NULL);
}

uint64_t helper_json_give_text(struct helper_state *to, struct span text)
{
    struct vm_arg arg = {.data = (uint8_t *)(uintptr_t)text.base, .length = text.len};

    return give(to, NULL, &arg);
}

const struct json_t *helper_json_value(const struct helper_state *of, uint64_t handle)
{
    for (unsigned i = 0; of->json != NULL && handle != 0 && i < LIM_JSON_HANDLES; i++) {
        if (of->json->handles[i].id == handle) {
            return of->json->handles[i].node;
        }
    }
    return NULL;
}

/* A handle on a member of `of`: `place` says which. */
static uint64_t new_view(struct vm_context *context, const struct json_handle *of,
                         struct json_handle place, struct span key)
{
    struct json_handle *handle;

    if (place.node == NULL) {
        return ABSENT;
    }
    handle = json_free_handle(context);
    (void)json_open(context);
    if (key.base != NULL) {
        place.key = json_allocate(key.len + 1);
        if (place.key == NULL) {
            json_close(context);
        }
        memcpy(place.key, key.base, key.len);
        place.key_bytes = key.len;
    }
    json_close(context);
    place.id = ++helper_state(context)->json->last_id;
    place.document = of->document;
    place.document->handles++;
    place.parent = json_incref(of->node);
    place.depth = of->depth + 1;
    json_incref(place.node);
    *handle = place;
    return place.id;
}

static bool same_place(const struct json_handle *a, const struct json_handle *b)
{
    return a->document == b->document && a->parent == b->parent && a->index == b->index &&
           a->node == b->node && a->key_bytes == b->key_bytes &&
           (a->key == NULL) == (b->key == NULL) &&
           (a->key == NULL || memcmp(a->key, b->key, a->key_bytes) == 0);
}

/* Writes where the handle stands, if its node still stands there. */
static void put(struct json_handle *at, json_t *node)
{
    json_t *parent = at->parent;

    if (parent == NULL) {
        json_decref(at->document->root);
        at->document->root = json_incref(node);
    } else if (at->key != NULL) {
        if (json_object_getn(parent, at->key, at->key_bytes) == at->node) {
            json_object_setn_nocheck(parent, at->key, at->key_bytes, node);
        }
    } else if (json_array_get(parent, at->index) == at->node) {
        json_array_set(parent, at->index, node);
    }
}

/* Opened. Takes `node`; NULL: it was refused. */
static uint64_t replace(struct vm_context *context, struct json_handle *at, json_t *node)
{
    struct helper_json *json = helper_state(context)->json;
    struct json_handle before = *at;

    if (node != NULL) {
        json_incref(before.node);
        put(at, node);
        for (unsigned i = 0; i < LIM_JSON_HANDLES; i++) {
            struct json_handle *other = &json->handles[i];

            if (other->id != 0 && same_place(other, &before)) {
                json_decref(other->node);
                other->node = json_incref(node);
            }
        }
        json_decref(before.node);
        json_decref(node);
    }
    json_close(context);
    return 0;
}

/* ---- making and ending ---- */

uint64_t host_zs_json_parse(struct vm_context *context, const struct vm_arg arg[5])
{
    struct json_handle *handle = json_free_handle(context);

    (void)json_open(context);
    return json_new_document(context, handle, json_read(&arg[0]));
}

uint64_t host_zs_json_new_object(struct vm_context *context, const struct vm_arg arg[5])
{
    struct json_handle *handle = json_free_handle(context);

    (void)arg;
    (void)json_open(context);
    return json_new_document(context, handle, json_object());
}

uint64_t host_zs_json_new_array(struct vm_context *context, const struct vm_arg arg[5])
{
    struct json_handle *handle = json_free_handle(context);

    (void)arg;
    (void)json_open(context);
    return json_new_document(context, handle, json_array());
}

uint64_t host_zs_json_clone(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct json_handle *from = json_find(context, arg[0].value);
    struct json_handle *handle = json_free_handle(context);

    (void)json_open(context);
    return json_new_document(context, handle, json_deep_copy(from->node));
}

uint64_t host_zs_object_free(struct vm_context *context, const struct vm_arg arg[5])
{
    drop(json_find(context, arg[0].value));
    return 0;
}

uint64_t host_zs_json_reset(struct vm_context *context, const struct vm_arg arg[5])
{
    struct json_handle *handle = json_find(context, arg[0].value);
    struct json_handle root = {
        .id = handle->id,
        .document = handle->document,
        .node = json_incref(handle->document->root),
    };

    handle->document->handles++;
    drop(handle);
    *handle = root;
    return 0;
}

/* ---- moving ---- */

/* The key of a member. False: it is not UTF-8, so no object has it. */
static bool key_of(const struct vm_arg *in, struct span *key)
{
    struct span text = {(const char *)in->data, in->length};

    *key = helper_trim(text, " \t\r\n\v\f");
    if (key->len == 0) {
        *key = SPAN("");
    }
    return helper_is_text(text);
}

uint64_t host_zs_json_get(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct json_handle *of = json_find(context, arg[0].value);
    struct span key;

    if (!key_of(&arg[1], &key)) {
        return ABSENT;
    }
    return new_view(context, of,
                    (struct json_handle){.node = json_object_getn(of->node, key.base, key.len)},
                    key);
}

uint64_t host_zs_json_array_get(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct json_handle *of = json_find(context, arg[0].value);
    size_t index = arg[1].value;

    return new_view(context, of,
                    (struct json_handle){.node = json_array_get(of->node, index), .index = index},
                    (struct span){NULL, 0});
}

/* ---- reading ---- */

uint64_t host_zs_json_read_string(struct vm_context *context, const struct vm_arg arg[5])
{
    const json_t *node = json_find(context, arg[0].value)->node;

    if (!json_is_string(node)) {
        (void)helper_text_out(&arg[1], SPAN(""));
        return ABSENT;
    }
    return helper_text_out(&arg[1],
                           (struct span){json_string_value(node), json_string_length(node)});
}

uint64_t host_zs_json_read_i64(struct vm_context *context, const struct vm_arg arg[5])
{
    const json_t *node = json_find(context, arg[0].value)->node;
    int64_t value;

    if (arg[1].length != sizeof value) {
        vm_helper_fault(context, "a number has 8 bytes");
    }
    if (!json_is_integer(node)) {
        return ABSENT;
    }
    value = json_integer_value(node);
    memcpy(arg[1].data, &value, sizeof value);
    return sizeof value;
}

uint64_t host_zs_json_read_bool(struct vm_context *context, const struct vm_arg arg[5])
{
    const json_t *node = json_find(context, arg[0].value)->node;

    if (arg[1].length != 1) {
        vm_helper_fault(context, "a bool has 1 byte");
    }
    if (!json_is_boolean(node)) {
        return ABSENT;
    }
    arg[1].data[0] = json_is_true(node);
    return 1;
}

uint64_t host_zs_json_len(struct vm_context *context, const struct vm_arg arg[5])
{
    const json_t *node = json_find(context, arg[0].value)->node;

    switch (json_typeof(node)) {
    case JSON_ARRAY: return json_array_size(node);
    case JSON_OBJECT: return json_object_size(node);
    case JSON_STRING: return json_string_length(node);
    default: return ABSENT;
    }
}

/* ZS_JSON_* of sdk/zeroserve.h. */
uint64_t host_zs_json_type(struct vm_context *context, const struct vm_arg arg[5])
{
    switch (json_typeof(json_find(context, arg[0].value)->node)) {
    case JSON_NULL: return 0;
    case JSON_TRUE:
    case JSON_FALSE: return 1;
    case JSON_INTEGER:
    case JSON_REAL: return 2;
    case JSON_STRING: return 3;
    case JSON_ARRAY: return 4;
    case JSON_OBJECT: return 5;
    }
    return ABSENT;
}

/* ---- changing containers ---- */

static unsigned depth_of(const json_t *node)
{
    unsigned deepest = 0;
    const char *key;
    json_t *member;
    size_t index;

    if (json_is_object(node)) {
        json_object_foreach((json_t *)(uintptr_t)node, key, member)
        {
            unsigned depth = depth_of(member);

            deepest = depth > deepest ? depth : deepest;
        }
    }
    json_array_foreach(node, index, member)
    {
        unsigned depth = depth_of(member);

        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

/* A copy of a value to put into `into`; the account is open after it. */
static json_t *copy_for(struct vm_context *context, const struct json_handle *into, uint64_t value)
{
    const struct json_handle *from = json_find(context, value);

    if (into->depth + 1 + depth_of(from->node) > LIM_JSON_DEPTH) {
        vm_helper_fault(context, "JSON is nested too deeply");
    }
    (void)json_open(context);
    return json_deep_copy(from->node);
}

uint64_t host_zs_json_set(struct vm_context *context, const struct vm_arg arg[5])
{
    struct json_handle *into = json_find(context, arg[0].value);
    struct span key;
    json_t *copy;

    (void)json_find(context, arg[3].value);
    if (!key_of(&arg[1], &key) || !json_is_object(into->node)) {
        return ABSENT;
    }
    copy = copy_for(context, into, arg[3].value);
    if (copy != NULL) {
        json_object_setn_new_nocheck(into->node, key.base, key.len, copy);
    }
    json_close(context);
    return 0;
}

uint64_t host_zs_json_remove(struct vm_context *context, const struct vm_arg arg[5])
{
    struct json_handle *from = json_find(context, arg[0].value);
    struct span key;

    if (!key_of(&arg[1], &key)) {
        return ABSENT;
    }
    return (uint64_t)(int64_t)json_object_deln(from->node, key.base, key.len);
}

uint64_t host_zs_json_array_push(struct vm_context *context, const struct vm_arg arg[5])
{
    struct json_handle *into = json_find(context, arg[0].value);
    json_t *copy;

    (void)json_find(context, arg[1].value);
    if (!json_is_array(into->node)) {
        return ABSENT;
    }
    copy = copy_for(context, into, arg[1].value);
    if (copy != NULL) {
        json_array_append_new(into->node, copy);
    }
    json_close(context);
    return json_array_size(into->node);
}

uint64_t host_zs_json_array_set(struct vm_context *context, const struct vm_arg arg[5])
{
    struct json_handle *into = json_find(context, arg[0].value);
    json_t *copy;

    (void)json_find(context, arg[2].value);
    if (arg[1].value >= json_array_size(into->node)) {
        return ABSENT;
    }
    copy = copy_for(context, into, arg[2].value);
    if (copy != NULL) {
        json_array_set_new(into->node, arg[1].value, copy);
    }
    json_close(context);
    return 0;
}

/* ---- replacing what stands at a handle ---- */

uint64_t host_zs_json_set_string(struct vm_context *context, const struct vm_arg arg[5])
{
    struct json_handle *at = json_find(context, arg[0].value);
    struct span text = {(const char *)arg[1].data, arg[1].length};

    if (!helper_is_text(text)) {
        return ABSENT;
    }
    (void)json_open(context);
    return replace(context, at, json_stringn_nocheck(text.len == 0 ? "" : text.base, text.len));
}

uint64_t host_zs_json_set_i64(struct vm_context *context, const struct vm_arg arg[5])
{
    struct json_handle *at = json_find(context, arg[0].value);

    (void)json_open(context);
    return replace(context, at, json_integer((json_int_t)arg[1].value));
}

uint64_t host_zs_json_set_bool(struct vm_context *context, const struct vm_arg arg[5])
{
    struct json_handle *at = json_find(context, arg[0].value);

    (void)json_open(context);
    return replace(context, at, json_boolean(arg[1].value != 0));
}

uint64_t host_zs_json_set_null(struct vm_context *context, const struct vm_arg arg[5])
{
    struct json_handle *at = json_find(context, arg[0].value);

    (void)json_open(context);
    return replace(context, at, json_null());
}

/* ---- answering ---- */

uint64_t host_zs_json_respond(struct vm_context *context, const struct vm_arg arg[5])
{
    const json_t *node = json_find(context, arg[1].value)->node;
    struct exchange *ex = helper_exchange(context);
    size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    size_t bytes;
    uint8_t *body;

    (void)json_open(context);
    bytes = json_dumpb(node, NULL, 0, flags);
    json_close(context);
    body = helper_respond(context, arg[0].value, bytes);
    (void)json_open(context);
    bytes = json_dumpb(node, (char *)body, bytes, flags);
    json_close(context);
    helper_allocated(context, field_set(ex, &ex->response_fields, SPAN("content-type"),
                                        SPAN("application/json")));
    return 0;
}
