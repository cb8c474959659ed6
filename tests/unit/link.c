/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to upstreams, on a real ring against a listener of the test's own. */
#include "server/link.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/options.h"
#include "server/ring.h"
#include "server/worker.h"

struct setting {
    struct options options;
    struct worker worker;
    union link_address address;
    int listener;
};

static struct setting *setting_new(void)
{
    char error[128];
    struct setting *setting = calloc(1, sizeof(*setting));
    setting->options.proxy_ms = 10000;
    setting->worker.options = &setting->options;
    setting->worker.ring = ring_create(error, sizeof(error));
    cr_assert_not_null(setting->worker.ring, "%s", error);
    setting->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setting->address.v4.sin_family = AF_INET;
    setting->address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof(setting->address.v4);
    cr_assert_eq(bind(setting->listener, &setting->address.any, bytes), 0);
    cr_assert_eq(getsockname(setting->listener, &setting->address.any, &bytes), 0);
    cr_assert_eq(listen(setting->listener, 16), 0);
    return setting;
}

static void setting_free(struct setting *setting)
{
    link_table_free(&setting->worker.links);
    ring_free(setting->worker.ring);
    close(setting->listener);
    free(setting);
}

/* Turns until no link is left: true, or after many turns false. */
static bool drained(struct setting *setting)
{
    for (unsigned turns = 0; turns < 1000 && setting->worker.links.live > 0; turns++) {
        struct ring_event event;
        cr_assert(ring_turn(setting->worker.ring, 10));
        while (ring_next(setting->worker.ring, &event)) {
            link_event(&setting->worker, &event);
        }
    }
    return setting->worker.links.live == 0;
}

/* The client is gone before its upstream connection stands: that it stands after all, in the same
 * turn, was reported to a relay that was no more. */
Test(link, connects_after_it_was_closed)
{
    struct setting *setting = setting_new();
    for (unsigned i = 0; i < 8; i++) {
        struct link *link = link_connect(&setting->worker, NULL, NULL, &setting->address, NULL);
        cr_assert_not_null(link);
        link_close(&setting->worker, link);
    }
    cr_expect_eq(setting->worker.links.live, 8);
    cr_expect(drained(setting));
    setting_free(setting);
}
