/* SPDX-License-Identifier: Apache-2.0 */
/* The course of a request is that of server/request.c, with everything waited for on the spot. */
#include "server/rehearse.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/forward.h"
#include "server/limits.h"
#include "server/sources.h"
#include "server/static.h"
#include "server/template.h"

enum { TEXT_BYTES_MAX = 64 << 20, ROOM_BYTES = 4096 };

struct rehearsal {
    struct site *site;
    struct sources sources;
    struct script_options options;
    struct script_set *set;
    struct script_host *host;
};

/* ---- the site -------------------------------------------------------------------------------- */

static bool load(struct rehearsal *r, const char *path, char *error, size_t error_bytes)
{
    bool bare = sources_is_script(path);

    r->site = bare ? site_empty() : site_open(path, error, error_bytes);
    if (r->site == NULL) {
        if (bare) {
            snprintf(error, error_bytes, "out of memory");
        }
        return false;
    }
    r->options.site = r->site;
    return bare ? sources_add_file(&r->sources, path, error, error_bytes)
                : sources_add_site(&r->sources, r->site, path, error, error_bytes);
}

static void end_scripts(struct rehearsal *r)
{
    if (r->host != NULL) {
        script_host_forget(r->host, r->set);
        script_host_free(r->host);
    }
    script_set_free(r->set);
    r->host = NULL;
    r->set = NULL;
}

bool rehearsal_restart(struct rehearsal *r, char *error, size_t error_bytes)
{
    end_scripts(r);
    r->set = script_set_load(r->sources.items, r->sources.count, &r->options, error, error_bytes);
    if (r->set == NULL || !script_set_init(r->set, &r->options, error, error_bytes)) {
        return false;
    }
    r->host = script_host_create(&r->options, error, error_bytes);
    return r->host != NULL;
}

struct rehearsal *rehearsal_open(const char *path, const struct script_options *options,
                                 char *error, size_t error_bytes)
{
    struct rehearsal *r = calloc(1, sizeof *r);

    if (r == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return NULL;
    }
    r->options = *options;
    if (!load(r, path, error, error_bytes) || !rehearsal_restart(r, error, error_bytes)) {
        rehearsal_free(r);
        return NULL;
    }
    return r;
}

void rehearsal_free(struct rehearsal *r)
{
    if (r != NULL) {
        end_scripts(r);
        sources_free(&r->sources);
        site_free(r->site);
        free(r);
    }
}

/* ---- what is told of an answer --------------------------------------------------------------- */

/* Text that grows; `full` once memory or the limit is at its end. */
struct text {
    struct buffer bytes;
    bool full;
};

static void put(struct text *text, struct span more)
{
    text->full = text->full || !buffer_append(&text->bytes, more, TEXT_BYTES_MAX);
}

static void put_field(struct text *text, struct span name, struct span value)
{
    put(text, name);
    put(text, SPAN(": "));
    put(text, value);
    put(text, SPAN("\n"));
}

/* Ends it by NUL and gives it away. NULL: it was full. */
static char *take(struct text *text)
{
    put(text, (struct span){"", 1});
    if (text->full) {
        buffer_release(&text->bytes);
        return NULL;
    }
    assert(text->bytes.start == 0); /* nothing was consumed: base is what malloc gave */
    return text->bytes.base;
}

static void put_file(struct text *text, int fd, uint64_t offset, uint64_t bytes)
{
    char room[ROOM_BYTES];

    while (bytes > 0 && !text->full) {
        ssize_t got =
            pread(fd, room, bytes < sizeof room ? (size_t)bytes : sizeof room, (off_t)offset);
        if (got <= 0) {
            text->full = got == 0 || errno != EINTR;
            continue;
        }
        put(text, (struct span){room, (size_t)got});
        offset += (uint64_t)got;
        bytes -= (uint64_t)got;
    }
}

static void put_body(struct text *text, const struct body *body, int fd)
{
    switch (body->kind) {
    case BODY_BYTES: put(text, body->bytes); break;
    case BODY_FILE: put_file(text, fd, body->file_offset, body->file_bytes); break;
    case BODY_SEGMENTS:
        for (unsigned i = 0; i < body->segment_count; i++) {
            put(text, body->segments[i].bytes);
            put_file(text, fd, body->segments[i].file_offset, body->segments[i].file_bytes);
        }
        break;
    case BODY_NONE:
    case BODY_STREAMED: break; /* of upstreams and pages: neither comes here */
    }
}

/* Puts metadata into the page `*page`. */
static void fill_page(struct text *page, const struct exchange *ex)
{
    struct template *template = malloc(sizeof *template);
    struct span rest = buffer_span(&page->bytes);
    struct text filled = {.full = template == NULL};
    char room[ROOM_BYTES];
    size_t n = template == NULL ? 0 : 1;

    if (template != NULL) {
        template_init(template, &ex->meta);
    }
    while (n > 0) {
        n = template_run(template, &rest, true, room, sizeof room);
        put(&filled, (struct span){room, n});
    }
    free(template);
    buffer_release(&page->bytes);
    *page = filled;
}

