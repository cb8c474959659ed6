/* SPDX-License-Identifier: Apache-2.0 */
/* main() of every fuzz harness in ordinary builds: plays inputs to LLVMFuzzerTestOneInput.
 *
 *   <harness>                              the corpus fuzz/corpus/<harness>, then random inputs
 *   <harness> --runs N --seed S            that many random inputs (default 20000, seed 1)
 *   <harness> --first I                    from random input I on (default 0)
 *   <harness> --seconds T                  random inputs for T seconds at most
 *   <harness> --jobs N                     in N processes, each taking every Nth input
 *   <harness> --corpus DIR                 another corpus
 *   <harness> FILE...                      those files alone
 *   <harness> --dump I                     writes random input I of this seed to standard output
 *
 * Random input I depends on seed, corpus and I alone, so that a failure can be played again. Inputs
 * run in child processes; the one in hand lies in shared memory. When a child dies or hangs, the
 * parent names that input, keeps a copy beside the program as <harness>-fail-<n>, lets the harness
 * explain it, and goes on with the next in a new child. How far it is goes to standard error, often
 * on a terminal, else once a minute. The last line is "N passed, N failed": a corpus file counts
 * one, all random inputs together count one, each failing input counts one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
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
    JOBS_MAX = 64,
    EXPLAIN_SECONDS = 60,
    POLL_MS = 20,
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
    uint64_t first;
    uint64_t runs;
    uint64_t seed;
    unsigned jobs;
    time_t deadline; /* no random input starts after it; 0: none */
    bool dump;
    uint64_t dump_index;
};

/* What the parent must know when the child is gone. A step is a corpus file, or behind them the
 * random input step - file_count. */
struct shared {
    volatile uint64_t step; /* begun last */
    volatile bool finished; /* it ended well */
    volatile size_t length;
    uint8_t bytes[INPUT_BYTES_MAX];
};

/* One child after the other, which between them play the job's share: the first job the files, each
 * of N jobs every Nth random input. */
struct job {
    pid_t child; /* 0: over */
    struct shared *shared;
    uint64_t *counters;
    uint64_t start;   /* the first random one of its share, as a step */
    uint64_t seen;    /* step that the child was at */
    unsigned idle_ms; /* since it began that */
};

static struct file *files;
static size_t file_count;
static struct job jobs[JOBS_MAX];

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

/* ---- children */

/* A copy of exactly the input's size, so that a read past its end is seen. */
static void play(const struct shared *shared)
{
    uint8_t *copy = malloc(shared->length ? shared->length : 1);
    if (!copy)
        fail("malloc");
    memcpy(copy, shared->bytes, shared->length);
    LLVMFuzzerTestOneInput(copy, shared->length);
    free(copy);
}

static uint64_t step_after(const struct job *job, const struct options *options, uint64_t step)
{
    if (step + 1 < file_count)
        return step + 1;
    return step < file_count ? job->start : step + options->jobs;
}

static void load(struct shared *shared, const struct options *options, uint64_t step)
{
    if (step < file_count) {
        shared->length = files[step].length;
        memcpy(shared->bytes, files[step].bytes, files[step].length);
    } else {
        shared->length = make_input(options->seed, step - file_count, shared->bytes);
    }
}

static uint64_t end_step(const struct options *options)
{
    return file_count + options->first + options->runs;
}

static void play_from(struct job *job, const struct options *options, uint64_t step)
{
    struct shared *shared = job->shared;
    if (&fuzz_counters)
        fuzz_counters.values = job->counters;
    for (; step < end_step(options); step = step_after(job, options, step)) {
        shared->finished = false;
        shared->step = step;
        load(shared, options, step);
        play(shared);
        shared->finished = true;
        if (options->deadline && step >= file_count && time(NULL) >= options->deadline)
            return;
    }
}

static void start_child(struct job *job, const struct options *options, uint64_t step)
{
    job->child = 0;
    if (step >= end_step(options))
        return;
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        play_from(job, options, step);
        exit(0);
    }
    job->child = child;
    job->seen = UINT64_MAX;
}

/* ---- the parent */

static struct totals {
    time_t begun;
    time_t shown;
    unsigned failed;
    unsigned failed_files;
} totals;

static void *share(size_t bytes)
{
    void *at =
        mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        fail("mmap");
    return at;
}

/* In a child, because it may die of the input too. */
static void explain(const struct shared *shared)
{
    if (!fuzz_explain)
        return;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(EXPLAIN_SECONDS);
        fuzz_explain(shared->bytes, shared->length);
        exit(0);
    }
    if (child > 0)
        waitpid(child, NULL, 0);
}

static void report(const struct options *options, const struct shared *shared, const char *why)
{
    char path[1024];
    snprintf(path, sizeof path, "%s-fail-%u", options->program, totals.failed);
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
    explain(shared);
    totals.failed++;
    totals.failed_files += shared->step < file_count;
}

