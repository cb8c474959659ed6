/* SPDX-License-Identifier: Apache-2.0 */
/* Where the server listens: addresses of its own, or sockets that it was started with.
 *
 * An address of its own gets a socket for each worker, so that the kernel spreads the clients. An
 * inherited socket is one queue; all workers accept from it.
 *
 * Sockets passed in the way of systemd (LISTEN_FDS) are used when no address is given: the one
 * named `https` or `tls` in LISTEN_FDNAMES is for HTTPS, the other for HTTP.
 */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include <netinet/in.h>
#include <stdbool.h>

#define LISTEN_ADDRESS_BYTES 64

union listen_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct endpoint {
    const char *flag; /* that chose it, for messages */
    const char *text; /* as given; NULL: not used */
    int inherited;    /* the socket of fd:N; -1: an address of its own */
    union listen_address address;
};

/* `ip:port` or `[v6]:port`, numeric. */
bool listen_parse(const char *text, union listen_address *address);
void listen_format(const union listen_address *address, char out[LISTEN_ADDRESS_BYTES]);

/* Where to listen for HTTP and HTTPS. NULL: `plain` falls back to what was passed, then to
 * LISTEN_DEFAULT; `tls` to what was passed, then to nothing. Takes LISTEN_* out of the environment.
 * False: one line told. */
#define LISTEN_DEFAULT "0.0.0.0:8080"
bool listen_choose(struct endpoint *plain, struct endpoint *tls);
/* Is the address, or inherited socket, fit to be listened on? Port 0 becomes the one that is
 * picked. False: one line told. */
bool listen_prepare(struct endpoint *endpoint);
/* A listening socket for a worker, which closes it. -1: one line told. */
int listen_open(const struct endpoint *endpoint);

#endif
