/* SPDX-License-Identifier: Apache-2.0 */
/* The cache is a table of entries, the one asked for last in front; an entry is queued, being
 * looked up, or known. One lock guards entries, queue and lists of answered queries; it is never
 * held while a name is looked up. What a client has pending, its own thread alone touches.
 */
#include "server/resolve.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "server/chars.h"
#include "server/clock.h"

enum {
    BUCKETS = 256,
    NAME_BYTES_MAX = 253, /* RFC 1035 3.1 */
};

enum entry_state { QUEUED, RUNNING, KNOWN };

struct resolve_entry {
    struct resolve_entry *bucket_next;
    struct resolve_entry *next; /* asked for before */
    struct resolve_entry *previous;
    struct resolve_entry *queue_next;
    enum entry_state state;
    uint64_t expires_ms;           /* KNOWN */
    struct resolve_query *waiting; /* any order */
    unsigned count;
    union resolve_address addresses[LIM_RESOLVE_ADDRESSES];
    char name[NAME_BYTES_MAX + 1]; /* in lower case */
};

struct resolver {
    pthread_mutex_t lock;
    pthread_cond_t work;
    resolve_lookup *lookup;
    unsigned owners; /* threads, and the process until resolver_free */
    bool stopping;
    struct resolve_entry *buckets[BUCKETS];
    struct resolve_entry *first; /* asked for last */
    struct resolve_entry *last;
    unsigned entry_count;
    struct resolve_entry *queue;
    struct resolve_entry **queue_end;
};

struct resolve_client {
    struct resolver *resolver;
    int wake_fd;
    struct resolve_query *answered; /* under the lock */
    struct resolve_query *pending_first;
    struct resolve_query *pending_last; /* the deadline of the last is the latest */
};

/* ---- entries; the lock is held */

static unsigned bucket_of(const char *name)
{
    uint32_t hash = 0x811c9dc5u;
    for (; *name != '\0'; name++) {
        hash = (hash ^ (uint8_t)*name) * 0x01000193u;
    }
    return (hash ^ hash >> 16) % BUCKETS;
}

static void unlink_asked(struct resolver *resolver, struct resolve_entry *entry)
{
    *(entry->previous != NULL ? &entry->previous->next : &resolver->first) = entry->next;
    *(entry->next != NULL ? &entry->next->previous : &resolver->last) = entry->previous;
}

static void link_asked(struct resolver *resolver, struct resolve_entry *entry)
{
    entry->previous = NULL;
    entry->next = resolver->first;
    *(entry->next != NULL ? &entry->next->previous : &resolver->last) = entry;
    resolver->first = entry;
}

static void forget(struct resolver *resolver, struct resolve_entry *entry)
{
    struct resolve_entry **at = &resolver->buckets[bucket_of(entry->name)];
    while (*at != entry) {
        at = &(*at)->bucket_next;
    }
    *at = entry->bucket_next;
    unlink_asked(resolver, entry);
    resolver->entry_count--;
    free(entry);
}

/* Forgets what nobody asked for the longest. False: all are being looked up. */
static bool make_room(struct resolver *resolver)
{
    struct resolve_entry *entry = resolver->last;
    while (entry != NULL && entry->state != KNOWN) {
        entry = entry->previous;
    }
    if (entry != NULL) {
        forget(resolver, entry);
    }
    return entry != NULL;
}

static void enqueue(struct resolver *resolver, struct resolve_entry *entry)
{
    entry->state = QUEUED;
    entry->queue_next = NULL;
    *resolver->queue_end = entry;
    resolver->queue_end = &entry->queue_next;
    pthread_cond_signal(&resolver->work);
}

/* The entry of a name: known and fresh, or on its way. NULL: no room. */
static struct resolve_entry *find_entry(struct resolver *resolver, const char *name,
                                        uint64_t now_ms)
{
    struct resolve_entry **bucket = &resolver->buckets[bucket_of(name)];
    struct resolve_entry *entry = *bucket;
    while (entry != NULL && strcmp(entry->name, name) != 0) {
        entry = entry->bucket_next;
    }
    if (entry != NULL) {
        unlink_asked(resolver, entry);
        link_asked(resolver, entry);
        if (entry->state == KNOWN && entry->expires_ms <= now_ms) {
            enqueue(resolver, entry);
        }
        return entry;
    }
    if (resolver->entry_count == LIM_RESOLVE_NAMES && !make_room(resolver)) {
        return NULL;
    }
    entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return NULL;
    }
    memcpy(entry->name, name, strlen(name) + 1);
    entry->bucket_next = *bucket;
    *bucket = entry;
    link_asked(resolver, entry);
    resolver->entry_count++;
    enqueue(resolver, entry);
    return entry;
}

/* ---- queries; the lock is held */

static void push(struct resolve_query **list, struct resolve_query *query)
{
    query->previous = NULL;
    query->next = *list;
    if (query->next != NULL) {
        query->next->previous = query;
    }
    *list = query;
}

static void take(struct resolve_query **list, struct resolve_query *query)
{
    *(query->previous != NULL ? &query->previous->next : list) = query->next;
    if (query->next != NULL) {
        query->next->previous = query->previous;
    }
}

