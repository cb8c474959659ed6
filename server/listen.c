/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets. Sockets that were passed are looked at before use: whoever starts the server
 * may have numbered them wrongly, and accepting from something else fails late and obscurely. */
#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/chars.h"
#include "server/limits.h"
#include "server/log.h"

enum { PASSED_FIRST = 3 }; /* sd_listen_fds(3) */

/* ---- addresses ---- */

static socklen_t address_bytes(const union listen_address *address)
{
    return address->any.sa_family == AF_INET6 ? sizeof(address->v6) : sizeof(address->v4);
}

static bool parse_port(const char *text, in_port_t *port)
{
    uint64_t value;
    if (!chars_number(span_of(text), UINT16_MAX, &value)) {
        return false;
    }
    *port = htons((uint16_t)value);
    return true;
}

bool listen_parse(const char *text, union listen_address *address)
{
    char host[LISTEN_ADDRESS_BYTES];
    bool bracket = *text == '[';
    const char *start = text + bracket;
    const char *end = bracket ? strchr(text, ']') : strrchr(text, ':');
    memset(address, 0, sizeof(*address));
    if (end == NULL || end[bracket] != ':' || (size_t)(end - start) >= sizeof(host)) {
        return false;
    }
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    if (bracket) {
        address->v6.sin6_family = AF_INET6;
        return inet_pton(AF_INET6, host, &address->v6.sin6_addr) == 1 &&
               parse_port(end + 2, &address->v6.sin6_port);
    }
    address->v4.sin_family = AF_INET;
    return inet_pton(AF_INET, host, &address->v4.sin_addr) == 1 &&
           parse_port(end + 1, &address->v4.sin_port);
}

void listen_format(const union listen_address *address, char out[LISTEN_ADDRESS_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof(host));
        snprintf(out, LISTEN_ADDRESS_BYTES, "[%s]:%u", host, ntohs(address->v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof(host));
        snprintf(out, LISTEN_ADDRESS_BYTES, "%s:%u", host, ntohs(address->v4.sin_port));
    }
}

/* ---- sockets of its own ---- */

static int fail_listen(const struct endpoint *endpoint, int fd)
{
    int error = errno;
    log_line("zeroserve: listen on %s: %s", endpoint->text, strerror(error));
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

static bool set_flag(int fd, int level, int name)
{
    int on = 1;
    return setsockopt(fd, level, name, &on, sizeof(on)) == 0;
}

/* A socket bound to the address; -1: told. */
static int bind_socket(const struct endpoint *endpoint, bool shared)
{
    const union listen_address *address = &endpoint->address;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !set_flag(fd, SOL_SOCKET, SO_REUSEADDR) ||
        (shared && !set_flag(fd, SOL_SOCKET, SO_REUSEPORT)) ||
        (address->any.sa_family == AF_INET6 && !set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY)) ||
        bind(fd, &address->any, address_bytes(address)) != 0) {
        return fail_listen(endpoint, fd);
    }
    return fd;
}

/* SO_REUSEPORT would let a second server of the same user join in silently. A socket without it
 * tells whether somebody listens already, and picks the port when none is given. */
static bool claim_address(struct endpoint *endpoint)
{
    socklen_t bytes = sizeof(endpoint->address);
    int fd = bind_socket(endpoint, false);
    if (fd >= 0 && getsockname(fd, &endpoint->address.any, &bytes) != 0) {
        fd = fail_listen(endpoint, fd);
    }
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* ---- sockets that were passed ---- */

static bool refuse_inherited(const struct endpoint *endpoint, const char *why)
{
    log_line("zeroserve: %s %s: %s", endpoint->flag, endpoint->text, why);
    return false;
}

static bool has_option(int fd, int name, int wanted)
{
    int value = 0;
    socklen_t bytes = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, name, &value, &bytes) == 0 && value == wanted;
}

