/* SPDX-License-Identifier: Apache-2.0 */
/* main() of every fuzz harness in ordinary builds: plays inputs to LLVMFuzzerTestOneInput.
 *
 *   <harness>                              the corpus fuzz/corpus/<harness>, then random inputs
 *   <harness> --runs N --seed S            that many random inputs (default 20000, seed 1)
 *   <harness> --seconds T                  random inputs for T seconds at most
 *   <harness> --corpus DIR                 another corpus
 *   <harness> FILE...                      those files alone
 *   <harness> --dump I                     writes random input I of this seed to standard output
 *
 * Random input I depends on seed, corpus and I alone, so that a failure can be played again. Inputs
 * run in a child process; the one in hand lies in shared memory. When the child dies or hangs, the
 * parent names that input, keeps a copy beside the program as <harness>-fail-<n>, and goes on with
 * the next in a new child. The last line is "N passed, N failed": a corpus file counts one, all
 * random inputs together count one, each failing input counts one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz/fuzz.h"

enum {
    INPUT_BYTES_MAX = 1 << 20, /* longer corpus files are refused */
    RANDOM_BYTES_MAX = 2048,   /* longest input made from nothing */
    RUNS_DEFAULT = 20000,
    HANG_SECONDS = 20, /* an input that takes longer has failed */
    FAILURES_MAX = 10, /* then the rest is not worth the time */
};

struct file {
    char *path;
    uint8_t *bytes;
    size_t length;
};

struct options {
    const char *program; /* as it was called; failing inputs are kept beside it */
    const char *name;
    char corpus[512];
    uint64_t runs;
    uint64_t seed;
    time_t deadline; /* no random input starts after it; 0: none */
    bool dump;
    uint64_t dump_index;
};

/* What the parent must know when the child is gone. */
struct shared {
    volatile uint64_t step; /* inputs begun: files first, then random ones */
    volatile bool finished; /* the last input ended well */
    volatile size_t length;
    uint8_t bytes[INPUT_BYTES_MAX];
};

static struct file *files;
static size_t file_count;
static struct shared *shared;

/* ---- random inputs */

struct random {
    uint64_t state;
};

/* splitmix64: any seed is good, also consecutive ones. */
static uint64_t next(struct random *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t below(struct random *r, size_t limit)
{
    return limit ? next(r) % limit : 0;
}

static size_t fill_random(struct random *r, uint8_t *out)
{
    size_t length = below(r, (size_t)RANDOM_BYTES_MAX >> below(r, 8)) + 1;
    for (size_t i = 0; i < length; i += 8) {
        uint64_t value = next(r);
        memcpy(out + i, &value, length - i < 8 ? length - i : 8);
    }
    return length;
}

/* One change to out[0, length); returns the new length, never 0 and never above INPUT_BYTES_MAX. */
static size_t mutate_once(struct random *r, uint8_t *out, size_t length)
{
    static const uint8_t interesting[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x20, '\r', '\n', ':', '/'};
    size_t at = below(r, length);
    size_t span = below(r, length - at < 64 ? length - at : 64) + 1;
    switch (below(r, 7)) {
    case 0: out[at] ^= (uint8_t)(1u << below(r, 8)); break;
    case 1: out[at] = (uint8_t)next(r); break;
    case 2: out[at] = interesting[below(r, sizeof interesting)]; break;
    case 3: memset(out + at, interesting[below(r, sizeof interesting)], span); break;
    case 4: /* drop */
        if (span < length) {
            memmove(out + at, out + at + span, length - at - span);
            length -= span;
        }
        break;
    case 5: /* repeat */
        if (length + span <= INPUT_BYTES_MAX) {
            memmove(out + at + span, out + at, length - at);
            length += span;
        }
        break;
    case 6: { /* copy from elsewhere in the same input */
        size_t from = below(r, length - span + 1);
        memmove(out + at, out + from, span);
        break;
    }
    }
    return length;
}

/* Makes random input `index` in `out`, INPUT_BYTES_MAX large. */
static size_t make_input(uint64_t seed, uint64_t index, uint8_t *out)
{
    struct random r = {seed * 0x2545f4914f6cdd1du + index};
    if (!file_count || below(&r, 4) == 0)
        return fill_random(&r, out);
    const struct file *base = &files[below(&r, file_count)];
    if (!base->length)
        return fill_random(&r, out);
    size_t length = base->length;
    memcpy(out, base->bytes, length);
    for (size_t n = below(&r, 8) + 1; n > 0; n--)
        length = mutate_once(&r, out, length);
    return length;
}

/* ---- corpus */

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(2);
}

static void add_file(const char *path)
{
    FILE *in = fopen(path, "rb");
    if (!in)
        fail(path);
    uint8_t *bytes = malloc(INPUT_BYTES_MAX + 1);
    struct file *grown = realloc(files, (file_count + 1) * sizeof *files);
    if (!bytes || !grown)
        fail("malloc");
    files = grown;
    size_t length = fread(bytes, 1, INPUT_BYTES_MAX + 1, in);
    fclose(in);
    if (length > INPUT_BYTES_MAX) {
        fprintf(stderr, "%s: longer than %d bytes\n", path, INPUT_BYTES_MAX);
        exit(2);
    }
    uint8_t *exact = realloc(bytes, length ? length : 1);
    char *copy = strdup(path);
    if (!exact || !copy)
        fail("malloc");
    files[file_count++] = (struct file){copy, exact, length};
}

/* Files in the order of their names, so that random inputs do not depend on the file system. */
static void add_folder(const char *folder)
{
    struct dirent **list;
    int count = scandir(folder, &list, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char path[1024];
        int length = snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
        if (list[i]->d_name[0] != '.' && length > 0 && (size_t)length < sizeof path)
            add_file(path);
        free(list[i]);
    }
    if (count >= 0)
        free(list);
}

