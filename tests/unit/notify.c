/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams to a service manager, here a socket of the test in the abstract name space. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/notify.h"

static int manager_open(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length =
        snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "zs-notify-%d", (int)getpid());
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    cr_assert(fd >= 0 && bind(fd, (const struct sockaddr *)&address, bytes) == 0);
    address.sun_path[0] = '@';
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    return fd;
}

static const char *received(int fd)
{
    static char text[1024];
    ssize_t bytes = recv(fd, text, sizeof text - 1, 0);
    text[bytes > 0 ? bytes : 0] = '\0';
    return text;
}

Test(notify, tells_every_state)
{
    unsigned long long first = 0;
    unsigned long long second = 0;
    int fd = manager_open();
    notify_open();
    cr_assert_null(getenv("NOTIFY_SOCKET"));
    notify_ready("it's up");
    cr_expect_str_eq(received(fd), "READY=1\nSTATUS=it's up\n");
    notify_reloading();
    cr_expect_eq(sscanf(received(fd), "RELOADING=1\nMONOTONIC_USEC=%llu\n", &first), 1);
    notify_reloading();
    cr_expect_eq(sscanf(received(fd), "RELOADING=1\nMONOTONIC_USEC=%llu\n", &second), 1);
    cr_expect(first > 0 && second >= first);
    notify_stopping();
    cr_expect_str_eq(received(fd), "STOPPING=1\nSTATUS=finishing running requests\n");
    notify_close();
    notify_stopping();
    cr_expect_str_eq(received(fd), "");
    close(fd);
}

Test(notify, does_nothing_without_manager)
{
    unsetenv("NOTIFY_SOCKET");
    notify_open();
    notify_ready("");
    notify_close();
}

/* A manager that does not read: the queue of the socket is full, and no call waits. */
Test(notify, never_waits, .timeout = 60)
{
    int fd = manager_open();
    cr_redirect_stderr();
    notify_open();
    for (int i = 0; i < 5000; i++) {
        notify_stopping();
    }
    cr_expect_str_eq(received(fd), "STOPPING=1\nSTATUS=finishing running requests\n");
    notify_close();
    close(fd);
}

Test(notify, refuses_other_names, .init = cr_redirect_stderr)
{
    char name[200];
    setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
    notify_open();
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    name[0] = '/';
    setenv("NOTIFY_SOCKET", name, 1);
    notify_open();
    notify_ready("");
    cr_assert_stderr_neq_str("");
}
