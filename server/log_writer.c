/* SPDX-License-Identifier: Apache-2.0 */
/* The writer sleeps on an event descriptor. Before that it says so and looks at all queues once
 * more; who puts lines does it first and looks whether it sleeps then. Both are sequentially
 * consistent, so at least one of them sees the other.
 *
 * To be woken for each turn of a busy worker would cost both of them more than the lines do. So
 * while lines keep coming the writer rests between two writes, and only urgent ones, or much of
 * them, wake it: `urgent` and `state` are set and looked at as above.
 *
 * Queues are never freed while the writer runs. One whose thread ended is given to the next thread
 * that needs one.
 */
#include "server/log_writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/log_queue.h"

enum { TELL_BYTES = 512 };

struct source {
    struct log_queue queue;
    struct source *next;
    _Atomic bool used; /* a thread puts lines into it */
};

enum writer_state { AWAKE, RESTS, SLEEPS };

struct log_writer {
    struct log_target target;
    int fd;
    int wake_fd;
    int ended_fd;
    bool started;
    pthread_t thread;
    pthread_key_t source; /* of this thread */
    _Atomic(struct source *) sources;
    _Atomic(enum writer_state) state;
    _Atomic bool urgent; /* there are lines that forbid to rest */
    _Atomic bool reopening;
    _Atomic bool stopping;
    _Atomic uint64_t progress; /* bytes written or given up */
    _Atomic uint64_t refused;  /* lines of threads that got no queue */

    /* the writer's */
    uint64_t wrote_ms; /* when it last wrote */
    uint64_t lost;     /* lines that could not be written */
    uint64_t told;     /* of all that are missing */
    int error;         /* of the last write; 0: it was fine */
    bool torn;         /* what was written last does not end a line */
};

/* ---- other threads ---- */

static void wake(struct log_writer *writer)
{
    uint64_t one = 1;
    if (atomic_exchange(&writer->state, AWAKE) != AWAKE) {
        ssize_t written = write(writer->wake_fd, &one, sizeof(one));
        assert(written == sizeof(one));
        (void)written;
    }
}

/* The thread ended. */
static void release_source(void *source)
{
    atomic_store_explicit(&((struct source *)source)->used, false, memory_order_release);
}

static struct source *find_unused(struct log_writer *writer)
{
    struct source *source = atomic_load(&writer->sources);
    for (; source != NULL; source = source->next) {
        bool used = false;
        if (atomic_compare_exchange_strong(&source->used, &used, true)) {
            return source;
        }
    }
    return NULL;
}

static struct source *add_source(struct log_writer *writer)
{
    struct source *source = aligned_alloc(_Alignof(struct source), sizeof(*source));
    if (source == NULL) {
        return NULL;
    }
    /* The bytes are left alone: they take memory once they are used. */
    atomic_init(&source->queue.put, 0);
    atomic_init(&source->queue.taken, 0);
    atomic_init(&source->queue.dropped, 0);
    atomic_init(&source->used, true);
    source->next = atomic_load(&writer->sources);
    while (!atomic_compare_exchange_weak(&writer->sources, &source->next, source)) {
    }
    return source;
}

/* NULL: out of memory. */
static struct source *source_of_thread(struct log_writer *writer)
{
    struct source *source = pthread_getspecific(writer->source);
    if (source == NULL) {
        source = find_unused(writer);
        source = source != NULL ? source : add_source(writer);
        if (source != NULL && pthread_setspecific(writer->source, source) != 0) {
            release_source(source);
            source = NULL;
        }
    }
    return source;
}

void log_writer_put(struct log_writer *writer, struct span text, unsigned lines, bool urgent)
{
    struct source *source = source_of_thread(writer);
    if (source == NULL) {
        atomic_fetch_add(&writer->refused, lines);
        return;
    }
    log_queue_put(&source->queue, text, lines);
    if (urgent) {
        atomic_store(&writer->urgent, true);
    }
    enum writer_state state = atomic_load(&writer->state);
    bool much = log_queue_waiting(&source->queue) > LIM_LOG_QUEUE_BYTES / 4;
    if (state == SLEEPS || (state == RESTS && (much || urgent))) {
        wake(writer);
    }
}

void log_writer_reopen(struct log_writer *writer)
{
    atomic_store(&writer->reopening, true);
    wake(writer);
}

/* ---- the writer ---- */

static void tell(struct log_writer *writer, const char *text);

