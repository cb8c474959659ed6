/* SPDX-License-Identifier: Apache-2.0 */
/* Puts metadata of a request into pages: `<zs-meta> key </zs-meta>` becomes the value of that key,
 * with what HTML gives a meaning to escaped; `<zs-meta raw>` leaves it as it is. A key that is not
 * set, or that begins with `zs.`, becomes nothing. What is not quite such a tag stays.
 *
 * Sans-I/O: bytes in, bytes out, in pieces of any size. Memory is bounded: a tag is held until it
 * is complete, at most TEMPLATE_TAG_BYTES of it.
 *
 *   template_init(&t, &ex->meta);
 *   for each piece:
 *       do { n = template_run(&t, &piece, is_last, out, sizeof out); send out[0..n) } while (n >
 * 0);
 */
#ifndef SERVER_TEMPLATE_H
#define SERVER_TEMPLATE_H

#include "server/exchange.h"

#define TEMPLATE_TAG_BYTES 512 /* a longer tag is none */
#define TEMPLATE_ROOM_MIN  16  /* for one escaped character and more */

struct template
{
    const struct field_list *meta;
    enum template_stage { STAGE_TEXT, STAGE_OPEN, STAGE_WORD, STAGE_KEY, STAGE_CLOSE } stage;
    bool raw;
    bool reopen;         /* once `pending` is out, a '<' that was already taken begins a tag */
    bool escape;         /* pending */
    unsigned matched;    /* bytes of the word that the stage looks for */
    unsigned key_at;     /* in held */
    unsigned close_at;   /* in held */
    unsigned held_bytes;
    struct span pending;           /* to be written before anything else */
    char held[TEMPLATE_TAG_BYTES]; /* what may be a tag */
};

/* Is there metadata for pages, and is the response a page (text/html or application/xml, not in a
 * coding) and whole? */
bool template_wanted(const struct exchange *ex);

/* `meta` is borrowed. */
void template_init(struct template *t, const struct field_list *meta);
/* Takes bytes off *in and writes at most `room`, TEMPLATE_ROOM_MIN or more. 0: all of *in is taken
 * and nothing is left to be written. `last`: nothing follows *in. */
size_t template_run(struct template *t, struct span *in, bool last, char *out, size_t room);

#endif
