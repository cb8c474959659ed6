/* SPDX-License-Identifier: Apache-2.0 */
/* The head is written anew with CRLF and handed to the parser that connections use, so that what a
 * client could not send is refused here as well. */
#include "server/offline.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/exchange.h"
#include "server/h1.h"

#define PEER_PORT 40000 /* of the client there is not */

/* Appends a line and CRLF. */
static char *put_line(char *out, const char *line, size_t len)
{
    memcpy(out, line, len);
    memcpy(out + len, "\r\n", 2);
    return out + len + 2;
}

/* The bytes of all that put_line may add, 0 when that overflows. */
static size_t room_for(const struct offline_client *client, size_t raw_bytes)
{
    size_t room = raw_bytes > SIZE_MAX / 4 ? 0 : 2 * raw_bytes + 8;

    for (unsigned i = 0; room > 0 && i < client->field_count; i++) {
        room += strlen(client->fields[i]) + 2;
    }
    return room;
}

/* malloc'ed; NULL: out of memory. */
static char *with_crlf(const struct offline_client *client, const char *raw, size_t raw_bytes,
                       size_t *out_bytes)
{
    const char *end = raw + raw_bytes;
    size_t room = room_for(client, raw_bytes);
    char *text = room > 0 ? malloc(room) : NULL;
    char *out = text;

    if (text == NULL) {
        return NULL;
    }
    while (raw < end) {
        const char *newline = memchr(raw, '\n', (size_t)(end - raw));
        const char *stop = newline != NULL ? newline : end;
        size_t len = (size_t)(stop - raw);

        len -= len > 0 && raw[len - 1] == '\r';
        const char *line = raw;
        raw = newline != NULL ? newline + 1 : end;
        if (len == 0) {
            break;
        }
        out = put_line(out, line, len);
    }
    for (unsigned i = 0; i < client->field_count; i++) {
        out = put_line(out, client->fields[i], strlen(client->fields[i]));
    }
    out = put_line(out, "", 0);
    memcpy(out, raw, (size_t)(end - raw));
    *out_bytes = (size_t)(out - text) + (size_t)(end - raw);
    return text;
}

static bool set_peer(struct exchange *ex, const char *address)
{
    union peer_address *peer = &ex->peer;

    peer->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PEER_PORT)};
    if (inet_pton(AF_INET, address, &peer->v4.sin_addr) == 1) {
        return true;
    }
    peer->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(PEER_PORT)};
    return inet_pton(AF_INET6, address, &peer->v6.sin6_addr) == 1;
}

static void set_tls(struct exchange *ex)
{
    ex->is_tls = true;
    ex->scheme = SPAN("https");
    ex->connection = (struct connection_info){
        .handshake_complete = true,
        .alpn = SPAN("http/1.1"),
        .version = SPAN("TLSv1.3"),
        .cipher = SPAN("TLS_AES_128_GCM_SHA256"),
    };
}

static bool fill_exchange(struct exchange *ex, const struct h1_head *head)
{
    ex->id = 1;
    ex->method = head->method;
    ex->authority = head->authority;
    ex->proto_major = 1;
    ex->proto_minor = head->minor;
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
    body->received = body->length;
    return true;
}

/* Spans of `ex` point into buf[0..len). */
static bool parse(struct exchange *ex, const char *buf, size_t len, unsigned *status, char *error,
                  size_t error_bytes)
{
    struct h1_parser parser;
    struct h1_head head;
    size_t consumed;

    h1_parser_init(&parser);
    switch (h1_parse_head(&parser, buf, len, &head, &consumed)) {
    case H1_DONE:
        if (!fill_exchange(ex, &head)) {
            snprintf(error, error_bytes, "the request's target or fields are malformed");
            *status = 400;
            return false;
        }
        if (!fill_body(ex, &head, buf + consumed, len - consumed)) {
            snprintf(error, error_bytes, "the request's body is malformed, cut off or too long");
            return false;
        }
        return true;
    case H1_BAD:
        *status = parser.status;
        snprintf(error, error_bytes, "the request would be answered %u: %s", parser.status,
                 parser.reason);
        return false;
    default: snprintf(error, error_bytes, "the request has no head"); return false;
    }
}

bool offline_request(struct exchange *ex, const struct offline_client *client, const char *raw,
                     size_t raw_bytes, char **text, unsigned *status, char *error,
                     size_t error_bytes)
{
    const char *peer = client->peer != NULL ? client->peer : "127.0.0.1";
    size_t len;

    *status = 0;
    *text = with_crlf(client, raw, raw_bytes, &len);
    if (*text == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    if (!set_peer(ex, peer)) {
        snprintf(error, error_bytes, "%s: not an address", peer);
        return false;
    }
    ex->scheme = SPAN("http");
    if (client->tls) {
        set_tls(ex);
    }
    return parse(ex, *text, len, status, error, error_bytes);
}
