/* SPDX-License-Identifier: Apache-2.0 */
/* User, capabilities, Landlock, seccomp, in this order: each step still needs what the next takes
 * away. Calls are refused with an error instead of a signal: a library that tries something new
 * then does without, and one client's request cannot end the server. */
#include "server/harden.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/landlock.h"
#include "server/log.h"

/* Sanitizers look at their own process as a debugger does, and start programs to name places. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static const char *const level_names[HARDEN_LEVELS] = {
    [HARDEN_OFF] = "off",
    [HARDEN_BASIC] = "basic",
    [HARDEN_STRICT] = "strict",
};

enum harden_level harden_level_find(const char *name)
{
    unsigned level = 0;
    while (level < HARDEN_LEVELS && strcmp(level_names[level], name) != 0) {
        level++;
    }
    return (enum harden_level)level;
}

/* ---- user and capabilities ---- */

static bool become(const char *name, char *error, size_t error_bytes)
{
    if (geteuid() != 0) {
        snprintf(error, error_bytes, "--user %s: only root can become somebody else", name);
        return false;
    }
    errno = 0;
    const struct passwd *user = getpwnam(name);
    if (user == NULL) {
        snprintf(error, error_bytes, "--user %s: %s", name,
                 errno != 0 ? strerror(errno) : "there is no such user");
        return false;
    }
    if (initgroups(name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0) {
        snprintf(error, error_bytes, "--user %s: %s", name, strerror(errno));
        return false;
    }
    if (user->pw_uid != 0 && setuid(0) == 0) {
        snprintf(error, error_bytes, "--user %s: could become root again", name);
        return false;
    }
    return true;
}

/* Who stays root keeps the right to read: certificates may belong to others. */
static bool drop_capabilities(void)
{
    static const cap_value_t reading[] = {CAP_DAC_READ_SEARCH};
    cap_t wanted = cap_init();
    cap_flag_value_t has = CAP_CLEAR;
    cap_t now = cap_get_proc();
    bool fine =
        wanted != NULL && now != NULL && cap_get_flag(now, reading[0], CAP_PERMITTED, &has) == 0;
    if (fine && geteuid() == 0 && has == CAP_SET) {
        fine = cap_set_flag(wanted, CAP_PERMITTED, 1, reading, CAP_SET) == 0 &&
               cap_set_flag(wanted, CAP_EFFECTIVE, 1, reading, CAP_SET) == 0;
    }
    fine = fine && cap_set_proc(wanted) == 0;
    cap_free(wanted);
    cap_free(now);
    return fine;
}

/* ---- files ---- */

/* What the resolver, TLS and the C library read on their own. */
static const char *const system_reads[] = {
    "/dev/null",
    "/dev/urandom",
    "/dev/random",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/usr/lib/ssl",
    "/usr/share/ca-certificates",
    "/usr/share/zoneinfo",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/run/systemd/resolve",
    "/sys/devices/system/cpu",
    "/proc/self",
};

/* The folder of a path: the file may be replaced by another of that name. */
static void add_folder(int rules, const char *path, enum landlock_right right)
{
    char copy[PATH_MAX];
    int bytes = snprintf(copy, sizeof copy, "%s", path);
    if (bytes > 0 && bytes < PATH_MAX) {
        landlock_add(rules, dirname(copy), right);
    }
}

/* Also where it really is: certificates are often links into another folder. */
static void add_read(int rules, const char *path)
{
    char *real = realpath(path, NULL);
    landlock_add(rules, path, LANDLOCK_READ);
    add_folder(rules, path, LANDLOCK_READ);
    if (real != NULL) {
        add_folder(rules, real, LANDLOCK_READ);
    }
    free(real);
}

/* A compiler reads what it likes, and writes temporary files. */
static void add_compiler(int rules)
{
    const char *temporary = getenv("TMPDIR");
    landlock_add(rules, "/", LANDLOCK_RUN);
    landlock_add(rules, "/dev/null", LANDLOCK_WRITE);
    landlock_add(rules, "/tmp", LANDLOCK_WRITE);
    if (temporary != NULL) {
        landlock_add(rules, temporary, LANDLOCK_WRITE);
    }
}

static bool restrict_files(const struct harden_options *options)
{
    int rules = landlock_open();
    if (rules < 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof system_reads / sizeof system_reads[0]; i++) {
        landlock_add(rules, system_reads[i], LANDLOCK_READ);
    }
    for (unsigned i = 0; i < options->read_count; i++) {
        add_read(rules, options->reads[i]);
    }
    if (options->log != NULL) {
        add_folder(rules, options->log, LANDLOCK_WRITE);
    }
    if (options->compiles || SANITIZED) {
        add_compiler(rules);
    }
    return landlock_enforce(rules);
}

/* ---- system calls ---- */

static bool add_denied(scmp_filter_ctx filter)
{
    static const int numbers[] = {
#define DENY(name) SCMP_SYS(name),
#include "server/syscalls.def"
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        bool for_debuggers =
            numbers[i] == SCMP_SYS(ptrace) || numbers[i] == SCMP_SYS(process_vm_readv);
        if (!(SANITIZED && for_debuggers) &&
            seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), numbers[i], 0) != 0) {
            return false;
        }
    }
    return true;
}

