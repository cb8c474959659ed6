/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of files that are kept in memory (server/stream.c, server/hot.c): how much is read, what is
 * remembered of it, and that the next request takes it from there. And the table of streams. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "server/epoch.h"
#include "server/stream.h"

enum { KEPT = 100 << 10, LARGE = 1 << 20, CHUNK = 64 << 10 };

static struct epoch epoch;
static struct stream stream;

static void setup(void)
{
    epoch = (struct epoch){.hot = hot_create()};
    cr_assert_not_null(epoch.hot);
}

static void teardown(void)
{
    hot_release(stream.hot);
    hot_free(epoch.hot);
}

/* The answer is the file of so many bytes at the beginning of the tar. */
static void answer_file(uint64_t bytes)
{
    stream = (struct stream){.epoch = &epoch};
    stream.exchange.body = (struct body){.kind = BODY_FILE, .file_bytes = bytes};
    stream_warm(&stream);
    stream_start_body(&stream);
}

TestSuite(stream, .init = setup, .fini = teardown);

Test(stream, file_beyond_a_chunk_is_remembered)
{
    char *data = malloc(KEPT);
    cr_assert_not_null(data);
    memset(data, 'x', KEPT);
    answer_file(KEPT);
    cr_assert_eq(stream_read_bytes(&stream, CHUNK), KEPT, "it is read at once");
    stream_was_read(&stream, (struct span){data, KEPT});

    answer_file(KEPT);
    cr_assert_eq(stream.exchange.body.kind, BODY_BYTES);
    cr_assert(span_equal(stream.exchange.body.bytes, (struct span){data, KEPT}));
    free(data);
}

Test(stream, part_of_a_file_is_not_remembered)
{
    char data[CHUNK] = {0};
    answer_file(KEPT);
    stream_was_read(&stream, (struct span){data, sizeof(data)});
    source_advance(&stream.source, sizeof(data));
    cr_assert_eq(stream_read_bytes(&stream, CHUNK), KEPT - CHUNK);

    answer_file(KEPT);
    cr_assert_eq(stream.exchange.body.kind, BODY_FILE);
}

Test(stream, large_file_is_read_by_chunks)
{
    answer_file(LARGE);
    cr_assert_eq(stream_read_bytes(&stream, CHUNK), CHUNK);
    cr_assert(!stream.hot_due);
}

Test(stream, table_gives_back_what_a_burst_needed)
{
    enum { BURST = 4 * LIM_STREAMS_KEPT };
    static struct stream_table table;
    static struct stream *streams[BURST];
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < BURST; i++) {
            streams[i] = stream_open(&table, NULL);
            cr_assert_not_null(streams[i]);
            cr_assert_not_null(pool_alloc(&streams[i]->exchange.pool, 10000));
        }
        cr_assert_eq(table.live, BURST);
        for (unsigned i = 0; i < BURST; i++) {
            stream_close(&table, streams[i]);
        }
        cr_assert_eq(table.block_count, BURST / STREAM_BLOCK_SLOTS);
        stream_table_shrink(&table);
        cr_assert_eq(table.block_count, LIM_STREAMS_KEPT / STREAM_BLOCK_SLOTS);
    }
    stream_table_free(&table);
}
