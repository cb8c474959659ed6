/* SPDX-License-Identifier: Apache-2.0 */
/* Trailers (RFC 9110 6.5) on their way through: which of them may go on, and to whom. No I/O.
 *
 * A field behind the content comes too late for everybody who has decided by the head: framing,
 * routing, credentials and what scripts have set or taken away never come that way.
 */
#ifndef SERVER_TRAILERS_H
#define SERVER_TRAILERS_H

#include "server/exchange.h"

/* Whether the client takes trailers: in HTTP/1.1 it says so, in HTTP/2 all do. */
bool trailers_taken(const struct exchange *ex);
/* Whether it asks for them, by TE. */
bool trailers_asked_for(const struct exchange *ex);
/* Of the Trailer fields of a head: the value, if there is one and all that it announces may come;
 * else empty. */
struct span trailers_announced(const struct field *fields, unsigned count);

/* Adds to `list` (request_body.trailers or response_trailers), if it may be a trailer there. False:
 * too many, or out of memory. */
bool trailers_add(struct exchange *ex, struct field_list *list, const struct field *field);
/* The same with each line of a section that h1_body has found well formed. */
bool trailers_add_section(struct exchange *ex, struct field_list *list, struct span section);

/* Once scripts are done with the request: drops of its trailers what they have touched of its
 * fields, what Connection named, and names with '_', as in its head. */
void trailers_withhold(struct exchange *ex);

#endif
