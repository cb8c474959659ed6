/* SPDX-License-Identifier: Apache-2.0 */
/* What a process can still do in each level of the sandbox. It is for good, so each case is a child
 * of the test; builds with a sanitizer are laxer, so there is less to refuse. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/harden.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static char folder[] = "/tmp/zs-harden-XXXXXX";
static char file[64];

static void make_files(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/site.tar", folder);
    int fd = open(file, O_WRONLY | O_CREAT, 0644);
    cr_assert(fd >= 0 && write(fd, "x", 1) == 1);
    close(fd);
}

static void remove_files(void)
{
    unlink(file);
    rmdir(folder);
}

/* 0: worked; else the errno. */
static int result_of(bool worked)
{
    return worked ? 0 : errno;
}

static int try_open(const char *path, int flags)
{
    int fd = open(path, flags, 0644);
    int result = result_of(fd >= 0);
    if (fd >= 0) {
        close(fd);
    }
    return result;
}

static int try_exec(void)
{
    char *const argv[] = {(char *)"/bin/true", NULL};
    pid_t pid = fork();
    if (pid == 0) {
        execv(argv[0], argv);
        _exit(errno);
    }
    int status = 0;
    if (pid < 0) {
        return errno;
    }
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

static void *nothing(void *argument)
{
    return argument;
}

static bool can_start_thread(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

/* Compiled scripts: memory that is written, then run. */
static bool can_make_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page != MAP_FAILED && mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}

static void expect(const char *what, int got, int wanted)
{
    if (got != wanted) {
        fprintf(stderr, "%s: %s instead of %s\n", what, strerror(got), strerror(wanted));
        _exit(1);
    }
}

static void expect_serving(void)
{
    expect("thread", can_start_thread() ? 0 : EPERM, 0);
    expect("code", can_make_code() ? 0 : EPERM, 0);
    expect("socket", result_of(socket(AF_INET, SOCK_STREAM, 0) >= 0), 0);
    expect("site", try_open(file, O_RDONLY), 0);
    expect("/dev/null", try_open("/dev/null", O_RDONLY), 0);
    expect("no new privileges", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    expect("mount", result_of(syscall(SYS_mount, "a", "/", "b", 0, 0) == 0), EPERM);
    expect("bpf", result_of(syscall(SYS_bpf, 0, NULL, 0) >= 0), EPERM);
    expect("unshare", result_of(syscall(SYS_unshare, 0) == 0), EPERM);
}

static bool have_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

/* Runs in a child; what it expects in vain ends it with status 1. */
static void in_sandbox(const struct harden_options *options, void (*body)(void))
{
    int status = 0;
    pid_t pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        char error[256] = "";
        if (!harden_process(options, error, sizeof error)) {
            fprintf(stderr, "%s\n", error);
            _exit(2);
        }
        body();
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", (unsigned)status);
}

static void body_basic(void)
{
    expect_serving();
    expect("other files", try_open("/etc/passwd", O_RDONLY), 0);
    if (!SANITIZED) {
        expect("programs", try_exec(), EPERM);
        expect("ptrace", result_of(syscall(SYS_ptrace, 0, 0, 0, 0) == 0), EPERM);
    }
}

Test(harden, basic, .init = make_files, .fini = remove_files)
{
    struct harden_options options = {.level = HARDEN_BASIC, .reads = {file}, .read_count = 1};
    in_sandbox(&options, body_basic);
}

static void body_strict(void)
{
    expect_serving();
    if (SANITIZED) {
        return;
    }
    expect("processes", result_of(fork() >= 0), ENOSYS);
    expect("programs", result_of(execl("/bin/true", "true", NULL) == 0), EPERM);
    expect("unknown calls", result_of(syscall(SYS_sysfs, 0, 0, 0) == 0), ENOSYS);
    expect("packets", result_of(socket(AF_PACKET, SOCK_RAW, 0) >= 0), ENOSYS);
    if (have_landlock()) {
        expect("other files", try_open("/etc/passwd", O_RDONLY), EACCES);
        expect("writing", try_open(file, O_WRONLY), EACCES);
    }
}

Test(harden, strict, .init = make_files, .fini = remove_files)
{
    struct harden_options options = {.level = HARDEN_STRICT, .reads = {file}, .read_count = 1};
    in_sandbox(&options, body_strict);
}

static void body_log(void)
{
    char path[80];
    snprintf(path, sizeof path, "%s/log", folder);
    expect("log", try_open(path, O_WRONLY | O_CREAT | O_APPEND), 0);
    unlink(path);
}

/* The folder of the log is writable; the file may be gone when it is opened again. */
Test(harden, strict_lets_logs_be_made, .init = make_files)
{
    char path[80];
    snprintf(path, sizeof path, "%s/log", folder);
    struct harden_options options = {.level = HARDEN_STRICT, .log = path};
    in_sandbox(&options, body_log);
    unlink(path);
    remove_files();
}

static void body_compiles(void)
{
    expect_serving();
    expect("programs", try_exec(), 0);
    expect("other files", try_open("/etc/passwd", O_RDONLY), 0);
    expect("temporary files", try_open(file, O_WRONLY), 0);
}

Test(harden, leaves_what_compilers_need, .init = make_files, .fini = remove_files)
{
    for (unsigned level = HARDEN_BASIC; level < HARDEN_LEVELS; level++) {
        struct harden_options options = {.level = (enum harden_level)level, .compiles = true};
        in_sandbox(&options, body_compiles);
    }
}

Test(harden, refuses_users_it_cannot_become)
{
    struct harden_options options = {.user = "no-such-user-here"};
    char error[256] = "";
    cr_assert(!harden_process(&options, error, sizeof error));
    cr_expect_not_null(strstr(error, geteuid() == 0 ? "there is no such user" : "only root"), "%s",
                       error);
}

static void body_user(void)
{
    expect("user", geteuid() != 0 && getuid() == geteuid() && getegid() != 0 ? 0 : EPERM, 0);
    expect("root again", result_of(setuid(0) == 0), EPERM);
}

Test(harden, becomes_another_user)
{
    if (geteuid() == 0) {
        struct harden_options options = {.user = "nobody"};
        in_sandbox(&options, body_user);
    }
}

Test(harden, finds_levels_by_name)
{
    cr_expect_eq(harden_level_find("off"), HARDEN_OFF);
    cr_expect_eq(harden_level_find("basic"), HARDEN_BASIC);
    cr_expect_eq(harden_level_find("strict"), HARDEN_STRICT);
    cr_expect_eq(harden_level_find("on"), HARDEN_LEVELS);
}