static int open_target(const struct log_target *target)
{
    return target->path == NULL
               ? target->fd
               : open(target->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
}

static void reopen(struct log_writer *writer)
{
    char text[TELL_BYTES];
    int fd = writer->target.path == NULL ? -1 : open_target(&writer->target);
    if (fd >= 0) {
        close(writer->fd);
        writer->fd = fd;
        writer->torn = false;
    } else if (writer->target.path != NULL) {
        snprintf(text, sizeof(text), "%s: %s: %s; the old file is kept", writer->target.name,
                 writer->target.path, strerror(errno));
        tell(writer, text);
    }
}

/* Bytes that are written, or -1. Waits for the reader, also where the descriptor does not. */
static ssize_t write_some(int fd, struct span text)
{
    for (;;) {
        ssize_t written = write(fd, text.base, text.len);
        if (written >= 0 || (errno != EINTR && errno != EAGAIN)) {
            return written;
        }
        if (errno == EAGAIN) {
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        }
    }
}

static bool write_all(struct log_writer *writer, struct span text)
{
    while (text.len > 0) {
        ssize_t written = write_some(writer->fd, text);
        if (written <= 0) {
            return false;
        }
        text.base += written;
        text.len -= (size_t)written;
        writer->torn = text.base[-1] != '\n';
        atomic_fetch_add(&writer->progress, (uint64_t)written);
    }
    return true;
}

/* A failure of the file is told once. Nobody is left to tell that the reader of a pipe has gone. */
static void note_failure(struct log_writer *writer, int error)
{
    char text[TELL_BYTES];
    if (writer->error == error) {
        return;
    }
    writer->error = error;
    if (writer->target.tell != NULL) {
        snprintf(text, sizeof(text), "%s: %s", writer->target.name, strerror(error));
        writer->target.tell(text);
    }
}

static unsigned count_lines(struct span text)
{
    unsigned lines = 0;
    for (size_t i = 0; i < text.len; i++) {
        lines += text.base[i] == '\n';
    }
    return lines;
}

static void write_piece(struct log_writer *writer, struct span text)
{
    /* The rest of a line whose beginning was written would look like a line. */
    bool mended = !writer->torn || writer->error == 0 || write_all(writer, span_of("\n"));
    if (mended && write_all(writer, text)) {
        writer->error = 0;
        return;
    }
    note_failure(writer, errno);
    writer->lost += count_lines(text);
    atomic_fetch_add(&writer->progress, text.len);
}

static void tell(struct log_writer *writer, const char *text)
{
    char line[TELL_BYTES + 1];
    if (writer->target.tell != NULL) {
        writer->target.tell(text);
        return;
    }
    int bytes = snprintf(line, sizeof(line), "%s\n", text);
    write_all(writer, (struct span){line, (size_t)bytes});
}

static void tell_dropped(struct log_writer *writer)
{
    char text[TELL_BYTES];
    uint64_t missing = writer->lost + atomic_load(&writer->refused);
    struct source *source = atomic_load(&writer->sources);
    for (; source != NULL; source = source->next) {
        missing += log_queue_dropped(&source->queue);
    }
    if (missing != writer->told) {
        snprintf(text, sizeof(text), "%s: %" PRIu64 " lines dropped", writer->target.name,
                 missing - writer->told);
        writer->told = missing;
        tell(writer, text);
    }
}

/* What is written at once: whole lines, unless one lies across the end of the queue's memory. */
static struct span next_piece(const struct log_queue *queue)
{
    struct span text = log_queue_next(queue);
    if (text.len > LIM_LOG_WRITE_BYTES) {
        const char *end = memrchr(text.base, '\n', LIM_LOG_WRITE_BYTES);
        text.len = end != NULL ? (size_t)(end + 1 - text.base) : LIM_LOG_WRITE_BYTES;
    }
    return text;
}

/* A turn for each queue; it ends with a line, so that lines of several do not mix. False: all were
 * empty. */
static bool write_queues(struct log_writer *writer)
{
    bool any = false;
    struct source *source = atomic_load(&writer->sources);
    for (; source != NULL; source = source->next) {
        struct span text;
        bool whole = false;
        while (!whole && (text = next_piece(&source->queue)).len > 0) {
            whole = text.base[text.len - 1] == '\n';
            write_piece(writer, text);
            log_queue_take(&source->queue, text.len);
            any = true;
        }
    }
    if (any && writer->error == 0) {
        tell_dropped(writer);
    }
    return any;
}

static void tell_ended(struct log_writer *writer)
{
    uint64_t one = 1;
    ssize_t written = write(writer->ended_fd, &one, sizeof(one));
    assert(written == sizeof(one));
    (void)written;
}

static void await_wake(struct log_writer *writer)
{
    uint64_t ignored;
    ssize_t got = read(writer->wake_fd, &ignored, sizeof(ignored));
    (void)got; /* an interruption leads to another look, too */
}

static void rest(struct log_writer *writer)
{
    atomic_store(&writer->state, RESTS);
    if (!atomic_load(&writer->urgent) &&
        poll(&(struct pollfd){.fd = writer->wake_fd, .events = POLLIN}, 1, LIM_LOG_REST_MS) == 1) {
        await_wake(writer);
    }
    atomic_store(&writer->state, AWAKE);
}

/* Lines were written. A single one, after a while without, is followed by no rest. */
static void rest_if_busy(struct log_writer *writer)
{
    uint64_t now_ms = clock_ms();
    bool busy = now_ms - writer->wrote_ms <= 2 * LIM_LOG_REST_MS;
    writer->wrote_ms = now_ms;
    if (busy && !atomic_load(&writer->stopping)) {
        rest(writer);
    }
}

static void *writer_main(void *argument)
{
    struct log_writer *writer = argument;
    for (;;) {
        if (atomic_exchange(&writer->reopening, false)) {
            reopen(writer);
        }
        atomic_store(&writer->urgent, false);
        if (write_queues(writer)) {
            rest_if_busy(writer);
            continue;
        }
        bool stopping = atomic_load(&writer->stopping);
        atomic_store(&writer->state, SLEEPS);
        if (write_queues(writer) || atomic_load(&writer->reopening)) {
            atomic_store(&writer->state, AWAKE);
        } else if (stopping) {
            tell_ended(writer);
            return NULL;
        } else if (!atomic_load(&writer->stopping)) {
            await_wake(writer);
        }
    }
}

/* ---- life ---- */

static void free_writer(struct log_writer *writer)
{
    struct source *next;
    pthread_key_delete(writer->source);
    for (struct source *s = atomic_load(&writer->sources); s != NULL; s = next) {
        next = s->next;
        free(s);
    }
    if (writer->target.path != NULL && writer->fd >= 0) {
        close(writer->fd);
    }
    if (writer->wake_fd >= 0) {
        close(writer->wake_fd);
    }
    if (writer->ended_fd >= 0) {
        close(writer->ended_fd);
    }
    free(writer);
}

struct log_writer *log_writer_open(const struct log_target *target, char *error, size_t error_bytes)
{
    struct log_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL || pthread_key_create(&writer->source, release_source) != 0) {
        snprintf(error, error_bytes, "out of memory");
        free(writer);
        return NULL;
    }
    writer->target = *target;
    writer->wake_fd = eventfd(0, EFD_CLOEXEC);
    writer->ended_fd = eventfd(0, EFD_CLOEXEC);
    writer->fd = open_target(target);
    if (writer->fd < 0 || writer->wake_fd < 0 || writer->ended_fd < 0) {
        snprintf(error, error_bytes, "%s: %s", target->path != NULL ? target->path : target->name,
                 strerror(errno));
        free_writer(writer);
        return NULL;
    }
    return writer;
}

bool log_writer_start(struct log_writer *writer)
{
    writer->started = pthread_create(&writer->thread, NULL, writer_main, writer) == 0;
    return writer->started;
}

/* Waits until the thread ended, as the header says. */
static bool await_end(struct log_writer *writer)
{
    enum { SLICE_MS = 50, SLICES_STILL = 20, SLICES = 100 };
    uint64_t seen = atomic_load(&writer->progress);
    for (int i = 0, still = 0; i < SLICES && still < SLICES_STILL; i++) {
        if (poll(&(struct pollfd){.fd = writer->ended_fd, .events = POLLIN}, 1, SLICE_MS) == 1) {
            pthread_join(writer->thread, NULL);
            return true;
        }
        uint64_t now = atomic_load(&writer->progress);
        still = now == seen ? still + 1 : 0;
        seen = now;
    }
    return false;
}

bool log_writer_stop(struct log_writer *writer)
{
    atomic_store(&writer->stopping, true);
    wake(writer);
    if (writer->started && !await_end(writer)) {
        return false;
    }
    free_writer(writer);
    return true;
}
