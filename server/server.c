/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners, worker threads and signals.
 *
 * The main thread opens all listeners, so that an address that cannot be used is told before
 * anything runs, and then only waits for signals. The first SIGTERM or SIGINT makes the workers
 * drain; the second ends the process.
 */
#include "server/server.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/access.h"
#include "server/harden.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/notify.h"
#include "server/resolve.h"
#include "server/sources.h"
#include "server/worker.h"

enum { EXIT_FINE = 0, EXIT_FAILED = 1 };
/* How often --reload-signal-file is looked at. */
enum { RELOAD_FILE_MS = 500 };
enum { ERROR_BYTES = 512 };
enum { STATUS_BYTES = 2 * LISTEN_ADDRESS_BYTES + 64 };

struct server {
    const struct options *options;
    server_load_fn *load;
    void *load_context;
    struct snapshot *snapshot;   /* the newest; held */
    char status[STATUS_BYTES];   /* for the service manager */
    struct timespec reload_mark; /* of --reload-signal-file when last looked at */
    struct endpoint endpoints[LISTENERS];
    struct resolver *resolver;
    struct worker *workers;
    unsigned count;
    unsigned started;
    unsigned connections_max; /* of a worker */
    uint64_t counted;         /* by workers, see await */
    int done_fd;
    sigset_t waiting; /* blocked while waiting for signals */
};

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
        rlim_t own = LIM_OWN_DESCRIPTORS + LIM_WORKER_DESCRIPTORS * server->count;
        rlim_t most = limit.rlim_cur / 10 * 9;
        per_worker = (most > 2 * own ? most - own : most / 2) / server->count;
    }
    server->connections_max = per_worker < LIM_CONNECTIONS ? (unsigned)per_worker : LIM_CONNECTIONS;
}

/* Those of all workers, before the server gives up the right to. False: told. */
static bool open_listeners(struct server *server)
{
    bool fine = true;
    for (unsigned i = 0; i < server->count * LISTENERS; i++) {
        struct endpoint *endpoint = &server->endpoints[i % LISTENERS];
        struct listener *listener = &server->workers[i / LISTENERS].listeners[i % LISTENERS];
        bool used = fine && endpoint->text != NULL;
        listener->fd = used ? listen_open(endpoint) : -1;
        fine = fine && (!used || listener->fd >= 0);
    }
    return fine;
}

static bool start_worker(struct server *server)
{
    struct worker *worker = &server->workers[server->started];
    worker->options = server->options;
    worker->resolver = server->resolver;
    worker->snapshot = server->snapshot;
    worker->index = server->started;
    worker->count = server->count;
    worker->connections_max = server->connections_max;
    worker->done_fd = server->done_fd;
    worker->wake_fd = eventfd(0, EFD_CLOEXEC);
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

/* ---- reloading ---- */

/* Hands the snapshot to all workers. One that has not taken the last one yet never will. */
static void publish(struct server *server, struct snapshot *snapshot)
{
    for (unsigned i = 0; i < server->started; i++) {
        snapshot_hold(snapshot);
        snapshot_release(atomic_exchange(&server->workers[i].next, snapshot));
    }
    wake_workers(server);
    snapshot_release(server->snapshot);
    server->snapshot = snapshot;
}

static void reload(struct server *server)
{
    notify_reloading();
    struct snapshot *snapshot = server->load(server->load_context);
    if (snapshot != NULL) {
        publish(server, snapshot);
        log_line("reloaded");
    } else {
        log_line("reload failed: all stays as it was");
    }
    notify_ready(server->status);
}

/* When the file was last written; zeros while there is none. */
static struct timespec mark_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_mtim : (struct timespec){0};
}

static void look_at_reload_file(struct server *server)
{
    struct timespec mark = mark_of(server->options->reload_signal_file);
    bool same =
        mark.tv_sec == server->reload_mark.tv_sec && mark.tv_nsec == server->reload_mark.tv_nsec;
    server->reload_mark = mark;
    if (!same && mark.tv_sec != 0) {
        reload(server);
    }
}

/* ---- signals ---- */

static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
enum { SIGNALS = sizeof signals / sizeof signals[0] };

static volatile sig_atomic_t came[SIGNALS];

static void on_signal(int number)
{
    for (unsigned i = 0; i < SIGNALS; i++) {
        came[i] |= signals[i] == number;
    }
}

