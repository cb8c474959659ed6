/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a page on their way from the site, or from a script, through the substituter. */
#include "server/page.h"

#include <errno.h>
#include <string.h>

#include "server/log.h"
#include "server/serve_int.h"
#include "server/template.h"

enum { PIECE_BYTES = 4096 };

struct page {
    struct worker *worker;
    struct source source; /* of the page as it was written */
    struct template template;
};

/* Appends what the substituter makes of `in`. False: out of memory. */
static bool substitute(struct stream *stream, struct span in, bool last)
{
    struct buffer *chunk = &stream->chunk;
    size_t made;
    do {
        if (!buffer_reserve(chunk, PIECE_BYTES, SIZE_MAX / 2)) {
            return false;
        }
        made =
            template_run(&stream->page->template, &in, last, chunk->base + chunk->end, PIECE_BYTES);
        chunk->end += made;
    } while (made > 0);
    return true;
}

/* What the chunk may hold: of a client of HTTP/2 that takes nothing, nothing. */
static size_t chunk_max(const struct stream *stream)
{
    size_t window = stream->conn->h2 != NULL ? serve_h2_window(stream) : LIM_LINK_BYTES;
    return window < LIM_LINK_BYTES ? window : LIM_LINK_BYTES;
}

static bool has_room(const struct stream *stream)
{
    return buffer_bytes(&stream->chunk) < chunk_max(stream);
}

static bool may_hold(struct stream *stream, size_t bytes)
{
    return stream->conn->h2 == NULL || serve_h2_hold(stream, bytes);
}

static bool start_read(struct stream *stream)
{
    struct worker *worker = stream->page->worker;
    const struct source *source = &stream->page->source;
    size_t bytes = worker->options->chunk_bytes;
    bytes = source->file_left < bytes ? (size_t)source->file_left : bytes;
    if (!may_hold(stream, bytes)) {
        return true;
    }
    if (!buffer_reserve(&stream->raw, bytes, bytes)) {
        return false;
    }
    stream->reading = true;
    stream->conn->inflight++;
    ring_read(worker->ring, site_fd(stream->epoch->snapshot->site), stream->raw.base, bytes,
              source->file_offset, (struct ring_tag){.op = RING_STREAM_READ, .slot = stream->slot});
    return true;
}

/* Makes as much as there is room for. False: out of memory. */
static bool make(struct stream *stream)
{
    struct source *source = &stream->page->source;
    while (source->bytes.len > 0 && has_room(stream)) {
        size_t left = source->bytes.len;
        struct span piece = {source->bytes.base, left < PIECE_BYTES ? left : PIECE_BYTES};
        if (!may_hold(stream, piece.len)) {
            return true;
        }
        if (!substitute(stream, piece, false)) {
            return false;
        }
        source_advance(source, piece.len);
    }
    if (source->bytes.len > 0 || !has_room(stream)) {
        return true;
    }
    if (source->file_left > 0) {
        return start_read(stream);
    }
    stream->source.live = false;
    stream->exchange.body.live = false;
    return substitute(stream, SPAN(""), true);
}

bool page_start(struct worker *worker, struct stream *stream)
{
    struct exchange *ex = &stream->exchange;
    if (stream->head_only || ex->body.kind == BODY_STREAMED || !template_wanted(ex)) {
        return true;
    }
    stream->page = pool_alloc(&ex->pool, sizeof(*stream->page));
    if (stream->page == NULL) {
        return false;
    }
    stream->page->worker = worker;
    source_start(&stream->page->source, &ex->body);
    template_init(&stream->page->template, &ex->meta);
    ex->body = (struct body){.kind = BODY_STREAMED, .live = true};
    return make(stream);
}

/* Whether there is something to be made, and room for it. */
static bool may_make(const struct stream *stream)
{
    return stream->page != NULL && stream->source.live && !stream->reading && has_room(stream);
}

bool page_pull(struct stream *stream)
{
    return !may_make(stream) || make(stream);
}

void page_resume(struct stream *stream)
{
    if (may_make(stream)) {
        struct worker *worker = stream->page->worker;
        if (make(stream)) {
            serve_more(worker, stream);
        } else {
            serve_broken(worker, stream);
        }
    }
}

void page_read_done(struct stream *stream, int result)
{
    struct worker *worker = stream->page->worker;
    bool fine = result == -EINTR || result == -EAGAIN;
    if (result > 0) {
        struct span data = {stream->raw.base, (size_t)result};
        stream_was_read(stream, data);
        source_advance(&stream->page->source, data.len);
        fine = substitute(stream, data, false);
        buffer_release(&stream->raw);
    } else if (!fine) {
        log_line("request %llu: %s", (unsigned long long)stream->exchange.id,
                 result == 0 ? "the site's tar is shorter than it was" : strerror(-result));
    }
    if (fine && make(stream)) {
        serve_more(worker, stream);
    } else {
        serve_broken(worker, stream);
    }
}
