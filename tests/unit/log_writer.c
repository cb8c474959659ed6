/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of several threads on their way to pipes, sockets that nobody reads, and files that move.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/log_queue.h"
#include "server/log_writer.h"

static struct log_writer *start(const struct log_target *target)
{
    char error[256] = "";
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    struct log_writer *writer = log_writer_open(target, error, sizeof error);
    cr_assert_not_null(writer, "%s", error);
    cr_assert(log_writer_start(writer));
    return writer;
}

static void put(struct log_writer *writer, const char *line)
{
    log_writer_put(writer, span_of(line), 1, false);
}

/* ---- the queue ---- */

static void check_next(struct log_queue *queue, const char *wanted)
{
    char got[64] = "";
    struct span text;
    while ((text = log_queue_next(queue)).len > 0) {
        cr_assert(strlen(got) + text.len < sizeof got);
        memcpy(got + strlen(got), text.base, text.len);
        log_queue_take(queue, text.len);
    }
    cr_assert_str_eq(got, wanted);
}

/* Lines go round the memory many times, and lie across its end in every way. */
Test(log_queue, wraps)
{
    static struct log_queue queue;
    char line[32];
    for (unsigned i = 0; i < 200000; i++) {
        int bytes = snprintf(line, sizeof line, "line %u\n", i);
        log_queue_put(&queue, (struct span){line, (size_t)bytes}, 1);
        check_next(&queue, line);
    }
    cr_expect_eq(log_queue_dropped(&queue), 0);
}

Test(log_queue, drops_what_does_not_fit)
{
    static struct log_queue queue;
    static char text[LIM_LOG_QUEUE_BYTES + 1];
    log_queue_put(&queue, (struct span){text, sizeof text}, 7);
    cr_expect_eq(log_queue_dropped(&queue), 7);
    cr_expect_eq(log_queue_next(&queue).len, 0);
    log_queue_put(&queue, (struct span){text, LIM_LOG_QUEUE_BYTES}, 1);
    cr_expect_eq(log_queue_next(&queue).len, LIM_LOG_QUEUE_BYTES);
    log_queue_put(&queue, (struct span){text, 1}, 2);
    cr_expect_eq(log_queue_dropped(&queue), 9);
    log_queue_take(&queue, 1);
    log_queue_put(&queue, (struct span){text, 1}, 1);
    cr_expect_eq(log_queue_dropped(&queue), 9);
}

/* ---- the writer ---- */

enum { THREADS = 4, LINES = 5000 };

struct talker {
    pthread_t thread;
    struct log_writer *writer;
    unsigned number;
};

static void *talk(void *argument)
{
    struct talker *talker = argument;
    char line[32];
    for (unsigned i = 0; i < LINES; i++) {
        int bytes = snprintf(line, sizeof line, "%u %u\n", talker->number, i);
        log_writer_put(talker->writer, (struct span){line, (size_t)bytes}, 1,
                       talker->number % 2 > 0);
    }
    return NULL;
}

/* Lines that keep coming are written several at a time. */
Test(log_writer, gathers_lines_that_keep_coming, .timeout = 100)
{
    enum { COUNT = 400, GAP_US = 200 };
    char packet[LIM_LOG_WRITE_BYTES];
    int ends[2];
    unsigned next = 0, packets = 0;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0); /* each write is a packet */
    struct log_writer *writer = start(&(struct log_target){.name = "log", .fd = ends[1]});
    for (unsigned i = 0; i < COUNT; i++) {
        char line[16];
        snprintf(line, sizeof line, "%u\n", i);
        put(writer, line);
        usleep(GAP_US);
    }
    cr_assert(log_writer_stop(writer));
    close(ends[1]);
    for (ssize_t bytes; (bytes = recv(ends[0], packet, sizeof packet - 1, 0)) > 0; packets++) {
        char *at = packet;
        for (packet[bytes] = '\0'; *at != '\0'; next++) {
            cr_assert_eq(strtoul(at, &at, 10), next);
            cr_assert_eq(*at++, '\n');
        }
    }
    cr_expect_eq(next, COUNT);
    cr_expect_lt(packets, COUNT / 2, "%u writes", packets);
    close(ends[0]);
}

