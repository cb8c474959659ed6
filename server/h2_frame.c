/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of HTTP/2: a table says which length each type may have and whether it is about a stream.
 * A breach ends the connection, also where RFC 9113 would be content with the stream: it allows
 * that (5.4), and who cannot frame is not to be trusted with what follows. */
#include "server/h2_frame.h"

#include "server/h2.h"

enum about { CONNECTION, STREAM, EITHER, NEVER };

struct rule {
    enum about about;
    uint32_t least; /* of the length, without what flags add */
    uint32_t most;
};

static const struct rule rules[] = {
    [H2_DATA] = {STREAM, 0, H2_PAYLOAD_BYTES_MAX},
    [H2_HEADERS] = {STREAM, 0, H2_PAYLOAD_BYTES_MAX},
    [H2_PRIORITY] = {STREAM, H2_PRIORITY_BYTES, H2_PRIORITY_BYTES},
    [H2_RST_STREAM] = {STREAM, H2_NUMBER_BYTES, H2_NUMBER_BYTES},
    [H2_SETTINGS] = {CONNECTION, 0, H2_PAYLOAD_BYTES_MAX},
    [H2_PUSH_PROMISE] = {NEVER, 0, H2_PAYLOAD_BYTES_MAX}, /* RFC 9113 8.4, from a client */
    [H2_PING] = {CONNECTION, H2_PING_BYTES, H2_PING_BYTES},
    [H2_GOAWAY] = {CONNECTION, H2_GOAWAY_BYTES, H2_PAYLOAD_BYTES_MAX},
    [H2_WINDOW_UPDATE] = {EITHER, H2_NUMBER_BYTES, H2_NUMBER_BYTES},
    [H2_CONTINUATION] = {STREAM, 0, H2_PAYLOAD_BYTES_MAX},
    [H2_PRIORITY_UPDATE] = {CONNECTION, H2_NUMBER_BYTES, H2_PAYLOAD_BYTES_MAX},
};

static bool is_known(uint8_t type)
{
    return type <= H2_CONTINUATION || type == H2_PRIORITY_UPDATE;
}

struct h2_frame h2_frame_read(const uint8_t *head)
{
    return (struct h2_frame){
        .length = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2],
        .type = head[3],
        .flags = head[4],
        .stream = h2_number31_read(head + 5),
    };
}

uint8_t *h2_frame_write(uint8_t *at, const struct h2_frame *frame)
{
    at[0] = (uint8_t)(frame->length >> 16);
    at[1] = (uint8_t)(frame->length >> 8);
    at[2] = (uint8_t)frame->length;
    at[3] = frame->type;
    at[4] = frame->flags;
    return h2_number_write(at + 5, frame->stream);
}

/* Padding and priority, which flags announce. */
static uint32_t announced(const struct h2_frame *frame)
{
    bool takes_both = frame->type == H2_HEADERS;
    uint32_t bytes = 0;
    if ((takes_both || frame->type == H2_DATA) && (frame->flags & H2_PADDED) != 0) {
        bytes += 1;
    }
    if (takes_both && (frame->flags & H2_PRIORITIZED) != 0) {
        bytes += H2_PRIORITY_BYTES;
    }
    return bytes;
}

uint32_t h2_frame_check(const struct h2_frame *frame)
{
    if (frame->length > H2_PAYLOAD_BYTES_MAX) {
        return H2_FRAME_SIZE_ERROR;
    }
    if (!is_known(frame->type)) {
        return H2_NO_ERROR;
    }
    const struct rule *rule = &rules[frame->type];
    if (rule->about == NEVER || (rule->about == STREAM && frame->stream == 0) ||
        (rule->about == CONNECTION && frame->stream != 0)) {
        return H2_PROTOCOL_ERROR;
    }
    bool is_settings = frame->type == H2_SETTINGS;
    bool is_ack = is_settings && (frame->flags & H2_ACK) != 0;
    bool fits = frame->length >= rule->least + announced(frame) && frame->length <= rule->most &&
                (!is_settings || frame->length % H2_SETTING_BYTES == 0) &&
                (!is_ack || frame->length == 0);
    return fits ? H2_NO_ERROR : H2_FRAME_SIZE_ERROR;
}

size_t h2_frame_prelude(const struct h2_frame *frame)
{
    switch (frame->type) {
    case H2_DATA:
    case H2_HEADERS: return announced(frame);
    case H2_PRIORITY:
    case H2_RST_STREAM:
    case H2_SETTINGS:
    case H2_PING:
    case H2_WINDOW_UPDATE: return frame->length;
    case H2_GOAWAY: return H2_GOAWAY_BYTES;
    case H2_PRIORITY_UPDATE:
        return frame->length < H2_PRIORITY_UPDATE_BYTES_MAX ? frame->length
                                                            : H2_PRIORITY_UPDATE_BYTES_MAX;
    default: return 0;
    }
}

uint32_t h2_setting_check(struct h2_setting setting)
{
    switch (setting.id) {
    case H2_ENABLE_PUSH:
    case H2_ENABLE_CONNECT_PROTOCOL:
    case H2_NO_RFC7540_PRIORITIES: return setting.value <= 1 ? H2_NO_ERROR : H2_PROTOCOL_ERROR;
    case H2_INITIAL_WINDOW_SIZE:
        return setting.value <= INT32_MAX ? H2_NO_ERROR : H2_FLOW_CONTROL_ERROR;
    case H2_MAX_FRAME_SIZE:
        return setting.value >= 1 << 14 && setting.value < 1 << 24 ? H2_NO_ERROR
                                                                   : H2_PROTOCOL_ERROR;
    default: return H2_NO_ERROR;
    }
}

struct h2_setting h2_setting_read(const uint8_t *at)
{
    return (struct h2_setting){(uint16_t)(at[0] << 8 | at[1]), h2_number_read(at + 2)};
}

uint8_t *h2_setting_write(uint8_t *at, struct h2_setting setting)
{
    at[0] = (uint8_t)(setting.id >> 8);
    at[1] = (uint8_t)setting.id;
    return h2_number_write(at + 2, setting.value);
}
