/* SPDX-License-Identifier: Apache-2.0 */
/* Two rings for each urgency, and a bit each for whether any is there and whose turn it is. */
#include "server/h2_schedule.h"

#include <stddef.h>

static void insert_before(struct h2_turn *place, struct h2_turn *turn)
{
    turn->next = place;
    turn->previous = place->previous;
    turn->previous->next = turn;
    place->previous = turn;
}

void h2_ring_add(struct h2_turn **ring, struct h2_turn *turn)
{
    if (*ring == NULL) {
        *ring = turn->next = turn->previous = turn;
    } else {
        insert_before(*ring, turn);
    }
}

void h2_ring_remove(struct h2_turn **ring, struct h2_turn *turn)
{
    if (turn->next == turn) {
        *ring = NULL;
        return;
    }
    turn->next->previous = turn->previous;
    turn->previous->next = turn->next;
    if (*ring == turn) {
        *ring = turn->next;
    }
}

static bool is_shared(const struct h2_turn *turn)
{
    return (turn->priority & H2_INCREMENTAL) != 0;
}

static uint8_t bit_of(const struct h2_turn *turn)
{
    return (uint8_t)(1u << h2_urgency(turn->priority));
}

/* Looks from the end, for most that are new belong there. */
static void add_ordered(struct h2_turn **ring, struct h2_turn *turn)
{
    struct h2_turn *head = *ring;
    if (head == NULL || turn->id > head->previous->id) {
        h2_ring_add(ring, turn);
        return;
    }
    struct h2_turn *place = head->previous; /* the one to come behind it */
    while (place != head && place->previous->id > turn->id) {
        place = place->previous;
    }
    insert_before(place, turn);
    if (place == head) {
        *ring = turn;
    }
}

void h2_schedule_add(struct h2_schedule *schedule, struct h2_turn *turn)
{
    unsigned urgency = h2_urgency(turn->priority);
    if (is_shared(turn)) {
        h2_ring_add(&schedule->shared[urgency], turn);
    } else {
        add_ordered(&schedule->ordered[urgency], turn);
    }
    schedule->waiting |= bit_of(turn);
}

void h2_schedule_remove(struct h2_schedule *schedule, struct h2_turn *turn)
{
    unsigned urgency = h2_urgency(turn->priority);
    h2_ring_remove(is_shared(turn) ? &schedule->shared[urgency] : &schedule->ordered[urgency],
                   turn);
    if (schedule->shared[urgency] == NULL && schedule->ordered[urgency] == NULL) {
        schedule->waiting &= (uint8_t)~bit_of(turn);
    }
}

struct h2_turn *h2_schedule_next(const struct h2_schedule *schedule)
{
    if (schedule->waiting == 0) {
        return NULL;
    }
    unsigned urgency = (unsigned)__builtin_ctz(schedule->waiting);
    struct h2_turn *shared = schedule->shared[urgency];
    struct h2_turn *ordered = schedule->ordered[urgency];
    bool share = ordered == NULL || (schedule->share_next >> urgency & 1) != 0;
    return share && shared != NULL ? shared : ordered;
}

void h2_schedule_sent(struct h2_schedule *schedule, struct h2_turn *turn)
{
    if (is_shared(turn)) {
        schedule->shared[h2_urgency(turn->priority)] = turn->next;
        schedule->share_next &= (uint8_t)~bit_of(turn);
    } else {
        schedule->share_next |= bit_of(turn);
    }
}