/* Blocked before threads start, which inherit it; what means something comes while `wait_for_event`
 * waits and at no other time, SIGPIPE never. There is no signalfd: who waits for one is woken by the
 * signals of all threads, so by each tick of a script. */
static bool open_signals(struct server *server)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;
    bool fine = true;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGPIPE);
    for (unsigned i = 0; i < SIGNALS; i++) {
        sigaddset(&blocked, signals[i]);
    }
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    pthread_sigmask(SIG_BLOCK, NULL, &server->waiting);
    for (unsigned i = 0; i < SIGNALS; i++) {
        sigdelset(&server->waiting, signals[i]);
        fine = sigaction(signals[i], &action, NULL) == 0 && fine;
    }
    return fine;
}

/* The next signal that came and is not acted on here, or 0. */
static int take_signal(void)
{
    for (unsigned i = 0; i < SIGNALS; i++) {
        if (came[i] != 0) {
            came[i] = 0;
            if (signals[i] != SIGUSR1) {
                return signals[i];
            }
            log_reopen();
        }
    }
    return 0;
}

/* Waits for a signal, a worker that counts, or the time; -1: for ever. True: a worker does. */
static bool wait_for_event(const struct server *server, int timeout_ms)
{
    struct pollfd done = {.fd = server->done_fd, .events = POLLIN};
    struct timespec timeout = {.tv_sec = timeout_ms / 1000,
                               .tv_nsec = timeout_ms % 1000 * 1000000L};
    int ready = ppoll(&done, 1, timeout_ms >= 0 ? &timeout : NULL, &server->waiting);
    assert(ready >= 0 || errno == EINTR);
    return ready > 0;
}

/* Reloads when asked. Returns on a signal to stop or when a worker ended, which it does unasked
 * only by failing. */
static void wait_for_stop(struct server *server)
{
    bool watching = server->options->reload_signal_file != NULL;
    for (;;) {
        bool ended = wait_for_event(server, watching ? RELOAD_FILE_MS : -1);
        int number = take_signal();
        if (number == SIGHUP) {
            reload(server);
        } else if (number != 0) {
            log_line("zeroserve: %s, finishing running requests", strsignal(number));
            return;
        } else if (ended) {
            return;
        }
        if (watching) {
            look_at_reload_file(server);
        }
    }
}

/* Lets the workers drain; a signal meanwhile ends the process. */
static void stop_workers(struct server *server)
{
    for (unsigned i = 0; i < server->started; i++) {
        atomic_store(&server->workers[i].stopping, true);
    }
    wake_workers(server);
    while (server->counted < 2 * (uint64_t)server->started) {
        bool counts = wait_for_event(server, -1);
        int number = take_signal();
        if (number != 0 && number != SIGHUP) {
            _exit(128 + number);
        }
        if (counts) {
            await(server, server->counted + 1);
        }
    }
}

/* To the log, and to the service manager in one line. */
static void tell_listening(struct server *server)
{
    char *status = server->status;
    snprintf(status, STATUS_BYTES, "listening on");
    for (unsigned i = 0; i < LISTENERS; i++) {
        char text[LISTEN_ADDRESS_BYTES];
        if (server->endpoints[i].text != NULL) {
            const char *scheme = i == LISTENER_TLS ? "https" : "http";
            size_t used = strlen(status);
            listen_format(&server->endpoints[i].address, text);
            log_line("listening on %s://%s (%u worker thread(s))", scheme, text, server->count);
            snprintf(status + used, STATUS_BYTES - used, " %s://%s", scheme, text);
        }
    }
    notify_ready(status);
}

/* ---- the server ---- */

/* A certificate that nobody will see is a mistake, as is a socket for HTTPS without one. */
static bool check_tls(const struct server *server)
{
    bool wanted = server->endpoints[LISTENER_TLS].text != NULL;
    if (wanted != options_have_cert(server->options)) {
        log_line("zeroserve: %s", wanted ? "the socket named https wants --cert and --key"
                                         : "--cert and --key want a socket named https, or "
                                           "--tls-addr");
        return false;
    }
    return true;
}

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void add_read(struct harden_options *harden, const char *path)
{
    if (path != NULL && harden->read_count < HARDEN_READ_MAX) {
        harden->reads[harden->read_count++] = path;
    }
}