/* The child is gone; `status` is how. True when it ended well. */
static bool ended_well(const struct shared *shared, int status, char *why, size_t why_bytes)
{
    if (WIFSIGNALED(status))
        snprintf(why, why_bytes, "signal %d", WTERMSIG(status));
    else
        snprintf(why, why_bytes, "exit status %d%s", WEXITSTATUS(status),
                 shared->finished ? " after the last input (a leak)" : "");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Looks after the job's child: one that is gone or hangs is reported and followed by another. */
static void attend(struct job *job, const struct options *options)
{
    char why[80];
    int status;
    struct shared *shared = job->shared;
    bool gone = waitpid(job->child, &status, WNOHANG) != 0;
    if (!gone) {
        job->idle_ms = shared->step == job->seen && !shared->finished ? job->idle_ms + POLL_MS : 0;
        job->seen = shared->step;
        if (job->idle_ms <= HANG_SECONDS * 1000u)
            return;
        kill(job->child, SIGKILL);
        waitpid(job->child, &status, 0);
    }
    job->child = 0;
    if (gone && ended_well(shared, status, why, sizeof why))
        return;
    report(options, shared, gone ? why : "hangs");
    if (totals.failed < FAILURES_MAX)
        start_child(job, options, step_after(job, options, shared->step));
}

/* Random inputs begun by all jobs. */
static uint64_t played(const struct options *options)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < options->jobs; i++)
        if (jobs[i].shared->length != SIZE_MAX && jobs[i].shared->step >= jobs[i].start)
            sum += (jobs[i].shared->step - jobs[i].start) / options->jobs + 1;
    return sum;
}

static void show_progress(const struct options *options)
{
    bool terminal = isatty(STDERR_FILENO);
    time_t now = time(NULL);
    if (now - totals.shown < (terminal ? 1 : 60))
        return;
    totals.shown = now;
    uint64_t done = played(options);
    fprintf(stderr, "%s%s: %llu inputs in %lld s, %.1f us each, %u failed%s", terminal ? "\r" : "",
            options->name, (unsigned long long)done, (long long)(now - totals.begun),
            done ? 1e6 * (double)(now - totals.begun) / (double)done : 0.0, totals.failed,
            terminal ? "" : "\n");
}

static void summarise(const struct options *options)
{
    uint64_t done = played(options);
    if (isatty(STDERR_FILENO) && totals.shown != totals.begun)
        fputc('\n', stderr);
    if (!options->runs)
        return;
    printf("%s: %llu random inputs, seed %llu, from %llu", options->name, (unsigned long long)done,
           (unsigned long long)options->seed, (unsigned long long)options->first);
    if (done == options->runs)
        printf(" to %llu\n", (unsigned long long)(options->first + done - 1));
    else
        printf(" on\n");
    if (!&fuzz_counters)
        return;
    for (size_t i = 0; i < fuzz_counters.count; i++)
        for (unsigned j = 1; j < options->jobs; j++)
            jobs[0].counters[i] += jobs[j].counters[i];
    fuzz_counters.print(jobs[0].counters);
}

static void start_jobs(const struct options *options)
{
    totals.begun = totals.shown = time(NULL);
    for (unsigned i = 0; i < options->jobs; i++) {
        struct job *job = &jobs[i];
        job->shared = share(sizeof *job->shared);
        job->shared->length = SIZE_MAX; /* nothing begun */
        job->counters = share(&fuzz_counters ? fuzz_counters.count * sizeof *job->counters : 0);
        job->start = file_count + options->first + i;
        start_child(job, options, i == 0 && file_count ? 0 : job->start);
    }
}

static int play_all(const struct options *options)
{
    start_jobs(options);
    for (unsigned alive = 1; alive > 0 && totals.failed < FAILURES_MAX;) {
        usleep(POLL_MS * 1000);
        alive = 0;
        for (unsigned i = 0; i < options->jobs; i++) {
            if (jobs[i].child)
                attend(&jobs[i], options);
            alive += jobs[i].child != 0;
        }
        show_progress(options);
    }
    for (unsigned i = 0; i < options->jobs; i++)
        if (jobs[i].child) {
            kill(jobs[i].child, SIGKILL);
            waitpid(jobs[i].child, NULL, 0);
        }
    summarise(options);
    uint64_t step = jobs[0].shared->length == SIZE_MAX ? 0 : jobs[0].shared->step + 1;
    size_t passed = (step < file_count ? step : file_count) - totals.failed_files;
    passed += played(options) > 0 && totals.failed == totals.failed_files;
    printf("%zu passed, %u failed\n", passed, totals.failed);
    return totals.failed || !passed;
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
        } else if (!strcmp(argv[i], "--first")) {
            options->first = number(value), i++;
        } else if (!strcmp(argv[i], "--jobs")) {
            options->jobs = (unsigned)number(value), i++;
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
                    "usage: %s [--runs N] [--seed S] [--first I] [--seconds T] [--jobs N] "
                    "[--corpus DIR] [--dump I] [FILE...]\n",
                    options->name);
            exit(2);
        } else {
            add_file(argv[i]);
            named = true;
        }
    }
    if (options->jobs == 0 || options->jobs > JOBS_MAX) {
        fprintf(stderr, "--jobs: want 1 to %d\n", JOBS_MAX);
        exit(2);
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
    struct options options = {.runs = RUNS_DEFAULT, .seed = 1, .jobs = 1};
    const char *slash = strrchr(argv[0], '/');
    options.program = argv[0];
    options.name = slash ? slash + 1 : argv[0];
    snprintf(options.corpus, sizeof options.corpus, "fuzz/corpus/%s", options.name);
    parse(&options, argc, argv);
    int status = 0;
    if (options.dump) {
        uint8_t *bytes = share(INPUT_BYTES_MAX);
        fwrite(bytes, 1, make_input(options.seed, options.dump_index, bytes), stdout);
    } else {
        status = play_all(&options);
    }
    release();
    return status;
}
