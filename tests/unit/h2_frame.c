/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of HTTP/2 frames: what is read, written and refused, by type, length, flags and stream. */
#include <criterion/criterion.h>

#include "server/h2.h"
#include "server/h2_frame.h"

Test(h2_frame, heads_are_read_and_written)
{
    const uint8_t head[H2_FRAME_HEAD_BYTES] = {0x01, 0x02, 0x03, 0x09, 0x04,
                                               0xff, 0xff, 0xff, 0xfe};
    struct h2_frame frame = h2_frame_read(head);
    cr_expect_eq(frame.length, 0x010203);
    cr_expect_eq(frame.type, H2_CONTINUATION);
    cr_expect_eq(frame.flags, H2_END_HEADERS);
    cr_expect_eq(frame.stream, 0x7ffffffe, "without the reserved bit");
    uint8_t copy[H2_FRAME_HEAD_BYTES];
    cr_expect_eq(h2_frame_write(copy, &frame), copy + sizeof copy);
    cr_expect_eq(memcmp(copy, head, 5), 0);
    cr_expect_eq(copy[5], 0x7f);
}

Test(h2_frame, settings_are_read_and_written)
{
    uint8_t bytes[H2_SETTING_BYTES];
    struct h2_setting setting = {H2_INITIAL_WINDOW_SIZE, 0x89abcdef};
    cr_expect_eq(h2_setting_write(bytes, setting), bytes + sizeof bytes);
    struct h2_setting copy = h2_setting_read(bytes);
    cr_expect(copy.id == setting.id && copy.value == setting.value);
}

struct check_row {
    struct h2_frame frame;
    uint32_t error;
    size_t prelude; /* of good ones */
};

#define FRAME(type_, flags_, stream_, length_)                                                     \
    {                                                                                              \
        .type = type_, .flags = flags_, .stream = stream_, .length = length_                       \
    }

static const struct check_row checks[] = {
    {FRAME(H2_DATA, 0, 1, 16384), H2_NO_ERROR, 0},
    {FRAME(H2_DATA, 0, 1, 16385), H2_FRAME_SIZE_ERROR, 0},
    {FRAME(H2_DATA, 0, 0, 1), H2_PROTOCOL_ERROR, 0},
    {FRAME(H2_DATA, H2_PADDED, 1, 1), H2_NO_ERROR, 1},
    {FRAME(H2_DATA, H2_PADDED, 1, 0), H2_FRAME_SIZE_ERROR, 0},
    {FRAME(H2_DATA, H2_PRIORITIZED, 1, 0), H2_NO_ERROR, 0},
    {FRAME(H2_HEADERS, H2_END_HEADERS, 1, 0), H2_NO_ERROR, 0},
    {FRAME(H2_HEADERS, H2_PADDED | H2_PRIORITIZED, 1, 6), H2_NO_ERROR, 6},
    {FRAME(H2_HEADERS, H2_PADDED | H2_PRIORITIZED, 1, 5), H2_FRAME_SIZE_ERROR, 0},
    {FRAME(H2_HEADERS, H2_PRIORITIZED, 1, 4), H2_FRAME_SIZE_ERROR, 0},
    {FRAME(H2_HEADERS, 0, 0, 4), H2_PROTOCOL_ERROR, 0},
    {FRAME(H2_PRIORITY, 0, 3, 5), H2_NO_ERROR, 5},
    {FRAME(H2_PRIORITY, 0, 3, 4), H2_FRAME_SIZE_ERROR, 0},
    {FRAME(H2_PRIORITY, 0, 0, 5), H2_PROTOCOL_ERROR, 0},
    {FRAME(H2_RST_STREAM, 0, 1, 4), H2_NO_ERROR, 4},
    {FRAME(H2_RST_STREAM, 0, 1, 5), H2_FRAME_SIZE_ERROR, 0},
    {FRAME(H2_RST_STREAM, 0, 0, 4), H2_PROTOCOL_ERROR, 0},
    {FRAME(H2_SETTINGS, 0, 0, 12), H2_NO_ERROR, 12},
    {FRAME(H2_SETTINGS, 0, 0, 13), H2_FRAME_SIZE_ERROR, 0},
    {FRAME(H2_SETTINGS, 0, 1, 12), H2_PROTOCOL_ERROR, 0},
    {FRAME(H2_SETTINGS, H2_ACK, 0, 0), H2_NO_ERROR, 0},
    {FRAME(H2_SETTINGS, H2_ACK, 0, 6), H2_FRAME_SIZE_ERROR, 0},
    {FRAME(H2_PUSH_PROMISE, 0, 1, 8), H2_PROTOCOL_ERROR, 0},
    {FRAME(H2_PING, 0, 0, 8), H2_NO_ERROR, 8},
    {FRAME(H2_PING, 0, 0, 7), H2_FRAME_SIZE_ERROR, 0},
    {FRAME(H2_PING, 0, 1, 8), H2_PROTOCOL_ERROR, 0},
    {FRAME(H2_GOAWAY, 0, 0, 100), H2_NO_ERROR, 8},
    {FRAME(H2_GOAWAY, 0, 0, 7), H2_FRAME_SIZE_ERROR, 0},
    {FRAME(H2_GOAWAY, 0, 1, 8), H2_PROTOCOL_ERROR, 0},
    {FRAME(H2_WINDOW_UPDATE, 0, 0, 4), H2_NO_ERROR, 4},
    {FRAME(H2_WINDOW_UPDATE, 0, 1, 4), H2_NO_ERROR, 4},
    {FRAME(H2_WINDOW_UPDATE, 0, 1, 3), H2_FRAME_SIZE_ERROR, 0},
    {FRAME(H2_CONTINUATION, 0, 1, 9), H2_NO_ERROR, 0},
    {FRAME(H2_CONTINUATION, 0, 0, 9), H2_PROTOCOL_ERROR, 0},
    {FRAME(H2_PRIORITY_UPDATE, 0, 0, 4), H2_NO_ERROR, 4},
    {FRAME(H2_PRIORITY_UPDATE, 0, 0, 9000), H2_NO_ERROR, H2_PRIORITY_UPDATE_BYTES_MAX},
    {FRAME(H2_PRIORITY_UPDATE, 0, 0, 3), H2_FRAME_SIZE_ERROR, 0},
    {FRAME(H2_PRIORITY_UPDATE, 0, 1, 4), H2_PROTOCOL_ERROR, 0},
    {FRAME(0x0a, 0xff, 0, 16384), H2_NO_ERROR, 0},
    {FRAME(0xff, 0xff, 1, 16385), H2_FRAME_SIZE_ERROR, 0},
};