static void fill(struct resolve_query *query, const struct resolve_entry *entry)
{
    query->count = entry->count;
    query->status = entry->count > 0 ? RESOLVE_FOUND : RESOLVE_FAILED;
    for (unsigned i = 0; i < entry->count; i++) {
        query->addresses[i] = entry->addresses[i];
        if (query->addresses[i].any.sa_family == AF_INET6) {
            query->addresses[i].v6.sin6_port = htons(query->port);
        } else {
            query->addresses[i].v4.sin_port = htons(query->port);
        }
    }
}

static void wake(const struct resolve_client *client)
{
    const uint64_t one = 1;
    /* Fails only when the counter is full, and then the worker is awake. */
    ssize_t written = write(client->wake_fd, &one, sizeof one);
    (void)written;
}

static void answer_waiting(struct resolve_entry *entry)
{
    while (entry->waiting != NULL) {
        struct resolve_query *query = entry->waiting;
        take(&entry->waiting, query);
        fill(query, entry);
        query->entry = NULL;
        push(&query->client->answered, query);
        wake(query->client);
    }
}

/* ---- threads */

static unsigned ask_system(const char *name, union resolve_address addresses[LIM_RESOLVE_ADDRESSES])
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    unsigned count = 0;
    if (getaddrinfo(name, NULL, &hints, &found) != 0) {
        return 0;
    }
    for (const struct addrinfo *at = found; at != NULL && count < LIM_RESOLVE_ADDRESSES;
         at = at->ai_next) {
        if (at->ai_addrlen <= sizeof addresses[0] &&
            (at->ai_family == AF_INET || at->ai_family == AF_INET6)) {
            addresses[count] = (union resolve_address){.v6 = {.sin6_family = AF_UNSPEC}};
            memcpy(&addresses[count++], at->ai_addr, at->ai_addrlen);
        }
    }
    freeaddrinfo(found);
    return count;
}

/* The lock is held, but not during the look-up: the entry cannot go while it is RUNNING. */
static void run(struct resolver *resolver, struct resolve_entry *entry)
{
    union resolve_address addresses[LIM_RESOLVE_ADDRESSES];
    entry->count = 0;
    entry->expires_ms = 0;
    if (entry->waiting != NULL) { /* else those who asked have left */
        entry->state = RUNNING;
        pthread_mutex_unlock(&resolver->lock);
        unsigned count = resolver->lookup(entry->name, addresses);
        pthread_mutex_lock(&resolver->lock);
        assert(count <= LIM_RESOLVE_ADDRESSES);
        memcpy(entry->addresses, addresses, count * sizeof addresses[0]);
        entry->count = count;
        entry->expires_ms =
            clock_ms() + (count > 0 ? LIM_RESOLVE_TTL_MS : LIM_RESOLVE_FAILED_TTL_MS);
    }
    entry->state = KNOWN;
    answer_waiting(entry);
}

/* The lock is held, and given up. */
static void release(struct resolver *resolver)
{
    bool last = --resolver->owners == 0;
    pthread_mutex_unlock(&resolver->lock);
    if (!last) {
        return;
    }
    while (resolver->first != NULL) {
        forget(resolver, resolver->first);
    }
    pthread_cond_destroy(&resolver->work);
    pthread_mutex_destroy(&resolver->lock);
    free(resolver);
}

static void *thread_main(void *argument)
{
    struct resolver *resolver = argument;
    pthread_mutex_lock(&resolver->lock);
    while (!resolver->stopping) {
        struct resolve_entry *entry = resolver->queue;
        if (entry == NULL) {
            pthread_cond_wait(&resolver->work, &resolver->lock);
            continue;
        }
        resolver->queue = entry->queue_next;
        if (resolver->queue == NULL) {
            resolver->queue_end = &resolver->queue;
        }
        run(resolver, entry);
    }
    release(resolver);
    return NULL;
}

/* Signals are for the threads that expect them. A thread is never joined: nobody can say when a
 * look-up ends. */
static bool start_threads(struct resolver *resolver)
{
    sigset_t all, before;
    pthread_t thread;
    unsigned started = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&resolver->lock);
    while (started < LIM_RESOLVE_THREADS &&
           pthread_create(&thread, NULL, thread_main, resolver) == 0) {
        pthread_detach(thread);
        resolver->owners++;
        started++;
    }
    pthread_mutex_unlock(&resolver->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started > 0;
}

struct resolver *resolver_create(resolve_lookup *lookup)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    if (resolver == NULL) {
        return NULL;
    }
    pthread_mutex_init(&resolver->lock, NULL);
    pthread_cond_init(&resolver->work, NULL);
    resolver->lookup = lookup != NULL ? lookup : ask_system;
    resolver->queue_end = &resolver->queue;
    resolver->owners = 1;
    if (!start_threads(resolver)) {
        resolver_free(resolver);
        return NULL;
    }
    return resolver;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL) {
        return;
    }
    pthread_mutex_lock(&resolver->lock);
    resolver->stopping = true;
    pthread_cond_broadcast(&resolver->work);
    release(resolver);
}

/* ---- clients */

