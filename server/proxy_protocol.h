/* SPDX-License-Identifier: Apache-2.0 */
/* The header that a load balancer sends ahead of a connection's bytes to tell whose connection it
 * is: PROXY protocol, version 1 (a line) and 2 (binary), as of HAProxy's proxy-protocol.txt. Bytes
 * in, answer out: no I/O and no state. The owner hands in all bytes received so far, again with
 * more when they are not enough, and drops the connection on PROXY_BAD.
 */
#ifndef SERVER_PROXY_PROTOCOL_H
#define SERVER_PROXY_PROTOCOL_H

#include <netinet/in.h>

#include "server/span.h"

enum proxy_result {
    PROXY_MORE, /* so far so good; at most LIM_PROXY_HEADER_BYTES are ever needed */
    PROXY_DONE,
    PROXY_BAD
};

struct proxy_header {
    size_t bytes; /* of the header; what follows is the client's */
    /* The client. AF_UNSPEC: the header does not tell (UNKNOWN, LOCAL as of health checks, Unix
     * sockets); the connection's own peer counts then. */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } source;
};

/* Fills `header` when done. */
enum proxy_result proxy_parse(struct span received, struct proxy_header *header);

#endif
