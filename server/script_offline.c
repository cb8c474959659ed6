/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a script on a request that is read from a file: no socket, and of a site only the files that
 * the script reads. For tools. */
#include <stdlib.h>

#include "server/offline.h"
#include "server/script.h"
#include "server/site.h"
#include "server/upstream_url.h"

/* As zs-vm test tells it (server/rehearse.h). */
static void print_upstreams(const struct proxy_request *proxy, FILE *out)
{
    fputs("zs-proxy: ", out);
    for (unsigned i = 0; i < proxy->target_count; i++) {
        const struct upstream_url *to = &proxy->targets[i];
        struct span place = to->scheme == UPSTREAM_UNIX ? to->path : to->authority;

        fprintf(out, "%s%s%.*s%.*s", i > 0 ? ", " : "", upstream_prefix(to->scheme), (int)place.len,
                place.base, (int)to->base.len, to->base.len > 0 ? to->base.base : "");
    }
    fputc('\n', out);
}

static void print(struct exchange *ex, enum script_verdict verdict, FILE *out)
{
    const char *what = verdict == SCRIPT_ABORTED ? "aborted"
                       : verdict == SCRIPT_PROXY ? "proxied"
                                                 : "passed";

    if (verdict == SCRIPT_RESPONDED) {
        response_finish(ex);
        fprintf(out, "HTTP/1.1 %u %s\n", ex->status, status_reason(ex->status));
    } else {
        if (ex->status == 0) {
            ex->status = 200; /* there is none; only fields are shown */
        }
        response_finish(ex);
        fprintf(out, "HTTP/1.1 0 %s\n", what);
        if (verdict == SCRIPT_PROXY) {
            print_upstreams(ex->proxy, out);
        }
    }
    for (unsigned i = 0; i < ex->response_fields.count; i++) {
        const struct field *f = &ex->response_fields.items[i];

        fprintf(out, "%.*s: %.*s\n", (int)f->name.len, f->name.base, (int)f->value.len,
                f->value.base);
    }
    fputc('\n', out);
    if (ex->body.kind == BODY_BYTES && ex->body.bytes.len != 0) {
        fwrite(ex->body.bytes.base, 1, ex->body.bytes.len, out);
    }
}

static bool go_on(const struct script_watch *watch)
{
    return watch == NULL || watch->paused == NULL || watch->paused(watch->context);
}

/* Goes on until there is a verdict. False: the watch gave up. */
static bool go_through(struct exchange *ex, const struct script_watch *watch,
                       enum script_verdict *verdict)
{
    while (*verdict == SCRIPT_PENDING && go_on(watch)) {
        *verdict = script_chain_resume(ex);
    }
    if (*verdict == SCRIPT_PENDING) {
        script_chain_cancel(ex);
        return false;
    }
    return true;
}

static enum script_offline run(const struct script_set *set, const struct script_options *options,
                               struct exchange *ex, FILE *out, char *error, size_t error_bytes)
{
    struct script_host *host = script_host_create(options, error, error_bytes);
    enum script_verdict verdict;
    bool done;

    if (host == NULL) {
        return SCRIPT_OFFLINE_REFUSED;
    }
    verdict = script_chain_start(host, set, ex);
    done = go_through(ex, options->watch, &verdict);
    if (done && verdict != SCRIPT_ABORTED) {
        enum script_verdict hooks;

        if (verdict != SCRIPT_RESPONDED) {
            ex->status = 200; /* of the file; only its fields are shown */
        }
        hooks = script_hooks_start(ex);
        done = go_through(ex, options->watch, &hooks);
    }
    if (done) {
        print(ex, verdict, out);
    }
    if (options->watch != NULL && options->watch->finished != NULL) {
        options->watch->finished(options->watch->context);
    }
    script_host_forget(host, set);
    script_host_free(host);
    return ex->faulted ? SCRIPT_OFFLINE_FAULTED : SCRIPT_OFFLINE_ENDED;
}

/* Loads the script and runs its init entries, which nobody watches. NULL: refused. */
static struct script_set *load(const struct script_source *source,
                               const struct script_options *options, char *error,
                               size_t error_bytes)
{
    struct script_set *set = script_set_load(source, 1, options, error, error_bytes);
    struct script_options alone = *options;

    alone.watch = NULL;
    if (set != NULL && !script_set_init(set, &alone, error, error_bytes)) {
        script_set_free(set);
        return NULL;
    }
    return set;
}

static enum script_offline run_text(const struct script_set *set,
                                    const struct script_options *options, const char *request,
                                    size_t request_bytes, FILE *out, char *error,
                                    size_t error_bytes)
{
    static const struct offline_client nobody = {.peer = NULL};
    enum script_offline result = SCRIPT_OFFLINE_REFUSED;
    struct exchange ex;
    unsigned status;
    char *text;

    exchange_init(&ex);
    if (offline_request(&ex, options->client != NULL ? options->client : &nobody, request,
                        request_bytes, &text, &status, error, error_bytes)) {
        result = run(set, options, &ex, out, error, error_bytes);
    }
    exchange_free(&ex);
    free(text);
    return result;
}

enum script_offline script_run_offline(const struct script_source *source,
                                       const struct script_options *options, const char *request,
                                       size_t request_bytes, FILE *out, char *error,
                                       size_t error_bytes)
{
    enum script_offline result = SCRIPT_OFFLINE_REFUSED;
    struct script_options with_site = *options;
    struct site *site = NULL;
    struct script_set *set;

    if (options->site_path != NULL) {
        site = site_open(options->site_path, error, error_bytes);
        if (site == NULL) {
            return result;
        }
        with_site.site = site;
    }
    set = load(source, &with_site, error, error_bytes);
    if (set != NULL) {
        result = run_text(set, &with_site, request, request_bytes, out, error, error_bytes);
        script_set_free(set);
    }
    site_free(site);
    return result;
}
