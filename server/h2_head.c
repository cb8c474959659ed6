/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of HTTP/2 requests: collects the fields of a header block under the limits HTTP/1 has too,
 * then checks what they mean together. nghttp2 has refused before what is malformed (RFC 9113 8.2,
 * 8.3: bytes, order, pseudo fields, connection-specific fields, framing).
 *
 * Values are not copied: nghttp2's counted buffers are held until the request was handed over.
 * Cookies are copied, to join them (8.2.3).
 */
#include <assert.h>

#include "server/chars.h"
#include "server/h1_int.h"
#include "server/h2_int.h"

enum { FIELD_OVERHEAD = 32 }; /* RFC 9113 6.5.2, of each field of a header list */

struct h2_block *h2_block_new(struct h2_memory *memory, int32_t stream_id, bool is_trailer)
{
    struct h2_block *block = h2_memory_take(memory, sizeof *block);
    if (block == NULL) {
        return NULL;
    }
    /* Not the whole: most of it is arrays, filled up to their counts. */
    block->stream_id = stream_id;
    block->is_trailer = is_trailer;
    block->cookie = 0;
    block->expects = 0;
    block->held_count = 0;
    block->list_bytes = 0;
    block->host = block->expect = SPAN("");
    block->cookies = (struct buffer){0};
    struct h2_head *head = &block->head;
    head->status = 0;
    head->method = head->scheme = head->authority = head->target = head->protocol = SPAN("");
    head->field_count = 0;
    head->has_body = head->has_length = head->expect_continue = false;
    head->content_length = 0;
    return block;
}

void h2_block_free(struct h2_memory *memory, struct h2_block *block)
{
    if (block == NULL) {
        return;
    }
    for (unsigned i = 0; i < block->held_count; i++) {
        nghttp2_rcbuf_decref(block->held[i]);
    }
    buffer_release(&block->cookies);
    h2_memory_give(memory, block);
}

static struct span span_of_rcbuf(nghttp2_rcbuf *buffer)
{
    nghttp2_vec bytes = nghttp2_rcbuf_get_buf(buffer);
    return (struct span){(const char *)bytes.base, bytes.len};
}

/* The first reason to refuse is the one that is told. */
static void refuse(struct h2_block *block, unsigned status)
{
    if (block->head.status == 0) {
        block->head.status = status;
    }
}

static bool hold(struct h2_block *block, nghttp2_rcbuf *buffer)
{
    if (block->held_count == sizeof block->held / sizeof block->held[0]) {
        return false;
    }
    nghttp2_rcbuf_incref(buffer);
    block->held[block->held_count++] = buffer;
    return true;
}

/* nghttp2 lets no pseudo field come twice, and none it does not know. */
static void add_pseudo(struct h2_block *block, struct span name, struct span value)
{
    struct h2_head *head = &block->head;
    if (span_equal(name, SPAN(":method"))) {
        head->method = value;
    } else if (span_equal(name, SPAN(":scheme"))) {
        head->scheme = value;
    } else if (span_equal(name, SPAN(":authority"))) {
        head->authority = value;
    } else if (span_equal(name, SPAN(":protocol"))) {
        head->protocol = value;
    } else if (span_equal(name, SPAN(":path"))) {
        head->target = value;
        if (value.len > LIM_REQUEST_LINE_BYTES) {
            refuse(block, 414);
        }
    }
}

static void join_cookie(struct h2_block *block, struct span name, struct span value)
{
    bool joins = buffer_bytes(&block->cookies) > 0 && value.len > 0; /* no "; " at the end */
    struct span separator = joins ? SPAN("; ") : SPAN("");
    if (!buffer_reserve(&block->cookies, separator.len + value.len, LIM_FIELD_BYTES)) {
        refuse(block, 431);
        return;
    }
    (void)buffer_append(&block->cookies, separator, LIM_FIELD_BYTES);
    (void)buffer_append(&block->cookies, value, LIM_FIELD_BYTES);
    struct h2_head *head = &block->head;
    if (block->cookie == 0) {
        head->fields[head->field_count] = (struct field){name, SPAN("")};
        block->cookie = ++head->field_count;
    }
}

