/* SPDX-License-Identifier: Apache-2.0 */
/* What sockets alone cost: a server that looks at nothing. Whatever a client sends is answered by
 * the same octets, or given to an upstream that has a connection for each client, and what that
 * says to the client. One io_uring, used as zeroserve uses it: the difference between the two is
 * what zeroserve does for a request. For clients of the benchmark, which send a request at a time
 * and whole, and nothing that one would want to be safe from.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DESCRIPTORS = 1024,
    BUFFERS = 1024, /* a power of two */
    BUFFER_BYTES = 4096,
    ANSWER_BYTES = 65536,
};

enum op { OP_ACCEPT, OP_RECV, OP_SEND };

static struct io_uring ring;
static struct io_uring_buf_ring *given;
static char buffers[BUFFERS][BUFFER_BYTES];
static char answer[ANSWER_BYTES];
static size_t answer_bytes;
static int upstream_port;                    /* 0: answers itself */
static int peers[DESCRIPTORS];               /* upstream: whom a descriptor's octets go to */
static char sent[DESCRIPTORS][BUFFER_BYTES]; /* to this descriptor, until they are */

static void need(int fine, const char *what)
{
    if (!fine) {
        fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

/* As liburing and completions have it: 0 and above, or an error, negative. */
static void need_result(int result, const char *what)
{
    errno = result < 0 ? -result : 0;
    need(result >= 0, what);
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int open_socket(void)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    need(fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "socket");
    return fd;
}

/* `port` is that of the listener before, 0 for the first, and then that of this one. */
static int open_listener(int *port)
{
    struct sockaddr_in address = loopback(*port);
    socklen_t bytes = sizeof address;
    int on = 1;
    int fd = open_socket();
    need(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
             bind(fd, (struct sockaddr *)&address, bytes) == 0 && listen(fd, DESCRIPTORS) == 0 &&
             getsockname(fd, (struct sockaddr *)&address, &bytes) == 0,
         "listen");
    *port = ntohs(address.sin_port);
    return fd;
}

/* As many processes as workers are wanted. Returns the listener of each, once all listen, so that
 * the kernel spreads connections over them from the first one on. */
static int fork_workers(int workers)
{
    int port = 0;
    int listener = open_listener(&port);
    while (--workers > 0) {
        int other = open_listener(&port);
        pid_t child = fork();
        need(child >= 0, "fork");
        close(child == 0 ? listener : other);
        if (child == 0) {
            return other;
        }
    }
    printf("listening on http://127.0.0.1:%d\n", port);
    fflush(stdout);
    return listener;
}

static struct io_uring_sqe *next_sqe(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe == NULL) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    need(sqe != NULL, "io_uring: no room");
    return sqe;
}

static void set_tag(struct io_uring_sqe *sqe, enum op op, int fd)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)op << 32 | (uint32_t)fd);
}

static void start_receive(int fd)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    set_tag(sqe, OP_RECV, fd);
}

static void start_send(int fd, const void *octets, size_t bytes)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_send(sqe, fd, octets, bytes, MSG_NOSIGNAL | MSG_WAITALL);
    set_tag(sqe, OP_SEND, fd);
}

static void give_buffer(unsigned id)
{
    io_uring_buf_ring_add(given, buffers[id], BUFFER_BYTES, (unsigned short)id,
                          io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(given, 1);
}

static void accepted(int fd)
{
    need_result(fd, "accept");
    need(fd < DESCRIPTORS, "accept: too many");
    peers[fd] = -1;
    start_receive(fd);
    if (upstream_port != 0) {
        struct sockaddr_in address = loopback(upstream_port);
        int other = open_socket();
        need(other < DESCRIPTORS &&
                 connect(other, (struct sockaddr *)&address, sizeof address) == 0,
             "connect");
        peers[fd] = other;
        peers[other] = fd;
        start_receive(other);
    }
}

static void received(int fd, const struct io_uring_cqe *cqe)
{
    unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    int other = peers[fd];
    if (cqe->res > 0 && upstream_port == 0) {
        start_send(fd, answer, answer_bytes);
    } else if (cqe->res > 0 && other >= 0) {
        memcpy(sent[other], buffers[id], (size_t)cqe->res);
        start_send(other, sent[other], (size_t)cqe->res);
    }
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        give_buffer(id);
    }
    if (cqe->res == -ENOBUFS) {
        start_receive(fd);
    } else if (cqe->res <= 0) {
        if (other >= 0) {
            peers[other] = -1;
            shutdown(other, SHUT_RDWR);
        }
        close(fd);
    }
}

static void serve(void)
{
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head;
        unsigned count = 0;
        int result = io_uring_submit_and_wait(&ring, 1);
        need_result(result == -EINTR ? 0 : result, "io_uring: wait");
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            int fd = (int)(uint32_t)cqe->user_data;
            switch ((enum op)(cqe->user_data >> 32)) {
            case OP_ACCEPT: accepted(cqe->res); break;
            case OP_RECV: received(fd, cqe); break;
            case OP_SEND: break;
            }
            count++;
        }
        io_uring_cq_advance(&ring, count);
    }
}

static void init_ring(void)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL};
    need_result(io_uring_queue_init_params(DESCRIPTORS, &ring, &params), "io_uring");
    given = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(given != MAP_FAILED, "mmap");
    struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)given, .ring_entries = BUFFERS};
    io_uring_buf_ring_init(given);
    need_result(io_uring_register_buf_ring(&ring, &registration, 0), "io_uring: buffers");
    for (unsigned i = 0; i < BUFFERS; i++) {
        give_buffer(i);
    }
    io_uring_register_ring_fd(&ring);
}

/* As many octets of fields as zeroserve has for a file. */
static void read_answer(const char *path)
{
    FILE *file = fopen(path, "rb");
    need(file != NULL, path);
    char body[ANSWER_BYTES / 2];
    size_t bytes = fread(body, 1, sizeof body, file);
    fclose(file);
    int head = snprintf(answer, sizeof answer,
                        "HTTP/1.1 200 OK\r\n"
                        "content-type: text/html; charset=utf-8\r\n"
                        "accept-ranges: bytes\r\n"
                        "etag: \"0123456789a\"\r\n"
                        "last-modified: Sun, 22 Nov 2026 09:00:00 GMT\r\n"
                        "date: Sun, 22 Nov 2026 09:00:00 GMT\r\n"
                        "content-length: %zu\r\n\r\n",
                        bytes);
    memcpy(answer + head, body, bytes);
    answer_bytes = (size_t)head + bytes;
}

int main(int argc, char **argv)
{
    int workers = argc == 3 ? atoi(argv[2]) : 1;
    if (argc < 2 || argc > 3 || workers < 1) {
        fprintf(stderr,
                "Usage: floor FILE | PORT [WORKERS]\n"
                "Answers all that comes by the file, or has who listens on the port do so.\n");
        return 2;
    }
    upstream_port = atoi(argv[1]);
    if (upstream_port == 0) {
        read_answer(argv[1]);
    }
    int listener = fork_workers(workers);
    init_ring();
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    set_tag(sqe, OP_ACCEPT, listener);
    serve();
}
