/* SPDX-License-Identifier: Apache-2.0 */
/* The program: reads the command line, loads site and scripts, serves. Exit status: 0 fine, 1 a
 * failure while running, 2 wrong usage or bad input. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/file.h"
#include "server/log.h"
#include "server/options.h"
#include "server/pack.h"
#include "server/rate.h"
#include "server/script.h"
#include "server/server.h"
#include "server/site.h"
#include "server/sources.h"
#include "server/tls.h"
#include "server/version.h"

enum { EXIT_FINE = 0, EXIT_RUNTIME = 1, EXIT_INPUT = 2 };
enum { ERROR_BYTES = 1024 };
enum { MEMORY_MAPPED_BYTES = 8 << 20, MEMORY_KEPT_BYTES = 32 << 20 };

/* Descriptors 0 to 2 must be taken, or a site might be opened as standard error and logged into. */
static bool standard_descriptors_open(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static int write_output(const char *text)
{
    if (!file_write_all(STDOUT_FILENO, text, strlen(text))) {
        log_line("zeroserve: standard output: %s", strerror(errno));
        return EXIT_RUNTIME;
    }
    return EXIT_FINE;
}

extern const char manual_text[]; /* docs/zeroserve.1 */

/* For people formatted, where man(1) is there; for programs as it is. */
static int show_manual(void)
{
    FILE *viewer = isatty(STDOUT_FILENO) ? popen("man -l -", "w") : NULL;
    if (viewer == NULL) {
        return write_output(manual_text);
    }
    bool fine = fputs(manual_text, viewer) >= 0;
    return pclose(viewer) == 0 && fine ? EXIT_FINE : EXIT_RUNTIME;
}

static int print_help(void)
{
    options_print_help();
    if (fflush(stdout) != 0) {
        log_line("zeroserve: standard output: %s", strerror(errno));
        return EXIT_RUNTIME;
    }
    return EXIT_FINE;
}

static int pack(const char *directory, bool compress)
{
    char error[ERROR_BYTES];
    if (isatty(STDOUT_FILENO)) {
        log_line("zeroserve: --pack writes a tar to standard output; add `> site.tar`");
        return EXIT_INPUT;
    }
    if (!pack_directory(directory, compress, STDOUT_FILENO, error, sizeof error)) {
        log_line("zeroserve: %s", error);
        return EXIT_INPUT;
    }
    return EXIT_FINE;
}

/* ---- loading ---- */

static bool is_regular(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool load_plugins(const struct options *options, struct sources *sources, char *error)
{
    for (unsigned i = 0; i < options->plugin_count; i++) {
        if (!sources_add_file(sources, options->plugins[i], error, ERROR_BYTES)) {
            return false;
        }
    }
    for (unsigned i = 0; i < options->plugin_dir_count; i++) {
        if (!sources_add_directory(sources, options->plugin_dirs[i], error, ERROR_BYTES)) {
            return false;
        }
    }
    return true;
}

/* The site, and its scripts behind those of the plugins. NULL: `error`. */
static struct site *load_site(const char *path, struct sources *sources, char *error)
{
    bool bare_script = sources_is_script(path) && is_regular(path);
    struct site *site = bare_script ? site_empty() : site_open(path, error, ERROR_BYTES);
    if (site == NULL) {
        if (bare_script) {
            snprintf(error, ERROR_BYTES, "out of memory");
        }
        return NULL;
    }
    bool fine = bare_script ? sources_add_file(sources, path, error, ERROR_BYTES)
                            : sources_add_site(sources, site, path, error, ERROR_BYTES);
    if (!fine) {
        site_free(site);
        return NULL;
    }
    return site;
}

static void tell_loaded(const struct snapshot *snapshot, const char *path)
{
    log_line("loaded %llu entries from %s", (unsigned long long)site_file_count(snapshot->site),
             path);
    for (unsigned i = 0; i < script_set_count(snapshot->scripts); i++) {
        log_line("compiled script '%s' (%zu b)", script_set_name(snapshot->scripts, i),
                 script_set_code_bytes(snapshot->scripts, i));
    }
}

/* Loads site and scripts. False: `error`; what was loaded is to be freed. */
static bool load(const struct options *options, struct rate_table *rates, struct snapshot *loaded,
                 char *error)
{
    struct script_options script_options = {
        .interpret = options->interpret,
        .perf_map = options->perf_map,
        .gdb = options->perf_map,
        .tick_ms = options->tick_ms,
        .budget_ms = options->budget_ms,
        .env = options->script_env,
        .env_count = options->script_env_count,
        .trusted = options->trusted_proxies,
        .trusted_count = options->trusted_proxy_count,
        .json_bytes_max = options->json_bytes,
        .body_bytes_max = options->body_bytes,
        .rates = rates,
    };
    struct sources *sources = calloc(1, sizeof *sources);
    if (sources == NULL) {
        snprintf(error, ERROR_BYTES, "out of memory");
        return false;
    }
    if (load_plugins(options, sources, error)) {
        loaded->site = load_site(options->site, sources, error);
    }
    if (loaded->site != NULL) {
        script_options.site = loaded->site;
        loaded->scripts =
            script_set_load(sources->items, sources->count, &script_options, error, ERROR_BYTES);
    }
    sources_free(sources);
    free(sources);
    if (loaded->scripts == NULL ||
        !script_set_init(loaded->scripts, &script_options, error, ERROR_BYTES)) {
        return false;
    }
    malloc_trim(0); /* what loading needed is not needed again */
    return true;
}

static void warn(const char *line)
{
    log_line("zeroserve: %s", line);
}

/* NULL without TLS. False: `error`. */
static bool load_tls(const struct options *options, struct tls_tickets *tickets,
                     struct tls_context **tls, char *error)
{
    struct tls_options tls_options = {
        .certs = options->certs,
        .keys = options->keys,
        .pair_count = options->cert_count,
        .cert_dir = options->cert_dir,
        .tickets = tickets,
        .warn = warn,
        .h2 = true,
        .allow_1_2 = strcmp(options->tls_min, "1.2") == 0,
    };
    *tls = NULL;
    if (options_have_cert(options)) {
        *tls = tls_context_create(&tls_options, error, ERROR_BYTES);
    }
    return *tls != NULL || !options_have_cert(options);
}

/* Reading the certificates of authorities takes a while: only where a script may need them. */
static bool load_tls_client(struct snapshot *loaded, char *error)
{
    if (script_set_calls(loaded->scripts, "zs_reverse_proxy")) {
        loaded->tls_client = tls_client_context_create(NULL, error, ERROR_BYTES);
        return loaded->tls_client != NULL;
    }
    return true;
}

/* What loads again and again: the same options, and what outlives each load. */
struct loader {
    const struct options *options;
    struct rate_table *rates;
    struct tls_tickets *tickets;
};

/* All that is served, checked. NULL: told. */
static struct snapshot *load_all(void *context)
{
    const struct loader *loader = context;
    char error[ERROR_BYTES];
    struct snapshot loaded = {0}; /* its parts */
    struct snapshot *snapshot = NULL;
    bool fine = load_tls(loader->options, loader->tickets, &loaded.tls, error) &&
                load(loader->options, loader->rates, &loaded, error) &&
                load_tls_client(&loaded, error);
    if (fine) {
        snapshot = snapshot_create(&loaded);
        snprintf(error, sizeof error, "out of memory");
    }
    if (snapshot == NULL) {
        log_line("zeroserve: %s", error);
        script_set_free(loaded.scripts);
        site_free(loaded.site);
        tls_context_free(loaded.tls);
        tls_context_free(loaded.tls_client);
        return NULL;
    }
    tell_loaded(snapshot, loader->options->site);
    return snapshot;
}

static int serve(const struct options *options)
{
    bool tls = options_have_cert(options);
    /* Without TLS the library for it is not started, which saves megabytes. */
    struct loader loader = {options, rate_table_create(options->rate_keys),
                            tls ? tls_tickets_create() : NULL};
    int status = EXIT_FINE;
    if (loader.rates == NULL || (tls && loader.tickets == NULL)) {
        log_line("zeroserve: out of memory");
        rate_table_free(loader.rates);
        tls_tickets_free(loader.tickets);
        return EXIT_RUNTIME;
    }
    struct snapshot *snapshot = load_all(&loader);
    if (snapshot == NULL) {
        status = EXIT_INPUT;
    } else if (options->mode == MODE_SERVE) {
        status = server_run(options, snapshot, load_all, &loader);
    }
    snapshot_release(snapshot);
    rate_table_free(loader.rates);
    tls_tickets_free(loader.tickets);
    return status;
}

/* A busy connection fills and releases its buffers many times a second. By default such sizes are
 * given back to the system, and taken from it again page by page, each time. What is kept is a
 * worker's; some dozens of proxied connections fill it with their buffers. */
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, MEMORY_MAPPED_BYTES);
    mallopt(M_TRIM_THRESHOLD, MEMORY_KEPT_BYTES);
}

int main(int argc, char **argv)
{
    struct options options;
    keep_memory();
    if (!standard_descriptors_open()) {
        return EXIT_RUNTIME;
    }
    if (!options_parse(&options, argc, argv)) {
        return EXIT_INPUT;
    }
    switch (options.mode) {
    case MODE_HELP: return print_help();
    case MODE_VERSION: return write_output("zeroserve " ZEROSERVE_VERSION "\n");
    case MODE_DUMP_SDK: return write_output(sdk_text);
    case MODE_MANUAL: return show_manual();
    case MODE_PACK: return pack(options.site, options.compress);
    case MODE_CHECK:
    case MODE_SERVE: return serve(&options);
    }
    return EXIT_RUNTIME;
}
