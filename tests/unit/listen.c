/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as text, and which of them are none. tests/e2e/service.sh passes real sockets. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/listen.h"

Test(listen, reads_and_writes_addresses)
{
    static const char *const good[] = {"0.0.0.0:0", "127.0.0.1:65535", "[::]:1", "[::1]:8080",
                                       "[2001:db8::7]:443"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        union listen_address address;
        char text[LISTEN_ADDRESS_BYTES];
        cr_assert(listen_parse(good[i], &address), "%s", good[i]);
        listen_format(&address, text);
        cr_expect_str_eq(text, good[i]);
    }
}

Test(listen, refuses_what_is_no_address)
{
    static const char *const bad[] = {
        "",
        ":",
        "1",
        "1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:x",
        "1.2.3.4:+1",
        "1.2.3:80",
        ":80",
        "::1:80",
        "1.2.3.4:65536",
        "[::1]",
        "[::1]80",
        "[::1]:",
        "[::1:80",
        "[1.2.3.4]:1",
        "localhost:80",
        "1.2.3.4:99999999999",
        "[::1%lo]:1",
        "1.2.3.4: 8",
        "1.2.3.4:8 ",
        "[]:1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        union listen_address address;
        cr_expect(!listen_parse(bad[i], &address), "%s", bad[i]);
    }
}

static struct endpoint plain;
static struct endpoint tls;

static bool choose(const char *addr, const char *count, const char *names)
{
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", count, 1);
    setenv("LISTEN_FDNAMES", names, 1);
    plain = (struct endpoint){"--addr", addr, .inherited = -1};
    tls = (struct endpoint){"--tls-addr", NULL, .inherited = -1};
    return listen_choose(&plain, &tls);
}

Test(listen, chooses_by_name, .init = cr_redirect_stderr)
{
    cr_assert(choose(NULL, "1", ""));
    cr_expect(plain.inherited == 3 && tls.text == NULL);
    cr_expect_null(getenv("LISTEN_FDS"));
    cr_assert(choose(NULL, "2", "https:x"));
    cr_expect(plain.inherited == 4 && tls.inherited == 3);
    cr_assert(choose(NULL, "2", "unknown:tls"));
    cr_expect(plain.inherited == 3 && tls.inherited == 4);
    cr_assert(choose(NULL, "1", "https"));
    cr_expect(plain.text == NULL && tls.inherited == 3);
    cr_assert(choose(NULL, "0", ""));
    cr_expect_str_eq(plain.text, LISTEN_DEFAULT);
    cr_assert(choose("[::]:1", "2", "a:b"));
    cr_expect_str_eq(plain.text, "[::]:1");
    cr_expect_eq(plain.inherited, -1);
    cr_expect(!choose(NULL, "2", ""));
    cr_expect(!choose(NULL, "2", "tls:https"));
    cr_expect(!choose(NULL, "3", "tls"));
    cr_expect(!choose(NULL, "-1", ""));
    cr_expect(!choose(NULL, "99999999999999999999", ""));
}

/* The variables of another process, as they reach the child of a child. */
Test(listen, leaves_what_is_not_meant_for_it)
{
    setenv("LISTEN_PID", "1", 1);
    setenv("LISTEN_FDS", "1", 1);
    plain = (struct endpoint){"--addr", NULL, .inherited = -1};
    tls = (struct endpoint){"--tls-addr", NULL, .inherited = -1};
    cr_assert(listen_choose(&plain, &tls));
    cr_expect_str_eq(plain.text, LISTEN_DEFAULT);
    cr_expect_eq(plain.inherited, -1);
}
