/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what an upstream sends for one request, bytes in, events out: interim heads, the head, the
 * body, its end. Says also whether the connection may be used again. No I/O, no allocation.
 */
#ifndef SERVER_ANSWER_H
#define SERVER_ANSWER_H

#include "server/h1_response.h"

enum answer_event {
    ANSWER_MORE,    /* wait for more bytes */
    ANSWER_INTERIM, /* *head is a 1xx; more heads follow */
    ANSWER_SWITCH,  /* *head is a 101: nothing that follows is HTTP */
    ANSWER_HEAD,    /* *head is the final one; events of the body follow */
    ANSWER_CONTENT, /* *content is the next piece of the body, not empty */
    ANSWER_DONE,    /* complete; answer->reusable tells about the connection */
    ANSWER_BAD,     /* answer->reason; close. Before ANSWER_HEAD the client gets a 502, after it no
                       proper end */
};

struct answer {
    struct span method;
    bool reusable;
    bool had_content;
    const char *reason; /* static */

    /* private */
    uint8_t state;
    bool keep_alive;
    unsigned interim_count;
    struct h1_parser parser;
    struct h1_response_body body;
};

/* For the answer to a request with this method, which lives as long. */
void answer_start(struct answer *answer, struct span method);
/* Looks at `in`, all that came and was not consumed; `eof`: nothing will come behind it. Then the
 * caller drops *consumed bytes, which spans of *head and *content point into, and calls again until
 * the event is ANSWER_MORE, _SWITCH, _DONE or _BAD. With `eof` it is never ANSWER_MORE. *head is
 * filled by the events of heads alone. */
enum answer_event answer_next(struct answer *answer, struct span in, bool eof,
                              struct h1_response *head, size_t *consumed, struct span *content);
/* After ANSWER_HEAD: octets of the body that are to come; 0 if that is not known. */
uint64_t answer_left(const struct answer *answer);
/* After ANSWER_CONTENT: that was the last of the body, ANSWER_DONE will follow. */
bool answer_is_complete(const struct answer *answer);

#endif
