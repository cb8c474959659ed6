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

uint32_t schedule_slice_us(const struct options *options)
{
    return options->tick_ms * 1000 / LIM_SLICES_PER_TICK;
}

bool schedule_may_start(const struct worker *worker)
{
    const struct schedule *schedule = &worker->schedule;
    return !schedule->spent && schedule->newcomer_slices < LIM_NEWCOMER_SLICES &&
           first_of(worker, STREAM_NEW) == NULL;
}

void schedule_spent(struct worker *worker)
{
    worker->schedule.spent = true;
    worker->schedule.newcomer_slices++;
}

void schedule_started(struct worker *worker)
{
    struct schedule *schedule = &worker->schedule;
    schedule->started++;
    bool scripted = script_set_count(worker->epoch->snapshot->scripts) > 0;
    if (scripted && schedule->started % LIM_STARTS_PER_LOOK == 0 && !schedule->spent &&
        clock_us() - worker->turn_us >= schedule_slice_us(worker->options)) {
        schedule_spent(worker);
    }
}

/* Gives the stream a go. Several that are short spend the slice, too. */
static void resume(struct worker *worker, struct stream *stream)
{
    worker_touch(worker, stream->conn);
    request_resume(worker, stream);
    worker->schedule.spent = worker->schedule.spent || clock_us() >= worker->schedule.end_us;
}

/* The oldest wait first. */
static void resume_pending(struct worker *worker)
{
    struct schedule *schedule = &worker->schedule;
    struct stream_list *list = &worker->streams.waiting[STREAM_PENDING];
    bool was_spent = schedule->spent;
    for (unsigned left = list->count; left > 0 && list->first != NULL && !schedule->spent; left--) {
        resume(worker, list->first);
    }
    if (list->first == NULL || (!was_spent && schedule->spent)) {
        schedule->newcomer_slices = 0;
    }
}

/* The newest and the oldest are first by turns: a short one is not behind all busy ones that came
 * before it, and none waits for ever. */
static void start_newcomers(struct worker *worker)
{
    struct schedule *schedule = &worker->schedule;
    struct stream_list *list = &worker->streams.waiting[STREAM_NEW];
    bool was_spent = schedule->spent;
    while (list->first != NULL && !schedule->spent) {
        resume(worker, schedule->oldest_first ? list->first : list->last);
    }
    if (!was_spent && schedule->spent) {
        schedule->oldest_first = !schedule->oldest_first;
    }
}

/* All try, some in each turn, also those for whom there can be none: a caller of another script may
 * have been waiting for what will not come any more. Now and then they do in any case: a body may
 * have become complete, and an arena kept for such. */
static void resume_starved(struct worker *worker)
{
    struct schedule *schedule = &worker->schedule;
    struct stream_list *list = &worker->streams.waiting[STREAM_STARVED];
    uint64_t given_back = script_host_given_back(worker->host);
    unsigned left = LIM_STARVED_TRIES;
    if (given_back != schedule->given_back || schedule->room_ms <= worker->conns.now_ms) {
        schedule->given_back = given_back;
        schedule->tries = list->count;
    }
    for (; left > 0 && schedule->tries > 0 && list->first != NULL && !schedule->spent; left--) {
        schedule->tries--;
        resume(worker, list->first);
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

static void give_slice(struct worker *worker)
{
    struct schedule *schedule = &worker->schedule;
    schedule->end_us = clock_us() + schedule_slice_us(worker->options);
    resume_starved(worker);
    if (schedule->newcomer_slices >= LIM_NEWCOMER_SLICES) {
        resume_pending(worker);
        start_newcomers(worker);
    } else {
        start_newcomers(worker);
        resume_pending(worker);
    }
    make_room(worker);
}

bool schedule_turn(struct worker *worker)
{
    bool somebody = schedule_wait_ms(worker) == 0;
    if (somebody && !worker->schedule.spent) {
        ring_submit(worker->ring);
        give_slice(worker);
    }
    worker->schedule.spent = false;
    worker->schedule.started = 0;
    return somebody;
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
    if (schedule->tries > 0 || schedule->given_back != script_host_given_back(worker->host) ||
        schedule->room_ms <= now) {
        return 0;
    }
    return (int64_t)(schedule->room_ms - now);
}
