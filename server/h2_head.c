/* SPDX-License-Identifier: Apache-2.0 */
/* Header blocks: what HPACK decodes is checked (h2_field.c) and collected, where it was decoded to,
 * under the limits HTTP/1 has too; then a request's fields are looked at together. Cookies are
 * joined (RFC 9113 8.2.3). A block that is over a limit is read to its end, for HPACK's table is
 * the connection's.
 */
#include <assert.h>

#include "server/h2_int.h"

enum { FIELD_OVERHEAD = 32 }; /* RFC 9113 6.5.2, of each field of a header list */

/* Not the whole: most of it is arrays, filled up to their counts. */
void h2_block_begin(struct h2_block *block, const struct h2_block_start *start)
{
    block->start = *start;
    block->malformed = block->has_gap = false;
    block->priority = H2_PRIORITY_DEFAULT;
    block->seen = 0;
    block->cookie = 0;
    block->expects = 0;
    block->list_bytes = 0;
    block->host = block->expect = SPAN("");
    block->cookie_bytes = 0;
    block->text_bytes = 0;
    struct h2_head *head = &block->head;
    head->status = 0;
    head->method = head->scheme = head->authority = head->target = head->protocol = SPAN("");
    head->field_count = 0;
    head->has_body = head->has_length = head->expect_continue = false;
    head->content_length = 0;
}

/* The first reason to refuse is the one that is told. */
static void refuse(struct h2_block *block, unsigned status)
{
    if (block->head.status == 0) {
        block->head.status = status;
    }
}

/* What HPACK left in the room stays. The limit of the list is that of the texts, so it fits. */
static void keep(struct h2_block *block, const struct hpack_field *field)
{
    assert(field->room_bytes <= LIM_HEAD_FIELDS_BYTES - block->text_bytes);
    block->text_bytes += field->room_bytes;
}

static void add_pseudo(struct h2_block *block, const struct hpack_field *field)
{
    struct h2_head *head = &block->head;
    keep(block, field);
    switch (field->name_index) {
    case HPACK_METHOD: head->method = field->value; break;
    case HPACK_SCHEME: head->scheme = field->value; break;
    case HPACK_AUTHORITY: head->authority = field->value; break;
    case HPACK_PATH:
        head->target = field->value;
        if (field->value.len > LIM_REQUEST_LINE_BYTES) {
            refuse(block, 414);
        }
        break;
    default: head->protocol = field->value; break; /* of those that are checked */
    }
}

static void join_cookie(struct h2_block *block, struct span value)
{
    bool joins = block->cookie_bytes > 0 && value.len > 0; /* no "; " at the end */
    struct span separator = joins ? SPAN("; ") : SPAN("");
    if (separator.len + value.len > sizeof block->cookies - block->cookie_bytes) {
        refuse(block, 431);
        return;
    }
    char *end = span_put(block->cookies + block->cookie_bytes, separator);
    block->cookie_bytes = (size_t)(span_put(end, value) - block->cookies);
    struct h2_head *head = &block->head;
    if (block->cookie == 0) {
        head->fields[head->field_count] = (struct field){SPAN("cookie"), SPAN("")};
        block->cookie = ++head->field_count;
    }
}

static void note_field(struct h2_block *block, const struct field *field)
{
    switch (field->name.len) {
    case 4:
        if (span_equal(field->name, SPAN("host"))) {
            block->host = field->value;
        }
        break;
    case 6:
        if (span_equal(field->name, SPAN("expect"))) {
            block->expect = field->value;
            block->expects++;
        }
        break;
    case 8:
        if (span_equal(field->name, SPAN("priority"))) {
            block->priority = h2_priority_parse(field->value);
        }
        break;
    case 14: block->head.has_length |= span_equal(field->name, SPAN("content-length")); break;
    default: break;
    }
}

static void add_field(struct h2_block *block, const struct hpack_field *item)
{
    struct h2_head *head = &block->head;
    bool is_cookie = block->start.kind == H2_REQUEST && item->name_index == HPACK_COOKIE;
    bool joins = is_cookie && block->cookie != 0;
    if ((head->field_count == LIM_FIELD_COUNT && !joins) ||
        item->name.len + item->value.len > LIM_FIELD_BYTES) {
        refuse(block, 431);
        return;
    }
    if (is_cookie) {
        join_cookie(block, item->value);
        return;
    }
    struct field *field = &head->fields[head->field_count++];
    *field = (struct field){item->name, item->value};
    keep(block, item);
    if (block->start.kind == H2_REQUEST) {
        note_field(block, field);
    }
}

static uint32_t add(struct h2_block *block, const struct hpack_field *field)
{
    block->list_bytes += field->name.len + field->value.len + FIELD_OVERHEAD;
    if (block->list_bytes > LIM_H2_BLOCK_BYTES) {
        return H2_ENHANCE_YOUR_CALM;
    }
    if (block->start.kind == H2_IGNORED || block->malformed) {
        return H2_NO_ERROR;
    }
    if (field->too_long) {
        block->has_gap = true;
        refuse(block, 431);
        return H2_NO_ERROR;
    }
    if (!h2_field_check(block, field)) {
        block->malformed = true;
        return H2_NO_ERROR;
    }
    bool is_trailer = block->start.kind == H2_TRAILERS;
    if (block->list_bytes > (is_trailer ? LIM_TRAILER_BYTES : LIM_HEAD_FIELDS_BYTES)) {
        refuse(block, 431);
    } else if (field->name.base[0] == ':') {
        add_pseudo(block, field);
    } else {
        add_field(block, field);
    }
    return H2_NO_ERROR;
}

uint32_t h2_block_read(struct h2_block *block, struct hpack_decoder *decoder, struct span bytes,
                       bool is_last)
{
    for (;;) {
        struct hpack_room room = {block->text + block->text_bytes,
                                  sizeof block->text - block->text_bytes};
        struct hpack_field field;
        uint32_t error = H2_INTERNAL_ERROR;
        switch (hpack_decode(decoder, &bytes, is_last, room, &field)) {
        case HPACK_END: return H2_NO_ERROR;
        case HPACK_FIELD: error = add(block, &field); break;
        case HPACK_MALFORMED: error = H2_COMPRESSION_ERROR; break;
        case HPACK_TOO_LONG: error = H2_ENHANCE_YOUR_CALM; break;
        case HPACK_NO_MEMORY: break;
        }
        if (error != H2_NO_ERROR) {
            return error;
        }
    }
}

/* ---- the whole */

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
    if ((block->seen & H2_SEEN_BAD_HOST) != 0) {
        refuse(block, 400);
    } else if (!has_host && head->authority.len > 0) { /* it is empty beyond a limit */
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
    if (block->malformed || (!block->has_gap && !h2_fields_complete(block))) {
        block->malformed = true;
        return;
    }
    if (block->cookie > 0) {
        head->fields[block->cookie - 1].value = (struct span){block->cookies, block->cookie_bytes};
    }
    head->has_body = !block->start.ends_stream;
    finish_authority(block);
    finish_expect(block);
    if ((block->seen & (H2_SEEN_CONNECT | H2_SEEN_PROTOCOL)) == H2_SEEN_CONNECT) {
        refuse(block, 501);
    } else if ((block->seen & H2_SEEN_HTTP) == 0 || (block->seen & H2_SEEN_BAD_PATH) != 0) {
        refuse(block, 400);
    }
}
