/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of HTTP/2 (RFC 9113 4 and 6, RFC 9218 7.1): their heads, what a head alone may say, how
 * much of a payload has to be there before the frame means anything, and numbers in payloads. Pure:
 * nothing here knows of connections or streams.
 */
#ifndef SERVER_H2_FRAME_H
#define SERVER_H2_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum h2_frame_type {
    H2_DATA = 0x0,
    H2_HEADERS = 0x1,
    H2_PRIORITY = 0x2,
    H2_RST_STREAM = 0x3,
    H2_SETTINGS = 0x4,
    H2_PUSH_PROMISE = 0x5,
    H2_PING = 0x6,
    H2_GOAWAY = 0x7,
    H2_WINDOW_UPDATE = 0x8,
    H2_CONTINUATION = 0x9,
    H2_PRIORITY_UPDATE = 0x10,
};

enum h2_frame_flag {
    H2_ACK = 0x1,
    H2_END_STREAM = 0x1,
    H2_END_HEADERS = 0x4,
    H2_PADDED = 0x8,
    H2_PRIORITIZED = 0x20,
};

/* RFC 9113 6.5.2, RFC 8441 3, RFC 9218 2.1 */
enum h2_setting_id {
    H2_HEADER_TABLE_SIZE = 0x1,
    H2_ENABLE_PUSH = 0x2,
    H2_MAX_CONCURRENT_STREAMS = 0x3,
    H2_INITIAL_WINDOW_SIZE = 0x4,
    H2_MAX_FRAME_SIZE = 0x5,
    H2_MAX_HEADER_LIST_SIZE = 0x6,
    H2_ENABLE_CONNECT_PROTOCOL = 0x8,
    H2_NO_RFC7540_PRIORITIES = 0x9,
};

enum {
    H2_PAYLOAD_BYTES_MAX = 16384, /* of a frame to us: the default of SETTINGS_MAX_FRAME_SIZE */
    H2_WINDOW_DEFAULT = 65535,
    H2_SETTING_BYTES = 6,
    H2_PRIORITY_BYTES = 5,
    H2_NUMBER_BYTES = 4,
    H2_PING_BYTES = 8,
    H2_GOAWAY_BYTES = 8,
    /* PRIORITY_UPDATE: with a longer text nobody needs to look at it. */
    H2_PRIORITY_UPDATE_BYTES_MAX = H2_NUMBER_BYTES + 128,
};

struct h2_frame {
    uint32_t length; /* of the payload */
    uint32_t stream;
    uint8_t type; /* may be one that nobody knows */
    uint8_t flags;
};

struct h2_setting {
    uint16_t id; /* may be one that nobody knows */
    uint32_t value;
};

/* Of H2_FRAME_HEAD_BYTES. */
struct h2_frame h2_frame_read(const uint8_t *head);
/* Returns the place behind. */
uint8_t *h2_frame_write(uint8_t *at, const struct h2_frame *frame);

/* What the head of a frame from a client says against the rules, as the error that the connection
 * ends with; or 0. */
uint32_t h2_frame_check(const struct h2_frame *frame);
/* Bytes at the start of the payload that have to be in one piece: all of a control frame that
 * matters, of others what is ahead of their content. At most the payload's length. */
size_t h2_frame_prelude(const struct h2_frame *frame);
/* The error of a connection whose peer sets that value; or 0. */
uint32_t h2_setting_check(struct h2_setting setting);

static inline uint32_t h2_number_read(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The same without the first bit, which is reserved in ids and increments. */
static inline uint32_t h2_number31_read(const uint8_t *at)
{
    return h2_number_read(at) & 0x7fffffff;
}

static inline uint8_t *h2_number_write(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
    return at + H2_NUMBER_BYTES;
}

struct h2_setting h2_setting_read(const uint8_t *at);
/* Returns the place behind. */
uint8_t *h2_setting_write(uint8_t *at, struct h2_setting setting);

#endif
