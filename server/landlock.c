/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of Landlock, for which the C library has no functions. Rights that the running
 * kernel does not know are left out: it refuses rules that name them. */
#include "server/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rights of a file; all others are those of folders. TRUNCATE is newer than some headers. */
#define FS_TRUNCATE (1ull << 14)
#define FS_FILE                                                                                    \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |   \
     FS_TRUNCATE)
#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_RUN  (FS_READ | LANDLOCK_ACCESS_FS_EXECUTE)
#define FS_WRITE                                                                                   \
    (FS_READ | FS_TRUNCATE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |         \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR)

/* The rights that exist since each version of the interface, from 1. */
static const uint64_t rights_since[] = {(1ull << 13) - 1, LANDLOCK_ACCESS_FS_REFER, FS_TRUNCATE};

/* All rights this kernel knows, of those above; 0: no Landlock. */
static uint64_t known_rights(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    uint64_t rights = 0;
    for (long i = 0; i < version && i < (long)(sizeof rights_since / sizeof rights_since[0]); i++) {
        rights |= rights_since[i];
    }
    return rights;
}

int landlock_open(void)
{
    struct landlock_ruleset_attr attr = {.handled_access_fs = known_rights()};
    if (attr.handled_access_fs == 0) {
        return -1;
    }
    return (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
}

void landlock_add(int rules, const char *path, enum landlock_right right)
{
    static const uint64_t rights[] = {
        [LANDLOCK_READ] = FS_READ, [LANDLOCK_RUN] = FS_RUN, [LANDLOCK_WRITE] = FS_WRITE};
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct landlock_path_beneath_attr attr = {.allowed_access = rights[right] & known_rights(),
                                              .parent_fd = fd};
    if (fstat(fd, &st) == 0) {
        attr.allowed_access &= S_ISDIR(st.st_mode) ? UINT64_MAX : FS_FILE;
        (void)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &attr, 0);
    }
    close(fd);
}

bool landlock_enforce(int rules)
{
    bool fine = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    close(rules);
    return fine;
}
