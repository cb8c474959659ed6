/* SPDX-License-Identifier: Apache-2.0 */
/* Upstreams of a worker: a table by key, in which the one used last comes first; their failures;
 * their idle connections, which are in two lists each, one of its upstream and one of all. */
#include "server/upstream.h"

#include <assert.h>
#include <stdlib.h>

enum { BUCKETS = 256 };

struct upstream {
    struct upstream *bucket_next;
    struct upstream *next; /* used before */
    struct upstream *previous;
    uint64_t hash;
    enum upstream_scheme scheme;
    uint16_t port;
    uint16_t name_bytes; /* of the key: a host or a path */
    size_t key_bytes;
    unsigned active; /* requests in hand */
    unsigned idle_count;
    struct upstream_idle *newest;
    struct upstream_idle *oldest;
    uint64_t failures_ms[LIM_UPSTREAM_FAILURES]; /* oldest first */
    unsigned failure_count;
    uint64_t out_until_ms;
    char key[LIM_UPSTREAM_KEY_BYTES];
};

struct upstreams {
    struct upstream *buckets[BUCKETS];
    struct upstream *first; /* used last */
    struct upstream *last;
    unsigned count;
    struct upstream_idle *idle_oldest;
    struct upstream_idle *idle_newest;
    unsigned idle_count;
    unsigned turn; /* where a search among equals starts */
};

struct upstreams *upstreams_create(void)
{
    return calloc(1, sizeof(struct upstreams));
}

/* ---- the table */

static void unlink_used(struct upstreams *upstreams, struct upstream *upstream)
{
    *(upstream->previous != NULL ? &upstream->previous->next : &upstreams->first) = upstream->next;
    *(upstream->next != NULL ? &upstream->next->previous : &upstreams->last) = upstream->previous;
}

static void link_used(struct upstreams *upstreams, struct upstream *upstream)
{
    upstream->previous = NULL;
    upstream->next = upstreams->first;
    *(upstream->next != NULL ? &upstream->next->previous : &upstreams->last) = upstream;
    upstreams->first = upstream;
}

static void forget(struct upstreams *upstreams, struct upstream *upstream)
{
    struct upstream **at = &upstreams->buckets[upstream->hash % BUCKETS];
    assert(upstream->active == 0 && upstream->idle_count == 0);
    while (*at != upstream) {
        at = &(*at)->bucket_next;
    }
    *at = upstream->bucket_next;
    unlink_used(upstreams, upstream);
    upstreams->count--;
    free(upstream);
}

void upstreams_free(struct upstreams *upstreams)
{
    if (upstreams == NULL) {
        return;
    }
    while (upstreams->first != NULL) {
        forget(upstreams, upstreams->first);
    }
    free(upstreams);
}

/* Forgets the one that was not used for the longest time. False: all are in use. */
static bool make_room(struct upstreams *upstreams)
{
    struct upstream *upstream = upstreams->last;
    while (upstream != NULL && (upstream->active > 0 || upstream->idle_count > 0)) {
        upstream = upstream->previous;
    }
    if (upstream != NULL) {
        forget(upstreams, upstream);
    }
    return upstream != NULL;
}

/* Host or path, the part of a url's key whose length is not known. */
static struct span name_of(const struct upstream_url *url)
{
    return url->scheme == UPSTREAM_UNIX ? url->path : url->host;
}

static struct upstream *add(struct upstreams *upstreams, const struct upstream_url *url,
                            struct span key, uint64_t hash)
{
    if (upstreams->count == LIM_UPSTREAMS && !make_room(upstreams)) {
        return NULL;
    }
    struct upstream *upstream = calloc(1, sizeof *upstream);
    if (upstream == NULL) {
        return NULL;
    }
    upstream->hash = hash;
    upstream->scheme = url->scheme;
    upstream->port = url->port;
    upstream->name_bytes = (uint16_t)name_of(url).len;
    upstream->key_bytes = key.len;
    memcpy(upstream->key, key.base, key.len);
    upstream->bucket_next = upstreams->buckets[hash % BUCKETS];
    upstreams->buckets[hash % BUCKETS] = upstream;
    link_used(upstreams, upstream);
    upstreams->count++;
    return upstream;
}

