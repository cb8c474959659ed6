/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams to the service manager. */
#include "server/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/log.h"

enum { MESSAGE_BYTES = 512 };

static int manager = -1;

/* Absolute path, or '@' and a name in the abstract name space. 0: neither, or too long. */
static socklen_t manager_address(const char *name, struct sockaddr_un *address)
{
    size_t bytes = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || bytes < 2 || bytes >= sizeof(address->sun_path)) {
        return 0;
    }
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, name, bytes);
    if (name[0] == '@') {
        address->sun_path[0] = '\0';
    }
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
}

static void connect_manager(const char *name)
{
    struct sockaddr_un address;
    socklen_t bytes = manager_address(name, &address);
    if (bytes == 0) {
        log_line("zeroserve: NOTIFY_SOCKET %s: want a path or @name", name);
        return;
    }
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (manager < 0 || connect(manager, (const struct sockaddr *)&address, bytes) != 0) {
        log_line("zeroserve: NOTIFY_SOCKET %s: %s", name, strerror(errno));
        notify_close();
    }
}

void notify_open(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    if (name != NULL) {
        connect_manager(name);
        unsetenv("NOTIFY_SOCKET");
    }
}

void notify_close(void)
{
    if (manager >= 0) {
        close(manager);
    }
    manager = -1;
}

static void tell(const char *message)
{
    if (manager >= 0 && send(manager, message, strlen(message), MSG_NOSIGNAL) < 0) {
        log_line("zeroserve: NOTIFY_SOCKET: %s", strerror(errno));
    }
}

void notify_ready(const char *status)
{
    char message[MESSAGE_BYTES];
    snprintf(message, sizeof(message), "READY=1\nSTATUS=%s\n", status);
    tell(message);
}

/* The manager tells a reload from an earlier one by the time, which must not go backwards. */
void notify_reloading(void)
{
    char message[MESSAGE_BYTES];
    snprintf(message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n", clock_us());
    tell(message);
}

void notify_stopping(void)
{
    tell("STOPPING=1\nSTATUS=finishing running requests\n");
}
