/* SPDX-License-Identifier: Apache-2.0 */
/* Framing of bodies: a length (RFC 9112 6.2) or chunks (7.1). Chunked is a machine that
 * takes one byte at a time, so a body may be cut anywhere; only content is taken in runs. Chunk
 * extensions are checked, counted and dropped; so are trailers, but whoever wants them gets their
 * octets.
 */
#include <assert.h>
#include <limits.h>

#include "server/chars.h"
#include "server/h1_int.h"

enum state {
    SIZE_FIRST,    /* first digit of a chunk size */
    SIZE,          /* further digits, or what ends them */
    EXTENSION,     /* from ';' to the end of the line */
    SIZE_LF,       /* after the CR of a chunk line */
    CONTENT,       /* `left` bytes of a chunk */
    CONTENT_CR,    /* after a chunk */
    CONTENT_LF,    /* after the CR behind it */
    TRAILER_FIRST, /* start of a trailer line, or of the final empty line */
    TRAILER_NAME,  /* up to ':' */
    TRAILER_VALUE, /* up to the end of the line */
    TRAILER_LF,    /* after the CR of a trailer line */
    FINAL_LF,      /* after the CR of the final empty line */
    DONE,          /* also the end of a body with a length */
    FAILED,
};

enum { SIZE_DIGITS_MAX = 16 };

void h1_body_start(struct h1_body *body, enum h1_framing framing, uint64_t length)
{
    *body = (struct h1_body){
        .framing = framing,
        .left = framing == H1_BODY_LENGTH ? length : 0,
        .state = framing == H1_BODY_CHUNKED ? SIZE_FIRST : CONTENT,
    };
    if (framing != H1_BODY_CHUNKED && body->left == 0) {
        body->state = DONE;
    }
}

void h1_body_init(struct h1_body *body, const struct h1_head *head)
{
    h1_body_start(body, head->framing, head->content_length);
}

static enum state fail(struct h1_body *body, unsigned status)
{
    body->status = status;
    return FAILED;
}

static enum state take_size(struct h1_body *body, char c)
{
    int digit = char_hex(c);
    if (digit >= 0) {
        if (body->line_bytes > SIZE_DIGITS_MAX) {
            return fail(body, 400);
        }
        body->left = body->left << 4 | (unsigned)digit;
        return SIZE;
    }
    if (body->left > INT64_MAX) {
        return fail(body, 413);
    }
    return c == '\r' ? SIZE_LF : c == ';' ? EXTENSION : fail(body, 400);
}

static enum state take_extension(struct h1_body *body, char c)
{
    if (c == '\r') {
        return SIZE_LF;
    }
    if (body->line_bytes > LIM_CHUNK_LINE_BYTES || ++body->extra_bytes > LIM_CHUNK_EXT_BYTES) {
        return fail(body, 413);
    }
    return char_is(c, CHAR_VALUE) ? EXTENSION : fail(body, 400);
}

static enum state take_trailer(struct h1_body *body, char c, unsigned classes, enum state next)
{
    if (body->line_bytes > LIM_TRAILER_BYTES) { /* of the whole section: see SIZE_LF */
        return fail(body, 413);
    }
    return char_is(c, classes) ? next : fail(body, 400);
}

static enum state expect(struct h1_body *body, char c, char wanted, enum state next)
{
    return c == wanted ? next : fail(body, 400);
}

/* One byte of framing. */
static enum state step(struct h1_body *body, char c)
{
    body->line_bytes++;
    switch ((enum state)body->state) {
    case SIZE_FIRST:
        body->line_bytes = 1;
        return char_hex(c) >= 0 ? take_size(body, c) : fail(body, 400);
    case SIZE: return take_size(body, c);
    case EXTENSION: return take_extension(body, c);
    case SIZE_LF:
        body->line_bytes = 0; /* from here on of the trailers, if this was the last chunk */
        return expect(body, c, '\n', body->left > 0 ? CONTENT : TRAILER_FIRST);
    case CONTENT_CR: return expect(body, c, '\r', CONTENT_LF);
    case CONTENT_LF: return expect(body, c, '\n', SIZE_FIRST);
    case TRAILER_FIRST:
        return c == '\r' ? FINAL_LF : take_trailer(body, c, CHAR_TOKEN, TRAILER_NAME);
    case TRAILER_NAME:
        return c == ':' ? TRAILER_VALUE : take_trailer(body, c, CHAR_TOKEN, TRAILER_NAME);
    case TRAILER_VALUE:
        return c == '\r' ? TRAILER_LF : take_trailer(body, c, CHAR_VALUE, TRAILER_VALUE);
    case TRAILER_LF: return expect(body, c, '\n', TRAILER_FIRST);
    case FINAL_LF: return expect(body, c, '\n', DONE);
    case CONTENT:
    case DONE:
    case FAILED: break;
    }
    assert(!"no byte of framing is due");
    return fail(body, 400);
}

enum h1_result h1_body_next(struct h1_body *body, const char *buf, size_t len, size_t *consumed,
                            struct span *content)
{
    assert(body->state != FAILED);
    size_t at = 0;
    const char *trailers = NULL;
    *content = SPAN("");
    while (at < len && body->state != CONTENT && body->state < DONE) {
        if (body->state >= TRAILER_FIRST && trailers == NULL) {
            trailers = buf + at;
        }
        body->state = (uint8_t)step(body, buf[at++]);
    }
    body->trailers = (struct span){trailers, trailers != NULL ? (size_t)(buf + at - trailers) : 0};
    if (body->state == CONTENT && at < len) {
        size_t bytes = len - at < body->left ? len - at : (size_t)body->left;
        *content = (struct span){buf + at, bytes};
        at += bytes;
        body->left -= bytes;
        if (body->left == 0) {
            body->state = body->framing == H1_BODY_CHUNKED ? CONTENT_CR : DONE;
        }
    }
    *consumed = at;
    if (body->state == FAILED) {
        return H1_BAD;
    }
    return body->state == DONE ? H1_DONE : H1_MORE;
}

bool h1_trailer_next(struct span *section, struct field *field)
{
    const char *lf = section->len > 0 ? memchr(section->base, '\n', section->len) : NULL;
    if (lf == NULL || lf - section->base < 2) {
        return false;
    }
    struct span line = {section->base, (size_t)(lf - section->base) - 1};
    section->base = lf + 1;
    section->len -= line.len + 2;
    return h1_split_field(line, field) == NULL;
}
