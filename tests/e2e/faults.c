/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into a server under test: lets what it calls fail while it runs. The bytes of the file
 * named by $FAULTS, which is mapped and may change at any time, say what:
 *
 *   [0]  n > 0: of the allocations one in n, about
 *   [1]  look-ups of names do not come to an end
 *   [2]  the file named by $FAULTS_FILE can no longer be read, although it is open
 *
 * Operations of io_uring pass by every library, so for the last one a descriptor that cannot be
 * read takes the place of the open one.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FAULTS_BYTES = 3, POLL_US = 10000 };

static _Atomic(volatile unsigned char *) faults;

static unsigned fault(unsigned index)
{
    volatile unsigned char *all = atomic_load(&faults);
    return all != NULL ? all[index] : 0;
}

#ifndef SANITIZED /* a sanitizer has an allocator of its own */
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *memory, size_t bytes);

static atomic_uint random_state = 1;

static int fails(void)
{
    unsigned one_in = fault(0);
    if (one_in == 0) {
        return 0;
    }
    unsigned state = atomic_load(&random_state) * 1664525u + 1013904223u;
    atomic_store(&random_state, state);
    if ((state >> 8) % one_in != 0) {
        return 0;
    }
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t bytes)
{
    return fails() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    return fails() ? NULL : __libc_realloc(memory, bytes);
}
#endif

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    (void)name, (void)service, (void)hints, (void)found;
    while (fault(1) != 0) {
        usleep(POLL_US);
    }
    return EAI_NONAME;
}

/* Puts a descriptor that cannot be read in the place of those that are open on the file. */
static void spoil(const char *path)
{
    char link[64];
    char target[4096];
    for (int fd = 3; fd < 64; fd++) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t bytes = readlink(link, target, sizeof(target) - 1);
        if (bytes > 0 && (size_t)bytes == strlen(path) &&
            memcmp(target, path, (size_t)bytes) == 0) {
            int unreadable = open("/dev/null", O_WRONLY | O_CLOEXEC);
            dup3(unreadable, fd, O_CLOEXEC);
            close(unreadable);
        }
    }
}

static void *watch(void *path)
{
    while (fault(2) == 0) {
        usleep(POLL_US);
    }
    spoil(path);
    return NULL;
}

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("FAULTS");
    char *file = getenv("FAULTS_FILE");
    int fd = name != NULL ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *all = fd >= 0 ? mmap(NULL, FAULTS_BYTES, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    pthread_t thread;
    if (all == MAP_FAILED) {
        abort();
    }
    close(fd);
    atomic_store(&faults, all);
    if (file != NULL && pthread_create(&thread, NULL, watch, file) == 0) {
        pthread_detach(thread);
    }
}