/* Whether the url has the key of this one, which need not be written for that. */
static bool is_of(const struct upstream *upstream, const struct upstream_url *url)
{
    struct span name = {upstream->key + strlen(upstream_prefix(url->scheme)), upstream->name_bytes};
    return upstream->scheme == url->scheme && upstream->port == url->port &&
           (url->scheme == UPSTREAM_UNIX ? span_equal(name, url->path)
                                         : span_equal_nocase(name, url->host));
}

/* Made when it is new; the one used last from now on. NULL: no room. */
static struct upstream *find(struct upstreams *upstreams, const struct upstream_url *url)
{
    if (upstreams->first != NULL && is_of(upstreams->first, url)) {
        return upstreams->first;
    }
    char key_text[LIM_UPSTREAM_KEY_BYTES];
    struct span key = {key_text, upstream_url_key(url, key_text)};
    uint64_t hash = upstream_hash(key);
    struct upstream *upstream = upstreams->buckets[hash % BUCKETS];
    while (upstream != NULL &&
           !span_equal(key, (struct span){upstream->key, upstream->key_bytes})) {
        upstream = upstream->bucket_next;
    }
    if (upstream == NULL) {
        return add(upstreams, url, key, hash);
    }
    unlink_used(upstreams, upstream);
    link_used(upstreams, upstream);
    return upstream;
}

/* ---- health */

void upstream_failed(struct upstream *upstream, uint64_t now_ms)
{
    uint64_t *failures = upstream->failures_ms;
    if (upstream->failure_count == LIM_UPSTREAM_FAILURES) {
        memmove(failures, failures + 1, (LIM_UPSTREAM_FAILURES - 1) * sizeof *failures);
        upstream->failure_count--;
    }
    failures[upstream->failure_count++] = now_ms;
    if (upstream->failure_count == LIM_UPSTREAM_FAILURES &&
        now_ms - failures[0] <= LIM_UPSTREAM_FAILURE_MS) {
        upstream->out_until_ms = now_ms + LIM_UPSTREAM_OUT_MS;
        upstream->failure_count = 0;
    }
}

bool upstream_is_out(const struct upstream *upstream, uint64_t now_ms)
{
    return now_ms < upstream->out_until_ms;
}

/* ---- choosing */

/* Rendezvous hashing: each key ranks all targets, so that one that goes or comes moves only the
 * keys that rank it first. */
