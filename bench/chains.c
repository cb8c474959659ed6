/* SPDX-License-Identifier: Apache-2.0 */
/* What scripts cost a request of the server: from the request that is ready to the verdict of the
 * chain.
 *
 * A request cannot pass the same chain twice, so each is made anew and reset; what that takes
 * without any script is measured in the same rounds and taken off. Resetting what scripts left in
 * the exchange is part of their price.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "server/script.h"

#define BATCH              200
#define OBJECT_BYTES_MAX   (1u << 16)
#define CHAIN_SCRIPT_COUNT 3

struct chain {
    const char *title;
    const char *scripts[CHAIN_SCRIPT_COUNT]; /* NULL after the last one */
    struct script_set *set;                  /* NULL: the request alone */
    double ns;                               /* of one request, all in */
};

/* No tick and no end of a budget falls into a measurement. */
static const struct script_options options = {.tick_ms = 10000, .budget_ms = 1000000};

static void read_script(struct script_source *source, const char *folder, const char *name)
{
    uint8_t *bytes = malloc(OBJECT_BYTES_MAX);
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s.o", folder, name);
    file = fopen(path, "rb");
    if (file == NULL || bytes == NULL) {
        bench_die("cannot read %s", path);
    }
    *source = (struct script_source){.name = name, .object = bytes, .origin = name};
    source->object_bytes = fread(bytes, 1, OBJECT_BYTES_MAX, file);
    fclose(file);
}

static struct script_set *load(const char *folder, const char *const names[CHAIN_SCRIPT_COUNT])
{
    struct script_source sources[CHAIN_SCRIPT_COUNT];
    struct script_set *set;
    unsigned count = 0;
    char error[256];

    for (; count < CHAIN_SCRIPT_COUNT && names[count] != NULL; count++) {
        read_script(&sources[count], folder, names[count]);
    }
    set = script_set_load(sources, count, &options, error, sizeof error);
    if (set == NULL) {
        bench_die("%s", error);
    }
    while (count > 0) {
        free((void *)sources[--count].object);
    }
    return set;
}

static void make_request(struct exchange *ex)
{
    static const struct field fields[] = {{SPAN("host"), SPAN("localhost:8443")},
                                          {SPAN("user-agent"), SPAN("benchmark/1.0")},
                                          {SPAN("accept"), SPAN("*/*")}};
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    memcpy(&ex->peer, &peer, sizeof peer);
    ex->method = SPAN("GET");
    ex->scheme = SPAN("https");
    ex->authority = SPAN("localhost:8443");
    ex->proto_major = 1;
    ex->proto_minor = 1;
    if (!exchange_set_target(ex, SPAN("/small.html?name=world")) ||
        !field_copy_all(ex, &ex->request_fields, fields, sizeof fields / sizeof fields[0])) {
        bench_die("out of memory");
    }
}

static void sample(struct chain *c, struct script_host *host, struct exchange *ex)
{
    double before = bench_now_ns();

    for (int i = 0; i < BATCH; i++) {
        make_request(ex);
        if (c->set != NULL && script_chain_start(host, c->set, ex) != SCRIPT_PASS) {
            bench_die("%s: the request did not pass", c->title);
        }
        exchange_reset(ex);
    }
    bench_keep_min(&c->ns, (bench_now_ns() - before) / BATCH);
}

void bench_chains(struct bench_costs *out, const char *folder, unsigned rounds)
{
    struct chain chains[] = {
        {.title = "a request without scripts"},
        {.title = "in the server: an empty script", .scripts = {"empty"}},
        {.title = "in the server: three empty scripts", .scripts = {"empty", "empty", "empty"}},
        {.title = "in the server: a script, ten helper calls", .scripts = {"ten"}},
        {.title = "in the server: the chain of three",
         .scripts = {"10-path", "20-field", "30-answer"}},
    };
    const size_t count = sizeof chains / sizeof chains[0];
    struct exchange ex;
    char error[256];
    struct script_host *host = script_host_create(&options, error, sizeof error);

    if (host == NULL) {
        bench_die("%s", error);
    }
    exchange_init(&ex);
    for (size_t i = 1; i < count; i++) {
        chains[i].set = load(folder, chains[i].scripts);
    }
    for (unsigned round = 0; round < rounds * 10; round++) {
        for (size_t i = 0; i < count; i++) {
            sample(&chains[i], host, &ex);
        }
    }
    for (size_t i = 1; i < count; i++) {
        bench_cost_add(out, chains[i].title, chains[i].ns - chains[0].ns, "ns", 0);
        script_host_forget(host, chains[i].set);
        script_set_free(chains[i].set);
    }
    exchange_free(&ex);
    script_host_free(host);
}