Test(h2_frame, heads_are_checked)
{
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        const struct check_row *row = &checks[i];
        uint32_t error = h2_frame_check(&row->frame);
        cr_expect_eq(error, row->error, "row %zu: %u", i, error);
        if (error == H2_NO_ERROR) {
            cr_expect_eq(h2_frame_prelude(&row->frame), row->prelude, "row %zu", i);
        }
    }
}

Test(h2_frame, values_of_settings_are_checked)
{
    static const struct {
        struct h2_setting setting;
        uint32_t error;
    } rows[] = {
        {{H2_HEADER_TABLE_SIZE, UINT32_MAX}, H2_NO_ERROR},
        {{H2_ENABLE_PUSH, 1}, H2_NO_ERROR},
        {{H2_ENABLE_PUSH, 2}, H2_PROTOCOL_ERROR},
        {{H2_INITIAL_WINDOW_SIZE, INT32_MAX}, H2_NO_ERROR},
        {{H2_INITIAL_WINDOW_SIZE, 1u << 31}, H2_FLOW_CONTROL_ERROR},
        {{H2_MAX_FRAME_SIZE, 16384}, H2_NO_ERROR},
        {{H2_MAX_FRAME_SIZE, 16383}, H2_PROTOCOL_ERROR},
        {{H2_MAX_FRAME_SIZE, (1 << 24) - 1}, H2_NO_ERROR},
        {{H2_MAX_FRAME_SIZE, 1 << 24}, H2_PROTOCOL_ERROR},
        {{H2_ENABLE_CONNECT_PROTOCOL, 2}, H2_PROTOCOL_ERROR},
        {{H2_NO_RFC7540_PRIORITIES, 2}, H2_PROTOCOL_ERROR},
        {{0x7777, UINT32_MAX}, H2_NO_ERROR},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_expect_eq(h2_setting_check(rows[i].setting), rows[i].error, "row %zu", i);
    }
}
