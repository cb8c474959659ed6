/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, parsed. The flags, their defaults and their help text are rows of options.def.
 */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/static.h"

#define OPTIONS_LIST_MAX 64

enum options_mode { MODE_SERVE, MODE_PACK, MODE_DUMP_SDK, MODE_CHECK, MODE_MANUAL, MODE_HELP, MODE_VERSION };

struct options {
    enum options_mode mode;
    const char *site;               /* SITE.tar, SCRIPT.{c,o}, DIRECTORY, or the DIR of --pack */
    const char *addr;               /* ip:port, [v6]:port, fd:N; NULL: see server/listen.h */
    const char *tls_addr;           /* the same; NULL: no TLS, unless a socket for it is passed */
    const char *reload_signal_file; /* NULL: none */
    const char *certs[OPTIONS_LIST_MAX];
    unsigned cert_count;
    const char *keys[OPTIONS_LIST_MAX]; /* as many */
    unsigned key_count;
    const char *cert_dir; /* NULL: none */
    const char *tls_min;  /* "1.2" or "1.3" */
    const char *index;
    bool try_html;
    bool no_dir_redirect;
    bool compress;
    bool interpret; /* --no-jit */
    bool perf_map;
    bool disable_request_logging;
    bool proxy_both;               /* sets the two that follow */
    bool proxy_plain;              /* a header of the PROXY protocol is required on --addr */
    bool proxy_tls;                /* and on --tls-addr, ahead of TLS */
    const char *user;              /* NULL: stay who it is */
    const char *sandbox;           /* fit for harden_level_find */
    bool no_isolation;             /* sandbox is "off" */
    const char *access_log;        /* file; NULL: standard error */
    const char *access_log_format; /* fit for access_format_find */
    const char *hostnames[OPTIONS_LIST_MAX]; /* none: all are served */
    unsigned hostname_count;
    uint32_t h2_stream_window; /* bytes */
    uint32_t h2_connection_window;
    uint32_t h2_requests; /* of a connection */
    uint32_t threads;              /* 0: one a core */
    uint32_t chunk_bytes;
    uint32_t tick_ms;
    uint32_t budget_ms;
    uint32_t drain_ms;
    uint32_t proxy_ms;  /* see LIM_UPSTREAM_ANSWER_MS */
    uint32_t header_ms; /* also for handshakes */
    uint32_t body_ms;
    uint32_t body_rate;     /* bytes a second ... */
    uint32_t body_grace_ms; /* ... once this much has passed */
    uint32_t send_ms;
    uint32_t idle_ms;
    uint32_t age_ms;
    const char *plugins[OPTIONS_LIST_MAX]; /* --plugin, comma separated or repeated */
    unsigned plugin_count;
    const char *plugin_dirs[OPTIONS_LIST_MAX];
    unsigned plugin_dir_count;
    struct cache_rule cache_rules[OPTIONS_LIST_MAX];
    unsigned cache_rule_count;
    const char *script_env[OPTIONS_LIST_MAX];
    unsigned script_env_count;
    const char *trusted_proxies[OPTIONS_LIST_MAX]; /* each fit for cidr_parse */
    unsigned trusted_proxy_count;
    uint32_t json_bytes;
    uint32_t body_bytes;
    uint32_t rate_keys;
};

/* Is there a certificate to serve with? */
static inline bool options_have_cert(const struct options *options)
{
    return options->cert_count > 0 || options->cert_dir != NULL;
}

/* False: the message for the user went to standard error; exit 2. Strings point into argv. */
bool options_parse(struct options *options, int argc, char **argv);
void options_print_help(void);

#endif
