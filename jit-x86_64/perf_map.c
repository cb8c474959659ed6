/* SPDX-License-Identifier: Apache-2.0 */
/* /tmp/perf-PID.map, where perf looks up names of code that is in no file: "START SIZE NAME", in
 * hexadecimal. The name of the file is fixed and /tmp is everybody's, so what is found there is
 * only taken when it is a plain file of our own. A file left by an earlier process of the same
 * number is emptied. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "jit-x86_64/symbols.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t begun; /* the process that has emptied its file */

static bool is_ours(int fd)
{
    struct stat info;

    return fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == geteuid() &&
           info.st_nlink == 1;
}

/* Under the lock. -1 with errno. */
static int open_map(void)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/tmp/perf-%ld.map", (long)getpid());
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd >= 0 && !is_ours(fd)) {
        close(fd);
        errno = EPERM;
        return -1;
    }
    if (fd >= 0 && begun != getpid()) {
        if (ftruncate(fd, 0) != 0) {
            close(fd);
            return -1;
        }
        begun = getpid();
    }
    return fd;
}

/* Names come from objects: what would break the line becomes '_'. */
static void put_name(FILE *out, const char *name)
{
    for (; *name != '\0'; name++) {
        fputc(isgraph((unsigned char)*name) ? *name : '_', out);
    }
}

static void put(FILE *out, const struct symbols_input *in, size_t from, size_t to, const char *name)
{
    if (from < to) {
        fprintf(out, "%" PRIxPTR " %zx ", (uintptr_t)in->text + from, to - from);
        put_name(out, in->program->name);
        fputc(':', out);
        put_name(out, name);
        fputc('\n', out);
    }
}

static void put_all(FILE *out, const struct symbols_input *in)
{
    const struct vm_program *p = in->program;

    for (uint32_t i = 0; i < p->function_count; i++) {
        const struct vm_function *f = &p->functions[i];
        char unnamed[24];

        snprintf(unnamed, sizeof unnamed, "insn_%u", f->start);
        put(out, in, in->offsets[f->start], in->offsets[f->start + f->count],
            f->name[0] != '\0' ? f->name : unnamed);
    }
    put(out, in, in->offsets[p->insn_count], in->text_bytes, SYMBOLS_FAULT);
}

static bool write_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t wrote = write(fd, text, length);
        if (wrote < 0 && errno != EINTR) {
            return false;
        }
        text += wrote > 0 ? wrote : 0;
        length -= wrote > 0 ? (size_t)wrote : 0;
    }
    return true;
}

enum vm_error perf_map_append(const struct symbols_input *in)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    bool fine;
    int fd;

    if (out == NULL) {
        return VM_ERROR_NO_MEMORY;
    }
    put_all(out, in);
    if (fclose(out) != 0) {
        free(text);
        return VM_ERROR_NO_MEMORY;
    }
    pthread_mutex_lock(&lock);
    fd = open_map();
    fine = fd >= 0 && write_all(fd, text, length);
    if (fd >= 0) {
        int error = errno;
        close(fd);
        errno = error;
    }
    pthread_mutex_unlock(&lock);
    free(text);
    return fine ? VM_ERROR_OK : VM_ERROR_HOST;
}
