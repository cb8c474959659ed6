/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a script on a request that is read from a file: no socket, no site. For tools. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "server/h1.h"
#include "server/script.h"

#define PEER_PORT 40000 /* of the client there is not */

/* Requests written in an editor have plain newlines and may lack the empty line at their end. */
static char *with_crlf(const char *raw, size_t len, size_t *out_len)
{
    char *out = len > SIZE_MAX / 2 - 4 ? NULL : malloc(2 * len + 4);
    size_t used = 0;

    for (size_t i = 0; out != NULL && i < len; i++) {
        if (raw[i] == '\n' && (i == 0 || raw[i - 1] != '\r')) {
            out[used++] = '\r';
        }
        out[used++] = raw[i];
    }
    if (out != NULL) {
        memcpy(out + used, "\r\n\r\n", 4);
        used += 4;
    }
    *out_len = used;
    return out;
}

static bool fill_exchange(struct exchange *ex, const struct h1_head *head)
{
    struct sockaddr_in peer = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons(PEER_PORT),
    };

    ex->id = 1;
    ex->method = head->method;
    ex->scheme = SPAN("http");
    ex->authority = head->authority;
    ex->proto_major = 1;
    ex->proto_minor = head->minor;
    memcpy(&ex->peer, &peer, sizeof peer);
    for (unsigned i = 0; i < head->field_count; i++) {
        if (!field_add(ex, &ex->request_fields, head->fields[i].name, head->fields[i].value)) {
            return false;
        }
    }
    /* The authority of an absolute-form target stands for Host (RFC 9112 3.2.2). */
    if (head->authority.len > 0 &&
        !field_set(ex, &ex->request_fields, SPAN("Host"), head->authority)) {
        return false;
    }
    return exchange_set_target(ex, head->target);
}

/* Decodes the body, of which buf[0..len) must hold all. */
static bool fill_body(struct exchange *ex, const struct h1_head *head, const char *buf, size_t len)
{
    struct request_body *body = &ex->request_body;
    struct h1_body decoder;
    enum h1_result result = head->framing == H1_BODY_NONE ? H1_DONE : H1_MORE;

    h1_body_init(&decoder, head);
    while (result == H1_MORE) {
        struct span content;
        size_t consumed = 0;

        result = h1_body_next(&decoder, buf, len, &consumed, &content);
        if (result == H1_BAD || (result == H1_MORE && consumed == 0) ||
            !buffer_append(&body->bytes, content, LIM_SCRIPT_BODY_BYTES + 1)) {
            return false;
        }
        buf += consumed;
        len -= consumed;
    }
    body->length = buffer_bytes(&body->bytes);
    return true;
}

/* Spans of `ex` point into buf[0..len). */
static bool parse(struct exchange *ex, const char *buf, size_t len, char *error, size_t error_bytes)
{
    struct h1_parser parser;
    struct h1_head head;
    size_t consumed;

    h1_parser_init(&parser);
    switch (h1_parse_head(&parser, buf, len, &head, &consumed)) {
    case H1_DONE:
        if (!fill_exchange(ex, &head)) {
            snprintf(error, error_bytes, "the request's target or fields are malformed");
            return false;
        }
        if (!fill_body(ex, &head, buf + consumed, len - consumed)) {
            snprintf(error, error_bytes, "the request's body is malformed, cut off or too long");
            return false;
        }
        return true;
    case H1_BAD:
        snprintf(error, error_bytes, "the request would be answered %u: %s", parser.status,
                 parser.reason);
        return false;
    default: snprintf(error, error_bytes, "the request has no head"); return false;
    }
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
    }
    for (unsigned i = 0; i < ex->response_fields.count; i++) {
        const struct field *f = &ex->response_fields.items[i];

        fprintf(out, "%.*s: %.*s\n", (int)f->name.len, f->name.base, (int)f->value.len,
                f->value.base);
    }
    fputc('\n', out);
    if (ex->body.kind == BODY_BYTES) {
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

enum script_offline script_run_offline(const struct script_source *source,
                                       const struct script_options *options, const char *request,
                                       size_t request_bytes, FILE *out, char *error,
                                       size_t error_bytes)
{
    enum script_offline result = SCRIPT_OFFLINE_REFUSED;
    struct script_set *set = script_set_load(source, 1, options, error, error_bytes);
    struct exchange ex;
    size_t len;
    char *buf;

    if (set == NULL) {
        return result;
    }
    exchange_init(&ex);
    buf = with_crlf(request, request_bytes, &len);
    if (buf == NULL) {
        snprintf(error, error_bytes, "out of memory");
    } else if (parse(&ex, buf, len, error, error_bytes)) {
        result = run(set, options, &ex, out, error, error_bytes);
    }
    exchange_free(&ex);
    free(buf);
    script_set_free(set);
    return result;
}