static bool deny_programs(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(execve), 0) == 0 &&
           seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(execveat), 0) == 0;
}

/* Threads, but no processes. clone3 has its flags in memory, out of a filter's reach; it is said
 * not to exist, and clone is used instead. */
static bool allow_threads(scmp_filter_ctx filter)
{
    const scmp_datum_t flags = CLONE_VM | CLONE_THREAD;
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                            SCMP_A0(SCMP_CMP_MASKED_EQ, flags, flags)) == 0;
}

static bool allow_sockets(scmp_filter_ctx filter)
{
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        const scmp_datum_t family = (scmp_datum_t)families[i];
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                             SCMP_A0(SCMP_CMP_EQ, family)) != 0 ||
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
                             SCMP_A0(SCMP_CMP_EQ, family)) != 0) {
            return false;
        }
    }
    return true;
}

static bool add_allowed(scmp_filter_ctx filter)
{
    static const int numbers[] = {
#define ALLOW(name) SCMP_SYS(name),
#include "server/syscalls.def"
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, numbers[i], 0) != 0) {
            return false;
        }
    }
    return allow_threads(filter) && allow_sockets(filter);
}

/* With a compiler to start, or a sanitizer, strict allows the rest as basic does. */
static bool is_narrow(const struct harden_options *options)
{
    return options->level == HARDEN_STRICT && !options->compiles && !SANITIZED;
}

static bool filter_calls(const struct harden_options *options)
{
    bool narrow = is_narrow(options);
    scmp_filter_ctx filter = seccomp_init(narrow ? SCMP_ACT_ERRNO(ENOSYS) : SCMP_ACT_ALLOW);
    if (filter == NULL) {
        return false;
    }
    /* The mitigation that comes with filters by default slows every thread down; it is for
     * filtered code that spies on its own process. */
    bool fine = seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1) == 0 &&
                seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0 && add_denied(filter);
    if (fine && !options->compiles && !SANITIZED) {
        fine = deny_programs(filter);
    }
    fine = fine && (!narrow || add_allowed(filter)) && seccomp_load(filter) == 0;
    seccomp_release(filter);
    return fine;
}

/* ---- all of it ---- */

static void tell(const struct harden_options *options, bool files, bool calls)
{
    const char *filter = !calls               ? "all system calls (no seccomp)"
                         : is_narrow(options) ? "only system calls that serving needs"
                                              : "no dangerous system calls";
    const char *reach = options->level != HARDEN_STRICT ? ""
                        : !files                        ? ", all files (no Landlock)"
                        : options->compiles             ? ", files read only"
                                                        : ", only files that are served";
    const char *programs = options->compiles     ? "; a reload may run the compiler"
                           : !calls || SANITIZED ? ""
                                                 : ", no programs";
    log_line("sandbox %s: no new privileges, %s, %s%s%s", level_names[options->level],
             geteuid() == 0 ? "no capability but to read" : "no capabilities", filter, reach,
             programs);
}

bool harden_process(const struct harden_options *options, char *error, size_t error_bytes)
{
    if (options->user != NULL && !become(options->user, error, error_bytes)) {
        return false;
    }
    if (options->level == HARDEN_OFF) {
        return true;
    }
    if (!drop_capabilities() || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        snprintf(error, error_bytes, "sandbox: %s", strerror(errno));
        return false;
    }
    bool files = options->level == HARDEN_STRICT && restrict_files(options);
    bool calls = filter_calls(options);
    if (!calls && options->level == HARDEN_STRICT) {
        snprintf(error, error_bytes, "--sandbox strict: the kernel takes no filter (seccomp)");
        return false;
    }
    tell(options, files, calls);
    return true;
}
