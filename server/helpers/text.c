/* SPDX-License-Identifier: Apache-2.0 */
/* Texts going in and out of helpers. */
#include <string.h>

#include "server/chars.h"
#include "server/helpers/helpers.h"

struct helper_state *helper_state(struct vm_context *context)
{
    struct helper_state *state = vm_context_host(context);

    if (state == NULL) {
        vm_helper_fault(context, "there is no request");
    }
    return state;
}

struct exchange *helper_exchange(struct vm_context *context)
{
    return helper_state(context)->ex;
}

static bool is_continuation(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

size_t helper_utf8(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    size_t bytes;

    if (len == 0) {
        return 0;
    }
    if (s[0] < 0x80) {
        return 1;
    }
    if (s[0] < 0xC2 || s[0] > 0xF4) {
        return 0;
    }
    bytes = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    /* The second byte's range keeps out overlong forms, surrogates and what is above U+10FFFF. */
    switch (s[0]) {
    case 0xE0: low = 0xA0; break;
    case 0xED: high = 0x9F; break;
    case 0xF0: low = 0x90; break;
    case 0xF4: high = 0x8F; break;
    default: break;
    }
    if (len < bytes || s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < bytes; i++) {
        if (!is_continuation(s[i])) {
            return 0;
        }
    }
    return bytes;
}

/* What sets hold is white space, which most bytes are not at first sight. */
static bool may_be_in_set(char c)
{
    return c > '\0' && c <= ' ';
}

static bool is_in(const char *set, char c)
{
    return may_be_in_set(c) && strchr(set, c) != NULL;
}

static __attribute__((noinline, cold)) struct span trim_ends(struct span text, const char *set)
{
    while (text.len > 0 && is_in(set, text.base[0])) {
        text.base++;
        text.len--;
    }
    while (text.len > 0 && is_in(set, text.base[text.len - 1])) {
        text.len--;
    }
    return text;
}

struct span helper_trim(struct span text, const char *set)
{
    if (text.len == 0 ||
        (!may_be_in_set(text.base[0]) && !may_be_in_set(text.base[text.len - 1]))) {
        return text;
    }
    return trim_ends(text, set);
}

/* Cold, as trim_ends: most texts are ASCII, and without spaces around them. */
static __attribute__((noinline, cold)) bool is_utf8(struct span text)
{
    size_t bytes;

    for (size_t i = 0; i < text.len; i += bytes) {
        bytes = helper_utf8(text.base + i, text.len - i);
        if (bytes == 0) {
            return false;
        }
    }
    return true;
}

bool helper_is_text(struct span text)
{
    size_t ascii = chars_ascii_prefix(text);

    return ascii == text.len || is_utf8((struct span){text.base + ascii, text.len - ascii});
}

/* What is known of a constant, see vm_arg.note. */
enum {
    NOTED_TEXT = 1 << 0,  /* UTF-8 */
    NOTED_NAME = 1 << 1,  /* and without white space at its ends */
    NOTED_VALUE = 1 << 2, /* and the value of a field */
    NOTED_TOKEN = 1 << 3, /* the name of a field, see helper_field_named */
};

static bool is_noted(const struct vm_arg *in, uint64_t what)
{
    return in[1].note != NULL && (*in[1].note & what) != 0;
}

static void set_noted(const struct vm_arg *in, uint64_t what)
{
    if (in[1].note != NULL) {
        *in[1].note |= what;
    }
}

static struct span span_in(const struct vm_arg *in)
{
    return (struct span){(const char *)in->data, in->length};
}

/* These are not inlined: most texts are constants, and looked at before. */
static __attribute__((noinline)) struct span text_unknown(struct vm_context *context,
                                                          const struct vm_arg *in)
{
    struct span text = span_in(in);

    if (!helper_is_text(text)) {
        vm_helper_fault(context, "text is not UTF-8");
    }
    set_noted(in, NOTED_TEXT);
    return text;
}

static __attribute__((noinline)) struct span name_unknown(struct vm_context *context,
                                                          const struct vm_arg *in)
{
    struct span name = helper_trim(text_unknown(context, in), " \t\r\n\v\f");

    set_noted(in, name.len == in->length ? NOTED_NAME : 0);
    return name;
}

static __attribute__((noinline)) struct span value_unknown(struct vm_context *context,
                                                           const struct vm_arg *in)
{
    struct span value = helper_trim(text_unknown(context, in), " \t");

    if (!field_value_valid(value)) {
        vm_helper_fault(context, "invalid header value");
    }
    set_noted(in, value.len == in->length ? NOTED_VALUE : 0);
    return value;
}

static __attribute__((noinline)) void look_at_token(struct vm_context *context, struct span name,
                                                    const struct vm_arg *in)
{
    if (!field_name_valid(name)) {
        vm_helper_fault(context, "invalid header name");
    }
    set_noted(in, NOTED_TOKEN);
}

struct span helper_text(struct vm_context *context, const struct vm_arg *in)
{
    return is_noted(in, NOTED_TEXT) ? span_in(in) : text_unknown(context, in);
}

struct span helper_name(struct vm_context *context, const struct vm_arg *in)
{
    return is_noted(in, NOTED_NAME) ? span_in(in) : name_unknown(context, in);
}

struct field helper_field(struct vm_context *context, const struct vm_arg *name,
                          const struct vm_arg *value)
{
    return helper_field_named(context, helper_name(context, name), name, value);
}

struct field helper_field_named(struct vm_context *context, struct span name,
                                const struct vm_arg *in, const struct vm_arg *value_in)
{
    struct span value;

    if (!is_noted(in, NOTED_TOKEN) || name.len == 0) {
        look_at_token(context, name, in);
    }
    value = is_noted(value_in, NOTED_VALUE) ? span_in(value_in) : value_unknown(context, value_in);
    if (name.len > LIM_FIELD_BYTES || value.len > LIM_FIELD_BYTES - name.len) {
        vm_helper_fault(context, "header field is too long");
    }
    return (struct field){name, value};
}

static __attribute__((noinline)) struct span keep_copy(struct vm_context *context, struct span text)
{
    struct span copy = pool_copy(&helper_exchange(context)->pool, text);

    helper_allocated(context, copy.base != NULL);
    return copy;
}

struct span helper_keep(struct vm_context *context, const struct vm_arg *in, struct span text)
{
    return in[1].note != NULL ? text : keep_copy(context, text);
}

struct helper_out helper_out(const struct vm_arg *out)
{
    return (struct helper_out){.data = out->data, .room = out->length};
}

void helper_put(struct helper_out *out, struct span piece)
{
    size_t limit = out->room == 0 ? 0 : out->room - 1;

    if (out->length < limit && piece.len > 0) {
        size_t left = limit - out->length;

        memcpy(out->data + out->length, piece.base, piece.len < left ? piece.len : left);
    }
    out->length += piece.len;
}

uint64_t helper_end(struct helper_out *out)
{
    if (out->room == 0) {
        return 0;
    }
    out->data[out->length < out->room ? out->length : out->room - 1] = '\0';
    return out->length < out->room ? out->length : out->room;
}

uint64_t helper_text_out(const struct vm_arg *out, struct span text)
{
    struct helper_out writer = helper_out(out);

    helper_put(&writer, text);
    return helper_end(&writer);
}

void helper_allocated(struct vm_context *context, bool done)
{
    if (!done || helper_exchange(context)->pool.used_bytes > LIM_SCRIPT_POOL_BYTES) {
        vm_helper_fault(context, "the request has no room for more");
    }
}