static void put_status(struct text *text, unsigned status)
{
    char line[16];

    snprintf(line, sizeof line, "%u ", status);
    put(text, span_of(line));
    put(text, span_of(status_reason(status)));
    put(text, SPAN("\n"));
}

/* The response of `ex`. */
static void tell_response(struct exchange *ex, const struct site *site, bool head_only,
                          struct text *head, struct text *body)
{
    bool page = !head_only && template_wanted(ex);

    response_finish(ex);
    put_body(body, &ex->body, site_fd(site));
    if (page) {
        fill_page(body, ex);
    }
    put_status(head, ex->status);
    for (unsigned i = 0; i < ex->response_fields.count; i++) {
        put_field(head, ex->response_fields.items[i].name, ex->response_fields.items[i].value);
    }
    if (ex->status >= 200 && ex->status != 204 && ex->status != 304 && !page) {
        char length[24];

        snprintf(length, sizeof length, "%" PRIu64, body_length(&ex->body));
        put_field(head, SPAN("content-length"), span_of(length));
    }
    if (head_only) {
        buffer_release(&body->bytes);
        body->bytes = (struct buffer){.base = NULL};
    }
}

static void put_upstreams(struct text *head, const struct proxy_request *proxy)
{
    put(head, SPAN("zs-proxy: "));
    for (unsigned i = 0; i < proxy->target_count; i++) {
        const struct upstream_url *target = &proxy->targets[i];

        put(head, i > 0 ? SPAN(", ") : SPAN(""));
        put(head, span_of(upstream_prefix(target->scheme)));
        put(head, target->scheme == UPSTREAM_UNIX ? target->path : target->authority);
        put(head, target->base);
    }
    put(head, SPAN("\n"));
}

/* The head that the first upstream would get, without its CRs. */
static void tell_proxied(const struct rehearsal *r, const struct exchange *ex, struct text *head)
{
    struct buffer sent = {.base = NULL};
    struct forward_options options = {
        .target = &ex->proxy->targets[0],
        .peer_trusted = script_set_trusts(r->set, &ex->peer),
        .upgrade = forward_upgrade_wanted(ex),
    };

    put(head, SPAN("proxied\n"));
    put_upstreams(head, ex->proxy);
    head->full = head->full || !forward_request_head(ex, &options, &sent);
    put(head, SPAN("zs-request: "));
    struct span bytes = buffer_span(&sent);
    for (size_t i = 0; i + 2 < bytes.len; i++) { /* the last CRLF ends the head */
        if (bytes.base[i] != '\r') {
            put(head, (struct span){bytes.base + i, 1});
        }
    }
    buffer_release(&sent);
}

/* ---- a request ------------------------------------------------------------------------------- */

static enum script_verdict finish(struct exchange *ex, enum script_verdict verdict)
{
    while (verdict == SCRIPT_PENDING) {
        verdict = script_chain_resume(ex);
    }
    return verdict;
}

static enum script_verdict run_scripts(struct rehearsal *r, struct exchange *ex)
{
    static const struct static_options files = {.index = "index.html"};

    if (script_set_calls(r->set, "zs_reverse_proxy") && !forward_receive(ex)) {
        response_error(ex, 400);
        return SCRIPT_RESPONDED;
    }
    enum script_verdict verdict = finish(ex, script_chain_start(r->host, r->set, ex));
    if (verdict == SCRIPT_PASS) {
        static_answer(ex, r->site, &files, NULL);
    }
    return verdict;
}

static void answer_request(struct rehearsal *r, struct exchange *ex, struct text *head,
                           struct text *body)
{
    bool head_only = span_equal(ex->method, SPAN("HEAD"));

    switch (run_scripts(r, ex)) {
    case SCRIPT_ABORTED: put(head, SPAN("aborted\n")); return;
    case SCRIPT_PROXY: tell_proxied(r, ex, head); return;
    default: finish(ex, script_hooks_start(ex)); tell_response(ex, r->site, head_only, head, body);
    }
}

bool rehearsal_ask(struct rehearsal *r, const struct offline_client *client, const char *request,
                   size_t request_bytes, struct rehearsal_answer *answer, char *error,
                   size_t error_bytes)
{
    struct text head = {.full = false};
    struct text body = {.full = false};
    struct exchange ex;
    unsigned status;
    char *text;

    exchange_init(&ex);
    if (offline_request(&ex, client, request, request_bytes, &text, &status, error, error_bytes)) {
        answer_request(r, &ex, &head, &body);
    } else if (status > 0) {
        response_error(&ex, status);
        tell_response(&ex, r->site, false, &head, &body);
    }
    bool fine = buffer_bytes(&head.bytes) > 0;
    exchange_free(&ex);
    free(text);
    answer->body_bytes = buffer_bytes(&body.bytes);
    answer->head = take(&head);
    answer->body = take(&body);
    if (fine && (answer->head == NULL || answer->body == NULL)) {
        snprintf(error, error_bytes, "out of memory, or the answer cannot be read");
        fine = false;
    }
    if (!fine) {
        rehearsal_answer_free(answer);
    }
    return fine;
}

void rehearsal_answer_free(struct rehearsal_answer *answer)
{
    free(answer->head);
    free(answer->body);
    *answer = (struct rehearsal_answer){.head = NULL};
}
