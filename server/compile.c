/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles a script with the system's clang or bpf-gcc.
 *
 * The compiler runs in the folder of the source and is given its bare name, and paths of the folder
 * for temporary files are mapped away: the object says nothing about where it was made, so the same
 * source makes the same bytes anywhere. No shell is involved. What the compiler prints goes to
 * standard error; its standard output, too, since ours may be the tar.
 *
 * Scripts may have large variables in their functions, which older clangs take for an error: they
 * know of no stack but the kernel's 512 bytes. They make the code all the same, and when that is
 * all they complain about, its text is taken and assembled.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/file.h"
#include "server/limits.h"
#include "server/pack.h"

extern char **environ;

enum { PATH_BYTES = PATH_MAX + 64, MESSAGES_BYTES_MAX = 16 << 20 };

/* A compilation under way. */
struct job {
    bool made;               /* the folder `temporary` */
    char folder[PATH_BYTES]; /* of the source */
    char name[PATH_BYTES];   /* of the source, in its folder */
    char temporary[PATH_BYTES];
    char header[PATH_BYTES]; /* zeroserve.h in `temporary` */
    char object[PATH_BYTES]; /* the output, there too */
    char assembly[PATH_BYTES];
    char messages[PATH_BYTES];
    char map_temporary[PATH_BYTES];
    char map_folder[PATH_BYTES];
};

/* Runs argv[0], found in PATH, in `folder`. Exit status, or -1 with errno: it could not be run.
 * `messages`: file that gets its standard error, or NULL: ours does. `output`: the same for its
 * standard output, which else goes where its messages go. */
