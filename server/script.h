/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the site's scripts on a request. The only door between the server and the VM.
 *
 *   set    compiled scripts of a site, immutable, shared by workers
 *   host   what a worker needs to run them (a vm_thread)
 *   chain  the scripts of one request, run in order; lives in the exchange
 */
#ifndef SERVER_SCRIPT_H
#define SERVER_SCRIPT_H

#include <stdint.h>
#include <stdio.h>

#include "server/exchange.h"
#include "server/rate.h"

struct script_source {
    const char *name; /* without `.o` */
    const uint8_t *object;
    size_t object_bytes;
    const char *origin; /* file it comes from, for messages */
};

/* How a tool looks at the runs of script_run_offline. Each may be NULL. */
struct offline_client;
struct vm_run;
struct script_watch {
    void *context;
    void (*started)(void *context, struct vm_run *run); /* before the first instruction */
    bool (*paused)(void *context); /* a slice is over, but not the run; false: give up */
    void (*ended)(void *context, struct vm_run *run, bool faulted);
    void (*finished)(void *context); /* after the last, while the program is still there */
};

struct script_options {
    bool interpret; /* run on the interpreter instead of the JIT */
    bool perf_map;  /* compiled code gets names for perf(1): see jit_perf_map */
    bool gdb;       /* and for gdb(1): see jit_gdb_register */
    uint32_t tick_ms;
    uint32_t slice_us; /* of those that are busy */
    uint32_t budget_ms;
    const char *const *env; /* names of variables that scripts may read, as they are at the load */
    unsigned env_count;
    const struct site *site;    /* whose files scripts may read, or NULL; outlives the set */
    const char *const *trusted; /* addresses and networks of proxies, as for cidr_parse */
    unsigned trusted_count;
    const struct script_watch *watch;    /* or NULL */
    const struct offline_client *client; /* of script_run_offline (server/offline.h), or NULL */
    const char *site_path;    /* the same: where to open `site`, or NULL: there is none */
    struct rate_table *rates; /* outlives the set; NULL: it has one of its own */
    size_t json_bytes_max;    /* memory of the JSON values of a script; 0: LIM_JSON_BYTES */
    unsigned run_count_max;   /* runs of a host at a time; 0: VM_RUN_COUNT_DEFAULT */
    size_t body_bytes_max;    /* of a request, that scripts may read; 0: LIM_SCRIPT_BODY_BYTES */
};

struct script_set;
/* Loads, validates and compiles; runs no code. NULL: one line in `error` naming script and reason.
 * Copies what it needs. `count` may be 0. */
struct script_set *script_set_load(const struct script_source *sources, unsigned count,
                                   const struct script_options *options, char *error,
                                   size_t error_bytes);
void script_set_free(struct script_set *set);
/* Runs the init entries of the scripts, to their ends, on this thread, which has no host yet.
 * False: one line in `error`. */
bool script_set_init(const struct script_set *set, const struct script_options *options,
                     char *error, size_t error_bytes);
unsigned script_set_count(const struct script_set *set);
const char *script_set_name(const struct script_set *set, unsigned index);
size_t script_set_code_bytes(const struct script_set *set, unsigned index);

/* Whether any of the scripts has an entry for TLS handshakes. */
bool script_set_sees_handshakes(const struct script_set *set);
/* Whether any of the scripts calls the helper of this name. */
bool script_set_calls(const struct script_set *set, const char *helper);
/* Whether the address is that of a trusted proxy. */
bool script_set_trusts(const struct script_set *set, const union peer_address *peer);

struct script_host;
/* On the worker's own thread. NULL: one line in `error`. */
struct script_host *script_host_create(const struct script_options *options, char *error,
                                       size_t error_bytes);
void script_host_free(struct script_host *host);
/* Arenas that runs have given back while others waited for one. When there are more than before,
 * those who are starved may try again. */
uint64_t script_host_given_back(const struct script_host *host);
/* Before script_set_free, on every worker that ran it. */
void script_host_forget(struct script_host *host, const struct script_set *set);

enum script_verdict {
    SCRIPT_PASS,      /* no script answered: serve the file */
    SCRIPT_RESPONDED, /* ex has a response: a script's, or the 500 of a script that faulted */
    SCRIPT_ABORTED,   /* close the connection without an answer */
    SCRIPT_PROXY,     /* ex->proxy says who answers */
    SCRIPT_PENDING,   /* preempted or out of arenas: serve others, then script_chain_resume */
};

/* Runs the request entries of `set` on ex, in order, until one answers. */
enum script_verdict script_chain_start(struct script_host *host, const struct script_set *set,
                                       struct exchange *ex);
enum script_verdict script_chain_resume(struct exchange *ex);
/* Whether what is pending waits for an arena. Requests whose body is not complete, and which may
 * wait for it for long, leave some of the arenas to the others. */
bool script_chain_is_starved(const struct exchange *ex);
/* Runs the entries for TLS handshakes of `set`, in order, on an exchange that knows the peer and
 * the connection and has no request. SCRIPT_PASS: it may go on. SCRIPT_PENDING: as above. Else one
 * of them has refused the client, or faulted. */
enum script_verdict script_handshake_start(struct script_host *host, const struct script_set *set,
                                           struct exchange *ex);
/* Runs the response hooks that scripts left, once there is a response, whoever made it, and before
 * response_finish. SCRIPT_PASS: done. SCRIPT_PENDING: go on by script_chain_resume, which then says
 * the same; until then the response is set aside. */
enum script_verdict script_hooks_start(struct exchange *ex);
/* Drops a pending chain or hooks (the client left); the response is there again. Fine when there is
 * none. Must come before exchange_reset. */
void script_chain_cancel(struct exchange *ex);

/* Runs one script, its init entries before, on the HTTP/1 request in request[0..request_bytes), to
 * its end, and writes the response to `out`, as text with plain newlines. The status is 0 when the
 * script lets the request pass or aborts it; the fields are then those it would add. What faults
 * and logs goes to standard error. Nothing is written when options->watch gave up. For tools:
 * blocks, and may be called on a thread that has no vm_thread yet. */
enum script_offline {
    SCRIPT_OFFLINE_ENDED,
    SCRIPT_OFFLINE_FAULTED, /* the response is the 500 for it */
    SCRIPT_OFFLINE_REFUSED, /* one line in `error`: the object or the request is bad */
};
enum script_offline script_run_offline(const struct script_source *source,
                                       const struct script_options *options, const char *request,
                                       size_t request_bytes, FILE *out, char *error,
                                       size_t error_bytes);

/* The helper table, for tools. */
struct vm_helper;
const struct vm_helper *script_helpers(uint32_t *count);
/* What the helper of this name does, in a line. NULL: there is none. */
const char *script_helper_text(const char *name);

#endif
