/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners, worker threads and signals.
 *
 * The main thread opens all listeners, so that an address that cannot be used is told before
 * anything runs, and then only waits for signals. The first SIGTERM or SIGINT makes the workers
 * drain; the second ends the process.
 */
#include "server/server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "server/log.h"
#include "server/worker.h"

enum { EXIT_FINE = 0, EXIT_FAILED = 1 };
enum { ADDRESS_BYTES = 64 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Where all workers listen. */
struct endpoint {
    const char *text; /* as given; NULL: not used */
    union address address;
};

struct server {
    const struct options *options;
    struct endpoint endpoints[LISTENERS];
    struct worker *workers;
    unsigned count;
    unsigned started;
    unsigned connections_max; /* of a worker */
    uint64_t counted;         /* by workers, see await */
    int done_fd;
    int signal_fd;
};

/* ---- addresses ---- */

static socklen_t address_bytes(const union address *address)
{
    return address->any.sa_family == AF_INET6 ? sizeof(address->v6) : sizeof(address->v4);
}

static bool parse_port(const char *text, in_port_t *port)
{
    char *end;
    if (*text < '0' || *text > '9') {
        return false;
    }
    unsigned long value = strtoul(text, &end, 10);
    *port = htons((uint16_t)value);
    return *end == '\0' && value <= UINT16_MAX;
}

/* `ip:port` or `[v6]:port`, numeric. */
static bool parse_address(const char *text, union address *address)
{
    char host[ADDRESS_BYTES];
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

static void format_address(const union address *address, char out[ADDRESS_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof(host));
        snprintf(out, ADDRESS_BYTES, "[%s]:%u", host, ntohs(address->v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof(host));
        snprintf(out, ADDRESS_BYTES, "%s:%u", host, ntohs(address->v4.sin_port));
    }
}

/* ---- listeners ---- */

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
static int bind_socket(struct endpoint *endpoint, bool shared)
{
    union address *address = &endpoint->address;
    socklen_t bytes = address_bytes(address);
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !set_flag(fd, SOL_SOCKET, SO_REUSEADDR) ||
        (shared && !set_flag(fd, SOL_SOCKET, SO_REUSEPORT)) ||
        (address->any.sa_family == AF_INET6 && !set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY)) ||
        bind(fd, &address->any, bytes) != 0 || getsockname(fd, &address->any, &bytes) != 0) {
        return fail_listen(endpoint, fd);
    }
    return fd;
}

/* Connections inherit TCP_NODELAY: answers are written whole, there is nothing to wait for. */
static int open_listener(struct endpoint *endpoint)
{
    int fd = bind_socket(endpoint, true);
    if (fd >= 0 &&
        (!set_flag(fd, IPPROTO_TCP, TCP_NODELAY) || listen(fd, (int)LIM_LISTEN_BACKLOG) != 0)) {
        return fail_listen(endpoint, fd);
    }
    return fd;
}

/* SO_REUSEPORT would let a second server of the same user join in silently. A socket without it
 * tells whether somebody listens already, and picks the port when none is given. */
static bool claim_address(struct endpoint *endpoint)
{
    int fd = bind_socket(endpoint, false);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* ---- workers ---- */

/* Raises the limit of descriptors as far as allowed and shares it out. */
static void plan_descriptors(struct server *server)
{
    struct rlimit limit;
    rlim_t per_worker = LIM_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
        per_worker = limit.rlim_cur / 10 * 9 / server->count;
    }
    server->connections_max = per_worker < LIM_CONNECTIONS ? (unsigned)per_worker : LIM_CONNECTIONS;
}

/* False: told. */
static bool open_listeners(struct server *server, struct worker *worker)
{
    bool fine = true;
    for (unsigned i = 0; i < LISTENERS; i++) {
        bool used = fine && server->endpoints[i].text != NULL;
        worker->listeners[i].fd = used ? open_listener(&server->endpoints[i]) : -1;
        fine = fine && (!used || worker->listeners[i].fd >= 0);
    }
    return fine;
}

static bool start_worker(struct server *server, const struct snapshot *snapshot)
{
    struct worker *worker = &server->workers[server->started];
    *worker = (struct worker){
        .options = server->options,
        .snapshot = snapshot,
        .index = server->started,
        .count = server->count,
        .connections_max = server->connections_max,
        .done_fd = server->done_fd,
        .wake_fd = eventfd(0, EFD_CLOEXEC),
    };
    if (!open_listeners(server, worker)) {
        return false;
    }
    int error = pthread_create(&worker->thread, NULL, worker_main, worker);
    if (worker->wake_fd < 0 || error != 0) {
        log_line("zeroserve: worker thread: %s", strerror(error));
        return false;
    }
    server->started++;
    return true;
}

/* A worker counts twice, when it is ready and when it ended. Waits for `target` in all. */
static void await(struct server *server, uint64_t target)
{
    while (server->counted < target) {
        uint64_t more = 0;
        if (read(server->done_fd, &more, sizeof(more)) == sizeof(more)) {
            server->counted += more;
        }
    }
}

