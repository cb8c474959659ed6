/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/guest.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file, "%s", path);
    fputs(text, file);
    cr_assert_eq(fclose(file), 0);
}

static uint8_t *read_file(const char *path, size_t *bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = lseek(fd, 0, SEEK_END);
    uint8_t *data;

    cr_assert_gt(size, 0, "%s", path);
    data = malloc((size_t)size);
    cr_assert_not_null(data);
    cr_assert_eq(pread(fd, data, (size_t)size, 0), (ssize_t)size);
    close(fd);
    *bytes = (size_t)size;
    return data;
}

/* False: clang has said why. */
static bool run_clang(char *source, char *object)
{
    /* As built-ins, clang 14 refuses calls of memmove and the like. */
    char *argv[] = {"clang", "-target", "bpf", "-mcpu=v3",     "-O2", "-Wall", "-Werror",
                    "-I",    "sdk",     "-c",  "-fno-builtin", "-x",  "c",     source,
                    "-o",    object,    NULL};
    pid_t child;
    int status;

    cr_assert_eq(posix_spawnp(&child, argv[0], NULL, NULL, argv, environ), 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status == 0;
}

uint8_t *guest_compile(const char *text, size_t *bytes)
{
    char folder[] = "/tmp/zeroserve-test-XXXXXX";
    char source[sizeof folder + 16];
    char object[sizeof folder + 16];
    uint8_t *data = NULL;

    cr_assert_not_null(mkdtemp(folder));
    snprintf(source, sizeof source, "%s/script.c", folder);
    snprintf(object, sizeof object, "%s/script.o", folder);
    write_file(source, text);
    if (run_clang(source, object)) {
        data = read_file(object, bytes);
    }
    unlink(source);
    unlink(object);
    rmdir(folder);
    cr_assert_not_null(data, "clang refuses a script of this test");
    return data;
}

struct script_set *guest_set(const char *const *names, const char *const *texts, unsigned count,
                             bool interpret)
{
    struct script_options options = {.interpret = interpret};

    return guest_set_with(names, texts, count, &options);
}

struct script_set *guest_set_with(const char *const *names, const char *const *texts,
                                  unsigned count, const struct script_options *options)
{
    struct script_source *sources = calloc(count, sizeof *sources);
    uint8_t **objects = calloc(count, sizeof *objects);
    struct script_set *set;
    char error[512] = "";

    for (unsigned i = 0; i < count; i++) {
        objects[i] = guest_compile(texts[i], &sources[i].object_bytes);
        sources[i].object = objects[i];
        sources[i].name = names[i];
        sources[i].origin = "test";
    }
    set = script_set_load(sources, count, options, error, sizeof error);
    cr_assert_not_null(set, "%s", error);
    for (unsigned i = 0; i < count; i++) {
        free(objects[i]);
    }
    free(objects);
    free(sources);
    return set;
}

void guest_request(struct exchange *ex, const char *target, const char *x_case)
{
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(4711)};

    inet_pton(AF_INET, "192.0.2.7", &peer.sin_addr);
    memcpy(&ex->peer, &peer, sizeof peer);
    ex->id = 42;
    ex->method = SPAN("GET");
    ex->scheme = SPAN("http");
    ex->authority = SPAN("example.test");
    ex->proto_major = 1;
    ex->proto_minor = 1;
    cr_assert(exchange_set_target(ex, span_of(target)));
    cr_assert(field_add(ex, &ex->request_fields, SPAN("Host"), SPAN("example.test")));
    if (x_case != NULL) {
        cr_assert(field_add(ex, &ex->request_fields, SPAN("x-case"), span_of(x_case)));
    }
}

enum script_verdict guest_run(struct script_host *host, const struct script_set *set,
                              struct exchange *ex, unsigned *pending)
{
    enum script_verdict verdict = script_chain_start(host, set, ex);
    unsigned times = 0;

    while (verdict == SCRIPT_PENDING) {
        cr_assert_not_null(ex->chain);
        times++;
        verdict = script_chain_resume(ex);
    }
    cr_assert_null(ex->chain);
    if (pending != NULL) {
        *pending = times;
    }
    return verdict;
}

/* ---- log ---- */

static int saved_stderr = -1;
static int log_fd = -1;

void guest_log_begin(void)
{
    log_fd = memfd_create("log", MFD_CLOEXEC);
    saved_stderr = dup(STDERR_FILENO);
    cr_assert(log_fd >= 0 && saved_stderr >= 0);
    cr_assert_eq(dup2(log_fd, STDERR_FILENO), STDERR_FILENO);
}

const char *guest_log_end(void)
{
    static char text[GUEST_LOG_BYTES];
    ssize_t got = pread(log_fd, text, sizeof text - 1, 0);

    cr_assert_geq(got, 0);
    text[got] = '\0';
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(log_fd);
    return text;
}
