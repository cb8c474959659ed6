/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of streams whose scripts wait for the processor or for an arena. */
#include "server/schedule.h"

#include "server/clock.h"
#include "server/request.h"
#include "server/script.h"
#include "server/worker.h"

static struct stream *first_of(const struct worker *worker, enum stream_wait wait)
{
    return worker->streams.waiting[wait].first;
}

bool schedule_may_start(const struct worker *worker)
{
    return !worker->schedule.spent && first_of(worker, STREAM_NEW) == NULL;
}

void schedule_spent(struct worker *worker)
{
    worker->schedule.spent = true;
    worker->schedule.newcomer_ticks++;
}

/* Gives each of the list a go, the oldest wait first, until the tick is spent, by one that is
 * switched out or by several that are not. True: all had theirs. */
static bool resume_all(struct worker *worker, enum stream_wait wait)
{
    struct stream_list *list = &worker->streams.waiting[wait];
    const struct stream *last = list->last;
    uint64_t end_ms = worker->conns.now_ms + worker->options->tick_ms;
    bool more = last != NULL;
    bool was_spent = worker->schedule.spent;
    while (more && list->first != NULL && !worker->schedule.spent) {
        struct stream *stream = list->first;
        more = stream != last;
        worker_touch(worker, stream->conn);
        request_resume(worker, stream);
        worker->schedule.spent = worker->schedule.spent || clock_ms() >= end_ms;
    }
    if (!was_spent && worker->schedule.spent && wait != STREAM_NEW) {
        worker->schedule.newcomer_ticks = 0;
    }
    return !more || list->first == NULL;
}

/* All try, also those for whom there can be none: a caller of another script may have been waiting
 * for what will not come any more. */
static void resume_starved(struct worker *worker)
{
    uint64_t given_back = script_host_given_back(worker->host);
    if (given_back != worker->schedule.given_back && resume_all(worker, STREAM_STARVED)) {
        worker->schedule.given_back = given_back;
    }
}

/* Scripts that wait for clients keep their arenas. When others need one, those go that have waited
 * for some time, the longest wait first; or few clients could keep scripts from all others. */
static void make_room(struct worker *worker)
{
    uint64_t now = worker->conns.now_ms;
    uint64_t old_ms = now + worker->options->body_ms - LIM_BODY_CROWDED_MS;
    struct stream *next = NULL;
    unsigned left = LIM_BODY_CROWDED_ENDS;
    if (first_of(worker, STREAM_STARVED) == NULL) {
        worker->schedule.room_ms = 0;
        return;
    }
    if (worker->schedule.room_ms > now) {
        return;
    }
    for (struct stream *stream = first_of(worker, STREAM_AWAITING);
         stream != NULL && stream->deadline_ms <= old_ms && left > 0; stream = next) {
        next = stream->next;
        if (!stream->answered && stream->relay == NULL) {
            worker_touch(worker, stream->conn);
            request_refuse(worker, stream, 503);
            left--;
        }
    }
    worker->schedule.room_ms = left > 0 ? now + LIM_BODY_CROWDED_LOOK_MS : now;
}

void schedule_turn(struct worker *worker)
{
    worker->schedule.spent = false;
    resume_starved(worker);
    if (worker->schedule.newcomer_ticks >= LIM_NEWCOMER_TICKS) {
        (void)resume_all(worker, STREAM_PENDING);
        (void)resume_all(worker, STREAM_NEW);
    } else {
        (void)resume_all(worker, STREAM_NEW);
        (void)resume_all(worker, STREAM_PENDING);
    }
    make_room(worker);
}

int64_t schedule_wait_ms(const struct worker *worker)
{
    const struct schedule *schedule = &worker->schedule;
    uint64_t now = worker->conns.now_ms;
    if (first_of(worker, STREAM_NEW) != NULL || first_of(worker, STREAM_PENDING) != NULL) {
        return 0;
    }
    if (first_of(worker, STREAM_STARVED) == NULL) {
        return -1;
    }
    if (schedule->given_back != script_host_given_back(worker->host) || schedule->room_ms <= now) {
        return 0;
    }
    return (int64_t)(schedule->room_ms - now);
}
