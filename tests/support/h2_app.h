/* SPDX-License-Identifier: Apache-2.0 */
/* The owner of an HTTP/2 connection, for tests: notes what it is told and answers every request
 * with a body of a chosen size. Body bytes are a pattern, so that both ends can check them. */
#ifndef TESTS_SUPPORT_H2_APP_H
#define TESTS_SUPPORT_H2_APP_H

#include "server/h2.h"

enum { H2_APP_REQUESTS = 512 }; /* remembered; later ones are refused */

struct h2_app_request {
    struct h2_app *app;
    int32_t id;
    struct h2_head head; /* its spans are gone; see `text` */
    struct exchange exchange; /* the answer's; until it is closed */
    char text[256];      /* "METHOD scheme authority target" */
    char cookie[128];
    uint64_t body_bytes;
    bool body_ended;
    unsigned trailer_count;
    bool answered;
    uint64_t answer_bytes; /* of the answer's body */
    uint64_t ready_bytes;  /* of these, at hand */
    uint64_t taken_bytes;
    uint64_t promised_bytes;
    bool closed;
    uint32_t closed_error;
};

struct h2_app {
    struct h2 *h2;
    struct h2_app_request requests[H2_APP_REQUESTS];
    unsigned request_count;
    unsigned closed_count;
    /* how it behaves */
    uint64_t answer_bytes;
    bool hold_answers;  /* answers only when h2_app_answer is called */
    bool hold_bodies;   /* gives no window back */
    bool defer_bodies;  /* the answer's body comes in by h2_app_provide */
    bool refuse;        /* every request */
    bool with_trailers; /* a field "x-sum: 1" behind each body */
};

/* Starts a connection whose owner is `app`, whose behaviour is chosen already. */
void h2_app_open(struct h2_app *app, const struct h2_options *options);
void h2_app_answer(struct h2_app_request *request);
/* More bytes of the answer's body are at hand. */
void h2_app_provide(struct h2_app_request *request, uint64_t bytes);

/* The byte at `offset` of every body. */
static inline char h2_app_byte(uint64_t offset)
{
    return (char)('a' + offset % 23);
}

#endif