/* Accepting is the ring's: a socket that does not block would make it fail instead of wait. */
static bool adopt_socket(struct endpoint *endpoint)
{
    int fd = endpoint->inherited;
    socklen_t bytes = sizeof(endpoint->address);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) {
        return refuse_inherited(endpoint, "no such descriptor");
    }
    memset(&endpoint->address, 0, sizeof(endpoint->address));
    if (getsockname(fd, &endpoint->address.any, &bytes) != 0 ||
        !has_option(fd, SO_TYPE, SOCK_STREAM)) {
        return refuse_inherited(endpoint, "not a stream socket");
    }
    if (endpoint->address.any.sa_family != AF_INET && endpoint->address.any.sa_family != AF_INET6) {
        return refuse_inherited(endpoint, "not a socket of IPv4 or IPv6");
    }
    if (!has_option(fd, SO_ACCEPTCONN, 1) && listen(fd, (int)LIM_LISTEN_BACKLOG) != 0) {
        return refuse_inherited(endpoint, strerror(errno));
    }
    if (fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        !set_flag(fd, IPPROTO_TCP, TCP_NODELAY)) {
        return refuse_inherited(endpoint, strerror(errno));
    }
    return true;
}

static bool names_tls(const char *name, size_t bytes)
{
    return (bytes == 5 && memcmp(name, "https", 5) == 0) ||
           (bytes == 3 && memcmp(name, "tls", 3) == 0);
}

/* `name` is that of LISTEN_FDNAMES, ended by ':' or NUL. */
static bool assign_passed(int fd, const char *name, struct endpoint *plain, struct endpoint *tls)
{
    struct endpoint *endpoint = names_tls(name, strcspn(name, ":")) ? tls : plain;
    if (endpoint->text != NULL) {
        log_line("zeroserve: LISTEN_FDS: two sockets for %s; name the one for HTTPS `https` "
                 "(FileDescriptorName=)",
                 endpoint == tls ? "HTTPS" : "HTTP");
        return false;
    }
    endpoint->flag = "LISTEN_FDS";
    endpoint->text = "passed socket";
    endpoint->inherited = fd;
    return true;
}

/* The sockets of LISTEN_FDS, when they are meant for this process. */
static bool take_passed(struct endpoint *plain, struct endpoint *tls)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count_text = getenv("LISTEN_FDS");
    const char *names = getenv("LISTEN_FDNAMES");
    uint64_t number;
    uint64_t count;
    if (pid == NULL || count_text == NULL || !chars_number(span_of(pid), INT32_MAX, &number) ||
        number != (uint64_t)getpid()) {
        return true;
    }
    if (!chars_number(span_of(count_text), LIM_CONNECTIONS, &count)) {
        log_line("zeroserve: LISTEN_FDS is no number of descriptors");
        return false;
    }
    const char *name = names != NULL ? names : "";
    for (uint64_t i = 0; i < count; i++) {
        if (!assign_passed(PASSED_FIRST + (int)i, name, plain, tls)) {
            return false;
        }
        name += strcspn(name, ":");
        name += *name == ':';
    }
    return true;
}

/* ---- both ---- */

bool listen_choose(struct endpoint *plain, struct endpoint *tls)
{
    bool fine = plain->text != NULL || take_passed(plain, tls);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (fine && plain->text == NULL && tls->inherited < 0) {
        plain->text = LISTEN_DEFAULT;
    }
    return fine;
}

bool listen_prepare(struct endpoint *endpoint)
{
    uint64_t fd;
    if (endpoint->text == NULL) {
        return true;
    }
    if (endpoint->inherited >= 0) {
        return adopt_socket(endpoint);
    }
    if (strncmp(endpoint->text, "fd:", 3) == 0) {
        if (!chars_number(span_of(endpoint->text + 3), INT32_MAX, &fd)) {
            return refuse_inherited(endpoint, "want fd:N, N the number of a listening socket");
        }
        endpoint->inherited = (int)fd;
        return adopt_socket(endpoint);
    }
    if (!listen_parse(endpoint->text, &endpoint->address)) {
        return refuse_inherited(endpoint, "want IP:PORT, [IPv6]:PORT or fd:N");
    }
    return claim_address(endpoint);
}

int listen_open(const struct endpoint *endpoint)
{
    if (endpoint->inherited >= 0) {
        int copy = fcntl(endpoint->inherited, F_DUPFD_CLOEXEC, 0);
        return copy >= 0 ? copy : fail_listen(endpoint, -1);
    }
    /* Connections inherit TCP_NODELAY: answers are written whole, there is nothing to wait for. */
    int fd = bind_socket(endpoint, true);
    if (fd >= 0 &&
        (!set_flag(fd, IPPROTO_TCP, TCP_NODELAY) || listen(fd, (int)LIM_LISTEN_BACKLOG) != 0)) {
        return fail_listen(endpoint, fd);
    }
    return fd;
}