static void note_length(struct h2_head *head, struct span value)
{
    head->has_length = true;
    for (size_t i = 0; i < value.len; i++) {
        assert(value.base[i] >= '0' && value.base[i] <= '9'); /* nghttp2 has read it as int64_t */
        head->content_length = head->content_length * 10 + (uint64_t)(value.base[i] - '0');
    }
}

static void add_field(struct h2_block *block, struct span name, struct span value)
{
    struct h2_head *head = &block->head;
    if (head->field_count == LIM_FIELD_COUNT || name.len + value.len > LIM_FIELD_BYTES) {
        refuse(block, 431);
        return;
    }
    if (!field_name_valid(name) || !field_value_valid(value)) {
        refuse(block, 400);
        return;
    }
    if (span_equal(name, SPAN("cookie"))) {
        join_cookie(block, name, value);
        return;
    }
    if (span_equal(name, SPAN("host"))) {
        block->host = value;
    } else if (span_equal(name, SPAN("expect"))) {
        block->expect = value;
        block->expects++;
    } else if (span_equal(name, SPAN("content-length"))) {
        note_length(head, value);
    }
    head->fields[head->field_count++] = (struct field){name, value};
}

bool h2_block_add(struct h2_block *block, nghttp2_rcbuf *name, nghttp2_rcbuf *value)
{
    struct span name_text = span_of_rcbuf(name);
    struct span value_text = span_of_rcbuf(value);
    block->list_bytes += name_text.len + value_text.len + FIELD_OVERHEAD;
    if (block->list_bytes > LIM_H2_BLOCK_BYTES) {
        return false;
    }
    if (block->list_bytes > (block->is_trailer ? LIM_TRAILER_BYTES : LIM_HEAD_FIELDS_BYTES)) {
        refuse(block, 431);
        return true;
    }
    bool is_pseudo = name_text.len > 0 && name_text.base[0] == ':';
    bool is_copied = block->cookie > 0 && span_equal(name_text, SPAN("cookie"));
    if (!is_copied && (!hold(block, value) || (!is_pseudo && !hold(block, name)))) {
        refuse(block, 431);
        return true;
    }
    if (is_pseudo) {
        add_pseudo(block, name_text, value_text);
    } else {
        add_field(block, name_text, value_text);
    }
    return true;
}

/* RFC 9113 8.3.1: Host and :authority must not disagree. */
static void finish_authority(struct h2_block *block)
{
    struct h2_head *head = &block->head;
    bool has_host = block->host.len > 0;
    if (head->authority.len == 0) {
        head->authority = block->host;
    } else if (has_host && !span_equal_nocase(head->authority, block->host)) {
        refuse(block, 400);
    }
    if (!h1_authority_valid(head->authority)) {
        refuse(block, 400);
        return;
    }
    if (!has_host) {
        head->fields[head->field_count++] = (struct field){SPAN("host"), head->authority};
    }
}

static void finish_expect(struct h2_block *block)
{
    if (block->expects > 1 ||
        (block->expects == 1 && !span_equal_nocase(block->expect, SPAN("100-continue")))) {
        refuse(block, 417);
    }
    block->head.expect_continue = block->expects == 1 && block->head.has_body;
}

void h2_block_finish(struct h2_block *block)
{
    struct h2_head *head = &block->head;
    assert(!block->is_trailer);
    if (block->cookie > 0) {
        head->fields[block->cookie - 1].value = buffer_span(&block->cookies);
    }
    finish_authority(block);
    finish_expect(block);
    if (span_equal(head->method, SPAN("CONNECT")) && head->protocol.len == 0) {
        refuse(block, 501);
        return;
    }
    if (!span_equal_nocase(head->scheme, SPAN("http")) &&
        !span_equal_nocase(head->scheme, SPAN("https"))) {
        refuse(block, 400);
    }
    if (!chars_all_target(head->target)) {
        refuse(block, 400);
    }
}