/* ---- child and parent */

/* A copy of exactly the input's size, so that a read past its end is seen. */
static void play(void)
{
    uint8_t *copy = malloc(shared->length ? shared->length : 1);
    if (!copy)
        fail("malloc");
    memcpy(copy, shared->bytes, shared->length);
    LLVMFuzzerTestOneInput(copy, shared->length);
    free(copy);
}

static void play_from(uint64_t step, const struct options *options)
{
    for (; step < file_count + options->runs; step++) {
        shared->finished = false;
        shared->step = step;
        if (step < file_count) {
            shared->length = files[step].length;
            memcpy(shared->bytes, files[step].bytes, files[step].length);
        } else {
            shared->length = make_input(options->seed, step - file_count, shared->bytes);
        }
        play();
        shared->finished = true;
        if (options->deadline && step >= file_count && time(NULL) >= options->deadline)
            return;
    }
}

/* Waits for the child; kills it when one input takes too long. True when it ended well. */
static bool child_ok(pid_t child, char *why, size_t why_bytes)
{
    uint64_t last = UINT64_MAX;
    unsigned idle_ms = 0;
    int status;
    while (waitpid(child, &status, WNOHANG) == 0) {
        usleep(20 * 1000);
        idle_ms = shared->step == last && !shared->finished ? idle_ms + 20 : 0;
        last = shared->step;
        if (idle_ms > HANG_SECONDS * 1000u) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            snprintf(why, why_bytes, "hangs");
            return false;
        }
    }
    if (WIFSIGNALED(status))
        snprintf(why, why_bytes, "signal %d", WTERMSIG(status));
    else
        snprintf(why, why_bytes, "exit status %d%s", WEXITSTATUS(status),
                 shared->finished ? " after the last input (a leak)" : "");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void report(const struct options *options, unsigned failure, const char *why)
{
    char path[1024];
    snprintf(path, sizeof path, "%s-fail-%u", options->program, failure);
    FILE *out = fopen(path, "wb");
    if (out) {
        fwrite(shared->bytes, 1, shared->length, out);
        fclose(out);
    }
    if (shared->step < file_count)
        fprintf(stderr, "FAILED %s: %s\n", files[shared->step].path, why);
    else
        fprintf(stderr, "FAILED random input %llu of seed %llu: %s, kept in %s\n",
                (unsigned long long)(shared->step - file_count), (unsigned long long)options->seed,
                why, path);
}

static int play_all(const struct options *options)
{
    uint64_t step = 0;
    uint64_t total = file_count + options->runs;
    unsigned failed_files = 0;
    unsigned failed = 0;
    while (step < total && failed < FAILURES_MAX) {
        fflush(NULL);
        pid_t child = fork();
        if (child < 0)
            fail("fork");
        if (child == 0) {
            play_from(step, options);
            exit(0);
        }
        char why[80];
        bool ok = child_ok(child, why, sizeof why);
        step = shared->step + 1;
        if (ok)
            break;
        report(options, failed++, why);
        failed_files += shared->step < file_count;
    }
    uint64_t played = step > file_count ? step - file_count : 0;
    if (options->runs)
        printf("%s: %llu random inputs, seed %llu\n", options->name, (unsigned long long)played,
               (unsigned long long)options->seed);
    size_t passed = (step < file_count ? step : file_count) - failed_files;
    passed += played > 0 && failed == failed_files;
    printf("%zu passed, %u failed\n", passed, failed);
    return failed || !passed;
}

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t value = text ? strtoull(text, &end, 0) : 0;
    if (!text || errno || *end || end == text) {
        fprintf(stderr, "an option wants a number\n");
        exit(2);
    }
    return value;
}

static void parse(struct options *options, int argc, char **argv)
{
    bool named = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--runs")) {
            options->runs = number(value), i++;
        } else if (!strcmp(argv[i], "--seed")) {
            options->seed = number(value), i++;
        } else if (!strcmp(argv[i], "--seconds")) {
            options->deadline = time(NULL) + (time_t)number(value), i++;
            options->runs = UINT64_MAX >> 1;
        } else if (!strcmp(argv[i], "--dump")) {
            options->dump_index = number(value), i++;
            options->dump = true;
        } else if (!strcmp(argv[i], "--corpus") && value) {
            snprintf(options->corpus, sizeof options->corpus, "%s", value), i++;
        } else if (argv[i][0] == '-') {
            fprintf(stderr,
                    "usage: %s [--runs N] [--seed S] [--seconds T] [--corpus DIR] "
                    "[--dump I] [FILE...]\n",
                    options->name);
            exit(2);
        } else {
            add_file(argv[i]);
            named = true;
        }
    }
    if (named)
        options->runs = 0;
    else
        add_folder(options->corpus);
}

static void release(void)
{
    for (size_t i = 0; i < file_count; i++) {
        free(files[i].path);
        free(files[i].bytes);
    }
    free(files);
}

int main(int argc, char **argv)
{
    struct options options = {.runs = RUNS_DEFAULT, .seed = 1};
    const char *slash = strrchr(argv[0], '/');
    options.program = argv[0];
    options.name = slash ? slash + 1 : argv[0];
    snprintf(options.corpus, sizeof options.corpus, "fuzz/corpus/%s", options.name);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        fail("mmap");
    parse(&options, argc, argv);
    int status = 0;
    if (options.dump) {
        shared->length = make_input(options.seed, options.dump_index, shared->bytes);
        fwrite(shared->bytes, 1, shared->length, stdout);
    } else {
        status = play_all(&options);
    }
    release();
    return status;
}
