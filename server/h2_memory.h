/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a worker's HTTP/2 connections: for what requests take and give back all the time, and
 * for two blocks that nghttp2 holds as long as a connection lives, although nothing is in them
 * while it rests. One thread, no locks. What bursts leave goes back to the system.
 */
#ifndef SERVER_H2_MEMORY_H
#define SERVER_H2_MEMORY_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>

struct h2_memory;

/* NULL: out of memory. */
struct h2_memory *h2_memory_create(void);
/* Everything must have been given back. NULL is fine. */
void h2_memory_free(struct h2_memory *memory);

/* As malloc and free; which they are when `memory` is NULL. */
void *h2_memory_take(struct h2_memory *memory, size_t bytes);
void h2_memory_give(struct h2_memory *memory, void *object);
/* Gives the system what is kept for the next burst. */
void h2_memory_trim(struct h2_memory *memory);

/* What one session has of it. */
struct h2_room {
    struct h2_memory *memory;
    char *pages;    /* of the two blocks; NULL: there is no memory, or it is short */
    bool has_frame; /* the block for frames is taken */
    bool has_table; /* the one for the table of streams is */
};

void h2_room_open(struct h2_room *room, struct h2_memory *memory);
/* After the session. */
void h2_room_close(struct h2_room *room);
/* For the session; `room` must stay where it is. */
nghttp2_mem h2_room_functions(struct h2_room *room);
/* The session has no frame under way: gives the system the pages for frames, and those of the table
 * if they hold nothing but zeros. They come back when they are touched. */
void h2_room_rest(struct h2_room *room);

#endif