static uint64_t rank(uint64_t key_hash, const struct upstream *upstream)
{
    uint64_t x = key_hash ^ upstream->hash * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Whether `a` is to be taken before `b`. */
static bool is_better(const struct upstream *a, const struct upstream *b,
                      const struct proxy_request *request, uint64_t now_ms)
{
    bool a_out = upstream_is_out(a, now_ms);
    bool b_out = upstream_is_out(b, now_ms);
    if (a_out != b_out) {
        return b_out;
    }
    if (a_out) {
        return a->out_until_ms < b->out_until_ms;
    }
    return request->sticky ? rank(request->hash, a) > rank(request->hash, b)
                           : a->active < b->active;
}

struct upstream *upstream_choose(struct upstreams *upstreams, const struct proxy_request *request,
                                 uint32_t tried, uint64_t now_ms, unsigned *target)
{
    struct upstream *best = NULL;
    assert(request->target_count > 0 && request->target_count <= LIM_UPSTREAM_TARGETS);
    unsigned start = upstreams->turn++ % request->target_count;
    for (unsigned i = 0; i < request->target_count; i++) {
        unsigned at = (start + i) % request->target_count;
        if (tried >> at & 1) {
            continue;
        }
        struct upstream *upstream = find(upstreams, &request->targets[at]);
        if (upstream != NULL && (best == NULL || is_better(upstream, best, request, now_ms))) {
            /* What was better so far may go for others now; the better one may not. */
            upstream->active++;
            if (best != NULL) {
                best->active--;
            }
            best = upstream;
            *target = at;
        }
    }
    return best;
}

void upstream_end(struct upstream *upstream)
{
    assert(upstream->active > 0);
    upstream->active--;
}

unsigned upstream_active(const struct upstream *upstream)
{
    return upstream->active;
}

/* ---- idle connections */

void upstream_idle_remove(struct upstreams *upstreams, struct upstream_idle *idle)
{
    struct upstream *upstream = idle->upstream;
    assert(upstream != NULL && upstream->idle_count > 0 && upstreams->idle_count > 0);
    *(idle->newer != NULL ? &idle->newer->older : &upstream->newest) = idle->older;
    *(idle->older != NULL ? &idle->older->newer : &upstream->oldest) = idle->newer;
    *(idle->next != NULL ? &idle->next->previous : &upstreams->idle_newest) = idle->previous;
    *(idle->previous != NULL ? &idle->previous->next : &upstreams->idle_oldest) = idle->next;
    upstream->idle_count--;
    upstreams->idle_count--;
    *idle = (struct upstream_idle){.upstream = NULL};
}

struct upstream_idle *upstream_idle_put(struct upstreams *upstreams, struct upstream *upstream,
                                        struct upstream_idle *idle, uint64_t now_ms)
{
    assert(idle->upstream == NULL);
    *idle = (struct upstream_idle){
        .upstream = upstream,
        .older = upstream->newest,
        .previous = upstreams->idle_newest,
        .expires_ms = now_ms + LIM_UPSTREAM_IDLE_MS,
    };
    *(idle->older != NULL ? &idle->older->newer : &upstream->oldest) = idle;
    *(idle->previous != NULL ? &idle->previous->next : &upstreams->idle_oldest) = idle;
    upstream->newest = upstreams->idle_newest = idle;
    upstreams->idle_count++;
    struct upstream_idle *surplus = NULL;
    if (++upstream->idle_count > LIM_UPSTREAM_IDLE_EACH) {
        surplus = upstream->oldest;
    } else if (upstreams->idle_count > LIM_UPSTREAM_IDLE) {
        surplus = upstreams->idle_oldest;
    }
    if (surplus != NULL) {
        upstream_idle_remove(upstreams, surplus);
    }
    return surplus;
}

struct upstream_idle *upstream_idle_take(struct upstreams *upstreams, struct upstream *upstream,
                                         uint64_t now_ms)
{
    struct upstream_idle *idle = upstream->newest;
    if (idle == NULL || idle->expires_ms <= now_ms) {
        return NULL;
    }
    upstream_idle_remove(upstreams, idle);
    return idle;
}

struct upstream_idle *upstream_idle_expired(struct upstreams *upstreams, uint64_t now_ms)
{
    struct upstream_idle *idle = upstreams->idle_oldest;
    if (idle == NULL || idle->expires_ms > now_ms) {
        return NULL;
    }
    upstream_idle_remove(upstreams, idle);
    return idle;
}

int64_t upstream_idle_wait_ms(const struct upstreams *upstreams, uint64_t now_ms)
{
    const struct upstream_idle *idle = upstreams->idle_oldest;
    if (idle == NULL) {
        return -1;
    }
    return idle->expires_ms > now_ms ? (int64_t)(idle->expires_ms - now_ms) : 0;
}

/* ---- trying again */

bool upstream_is_idempotent(struct span method)
{
    static const struct span idempotent[] = {SPAN("GET"),   SPAN("HEAD"), SPAN("OPTIONS"),
                                             SPAN("TRACE"), SPAN("PUT"),  SPAN("DELETE")};
    for (size_t i = 0; i < sizeof idempotent / sizeof idempotent[0]; i++) {
        if (span_equal(method, idempotent[i])) {
            return true;
        }
    }
    return false;
}

bool upstream_may_retry(const struct upstream_attempt *attempt)
{
    if (attempt->answered || attempt->body_gone) {
        return false;
    }
    if (!attempt->sent) {
        return attempt->targets_left;
    }
    return attempt->retries < LIM_UPSTREAM_RETRIES &&
           (attempt->untaken || upstream_is_idempotent(attempt->method));
}
