/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes on their way in or out of a connection: appended at the end, consumed at the start. Holds
 * no memory while nobody reserved any; its owner says how large it may grow. */
#ifndef SERVER_BUFFER_H
#define SERVER_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "server/span.h"

/* All zero is an empty buffer. */
struct buffer {
    char *base;
    size_t start;
    size_t end;
    size_t capacity;
};

static inline struct span buffer_span(const struct buffer *buffer)
{
    size_t bytes = buffer->end - buffer->start;
    return (struct span){bytes > 0 ? buffer->base + buffer->start : NULL, bytes};
}

static inline size_t buffer_bytes(const struct buffer *buffer)
{
    return buffer->end - buffer->start;
}

/* For buffer_reserve alone: there is not enough room behind the end, or there may not be. */
bool buffer_make_room(struct buffer *buffer, size_t more, size_t bytes_max);
/* Makes room for `more` bytes at base + end; the bytes may move. False: out of memory, or the
 * buffer would hold more than bytes_max. */
static inline bool buffer_reserve(struct buffer *buffer, size_t more, size_t bytes_max)
{
    size_t held = buffer_bytes(buffer);
    bool fits =
        more <= buffer->capacity - buffer->end && held <= bytes_max && more <= bytes_max - held;
    return fits || buffer_make_room(buffer, more, bytes_max);
}
/* reserve and copy */
static inline bool buffer_append(struct buffer *buffer, struct span data, size_t bytes_max)
{
    if (!buffer_reserve(buffer, data.len, bytes_max)) {
        return false;
    }
    if (data.len > 0) {
        memcpy(buffer->base + buffer->end, data.base, data.len);
        buffer->end += data.len;
    }
    return true;
}
/* An empty one becomes a copy of `data`, with little room for more: that may stay for long. False:
 * out of memory. */
bool buffer_hold(struct buffer *buffer, struct span data);
void buffer_consume(struct buffer *buffer, size_t bytes);
/* If the buffer is empty, gives back more memory than so much. */
void buffer_trim(struct buffer *buffer, size_t kept_bytes);
/* Gives the memory back, with what is in it. */
void buffer_release(struct buffer *buffer);

#endif