static int run(const char *const *argv, const char *folder, const char *messages,
               const char *output)
{
    const int create = O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;
    if (posix_spawn_file_actions_init(&actions) != 0) {
        errno = ENOMEM;
        return -1;
    }
    int failed = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (failed == 0 && messages != NULL) {
        failed = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, messages, create, 0600);
    }
    if (failed == 0) {
        failed =
            output != NULL
                ? posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, create, 0600)
                : posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    }
    if (failed == 0) {
        failed = posix_spawn_file_actions_addchdir_np(&actions, folder);
    }
    if (failed == 0) {
        failed = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
    }
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) {
        errno = failed;
        return -1;
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Newer clangs refuse frames over 512 bytes unless told a limit; older ones have no such flag. */
static bool clang_has_stack_flag(void)
{
    static const char *const probe[] = {
        "clang",     "-target", "bpf",       "-mllvm", "-bpf-stack-size=8192", "-c", "-x", "c",
        "/dev/null", "-o",      "/dev/null", NULL};
    static int answer = -1;
    if (answer < 0) {
        answer = run(probe, "/", "/dev/null", NULL) == 0;
    }
    return answer == 1;
}

/* -fno-builtin: what clang takes for memcpy and the like and cannot expand, clang 14 refuses to
 * call; left alone it is a call of our helper. `text`: assembly to job->assembly. */
static int run_clang(const struct job *job, bool text, const char *messages)
{
    const char *stack = clang_has_stack_flag() ? "-bpf-stack-size=8192" : NULL;
    const char *const argv[] = {
        /* clang-format off */
        "clang", "-target", "bpf", "-mcpu=v3", "-O2", "-g", "-fno-ident", "-fno-builtin",
        "-Wframe-larger-than=8192", "-Werror=frame-larger-than", "-fdebug-compilation-dir=.",
        job->map_temporary, job->map_folder, "-I", job->temporary,
        text ? "-S" : "-c", job->name, "-o", text ? "-" : job->object,
        stack != NULL ? "-mllvm" : NULL, stack, NULL,
        /* clang-format on */
    };
    return run(argv, job->folder, messages, text ? job->assembly : NULL);
}

static int assemble(const struct job *job)
{
    const char *const argv[] = {"clang",     "-target",     "bpf", "-mcpu=v3",  "-c", "-x",
                                "assembler", job->assembly, "-o",  job->object, NULL};
    return run(argv, job->folder, NULL, NULL);
}

/* Are all errors among the messages those about large variables? */
static bool only_frames(const char *messages, size_t bytes)
{
    static const char error[] = ": error: ";
    static const char frame[] = "Looks like the BPF stack limit of 512 bytes is exceeded.";
    const char *end = messages + bytes;
    const char *at = messages;
    bool any = false;
    while ((at = memmem(at, (size_t)(end - at), error, sizeof error - 1)) != NULL) {
        at += sizeof error - 1;
        if ((size_t)(end - at) < sizeof frame - 1 || memcmp(at, frame, sizeof frame - 1) != 0) {
            return false;
        }
        any = true;
    }
    return any && memmem(messages, bytes, "fatal error", 11) == NULL;
}

/* A clang without the flag. Its messages are shown unless they are about nothing but frames. */
static int run_old_clang(const struct job *job)
{
    char ignored[PATH_BYTES];
    uint8_t *messages;
    size_t bytes;
    int status = run_clang(job, false, job->messages);
    if (status < 0 ||
        !file_read(job->messages, MESSAGES_BYTES_MAX, &messages, &bytes, ignored, sizeof ignored)) {
        return status;
    }
    if (status == 1 && only_frames((const char *)messages, bytes)) {
        (void)run_clang(job, true, "/dev/null"); /* fails as well, having written the text */
        status = assemble(job);
    } else {
        (void)file_write_all(STDERR_FILENO, messages, bytes);
    }
    free(messages);
    return status;
}

static int run_gcc(const struct job *job)
{
    const char *const argv[] = {
        /* clang-format off */
        "bpf-gcc", "-mcpu=v3", "-O2", "-g", "-fno-ident", job->map_temporary, job->map_folder,
        "-I", job->temporary, "-c", job->name, "-o", job->object, NULL,
        /* clang-format on */
    };
    return run(argv, job->folder, NULL, NULL);
}

static bool join(char out[PATH_BYTES], const char *a, const char *b, const char *c)
{
    int length = snprintf(out, PATH_BYTES, "%s%s%s", a, b, c);
    return length > 0 && length < PATH_BYTES;
}

/* Writes the header for scripts. False: errno. */
static bool write_header(const struct job *job)
{
    int fd = open(job->header, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    bool fine = file_write_all(fd, sdk_text, strlen(sdk_text));
    return close(fd) == 0 && fine;
}

/* Splits the path of the source and finds the absolute one of its folder. False: errno. */
static bool job_name(struct job *job, const char *source_path)
{
    char absolute[PATH_MAX];
    const char *slash = strrchr(source_path, '/');
    const char *base = slash != NULL ? slash + 1 : source_path;
    if (!join(job->folder, slash != NULL ? source_path : "./", "", "") ||
        !join(job->name, base[0] == '-' ? "./" : "", base, "")) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (slash != NULL) {
        job->folder[slash - source_path + 1] = '\0';
    }
    if (realpath(job->folder, absolute) == NULL) {
        return false;
    }
    errno = ENAMETOOLONG;
    return join(job->map_folder, "-ffile-prefix-map=", absolute, "=.");
}

/* Paths, the temporary folder and the header in it. False: errno. Either way job_end is due. */
static bool job_begin(struct job *job, const char *source_path)
{
    const char *top = getenv("TMPDIR");
    if (!job_name(job, source_path)) {
        return false;
    }
    errno = ENAMETOOLONG;
    if (!join(job->temporary, top != NULL && top[0] == '/' ? top : "/tmp", "/zeroserve-XXXXXX",
              "") ||
        mkdtemp(job->temporary) == NULL) {
        return false;
    }
    job->made = true;
    errno = ENAMETOOLONG;
    return join(job->header, job->temporary, "/zeroserve.h", "") &&
           join(job->object, job->temporary, "/script.o", "") &&
           join(job->assembly, job->temporary, "/script.s", "") &&
           join(job->messages, job->temporary, "/messages", "") &&
           join(job->map_temporary, "-ffile-prefix-map=", job->temporary, "=/zeroserve") &&
           write_header(job);
}

static void job_end(const struct job *job)
{
    if (job->made) {
        unlink(job->header);
        unlink(job->object);
        unlink(job->assembly);
        unlink(job->messages);
        rmdir(job->temporary);
    }
}

/* Tries the compilers. False: one line in `error`. */
static bool job_run(const struct job *job, const char *source_path, char *error, size_t error_bytes)
{
    const char *compiler = "clang";
    int status = clang_has_stack_flag() ? run_clang(job, false, NULL) : run_old_clang(job);
    if (status < 0 && errno == ENOENT) {
        compiler = "bpf-gcc";
        status = run_gcc(job);
    }
    if (status == 0) {
        return true;
    }
    if (status < 0 && errno == ENOENT) {
        snprintf(error, error_bytes, "%s: cannot compile: install clang or bpf-gcc", source_path);
    } else if (status < 0) {
        snprintf(error, error_bytes, "%s: cannot run %s: %s", source_path, compiler,
                 strerror(errno));
    } else {
        snprintf(error, error_bytes, "%s: %s failed", source_path, compiler);
    }
    return false;
}

bool pack_compile(const char *source_path, uint8_t **object, size_t *object_bytes, char *error,
                  size_t error_bytes)
{
    struct job *job = calloc(1, sizeof *job);
    bool fine = false;
    *object = NULL;
    if (job == NULL) {
        snprintf(error, error_bytes, "%s: out of memory", source_path);
        return false;
    }
    if (access(source_path, R_OK) != 0) {
        snprintf(error, error_bytes, "%s: %s", source_path, strerror(errno));
    } else {
        if (!job_begin(job, source_path)) {
            snprintf(error, error_bytes, "%s: cannot prepare to compile: %s", source_path,
                     strerror(errno));
        } else if (job_run(job, source_path, error, error_bytes)) {
            fine = file_read(job->object, LIM_SCRIPT_OBJECT_BYTES, object, object_bytes, error,
                             error_bytes);
        }
        job_end(job);
    }
    free(job);
    return fine;
}