/* Also right behind lines that are not. (Of most: test machines are busy.) */
Test(log_writer, urgent_lines_are_not_kept_waiting, .timeout = 100)
{
    enum { COUNT = 100 };
    char packet[LIM_LOG_WRITE_BYTES];
    int ends[2];
    unsigned soon = 0;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    struct log_writer *writer = start(&(struct log_target){.name = "log", .fd = ends[1]});
    for (unsigned i = 0; i < COUNT; i++) {
        put(writer, "a\n");
        log_writer_put(writer, span_of("b\n"), 1, true);
        uint64_t start_ms = clock_ms();
        for (ssize_t got = 0; got < 4; got += recv(ends[0], packet, sizeof packet, 0))
            continue;
        soon += clock_ms() - start_ms < LIM_LOG_REST_MS - 1;
    }
    cr_expect_gt(soon, COUNT / 2, "%u", soon);
    cr_assert(log_writer_stop(writer));
    close(ends[0]);
    close(ends[1]);
}

/* Each thread's lines come whole and in order; later threads use the queues of earlier ones. */
Test(log_writer, keeps_lines_of_threads_whole, .timeout = 100)
{
    enum { ROUNDS = 2 };
    FILE *file = tmpfile();
    struct talker talkers[ROUNDS * THREADS];
    unsigned next[ROUNDS * THREADS] = {0};
    unsigned number;
    unsigned i;
    cr_assert_not_null(file);
    struct log_writer *writer = start(&(struct log_target){.name = "log", .fd = fileno(file)});
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct talker *first = &talkers[round * THREADS];
        for (unsigned t = 0; t < THREADS; t++) {
            first[t] = (struct talker){.writer = writer, .number = round * THREADS + t};
            cr_assert_eq(pthread_create(&first[t].thread, NULL, talk, &first[t]), 0);
        }
        for (unsigned t = 0; t < THREADS; t++) {
            pthread_join(first[t].thread, NULL);
        }
    }
    cr_assert(log_writer_stop(writer));
    rewind(file);
    while (fscanf(file, "%u %u\n", &number, &i) == 2) {
        cr_assert(number < ROUNDS * THREADS);
        cr_assert_eq(i, next[number]);
        next[number]++;
    }
    cr_expect(feof(file));
    for (unsigned t = 0; t < ROUNDS * THREADS; t++) {
        cr_expect_eq(next[t], LINES);
    }
    fclose(file);
}

struct reader {
    FILE *file;
    unsigned long lines;
    unsigned long dropped;
    _Atomic bool after;
};

static void *read_all(void *argument)
{
    struct reader *reader = argument;
    unsigned long dropped;
    char line[100];
    while (fgets(line, sizeof line, reader->file) != NULL) {
        if (sscanf(line, "log: %lu lines dropped\n", &dropped) == 1) {
            reader->dropped += dropped;
        } else {
            reader->lines += strcmp(line, "a line of the log\n") == 0;
            atomic_store(&reader->after, strcmp(line, "after\n") == 0);
        }
    }
    return NULL;
}

/* Nobody reads the pipe: putting never waits, and once somebody reads, the missing lines are told.
 */
Test(log_writer, drops_and_counts, .timeout = 100)
{
    enum { MANY = 200000 };
    int ends[2];
    pthread_t thread;
    cr_assert_eq(pipe(ends), 0);
    struct reader reader = {.file = fdopen(ends[0], "r")};
    struct log_writer *writer = start(&(struct log_target){.name = "log", .fd = ends[1]});
    for (unsigned i = 0; i < MANY; i++) {
        put(writer, "a line of the log\n");
    }
    cr_assert_eq(pthread_create(&thread, NULL, read_all, &reader), 0);
    while (!atomic_load(&reader.after)) { /* until one finds room again */
        usleep(10000);
        put(writer, "after\n");
    }
    cr_assert(log_writer_stop(writer));
    close(ends[1]);
    pthread_join(thread, NULL);
    cr_expect(reader.lines >= LIM_LOG_QUEUE_BYTES / 20);
    cr_expect(reader.dropped >= MANY - reader.lines, "%lu came, %lu dropped", reader.lines,
              reader.dropped);
    fclose(reader.file);
}

