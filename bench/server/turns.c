/* SPDX-License-Identifier: Apache-2.0 */
/* A client for servers that differ by a few percent, on a machine whose speed changes from one
 * second to the next: it keeps its connections to all of them and asks one after the other, for
 * some milliseconds each, so that a turn of one is compared with those just before and after it.
 * Prints a line for each turn: the server, nanoseconds its processes ran, and those that passed.
 *
 * HTTP/1.1, one request at a time on each connection, and answers that are all of one length.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    SERVERS_MAX = 8,
    CLIENTS_MAX = 256,
    PROCESSES_MAX = 8,
    BUFFER_BYTES = 1 << 16,
    SETTLE_US = 500,
};

struct client {
    int fd;
    SSL *tls;   /* or NULL */
    size_t got; /* of the answer under way */
};

struct server {
    int port;
    int epoll;
    size_t answer_bytes;
    clockid_t clocks[PROCESSES_MAX]; /* of their processor time */
    int process_count;
    struct client clients[CLIENTS_MAX];
};

struct turn {
    uint64_t cpu_ns;
    uint64_t wall_ns;
};

static char request[512];
static int request_bytes;
static int client_count;
static SSL_CTX *tls; /* NULL: without */
static char buffer[BUFFER_BYTES];

static void need(int fine, const char *what)
{
    if (!fine) {
        fprintf(stderr, "turns: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

/* The same of what errno does not tell. */
static void need_that(int fine, const char *what)
{
    if (!fine) {
        fprintf(stderr, "turns: %s\n", what);
        exit(1);
    }
}

/* ---- one connection ---- */

static void connect_to(struct server *server, struct client *client)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)server->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    int on = 1;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    need(client->fd >= 0 && setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
             connect(client->fd, (struct sockaddr *)&address, sizeof address) == 0,
         "connect");
    if (tls != NULL) {
        client->tls = SSL_new(tls);
        need_that(client->tls != NULL && SSL_set_fd(client->tls, client->fd) == 1 &&
                      SSL_connect(client->tls) == 1,
                  "the handshake failed");
    }
    need(fcntl(client->fd, F_SETFL, O_NONBLOCK) == 0 &&
             epoll_ctl(server->epoll, EPOLL_CTL_ADD, client->fd, &event) == 0,
         "epoll");
}

static void ask(struct client *client)
{
    ssize_t sent = client->tls != NULL ? SSL_write(client->tls, request, request_bytes)
                                       : write(client->fd, request, (size_t)request_bytes);
    need_that(sent == request_bytes, "a request could not be sent");
    client->got = 0;
}

/* Octets received to `to`, 0: there are none yet. */
static size_t receive(struct client *client, char *to, size_t room)
{
    ssize_t bytes;
    if (client->tls != NULL) {
        bytes = SSL_read(client->tls, to, (int)room);
        need_that(bytes > 0 || SSL_get_error(client->tls, (int)bytes) == SSL_ERROR_WANT_READ,
                  "the connection was ended");
    } else {
        bytes = read(client->fd, to, room);
        need(bytes > 0 || (bytes < 0 && errno == EAGAIN), "read");
    }
    return bytes > 0 ? (size_t)bytes : 0;
}

/* Whether the answer is complete. */
static int take(const struct server *server, struct client *client)
{
    size_t bytes;
    do {
        bytes = receive(client, buffer, sizeof buffer);
        client->got += bytes;
    } while (bytes > 0 && client->got < server->answer_bytes);
    need_that(client->got <= server->answer_bytes, "an answer of another length");
    return client->got == server->answer_bytes;
}

/* ---- one server ---- */

static void wait_for_one(const struct server *server)
{
    struct epoll_event event;
    need_that(epoll_wait(server->epoll, &event, 1, 10000) == 1, "no answer");
}

/* The first answer tells the length of all. */
static void measure_answer(struct server *server)
{
    static const char name[] = "\r\ncontent-length:";
    size_t got = 0;
    char *end = NULL;
    ask(&server->clients[0]);
    while (end == NULL) {
        wait_for_one(server);
        got += receive(&server->clients[0], buffer + got, sizeof buffer - 1 - got);
        buffer[got] = '\0';
        end = strstr(buffer, "\r\n\r\n");
    }
    const char *length = strcasestr(buffer, name);
    need_that(strncmp(buffer, "HTTP/1.1 200 ", 13) == 0 && length != NULL && length < end,
              "not an answer with a length");
    server->answer_bytes = (size_t)(end + 4 - buffer) + strtoul(length + sizeof name - 1, NULL, 10);
    server->clients[0].got = got;
    while (server->clients[0].got < server->answer_bytes) {
        wait_for_one(server);
        take(server, &server->clients[0]);
    }
}

static uint64_t cpu_ns(const struct server *server)
{
    uint64_t sum = 0;
    for (int i = 0; i < server->process_count; i++) {
        struct timespec used;
        need(clock_gettime(server->clocks[i], &used) == 0, "processor time");
        sum += (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
    }
    return sum;
}

static void open_server(struct server *server, const char *which)
{
    char *next;
    server->port = (int)strtol(which, &next, 10);
    need_that(*next == ':', "no PORT:PID");
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    need(server->epoll >= 0, "epoll");
    for (int i = 0; i < client_count; i++) {
        connect_to(server, &server->clients[i]);
    }
    measure_answer(server);
    while (*next != '\0' && server->process_count < PROCESSES_MAX) {
        pid_t pid = (pid_t)strtol(next + 1, &next, 10);
        need(clock_getcpuclockid(pid, &server->clocks[server->process_count++]) == 0, which);
    }
}

/* ---- turns ---- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Begins and ends with a server that sleeps: of one that runs, the kernel tells late how long. */
static void take_turn(struct server *server, int requests, struct turn *turn)
{
    struct epoll_event events[CLIENTS_MAX];
    int asked = 0;
    int answered = 0;
    uint64_t cpu_before = cpu_ns(server);
    uint64_t before = now_ns();
    for (; asked < client_count && asked < requests; asked++) {
        ask(&server->clients[asked]);
    }
    while (answered < requests) {
        int ready = epoll_wait(server->epoll, events, CLIENTS_MAX, 10000);
        need_that(ready > 0, "no answer");
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            if (!take(server, client)) {
                continue;
            }
            answered++;
            if (asked < requests) {
                ask(client);
                asked++;
            }
        }
    }
    turn->wall_ns = now_ns() - before;
    usleep(SETTLE_US);
    turn->cpu_ns = cpu_ns(server) - cpu_before;
}

static void usage(void)
{
    fprintf(stderr,
            "Usage: turns http | https PATH CLIENTS REQUESTS SECONDS PORT:PID[,PID]...\n"
            "Has each server answer so many requests, by turns, for so many seconds in all.\n");
    exit(2);
}

int main(int argc, char **argv)
{
    static struct server servers[SERVERS_MAX];
    int server_count = argc - 6;
    if (server_count < 1 || server_count > SERVERS_MAX) {
        usage();
    }
    request_bytes =
        snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nhost: localhost\r\nuser-agent: turns\r\n\r\n", argv[2]);
    client_count = atoi(argv[3]);
    int requests = atoi(argv[4]);
    double seconds = atof(argv[5]);
    if (request_bytes >= (int)sizeof request || client_count < 1 || client_count > CLIENTS_MAX ||
        requests < 1 || seconds < 0) {
        usage();
    }
    if (strcmp(argv[1], "https") == 0) {
        tls = SSL_CTX_new(TLS_client_method());
        need_that(tls != NULL, "TLS");
    }
    for (int i = 0; i < server_count; i++) {
        open_server(&servers[i], argv[6 + i]);
    }
    uint64_t end_ns = now_ns() + (uint64_t)(seconds * 1e9);
    for (int i = 0; i == 0 || now_ns() < end_ns; i++) {
        for (int k = 0; k < server_count; k++) {
            int which = (i + k) % server_count;
            struct turn turn;
            take_turn(&servers[which], requests, &turn);
            printf("%d %llu %llu\n", which, (unsigned long long)turn.cpu_ns,
                   (unsigned long long)turn.wall_ns);
        }
    }
}
