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
        cr_assert(ring_turn(setting->worker.ring, 10, 1));
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

/* ---- what became of a request on a kept connection */

struct pair {
    struct setting *setting;
    int upstream;
    struct link link;
};

static void pair_open(struct pair *pair)
{
    pair->setting = setting_new();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, &pair->setting->address.any, sizeof(pair->setting->address.v4)), 0);
    pair->upstream = accept(pair->setting->listener, NULL, NULL);
    cr_assert_geq(pair->upstream, 0);
    pair->link = (struct link){.fd = fd};
}

static void pair_close(struct pair *pair)
{
    close(pair->link.fd);
    close(pair->upstream);
    setting_free(pair->setting);
}

static void say(struct pair *pair, const char *text)
{
    ssize_t bytes = send(pair->link.fd, text, strlen(text), MSG_NOSIGNAL);
    pair->link.sent_bytes += bytes > 0 ? (size_t)bytes : 0;
}

/* The upstream reads what it has got. */
static void hear(const struct pair *pair)
{
    char text[64];
    cr_assert_gt(recv(pair->upstream, text, sizeof(text), 0), 0);
}

static enum link_fate fate_after_end(struct pair *pair)
{
    char octet;
    pair->link.eof = recv(pair->link.fd, &octet, 1, 0) == 0;
    return link_fate(&pair->link);
}

Test(link, a_request_behind_the_end_was_not_taken)
{
    struct pair pair;
    pair_open(&pair);
    say(&pair, "the request before");
    hear(&pair);
    pair.link.sent_before = pair.link.sent_bytes;
    cr_expect_eq(link_fate(&pair.link), LINK_UNTAKEN, "nothing was sent");
    close(pair.upstream);
    pair.upstream = -1;
    say(&pair, "late");
    cr_expect_eq(fate_after_end(&pair), LINK_UNTAKEN);
    pair_close(&pair);
}

Test(link, a_request_before_the_end_may_have_been_taken)
{
    struct pair pair;
    pair_open(&pair);
    say(&pair, "request");
    hear(&pair);
    shutdown(pair.upstream, SHUT_WR);
    cr_expect_eq(fate_after_end(&pair), LINK_TAKEN);
    pair.link.local = true;
    pair.link.sent_before = 0;
    cr_expect_eq(link_fate(&pair.link), LINK_TAKEN, "nobody knows");
    pair_close(&pair);
}

Test(link, a_reset_without_an_end_tells_nothing)
{
    struct pair pair;
    struct linger none = {.l_onoff = 1};
    pair_open(&pair);
    setsockopt(pair.upstream, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(pair.upstream);
    pair.upstream = -1;
    say(&pair, "never leaves");
    cr_expect_eq(link_fate(&pair.link), LINK_UNTAKEN);
    pair.link.sent_bytes = 10; /* as if it had left before the reset came */
    pair.link.deaf = true;
    cr_expect_eq(fate_after_end(&pair), LINK_TAKEN);
    pair_close(&pair);
}