struct resolve_client *resolve_client_create(struct resolver *resolver, int wake_fd)
{
    struct resolve_client *client = calloc(1, sizeof *client);
    if (client != NULL) {
        client->resolver = resolver;
        client->wake_fd = wake_fd;
    }
    return client;
}

void resolve_client_free(struct resolve_client *client)
{
    if (client != NULL) {
        assert(client->pending_first == NULL && client->answered == NULL);
        free(client);
    }
}

static void add_pending(struct resolve_client *client, struct resolve_query *query)
{
    query->later = NULL;
    query->earlier = client->pending_last;
    *(query->earlier != NULL ? &query->earlier->later : &client->pending_first) = query;
    client->pending_last = query;
}

static void remove_pending(struct resolve_client *client, struct resolve_query *query)
{
    *(query->earlier != NULL ? &query->earlier->later : &client->pending_first) = query->later;
    *(query->later != NULL ? &query->later->earlier : &client->pending_last) = query->earlier;
}

/* Whether the system's resolver would take a name with this last label for an address: "127.1",
 * "0x7f000001". Nobody writes so who means well. */
static bool is_number(const char *label, size_t bytes)
{
    bool hexadecimal = bytes > 1 && label[0] == '0' && label[1] == 'x';
    for (size_t i = hexadecimal ? 2 : 0; i < bytes; i++) {
        if (hexadecimal ? char_hex(label[i]) < 0 : label[i] < '0' || label[i] > '9') {
            return false;
        }
    }
    return true;
}

/* NUL-terminated and in lower case. False: not a name. */
static bool copy_name(struct span host, char name[NAME_BYTES_MAX + 1])
{
    if (host.len == 0 || host.len > NAME_BYTES_MAX || memchr(host.base, '\0', host.len) != NULL) {
        return false;
    }
    *span_put_lower(name, host) = '\0';
    size_t end = host.len - (name[host.len - 1] == '.');
    size_t start = end;
    while (start > 0 && name[start - 1] != '.') {
        start--;
    }
    return start < end && !is_number(name + start, end - start);
}

static bool is_digits(struct resolve_query *query, struct span host)
{
    char text[INET6_ADDRSTRLEN];
    union resolve_address *address = &query->addresses[0];
    if (host.len >= sizeof text || (host.len > 0 && memchr(host.base, '\0', host.len) != NULL)) {
        return false;
    }
    memcpy(text, host.base, host.len);
    text[host.len] = '\0';
    *address = (union resolve_address){.v6 = {.sin6_family = AF_UNSPEC}};
    if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons(query->port);
    } else if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons(query->port);
    } else {
        return false;
    }
    query->count = 1;
    query->status = RESOLVE_FOUND;
    return true;
}

enum resolve_status resolve_ask(struct resolve_client *client, struct resolve_query *query,
                                struct span host, uint16_t port, uint64_t now_ms)
{
    struct resolver *resolver = client->resolver;
    char name[NAME_BYTES_MAX + 1];
    *query = (struct resolve_query){.status = RESOLVE_FAILED, .client = client, .port = port};
    if (is_digits(query, host) || !copy_name(host, name)) {
        return query->status;
    }
    pthread_mutex_lock(&resolver->lock);
    struct resolve_entry *entry = find_entry(resolver, name, now_ms);
    if (entry != NULL && entry->state == KNOWN) {
        fill(query, entry);
    } else if (entry != NULL) {
        query->status = RESOLVE_PENDING;
        query->entry = entry;
        push(&entry->waiting, query);
    }
    /* From here on a query that waits may change: only the lock keeps it still. */
    enum resolve_status status = query->status;
    pthread_mutex_unlock(&resolver->lock);
    if (status == RESOLVE_PENDING) {
        query->deadline_ms = now_ms + LIM_RESOLVE_MS;
        add_pending(client, query);
    }
    return status;
}

/* The lock is held. */
static void leave(struct resolve_client *client, struct resolve_query *query)
{
    take(query->entry != NULL ? &query->entry->waiting : &client->answered, query);
    query->entry = NULL;
    remove_pending(client, query);
}

struct resolve_query *resolve_next(struct resolve_client *client, uint64_t now_ms)
{
    struct resolver *resolver = client->resolver;
    if (client->pending_first == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&resolver->lock);
    struct resolve_query *query = client->answered;
    if (query == NULL && client->pending_first->deadline_ms <= now_ms) {
        query = client->pending_first;
        query->status = RESOLVE_TIMED_OUT;
    }
    if (query != NULL) {
        leave(client, query);
    }
    pthread_mutex_unlock(&resolver->lock);
    return query;
}

int64_t resolve_wait_ms(const struct resolve_client *client, uint64_t now_ms)
{
    const struct resolve_query *query = client->pending_first;
    if (query == NULL) {
        return -1;
    }
    return query->deadline_ms > now_ms ? (int64_t)(query->deadline_ms - now_ms) : 0;
}

void resolve_cancel(struct resolve_query *query)
{
    struct resolve_client *client = query->client;
    pthread_mutex_lock(&client->resolver->lock);
    leave(client, query);
    pthread_mutex_unlock(&client->resolver->lock);
}
