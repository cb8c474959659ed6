/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/2 connection: what a client may send, in pieces, while the owner of the streams answers,
 * waits, gives windows back, resets and drains. The owner (tests/support/h2_app.c) aborts when the
 * contract of h2.h is not kept; here it is checked that only whole frames are sent, and that a
 * connection that has ended stays so.
 *
 * Input: two bytes choose how the owner behaves, one the sizes of the pieces. Then bytes as they
 * are, or (first bit) records of type, flags, stream, length and payload, which become frames.
 */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "tests/support/h2_peer.h"

enum { RECORD_BYTES = 4 };

/* How a run goes on; deterministic. */
struct player {
    struct h2_app *app;
    uint32_t random;
    unsigned behaviour;
    uint64_t now_ms;
};

static unsigned next_random(struct player *player, unsigned below)
{
    player->random = player->random * 1664525u + 1013904223u;
    return (player->random >> 16) % below;
}

/* What the owner does on its own: with one stream, which may be closed already. */
static void act(struct player *player)
{
    struct h2_app *app = player->app;
    if (app->request_count == 0) {
        return;
    }
    struct h2_app_request *request = &app->requests[next_random(player, app->request_count)];
    switch (next_random(player, 8)) {
    case 0:
        if (!request->closed && !request->answered) {
            h2_app_answer(request);
        }
        break;
    case 1:
        if (request->ready_bytes < request->answer_bytes) {
            h2_app_provide(request, next_random(player, 2) + 1);
        }
        break;
    case 2: (void)h2_inform(app->h2, request->id, 103, NULL); break;
    case 3:
        if ((player->behaviour & 1) != 0) {
            h2_reset(app->h2, request->id, H2_CANCEL);
        }
        break;
    case 4: h2_widen(app->h2, request->id, 100000); break;
    case 5: h2_resume(app->h2, request->id); break;
    case 6:
        if ((player->behaviour & 2) != 0) {
            h2_drain(app->h2, next_random(player, 2) != 0);
        }
        break;
    default: player->now_ms += next_random(player, 1000); break;
    }
}

static void play(struct player *player, struct span bytes, bool in_pieces)
{
    while (bytes.len > 0) {
        size_t n = in_pieces ? next_random(player, 64) + 1 : 4096;
        n = n < bytes.len ? n : bytes.len;
        struct h2_raw_result result =
            h2_raw_play(player->app, (struct span){bytes.base, n}, SIZE_MAX, player->now_ms);
        check(!result.broken_frame);
        if (result.ended) {
            struct h2_raw_result after =
                h2_raw_play(player->app, SPAN("\0\0\0\4\0\0\0\0\0"), SIZE_MAX, player->now_ms);
            check(after.ended && after.goaways == 0 && after.heads == 0);
            return;
        }
        act(player);
        bytes.base += n;
        bytes.len -= n;
    }
}

/* Records become frames; a length is cut at the end of the input. */
static void write_frames(struct buffer *out, const uint8_t *data, size_t size)
{
    while (size >= RECORD_BYTES) {
        size_t length = data[3];
        length = length < size - RECORD_BYTES ? length : size - RECORD_BYTES;
        h2_raw_frame(out, data[0] & 0x1f, data[1], data[2],
                     (struct span){(const char *)data + RECORD_BYTES, length});
        data += RECORD_BYTES + length;
        size -= RECORD_BYTES + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct h2_app app;
    if (size < 3) {
        return 0;
    }
    struct player player = {.app = &app, .random = data[2], .behaviour = data[1]};
    unsigned flags = data[0];
    app.hold_answers = (flags & 2) != 0;
    app.hold_bodies = (flags & 4) != 0;
    app.defer_bodies = (flags & 8) != 0;
    app.refuse = (flags & 0xf0) == 0xf0;
    app.with_trailers = (flags & 16) != 0;
    app.answer_bytes = (flags & 32) != 0 ? 70000 : flags >> 6;
    h2_app_open(&app, &(struct h2_options){.connect_protocol = (data[1] & 4) != 0,
                                           .max_streams = data[1] >> 4,
                                           .stream_window = (data[1] & 8) != 0 ? 100 : 0});
    struct buffer bytes = {0};
    if ((flags & 1) != 0) {
        h2_raw_hello(&bytes);
        write_frames(&bytes, data + 3, size - 3);
    } else {
        check(buffer_append(&bytes, (struct span){(const char *)data + 3, size - 3}, SIZE_MAX / 2));
    }
    play(&player, buffer_span(&bytes), data[2] % 2 == 0);
    h2_free(app.h2);
    check(app.closed_count == app.request_count);
    buffer_release(&bytes);
    return 0;
}
