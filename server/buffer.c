/* SPDX-License-Identifier: Apache-2.0 */
/* Growing byte buffers. They grow to powers of two, so appending costs a constant per byte. */
#include "server/buffer.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "server/limits.h"

#define CAPACITY_MIN 1024u
#define HOLD_STEP    64u /* of a capacity that is not to be more than it has to */

bool buffer_make_room(struct buffer *buffer, size_t more, size_t bytes_max)
{
    size_t held = buffer_bytes(buffer);
    assert(bytes_max <= SIZE_MAX / 2);
    if (held > bytes_max || more > bytes_max - held) {
        return false;
    }
    size_t capacity = CAPACITY_MIN;
    while (capacity < held + more) {
        capacity *= 2;
    }
    if (capacity > buffer->capacity) {
        char *base = malloc(capacity);
        if (base == NULL) {
            return false;
        }
        if (held > 0) {
            memcpy(base, buffer->base + buffer->start, held);
        }
        free(buffer->base);
        buffer->base = base;
        buffer->capacity = capacity;
    } else {
        memmove(buffer->base, buffer->base + buffer->start, held);
    }
    buffer->start = 0;
    buffer->end = held;
    return true;
}

bool buffer_hold(struct buffer *buffer, struct span data)
{
    assert(buffer_bytes(buffer) == 0);
    if (data.len > buffer->capacity) {
        size_t capacity = (data.len | (HOLD_STEP - 1)) + 1;
        char *base = malloc(capacity);
        if (base == NULL) {
            return false;
        }
        free(buffer->base);
        *buffer = (struct buffer){.base = base, .capacity = capacity};
    }
    buffer->start = 0;
    buffer->end = data.len;
    if (data.len > 0) {
        memcpy(buffer->base, data.base, data.len);
    }
    return true;
}

void buffer_consume(struct buffer *buffer, size_t bytes)
{
    assert(bytes <= buffer_bytes(buffer));
    buffer->start += bytes;
    if (buffer->start == buffer->end) {
        buffer->start = 0;
        buffer->end = 0;
    }
}

void buffer_trim(struct buffer *buffer, size_t kept_bytes)
{
    if (buffer->start == buffer->end && buffer->capacity > kept_bytes) {
        buffer_release(buffer);
    }
}

void buffer_release(struct buffer *buffer)
{
    if (buffer->base == NULL) {
        return;
    }
    free(buffer->base);
    *buffer = (struct buffer){0};
}
