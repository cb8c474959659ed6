/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of HTTP/2 connections: objects of all sizes keep what is in them, and a connection that
 * rests holds no pages for frames and goes on as if it had them. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <sys/mman.h>

#include "server/h2_int.h"
#include "tests/support/h2_peer.h"

enum { OBJECTS = 3000, PAGE_BYTES = 4096 };

struct object {
    unsigned char *bytes;
    size_t size;
};

static void fill(struct object *object, unsigned char mark)
{
    memset(object->bytes, mark, object->size);
}

static bool holds(const struct object *object, unsigned char mark)
{
    for (size_t i = 0; i < object->size; i++) {
        if (object->bytes[i] != mark) {
            return false;
        }
    }
    return true;
}

static size_t size_at(unsigned i)
{
    return i % 50 == 0 ? 8000 + i * 7 % 40000 : i * 37 % 1300;
}

Test(h2_memory, objects_do_not_overlap)
{
    static struct object objects[OBJECTS];
    struct h2_memory *memory = h2_memory_create();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < OBJECTS; i++) {
            objects[i].size = size_at(i + round);
            objects[i].bytes = h2_memory_take(memory, objects[i].size);
            cr_assert_not_null(objects[i].bytes);
            cr_assert_eq((uintptr_t)objects[i].bytes % 16, 0);
            fill(&objects[i], (unsigned char)i);
        }
        for (unsigned i = 0; i < OBJECTS; i += 2) { /* every other one is another one meanwhile */
            cr_assert(holds(&objects[i], (unsigned char)i), "%u", i);
            h2_memory_give(memory, objects[i].bytes);
        }
        h2_memory_trim(memory);
        for (unsigned i = 0; i < OBJECTS; i += 2) {
            objects[i].bytes = h2_memory_take(memory, objects[i].size);
            fill(&objects[i], (unsigned char)(i + 1));
        }
        for (unsigned i = 0; i < OBJECTS; i++) {
            cr_assert(holds(&objects[i], (unsigned char)(i % 2 == 0 ? i + 1 : i)), "%u", i);
            h2_memory_give(memory, objects[i].bytes);
        }
    }
    h2_memory_free(memory);
}

Test(h2_memory, sizes_change)
{
    struct h2_memory *memory = h2_memory_create();
    struct h2_room room;
    h2_room_open(&room, memory);
    nghttp2_mem functions = h2_room_functions(&room);
    struct object object = {NULL, 0};
    for (size_t size = 1; size < 100000; size = size * 3 / 2 + 1) {
        object.bytes = functions.realloc(object.bytes, size, functions.mem_user_data);
        cr_assert_not_null(object.bytes);
        cr_assert(holds(&object, 'x'), "%zu", size);
        object.size = size;
        fill(&object, 'x');
    }
    functions.free(object.bytes, functions.mem_user_data);
    cr_expect_null(functions.calloc(SIZE_MAX / 2, 3, functions.mem_user_data));
    cr_expect_null(functions.malloc(SIZE_MAX - 8, functions.mem_user_data));
    unsigned char *zeros = functions.calloc(100, 10, functions.mem_user_data);
    cr_expect(holds(&(struct object){zeros, 1000}, 0));
    functions.free(zeros, functions.mem_user_data);
    h2_room_close(&room);
    h2_memory_free(memory);
}

static unsigned resident(const char *pages, unsigned count)
{
    unsigned char in_core[16] = {0};
    unsigned found = 0;
    cr_assert_eq(mincore((void *)pages, (size_t)count * PAGE_BYTES, in_core), 0);
    for (unsigned i = 0; i < count; i++) {
        found += in_core[i] & 1;
    }
    return found;
}

static void ask(struct h2_peer *peer)
{
    int32_t id = h2_peer_request(peer, "GET", "/", NULL, 0);
    h2_peer_run(peer);
    struct h2_answer *answer = h2_peer_answer(peer, id);
    cr_assert(answer->closed && answer->status == 200);
    cr_expect(answer->body_bytes == 100 && !answer->body_wrong);
}

/* If a version of the library allocated otherwise, this would say so. */
Test(h2_memory, a_session_that_rests_has_no_pages)
{
    struct h2_memory *memory = h2_memory_create();
    struct h2_peer *peer = h2_peer_new();
    peer->app.answer_bytes = 100;
    h2_peer_open(peer, &(struct h2_options){.memory = memory});
    const struct h2_room *room = &peer->app.h2->room;
    cr_assert(room->has_frame && room->has_table);
    for (int i = 0; i < 3; i++) {
        ask(peer);
        cr_expect_gt(resident(room->pages, 6), 0);
        h2_rest(peer->app.h2);
        cr_expect_eq(resident(room->pages, 6), 0);
    }
    h2_peer_free(peer);
    h2_memory_free(memory);
}

Test(h2_memory, a_session_at_work_does_not_rest)
{
    struct h2_memory *memory = h2_memory_create();
    struct h2_peer *peer = h2_peer_new();
    peer->app.answer_bytes = 100;
    peer->app.hold_answers = true;
    h2_peer_open(peer, &(struct h2_options){.memory = memory});
    int32_t id = h2_peer_request(peer, "GET", "/", NULL, 0);
    h2_peer_run(peer);
    unsigned before = resident(peer->app.h2->room.pages, 6);
    h2_rest(peer->app.h2);
    cr_expect_eq(resident(peer->app.h2->room.pages, 6), before);
    h2_app_answer(h2_peer_seen(peer, id));
    h2_peer_run(peer);
    cr_expect_eq(h2_peer_answer(peer, id)->status, 200);
    h2_peer_free(peer);
    h2_memory_free(memory);
}

Test(h2_memory, many_sessions)
{
    enum { SESSIONS = 150 }; /* more than a chunk has room for */
    struct h2_memory *memory = h2_memory_create();
    static struct h2_peer *peers[SESSIONS];
    for (int i = 0; i < SESSIONS; i++) {
        peers[i] = h2_peer_new();
        peers[i]->app.answer_bytes = 100;
        h2_peer_open(peers[i], &(struct h2_options){.memory = memory});
        ask(peers[i]);
    }
    for (int i = 0; i < SESSIONS; i += 2) {
        h2_rest(peers[i]->app.h2);
    }
    for (int i = 0; i < SESSIONS; i++) {
        ask(peers[i]);
        h2_peer_free(peers[i]);
    }
    h2_memory_free(memory);
}
