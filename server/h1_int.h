/* SPDX-License-Identifier: Apache-2.0 */
/* Between the halves of the parsers: h1_parse.c splits lines, h1_head.c says what they mean
 * together; h1_response.c uses both for answers of upstreams. */
#ifndef SERVER_H1_INT_H
#define SERVER_H1_INT_H

#include "server/h1.h"

/* Notes why the head is refused; always false. */
static inline bool h1_refuse(struct h1_parser *parser, unsigned status, const char *reason)
{
    parser->status = status;
    parser->reason = reason;
    return false;
}

/* Whether `text` is uri-host [ ":" port ] (RFC 9110 7.2) with a host that is not empty. */
bool h1_authority_valid(struct span text);
/* Splits `uri` when it is an http or https URI with a valid authority. */
bool h1_absolute_split(struct span uri, struct span *authority, struct span *target);
/* Splits a field line that is not empty. It is given without its line end, of which the line feed at
 * least lies behind it all the same. NULL, or why it is malformed. */
const char *h1_split_field(struct span line, struct field *field);
/* Takes the next element, without the blanks around it and maybe empty, off a comma-separated list.
 * False: there is none. */
bool h1_list_next(struct span *list, struct span *element);
/* A Content-Length: digits only, below 2^63. */
bool h1_parse_length(struct span text, uint64_t *length);
/* Fills what head says about Host, framing and the connection, from its fields. head->authority is
 * set already if the target is in absolute-form. */
bool h1_head_finish(struct h1_parser *parser, struct h1_head *head);

#endif
