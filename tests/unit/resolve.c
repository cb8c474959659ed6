/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups of names, most with a resolver made for the test: "no*" does not exist, "block*" is
 * looked up until the test opens the gate, everything else has the address 192.0.2.1. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "server/resolve.h"

enum { WAIT_MS = 60000 }; /* for what comes for sure */

static atomic_uint lookups;
static atomic_uint blocked; /* look-ups that are at the gate */
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER;
static bool gate_open;

static void pass_gate(void)
{
    pthread_mutex_lock(&gate_lock);
    blocked++;
    while (!gate_open) {
        pthread_cond_wait(&gate_changed, &gate_lock);
    }
    pthread_mutex_unlock(&gate_lock);
}

static void open_gate(void)
{
    pthread_mutex_lock(&gate_lock);
    gate_open = true;
    pthread_cond_broadcast(&gate_changed);
    pthread_mutex_unlock(&gate_lock);
}

static unsigned lookup(const char *name, union resolve_address *addresses)
{
    lookups++;
    if (strncmp(name, "block", 5) == 0) {
        pass_gate();
    }
    if (strncmp(name, "no", 2) == 0) {
        return 0;
    }
    addresses[0] = (union resolve_address){.v4 = {.sin_family = AF_INET}};
    addresses[0].v4.sin_addr.s_addr = htonl(0xc0000201);
    return 1;
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* A resolver with one client. */
struct bench {
    struct resolver *resolver;
    struct resolve_client *client;
    int fd;
};

static struct bench begin(resolve_lookup *function)
{
    struct bench b = {.resolver = resolver_create(function), .fd = eventfd(0, EFD_CLOEXEC)};
    cr_assert_not_null(b.resolver);
    cr_assert_geq(b.fd, 0);
    b.client = resolve_client_create(b.resolver, b.fd);
    cr_assert_not_null(b.client);
    return b;
}

static void end(struct bench *b)
{
    resolve_client_free(b->client);
    resolver_free(b->resolver);
    close(b->fd);
}

/* Waits for the wake-up, takes it. */
static void await(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    uint64_t count;
    cr_assert_eq(poll(&ready, 1, WAIT_MS), 1, "no answer");
    cr_assert_eq(read(fd, &count, sizeof count), sizeof count);
}

static enum resolve_status ask(struct bench *b, struct resolve_query *query, const char *name,
                               uint64_t now_ms)
{
    return resolve_ask(b->client, query, span_of(name), 80, now_ms);
}

/* Asks and waits for the answer. */
static enum resolve_status ask_wait(struct bench *b, struct resolve_query *query, const char *name,
                                    uint64_t now_ms)
{
    enum resolve_status status = ask(b, query, name, now_ms);
    if (status == RESOLVE_PENDING) {
        await(b->fd);
        cr_assert_eq(resolve_next(b->client, 0), query);
        status = query->status;
    }
    return status;
}

static void await_blocked(unsigned count)
{
    for (uint64_t start = now(); blocked < count; usleep(1000)) {
        cr_assert_lt(now(), start + WAIT_MS);
    }
}

Test(resolve, digits_need_no_look_up)
{
    struct bench b = begin(lookup);
    struct resolve_query query;
    cr_assert_eq(ask(&b, &query, "127.0.0.1", 0), RESOLVE_FOUND);
    cr_expect_eq(query.count, 1);
    cr_expect_eq(query.addresses[0].v4.sin_family, AF_INET);
    cr_expect_eq(query.addresses[0].v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    cr_expect_eq(query.addresses[0].v4.sin_port, htons(80));
    cr_assert_eq(ask(&b, &query, "::1", 0), RESOLVE_FOUND);
    cr_expect_eq(query.addresses[0].v6.sin6_family, AF_INET6);
    cr_expect(IN6_IS_ADDR_LOOPBACK(&query.addresses[0].v6.sin6_addr));
    cr_expect_eq(query.addresses[0].v6.sin6_port, htons(80));
    cr_expect_eq(resolve_wait_ms(b.client, 0), -1);
    cr_expect_null(resolve_next(b.client, UINT64_MAX));
    cr_expect_eq(lookups, 0);
    end(&b);
}

Test(resolve, what_is_no_name_fails)
{
    static const char *const names[] = {
        "",       ".",    "127.1", "2130706433", "1.2.3.256", "0x7f.1",  "0x7f000001",
        "a.0x7f", "a.1.", "0x",    "1",          "a..",       "a.b.007."};
    struct bench b = begin(lookup);
    struct resolve_query query;
    char longest[256];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        cr_expect_eq(ask(&b, &query, names[i], 0), RESOLVE_FAILED, "%s", names[i]);
    }
    memset(longest, 'a', sizeof longest);
    struct span name = {longest, 254};
    cr_expect_eq(resolve_ask(b.client, &query, name, 80, 0), RESOLVE_FAILED);
    cr_expect_eq(resolve_ask(b.client, &query, (struct span){"a\0b", 3}, 80, 0), RESOLVE_FAILED);
    cr_expect_eq(lookups, 0);
    longest[253] = '\0';
    cr_expect_eq(ask_wait(&b, &query, longest, 0), RESOLVE_FOUND);
    cr_expect_eq(ask_wait(&b, &query, "1st.2nd", 0), RESOLVE_FOUND);
    cr_expect_eq(ask_wait(&b, &query, "a.0xg", 0), RESOLVE_FOUND);
    end(&b);
}

Test(resolve, names_are_remembered)
{
    struct bench b = begin(lookup);
    struct resolve_query query;
    uint64_t start = now();
    cr_assert_eq(ask(&b, &query, "One.Test", start), RESOLVE_PENDING);
    cr_expect_eq(resolve_wait_ms(b.client, start + 1), LIM_RESOLVE_MS - 1);
    await(b.fd);
    cr_assert_eq(resolve_next(b.client, start), &query);
    cr_expect_null(resolve_next(b.client, start));
    cr_expect_eq(query.status, RESOLVE_FOUND);
    cr_expect_eq(query.addresses[0].v4.sin_addr.s_addr, htonl(0xc0000201));
    cr_expect_eq(query.addresses[0].v4.sin_port, htons(80));
    cr_assert_eq(resolve_ask(b.client, &query, SPAN("oNE.test"), 443, start), RESOLVE_FOUND);
    cr_expect_eq(query.addresses[0].v4.sin_port, htons(443));
    cr_expect_eq(lookups, 1);
    cr_expect_eq(ask_wait(&b, &query, "one.test", start + LIM_RESOLVE_TTL_MS - 1), RESOLVE_FOUND);
    cr_expect_eq(lookups, 1);
    cr_expect_eq(ask_wait(&b, &query, "one.test", now() + LIM_RESOLVE_TTL_MS), RESOLVE_FOUND);
    cr_expect_eq(lookups, 2);
    end(&b);
}

Test(resolve, failures_are_remembered_for_less)
{
    struct bench b = begin(lookup);
    struct resolve_query query;
    uint64_t start = now();
    cr_expect_eq(ask_wait(&b, &query, "no.test", start), RESOLVE_FAILED);
    cr_expect_eq(query.count, 0);
    cr_expect_eq(ask(&b, &query, "no.test", start + LIM_RESOLVE_FAILED_TTL_MS - 1), RESOLVE_FAILED);
    cr_expect_eq(lookups, 1);
    cr_expect_eq(ask_wait(&b, &query, "no.test", now() + LIM_RESOLVE_FAILED_TTL_MS),
                 RESOLVE_FAILED);
    cr_expect_eq(lookups, 2);
    end(&b);
}

Test(resolve, one_look_up_for_all_who_wait)
{
    struct bench b = begin(lookup);
    int fd = eventfd(0, EFD_CLOEXEC);
    struct resolve_client *other = resolve_client_create(b.resolver, fd);
    struct resolve_query queries[3];
    cr_assert_eq(ask(&b, &queries[0], "block.test", 0), RESOLVE_PENDING);
    await_blocked(1);
    cr_assert_eq(ask(&b, &queries[1], "block.test", 0), RESOLVE_PENDING);
    cr_assert_eq(resolve_ask(other, &queries[2], SPAN("block.test"), 81, 0), RESOLVE_PENDING);
    open_gate();
    await(fd);
    cr_expect_eq(resolve_next(other, 0), &queries[2]);
    cr_expect_eq(queries[2].addresses[0].v4.sin_port, htons(81));
    for (unsigned seen = 0; seen < 2;) {
        await(b.fd);
        while (resolve_next(b.client, 0) != NULL) {
            seen++;
        }
    }
    cr_expect_eq(queries[0].status, RESOLVE_FOUND);
    cr_expect_eq(queries[1].status, RESOLVE_FOUND);
    cr_expect_eq(lookups, 1);
    resolve_client_free(other);
    close(fd);
    end(&b);
}

Test(resolve, waiting_ends)
{
    struct bench b = begin(lookup);
    struct resolve_query first, second;
    cr_assert_eq(ask(&b, &first, "block.test", 1000), RESOLVE_PENDING);
    cr_assert_eq(ask(&b, &second, "block.test", 2000), RESOLVE_PENDING);
    cr_expect_eq(resolve_wait_ms(b.client, 1500), LIM_RESOLVE_MS - 500);
    cr_expect_eq(resolve_wait_ms(b.client, 60000), 0);
    cr_expect_null(resolve_next(b.client, 1000 + LIM_RESOLVE_MS - 1));
    cr_assert_eq(resolve_next(b.client, 1000 + LIM_RESOLVE_MS), &first);
    cr_expect_eq(first.status, RESOLVE_TIMED_OUT);
    cr_expect_null(resolve_next(b.client, 1000 + LIM_RESOLVE_MS));
    open_gate();
    await(b.fd);
    cr_assert_eq(resolve_next(b.client, 0), &second);
    cr_expect_eq(second.status, RESOLVE_FOUND);
    cr_expect_eq(resolve_wait_ms(b.client, 0), -1);
    end(&b);
}

Test(resolve, cancelled_ones_do_not_come_back)
{
    struct bench b = begin(lookup);
    struct resolve_query query, other;
    cr_assert_eq(ask(&b, &query, "block.test", 0), RESOLVE_PENDING);
    await_blocked(1);
    resolve_cancel(&query);
    memset(&query, 0xee, sizeof query);
    cr_expect_null(resolve_next(b.client, UINT64_MAX));
    cr_assert_eq(ask(&b, &other, "block.test", 0), RESOLVE_PENDING);
    open_gate();
    await(b.fd);
    resolve_cancel(&other); /* answered, but not taken */
    cr_expect_null(resolve_next(b.client, UINT64_MAX));
    cr_expect_eq(lookups, 1);
    end(&b);
}

Test(resolve, a_silent_name_does_not_stop_others)
{
    struct bench b = begin(lookup);
    struct resolve_query silent[LIM_RESOLVE_THREADS - 1], query;
    for (unsigned i = 0; i < LIM_RESOLVE_THREADS - 1; i++) {
        char name[32];
        snprintf(name, sizeof name, "block%u.test", i);
        cr_assert_eq(ask(&b, &silent[i], name, 0), RESOLVE_PENDING);
    }
    await_blocked(LIM_RESOLVE_THREADS - 1);
    cr_expect_eq(ask_wait(&b, &query, "one.test", 0), RESOLVE_FOUND);
    for (unsigned i = 0; i < LIM_RESOLVE_THREADS - 1; i++) {
        resolve_cancel(&silent[i]);
    }
    open_gate();
    end(&b);
}

Test(resolve, cache_is_bounded)
{
    struct bench b = begin(lookup);
    struct resolve_query query;
    char name[32];
    for (unsigned i = 0; i <= LIM_RESOLVE_NAMES; i++) {
        snprintf(name, sizeof name, "host%u.test", i);
        cr_assert_eq(ask_wait(&b, &query, name, 0), RESOLVE_FOUND);
        cr_assert_eq(ask(&b, &query, "host0.test", 0), RESOLVE_FOUND);
    }
    cr_expect_eq(lookups, LIM_RESOLVE_NAMES + 1);
    cr_expect_eq(ask_wait(&b, &query, "host1.test", 0), RESOLVE_FOUND);
    cr_expect_eq(lookups, LIM_RESOLVE_NAMES + 2,
                 "what was asked for the longest ago was forgotten");
    end(&b);
}

Test(resolve, queue_is_bounded)
{
    static struct resolve_query queries[LIM_RESOLVE_NAMES];
    struct bench b = begin(lookup);
    struct resolve_query query;
    char name[32];
    for (unsigned i = 0; i < LIM_RESOLVE_NAMES; i++) {
        snprintf(name, sizeof name, "block%u.test", i);
        cr_assert_eq(ask(&b, &queries[i], name, 0), RESOLVE_PENDING);
    }
    cr_expect_eq(ask(&b, &query, "one.test", 0), RESOLVE_FAILED);
    await_blocked(LIM_RESOLVE_THREADS);
    unsigned given_up = 0;
    while (resolve_next(b.client, LIM_RESOLVE_MS) != NULL) {
        given_up++;
    }
    cr_expect_eq(given_up, LIM_RESOLVE_NAMES);
    open_gate();
    /* Nobody waits for what is queued: it is not looked up any more. */
    while (ask(&b, &query, "one.test", 0) == RESOLVE_FAILED) {
        usleep(1000);
    }
    await(b.fd);
    cr_expect_eq(resolve_next(b.client, 0), &query);
    cr_expect_eq(lookups, LIM_RESOLVE_THREADS + 1);
    end(&b);
}

Test(resolve, freed_while_a_name_is_looked_up)
{
    struct bench b = begin(lookup);
    struct resolve_query query;
    cr_assert_eq(ask(&b, &query, "block.test", 0), RESOLVE_PENDING);
    await_blocked(1);
    resolve_cancel(&query);
    end(&b);
    open_gate();
    resolver_free(NULL);
    resolve_client_free(NULL);
}

/* ---- several workers */

enum { WORKERS = 4, ROUNDS = 400, NAMES = 25 };

static void *work(void *argument)
{
    struct bench b = {.resolver = argument, .fd = eventfd(0, EFD_CLOEXEC)};
    struct resolve_query query;
    uint32_t random = (uint32_t)b.fd;
    uintptr_t right = 0;
    b.client = resolve_client_create(b.resolver, b.fd);
    for (unsigned i = 0; i < ROUNDS; i++) {
        char name[32];
        random = random * 1664525u + 1013904223u;
        bool exists = random >> 30 != 0;
        snprintf(name, sizeof name, "%s%u.test", exists ? "host" : "no", (random >> 16) % NAMES);
        /* Later each time, so that what is known gets stale. */
        uint64_t now_ms = now() + i * (LIM_RESOLVE_FAILED_TTL_MS / 10);
        enum resolve_status status = ask(&b, &query, name, now_ms);
        if (status == RESOLVE_PENDING && (random >> 20) % 4 == 1) {
            resolve_cancel(&query);
            right++;
            continue;
        }
        while (status == RESOLVE_PENDING) {
            struct pollfd ready = {.fd = b.fd, .events = POLLIN};
            uint64_t count;
            if (poll(&ready, 1, WAIT_MS) == 1 && read(b.fd, &count, sizeof count) > 0 &&
                resolve_next(b.client, 0) == &query) {
                status = query.status;
            }
        }
        right += status == (exists ? RESOLVE_FOUND : RESOLVE_FAILED);
    }
    resolve_client_free(b.client);
    close(b.fd);
    return (void *)right;
}

Test(resolve, workers_share_it)
{
    struct resolver *resolver = resolver_create(lookup);
    pthread_t threads[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, work, resolver), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        void *right;
        pthread_join(threads[i], &right);
        cr_expect_eq((uintptr_t)right, ROUNDS);
    }
    resolver_free(resolver);
}

/* ---- the system's resolver */

Test(resolve, localhost)
{
    struct bench b = begin(NULL);
    struct resolve_query query;
    cr_assert_eq(ask_wait(&b, &query, "localhost", 0), RESOLVE_FOUND);
    cr_assert(query.count > 0 && query.count <= LIM_RESOLVE_ADDRESSES);
    for (unsigned i = 0; i < query.count; i++) {
        const union resolve_address *address = &query.addresses[i];
        bool v6 = address->any.sa_family == AF_INET6;
        cr_expect(v6 ? IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr)
                     : ntohl(address->v4.sin_addr.s_addr) >> 24 == 127);
        cr_expect_eq(v6 ? address->v6.sin6_port : address->v4.sin_port, htons(80));
    }
    end(&b);
}

/* An empty label can be in no zone: no server is asked. */
Test(resolve, failing_name)
{
    struct bench b = begin(NULL);
    struct resolve_query query;
    cr_expect_eq(ask_wait(&b, &query, "a..b.invalid", 0), RESOLVE_FAILED);
    end(&b);
}