static void wake_workers(struct server *server)
{
    uint64_t one = 1;
    for (unsigned i = 0; i < server->started; i++) {
        ssize_t written = write(server->workers[i].wake_fd, &one, sizeof(one));
        assert(written == sizeof(one));
        (void)written;
    }
}

static bool any_failed(const struct server *server)
{
    for (unsigned i = 0; i < server->started; i++) {
        if (server->workers[i].failed) {
            return true;
        }
    }
    return server->started < server->count;
}

/* ---- signals ---- */

/* Blocked before threads start, which inherit it. Those that end the server come by the descriptor;
 * SIGPIPE and SIGHUP mean nothing here and are never delivered. */
static int open_signals(void)
{
    sigset_t ending;
    sigset_t blocked;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    blocked = ending;
    sigaddset(&blocked, SIGPIPE);
    sigaddset(&blocked, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    return signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The signal that came, or 0. */
static unsigned take_signal(const struct server *server)
{
    struct signalfd_siginfo info;
    return read(server->signal_fd, &info, sizeof(info)) == sizeof(info) ? info.ssi_signo : 0;
}

/* Returns on a signal or when a worker ended, which it does unasked only by failing. */
static void wait_for_stop(struct server *server)
{
    struct pollfd fds[2] = {{.fd = server->signal_fd, .events = POLLIN},
                            {.fd = server->done_fd, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0) {
        assert(errno == EINTR);
    }
    unsigned number = take_signal(server);
    if (number != 0) {
        log_line("zeroserve: %s, finishing running requests", strsignal((int)number));
    }
}

/* Lets the workers drain; a signal meanwhile ends the process. */
static void stop_workers(struct server *server)
{
    struct pollfd fds[2] = {{.fd = server->signal_fd, .events = POLLIN},
                            {.fd = server->done_fd, .events = POLLIN}};
    wake_workers(server);
    while (server->counted < 2 * (uint64_t)server->started) {
        if (poll(fds, 2, -1) < 0) {
            continue;
        }
        unsigned number = take_signal(server);
        if (number != 0) {
            _exit(128 + (int)number);
        }
        if (fds[1].revents != 0) {
            await(server, server->counted + 1);
        }
    }
}

static void tell_listening(struct server *server)
{
    for (unsigned i = 0; i < LISTENERS; i++) {
        char text[ADDRESS_BYTES];
        if (server->endpoints[i].text != NULL) {
            format_address(&server->endpoints[i].address, text);
            log_line("listening on %s://%s (%u worker thread(s))",
                     i == LISTENER_TLS ? "https" : "http", text, server->count);
        }
    }
}

/* ---- the server ---- */

static bool prepare_endpoint(struct endpoint *endpoint, const char *flag)
{
    if (endpoint->text == NULL) {
        return true;
    }
    if (strncmp(endpoint->text, "fd:", 3) == 0) {
        log_line("zeroserve: %s %s: inherited sockets are not supported", flag, endpoint->text);
        return false;
    }
    if (!parse_address(endpoint->text, &endpoint->address)) {
        log_line("zeroserve: %s %s: want IP:PORT or [IPv6]:PORT", flag, endpoint->text);
        return false;
    }
    return claim_address(endpoint);
}

static bool prepare(struct server *server)
{
    if (!prepare_endpoint(&server->endpoints[LISTENER_PLAIN], "--addr") ||
        !prepare_endpoint(&server->endpoints[LISTENER_TLS], "--tls-addr")) {
        return false;
    }
    plan_descriptors(server);
    server->workers = calloc(server->count, sizeof(*server->workers));
    server->done_fd = eventfd(0, EFD_CLOEXEC);
    server->signal_fd = open_signals();
    if (server->workers == NULL || server->done_fd < 0 || server->signal_fd < 0) {
        log_line("zeroserve: %s", strerror(errno));
        return false;
    }
    return true;
}

static void release(struct server *server)
{
    for (unsigned i = 0; i < server->started; i++) {
        pthread_join(server->workers[i].thread, NULL);
        close(server->workers[i].wake_fd);
    }
    free(server->workers);
    if (server->done_fd >= 0) {
        close(server->done_fd);
    }
    if (server->signal_fd >= 0) {
        close(server->signal_fd);
    }
}

static unsigned worker_count(const struct options *options)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return options->threads > 0 ? options->threads : cores > 0 ? (unsigned)cores : 1;
}

int server_run(const struct options *options, const struct snapshot *snapshot)
{
    struct server server = {
        .options = options,
        .endpoints[LISTENER_PLAIN].text = options->addr,
        .endpoints[LISTENER_TLS].text = options->tls_addr,
        .count = worker_count(options),
        .done_fd = -1,
        .signal_fd = -1,
    };
    bool fine = prepare(&server);
    while (fine && server.started < server.count) {
        fine = start_worker(&server, snapshot);
    }
    await(&server, server.started);
    if (fine && !any_failed(&server)) {
        tell_listening(&server);
        wait_for_stop(&server);
    }
    stop_workers(&server);
    fine = fine && !any_failed(&server);
    release(&server);
    return fine ? EXIT_FINE : EXIT_FAILED;
}
