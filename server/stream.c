/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of streams, lists of those that wait, and what is left of a body. */
#include "server/stream.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "server/epoch.h"

/* ---- bodies ---- */

static void move_up(struct source *source)
{
    while (source_ended(source) && source->segments_left > 0) {
        const struct body_segment *segment = source->segments++;
        source->segments_left--;
        source->bytes = segment->bytes;
        source->file_offset = segment->file_offset;
        source->file_left = segment->file_bytes;
    }
}

void source_start(struct source *source, const struct body *body)
{
    *source = (struct source){0};
    switch (body->kind) {
    case BODY_NONE: break;
    case BODY_STREAMED:
        source->streamed = true;
        source->live = body->live;
        break;
    case BODY_BYTES: source->bytes = body->bytes; break;
    case BODY_FILE:
        source->file_offset = body->file_offset;
        source->file_left = body->file_bytes;
        break;
    case BODY_SEGMENTS:
        source->segments = body->segments;
        source->segments_left = body->segment_count;
        break;
    }
    move_up(source);
}

void source_advance(struct source *source, uint64_t count)
{
    if (source->bytes.len > 0) {
        assert(count <= source->bytes.len);
        source->bytes.base += count;
        source->bytes.len -= count;
    } else {
        assert(count <= source->file_left);
        source->file_offset += count;
        source->file_left -= count;
    }
    move_up(source);
}

void stream_warm(struct stream *stream)
{
    struct body *body = &stream->exchange.body;
    if (body->kind != BODY_FILE || !hot_fits(body->file_bytes)) {
        return;
    }
    stream->hot = hot_get(stream->epoch->hot, body->file_offset, body->file_bytes);
    stream->hot_due = stream->hot == NULL;
    if (stream->hot != NULL) {
        body->kind = BODY_BYTES;
        body->bytes = (struct span){stream->hot->data, stream->hot->bytes};
    }
}

size_t stream_read_bytes(const struct stream *stream, size_t most)
{
    uint64_t left = stream->source.file_left;
    bool whole = stream->hot_due && hot_fits(left);
    return whole || left < most ? (size_t)left : most;
}

void stream_was_read(struct stream *stream, struct span data)
{
    const struct body *body = &stream->exchange.body;
    if (stream->hot_due && data.len == body->file_bytes) {
        hot_put(stream->epoch->hot, body->file_offset, data);
    }
    stream->hot_due = false;
}

void stream_start_body(struct stream *stream)
{
    source_start(&stream->source, &stream->exchange.body);
    /* The upstream may have ended while the response was being made. */
    bool more = stream->relay != NULL || stream->page != NULL;
    stream->source.live = stream->source.live && more;
}

/* ---- waiting ---- */

static void append(struct stream_list *list, struct stream *stream)
{
    stream->next = NULL;
    stream->previous = list->last;
    if (list->last != NULL) {
        list->last->next = stream;
    } else {
        list->first = stream;
    }
    list->last = stream;
    list->count++;
}

static void take_out(struct stream_list *list, struct stream *stream)
{
    if (stream->previous != NULL) {
        stream->previous->next = stream->next;
    } else {
        list->first = stream->next;
    }
    if (stream->next != NULL) {
        stream->next->previous = stream->previous;
    } else {
        list->last = stream->previous;
    }
    list->count--;
}

void stream_wait(struct stream_table *table, struct stream *stream, enum stream_wait wait)
{
    if (stream->wait != STREAM_ACTIVE) {
        take_out(&table->waiting[stream->wait], stream);
    }
    stream->wait = wait;
    if (wait != STREAM_ACTIVE) {
        append(&table->waiting[wait], stream);
    }
}

void stream_chain(struct stream **list, struct stream *stream)
{
    while (*list != NULL) {
        list = &(*list)->sibling;
    }
    stream->sibling = NULL;
    *list = stream;
}

void stream_unchain(struct stream **list, struct stream *stream)
{
    while (*list != NULL && *list != stream) {
        list = &(*list)->sibling;
    }
    if (*list != NULL) {
        *list = stream->sibling;
    }
}

/* ---- slots ---- */

static bool grow(struct stream_table *table)
{
    if (table->block_count == STREAM_BLOCKS) {
        return false;
    }
    struct stream *block = calloc(STREAM_BLOCK_SLOTS, sizeof(*block));
    if (block == NULL) {
        return false;
    }
    for (unsigned i = 0; i < STREAM_BLOCK_SLOTS; i++) {
        block[i].slot = table->block_count * STREAM_BLOCK_SLOTS + i;
        exchange_init(&block[i].exchange);
        block[i].next = table->free;
        table->free = &block[i];
    }
    table->blocks[table->block_count++] = block;
    return true;
}

struct stream *stream_open(struct stream_table *table, struct conn *conn)
{
    if (table->free == NULL && !grow(table)) {
        return NULL;
    }
    struct stream *stream = table->free;
    table->free = stream->next;
    stream->conn = conn;
    table->live++;
    return stream;
}

struct stream *stream_at(struct stream_table *table, uint32_t slot)
{
    assert(slot / STREAM_BLOCK_SLOTS < table->block_count);
    return &table->blocks[slot / STREAM_BLOCK_SLOTS][slot % STREAM_BLOCK_SLOTS];
}

void stream_close(struct stream_table *table, struct stream *stream)
{
    assert(stream->exchange.chain == NULL && stream->relay == NULL && !stream->reading);
    buffer_consume(&stream->chunk, buffer_bytes(&stream->chunk));
    buffer_trim(&stream->chunk, LIM_BUFFER_SMALL_BYTES);
    buffer_release(&stream->raw);
    buffer_release(&stream->kept);
    buffer_release(&stream->up);
    buffer_release(&stream->trailer_section);
    hot_release(stream->hot);
    stream_wait(table, stream, STREAM_ACTIVE);
    exchange_reset(&stream->exchange);
    uint32_t slot = stream->slot;
    struct buffer chunk = stream->chunk;
    bytes_clear(stream, offsetof(struct stream, exchange));
    stream->slot = slot;
    stream->chunk = chunk; /* empty */
    stream->next = table->free;
    table->free = stream;
    table->live--;
}

static void free_block(struct stream *block)
{
    for (unsigned i = 0; i < STREAM_BLOCK_SLOTS; i++) {
        exchange_free(&block[i].exchange);
        buffer_release(&block[i].chunk);
    }
    free(block);
}

void stream_table_shrink(struct stream_table *table)
{
    assert(table->live == 0);
    while (table->block_count > LIM_STREAMS_KEPT / STREAM_BLOCK_SLOTS) {
        free_block(table->blocks[--table->block_count]);
    }
    table->free = NULL;
    for (unsigned i = table->block_count * STREAM_BLOCK_SLOTS; i > 0; i--) {
        struct stream *stream = stream_at(table, i - 1);
        buffer_release(&stream->chunk);
        stream->next = table->free;
        table->free = stream;
    }
}

void stream_table_free(struct stream_table *table)
{
    assert(table->live == 0);
    for (unsigned i = 0; i < table->block_count; i++) {
        free_block(table->blocks[i]);
    }
}