/* What a reload reads, and whether it may have to compile: a folder may have a script tomorrow. */
static void add_reload_reads(struct harden_options *harden, const struct options *options)
{
    add_read(harden, options->site);
    add_read(harden, options->cert_dir);
    add_read(harden, options->reload_signal_file);
    harden->compiles = is_directory(options->site) || sources_is_source(options->site) ||
                       options->plugin_dir_count > 0;
    for (unsigned i = 0; i < OPTIONS_LIST_MAX; i++) {
        add_read(harden, options->certs[i]);
        add_read(harden, options->keys[i]);
        add_read(harden, options->plugins[i]);
        add_read(harden, options->plugin_dirs[i]);
        harden->compiles = harden->compiles ||
                           (options->plugins[i] != NULL && sources_is_source(options->plugins[i]));
    }
}

/* The logs are opened with the rights the server was started with; their threads begin without.
 * False: told. */
static bool open_logs(struct server *server)
{
    const struct options *options = server->options;
    struct harden_options harden = {
        .level = harden_level_find(options->sandbox),
        .user = options->user,
        .log = options->access_log,
    };
    char error[ERROR_BYTES];
    add_reload_reads(&harden, options);
    access_set_format(access_format_find(options->access_log_format));
    bool fine = log_open(options->access_log, error, sizeof(error));
    fine = fine && harden_process(&harden, error, sizeof(error));
    if (fine && !log_start()) {
        snprintf(error, sizeof(error), "%s", strerror(errno));
        fine = false;
    }
    if (!fine) {
        log_stop(); /* so that the line is written */
        log_line("zeroserve: %s", error);
    }
    return fine;
}

static bool prepare(struct server *server)
{
    struct endpoint *plain = &server->endpoints[LISTENER_PLAIN];
    struct endpoint *tls = &server->endpoints[LISTENER_TLS];
    if (!listen_choose(plain, tls) || !check_tls(server) || !listen_prepare(plain) ||
        !listen_prepare(tls)) {
        return false;
    }
    notify_open(); /* what went wrong is told; the server can do without */
    plan_descriptors(server);
    if (server->options->reload_signal_file != NULL) {
        server->reload_mark = mark_of(server->options->reload_signal_file);
    }
    server->workers = calloc(server->count, sizeof(*server->workers));
    server->done_fd = eventfd(0, EFD_CLOEXEC);
    if (server->workers == NULL || server->done_fd < 0 || !open_signals(server)) {
        log_line("zeroserve: %s", strerror(errno));
        return false;
    }
    if (!open_listeners(server) || !open_logs(server)) {
        return false;
    }
    server->resolver = resolver_create(NULL); /* has threads, which are hardened from the start */
    if (server->resolver == NULL) {
        log_line("zeroserve: %s", strerror(errno));
    }
    return server->resolver != NULL;
}

static void release(struct server *server)
{
    notify_close();
    for (unsigned i = 0; i < server->started; i++) {
        pthread_join(server->workers[i].thread, NULL);
        close(server->workers[i].wake_fd);
    }
    snapshot_release(server->snapshot);
    if (server->resolver != NULL) {
        resolver_free(server->resolver);
    }
    log_stop();
    free(server->workers);
    if (server->done_fd >= 0) {
        close(server->done_fd);
    }
}

static unsigned worker_count(const struct options *options)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return options->threads > 0 ? options->threads : cores > 0 ? (unsigned)cores : 1;
}

int server_run(const struct options *options, struct snapshot *snapshot, server_load_fn *load,
               void *context)
{
    struct server server = {
        .options = options,
        .load = load,
        .load_context = context,
        .snapshot = snapshot,
        .endpoints[LISTENER_PLAIN] = {"--addr", options->addr, .inherited = -1},
        .endpoints[LISTENER_TLS] = {"--tls-addr", options->tls_addr, .inherited = -1},
        .count = worker_count(options),
        .done_fd = -1,
    };
    snapshot_hold(snapshot);
    bool fine = prepare(&server);
    while (fine && server.started < server.count) {
        fine = start_worker(&server);
    }
    await(&server, server.started);
    if (fine && !any_failed(&server)) {
        tell_listening(&server);
        wait_for_stop(&server);
    }
    notify_stopping();
    stop_workers(&server);
    fine = fine && !any_failed(&server);
    release(&server);
    return fine ? EXIT_FINE : EXIT_FAILED;
}