Test(log_writer, lets_the_end_come_without_reader, .timeout = 100)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    struct log_writer *writer = start(&(struct log_target){.name = "log", .fd = ends[1]});
    for (unsigned i = 0; i < 20000; i++) {
        put(writer, "a line of the log\n");
    }
    cr_expect(!log_writer_stop(writer));
    _exit(0); /* as the process does: the writer still hangs */
}

/* The reader is gone for good. */
Test(log_writer, survives_a_dead_reader, .timeout = 100)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    struct log_writer *writer = start(&(struct log_target){.name = "log", .fd = ends[1]});
    close(ends[0]);
    for (unsigned i = 0; i < 100000; i++) {
        put(writer, "a line of the log\n");
    }
    cr_expect(log_writer_stop(writer));
    cr_expect(fcntl(ends[1], F_GETFD) >= 0, "the caller's descriptor stays open");
    close(ends[1]);
}

static char told[512];

static void tell(const char *line)
{
    snprintf(told, sizeof told, "%s", line);
}

Test(log_writer, tells_a_full_disk, .timeout = 100)
{
    struct log_target target = {.name = "access log", .path = "/dev/full", .tell = tell};
    struct log_writer *writer = start(&target);
    put(writer, "one\n");
    put(writer, "two\n");
    cr_assert(log_writer_stop(writer));
    cr_expect_str_eq(told, "access log: No space left on device");
}

static bool file_is(const char *path, const char *wanted)
{
    char text[256];
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    size_t bytes = fread(text, 1, sizeof text - 1, file);
    text[bytes] = '\0';
    fclose(file);
    return strcmp(text, wanted) == 0;
}

static bool comes_to_be(const char *path, const char *wanted)
{
    for (unsigned i = 0; i < 2000 && !file_is(path, wanted); i++) {
        usleep(10000);
    }
    return file_is(path, wanted);
}

Test(log_writer, appends_and_reopens, .timeout = 100)
{
    char folder[] = "/tmp/zs-log-XXXXXX";
    char path[64];
    char moved[64];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/log", folder);
    snprintf(moved, sizeof moved, "%s/moved", folder);
    struct log_target target = {.name = "access log", .path = path, .tell = tell};
    struct log_writer *writer = start(&target);
    put(writer, "first\n");
    cr_assert(log_writer_stop(writer));
    writer = start(&target);
    put(writer, "second\n");
    cr_assert(comes_to_be(path, "first\nsecond\n"));
    cr_assert_eq(rename(path, moved), 0);
    put(writer, "third\n");
    cr_assert(comes_to_be(moved, "first\nsecond\nthird\n"));
    log_writer_reopen(writer);
    cr_assert(comes_to_be(path, ""));
    put(writer, "fourth\n");
    cr_assert(log_writer_stop(writer));
    cr_expect(file_is(path, "fourth\n"));
    cr_expect(file_is(moved, "first\nsecond\nthird\n"));
    struct stat st;
    cr_expect(stat(path, &st) == 0 && (st.st_mode & 07) == 0, "others may not read it");
    unlink(path);
    unlink(moved);
    rmdir(folder);
}

Test(log_writer, keeps_the_old_file_when_it_cannot_open, .timeout = 100)
{
    char folder[] = "/tmp/zs-log-XXXXXX";
    char path[64];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/log", folder);
    struct log_target target = {.name = "access log", .path = path, .tell = tell};
    struct log_writer *writer = start(&target);
    cr_assert(unlink(path) == 0 && rmdir(folder) == 0);
    log_writer_reopen(writer);
    put(writer, "into the nameless file\n");
    cr_assert(log_writer_stop(writer));
    cr_expect_not_null(strstr(told, "the old file is kept"), "%s", told);
}

Test(log_writer, needs_its_file)
{
    char error[256] = "";
    struct log_target target = {.name = "access log", .path = "/nowhere/log"};
    cr_assert_null(log_writer_open(&target, error, sizeof error));
    cr_expect_str_eq(error, "/nowhere/log: No such file or directory");
}
