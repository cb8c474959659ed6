/* SPDX-License-Identifier: Apache-2.0 */
/* Heads between clients and upstreams. What is written here was checked when it was parsed or
 * added: names are tokens, no value can end its line, the target has no blank. */
#include "server/forward.h"

#include <assert.h>
#include <stdio.h>

#include "server/chars.h"
#include "server/cidr.h"
#include "server/h1_int.h"
#include "server/trailers.h"
#include "server/websocket.h"

#define WEBSOCKET_KEY    SPAN("sec-websocket-key")
#define WEBSOCKET_ACCEPT SPAN("sec-websocket-accept")
#define VIA_NAME         " zeroserve\r\n"

#define IS_ONE_OF(name, list) span_is_one_of(name, list, sizeof(list) / sizeof(list)[0])

/* ---- fields that end at a connection */

/* TE and Trailer are written anew, the credentials are for us. */
#define HOP_BY_HOP(NAME)                                                                           \
    NAME("content-length")                                                                         \
    NAME("connection")                                                                             \
    NAME("keep-alive")                                                                             \
    NAME("proxy-connection")                                                                       \
    NAME("te")                                                                                     \
    NAME("transfer-encoding")                                                                      \
    NAME("upgrade")                                                                                \
    NAME("trailer")                                                                                \
    NAME("proxy-authorization")                                                                    \
    NAME("proxy-authenticate")                                                                     \
    NAME("http2-settings")

bool forward_is_hop_by_hop(struct span name)
{
    SPAN_RETURN_IS_NAMED(name, HOP_BY_HOP);
}

/* What the fields of one head called Connection name. */
struct options {
    struct span names[LIM_CONNECTION_OPTIONS];
    unsigned count;
};

/* False: too many. */
static bool collect_options(const struct field *fields, unsigned count, struct options *options)
{
    options->count = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!span_equal_nocase(fields[i].name, SPAN("connection"))) {
            continue;
        }
        struct span list = fields[i].value;
        struct span option;
        while (h1_list_next(&list, &option)) {
            if (options->count == LIM_CONNECTION_OPTIONS) {
                return false;
            }
            options->names[options->count] = option;
            options->count += option.len > 0;
        }
    }
    return true;
}

static bool has_option(const struct options *options, struct span name)
{
    return span_is_one_of(name, options->names, options->count);
}

static inline bool ends_here(struct span name, const struct options *options)
{
    return forward_is_hop_by_hop(name) || (options->count > 0 && has_option(options, name));
}

bool forward_receive(struct exchange *ex)
{
    struct field_list *fields = &ex->request_fields;
    struct options options;
    if (ex->authority.len > 0 && !field_replace(ex, fields, SPAN("Host"), ex->authority)) {
        return false;
    }
    if (!collect_options(fields->items, fields->count, &options)) {
        return false;
    }
    for (unsigned i = 0; i < options.count; i++) {
        struct span name = options.names[i];
        if (!forward_is_hop_by_hop(name) && !span_equal_nocase(name, SPAN("host"))) {
            field_delete(fields, name);
            if (field_name_valid(name) && !field_touch(ex, name)) {
                return false;
            }
        }
    }
    /* What remains of Connection names fields of the list above alone. */
    bool upgrade = has_option(&options, SPAN("upgrade"));
    field_delete(fields, SPAN("connection"));
    return !upgrade || field_add(ex, fields, SPAN("Connection"), SPAN("upgrade"));
}

/* ---- writing */

/* Appends until something fails; then does nothing more. */
struct writer {
    struct buffer *out;
    size_t bytes_max;
    bool failed;
};

static inline void put(struct writer *writer, struct span text)
{
    writer->failed = writer->failed || !buffer_append(writer->out, text, writer->bytes_max);
}

static void put_field(struct writer *writer, struct span name, struct span value)
{
    struct buffer *out = writer->out;
    size_t bytes = name.len + value.len + 4; /* ": " and CRLF */
    if (writer->failed || !buffer_reserve(out, bytes, writer->bytes_max)) {
        writer->failed = true;
        return;
    }
    char *at = span_put(span_put(out->base + out->end, name), SPAN(": "));
    span_put(span_put(at, value), SPAN("\r\n"));
    out->end += bytes;
}

static void put_number_field(struct writer *writer, struct span name, uint64_t value)
{
    char digits[CHAR_DECIMAL_MAX];
    size_t count = (size_t)(char_put_decimal(digits, value) - digits);
    put_field(writer, name, (struct span){digits, count});
}

/* ---- requests */

enum h1_framing forward_request_framing(const struct exchange *ex, uint64_t *length)
{
    const struct request_body *body = &ex->request_body;
    const struct field_list *fields = &ex->request_fields;
    bool announced = ex->proto_major >= 2 && field_find(fields, SPAN("trailer")) != NULL;
    *length = body->length;
    if (body->trailers.count > 0 || (announced && body->length > 0)) {
        return H1_BODY_CHUNKED;
    }
    if (body->length == REQUEST_BODY_UNKNOWN) {
        if (!body->complete) {
            return H1_BODY_CHUNKED;
        }
        *length = body->received;
    }
    return *length > 0 ? H1_BODY_LENGTH : H1_BODY_NONE;
}

static void put_request_line(struct writer *writer, const struct exchange *ex, struct span base)
{
    put(writer, ex->method);
    put(writer, SPAN(" "));
    put(writer, base);
    if (base.len == 0 || !span_equal(ex->raw_path, SPAN("*"))) {
        put(writer, ex->raw_path);
    }
    if (ex->query.len > 0) {
        put(writer, SPAN("?"));
        put(writer, ex->query);
    }
    put(writer, SPAN(" HTTP/1.1\r\n"));
}

/* The client's, or what scripts made of it. RFC 9112 3.2 wants one in any case, empty when nobody
 * knows it. */
static void put_host(struct writer *writer, const struct exchange *ex,
                     const struct upstream_url *target)
{
    const struct field *field = field_find(&ex->request_fields, SPAN("host"));
    struct span host = field != NULL ? field->value : ex->authority;
    put_field(writer, SPAN("host"), host.len > 0 ? host : target->authority);
}

/* Fields that are written anew, whatever the client sent. */
static bool is_rewritten(struct span name, bool peer_trusted)
{
    static const struct span always[] = {SPAN("host"), SPAN("expect"), SPAN("x-forwarded-for"),
                                         SPAN("x-forwarded-proto"), SPAN("x-forwarded-host")};
    return IS_ONE_OF(name, always) || (!peer_trusted && span_equal_nocase(name, SPAN("forwarded")));
}

static bool put_end_to_end(struct writer *writer, const struct exchange *ex,
                           const struct forward_options *how)
{
    struct options options;
    if (!collect_options(ex->request_fields.items, ex->request_fields.count, &options)) {
        return false;
    }
    for (unsigned i = 0; i < ex->request_fields.count; i++) {
        const struct field *field = &ex->request_fields.items[i];
        bool is_key = how->websocket_key.len > 0 && span_equal_nocase(field->name, WEBSOCKET_KEY);
        bool underscore = memchr(field->name.base, '_', field->name.len) != NULL;
        if (!ends_here(field->name, &options) && !is_rewritten(field->name, how->peer_trusted) &&
            !is_key && (how->underscores || !underscore)) {
            put_field(writer, field->name, field->value);
        }
    }
    return true;
}

static void put_element(struct writer *writer, struct span element, bool *first)
{
    put(writer, *first ? SPAN("x-forwarded-for: ") : SPAN(", "));
    put(writer, element);
    *first = false;
}

/* All that came of it in one line, then the peer. */
static void put_forwarded_for(struct writer *writer, const struct exchange *ex, bool trusted)
{
    struct address peer;
    char text[ADDRESS_TEXT_BYTES];
    bool first = true;
    for (unsigned i = 0; trusted && i < ex->request_fields.count; i++) {
        const struct field *field = &ex->request_fields.items[i];
        if (span_equal_nocase(field->name, SPAN("x-forwarded-for")) && field->value.len > 0) {
            put_element(writer, field->value, &first);
        }
    }
    if (address_of(&ex->peer, &peer)) {
        put_element(writer, (struct span){text, address_format(&peer, text)}, &first);
    }
    if (!first) {
        put(writer, SPAN("\r\n"));
    }
}

/* The one that a trusted proxy sent, else ours. */
static void put_forwarded(struct writer *writer, const struct exchange *ex, struct span name,
                          struct span own, bool trusted)
{
    const struct field *sent = trusted ? field_find(&ex->request_fields, name) : NULL;
    struct span value = sent != NULL && sent->value.len > 0 ? sent->value : own;
    if (value.len > 0) {
        put_field(writer, name, value);
    }
}

/* RFC 9110 7.6.3: the version is that of the message received. */
static void put_via(struct writer *writer, const struct exchange *ex)
{
    put(writer, ex->proto_major >= 2   ? SPAN("via: 2" VIA_NAME)
                : ex->proto_minor == 0 ? SPAN("via: 1.0" VIA_NAME)
                                       : SPAN("via: 1.1" VIA_NAME));
}

static void put_trailer(struct writer *writer, const struct exchange *ex)
{
    const struct field_list *fields = &ex->request_fields;
    struct span announced = trailers_announced(fields->items, fields->count);
    if (announced.len > 0) {
        put_field(writer, SPAN("trailer"), announced);
    }
}

/* Methods that are about their content tell also that there is none, RFC 9110 8.6. */
static void put_framing(struct writer *writer, const struct exchange *ex)
{
    static const struct span with_content[] = {SPAN("post"), SPAN("put"), SPAN("patch")};
    uint64_t length;
    switch (forward_request_framing(ex, &length)) {
    case H1_BODY_CHUNKED:
        put(writer, SPAN("transfer-encoding: chunked\r\n"));
        put_trailer(writer, ex);
        break;
    case H1_BODY_LENGTH: put_number_field(writer, SPAN("content-length"), length); break;
    case H1_BODY_NONE:
        if (IS_ONE_OF(ex->method, with_content)) {
            put(writer, SPAN("content-length: 0\r\n"));
        }
        break;
    }
}

static void put_connection(struct writer *writer, const struct exchange *ex,
                           const struct forward_options *how)
{
    if (how->upgrade) {
        const struct field *upgrade = field_find(&ex->request_fields, SPAN("upgrade"));
        assert(upgrade != NULL);
        put(writer, SPAN("connection: upgrade\r\n"));
        put_field(writer, SPAN("upgrade"), upgrade->value);
        if (how->websocket_key.len > 0) {
            put_field(writer, WEBSOCKET_KEY, how->websocket_key);
        }
    } else if (how->close) {
        put(writer, SPAN("connection: close\r\n"));
    } else if (trailers_asked_for(ex)) {
        put(writer, SPAN("connection: te\r\nte: trailers\r\n"));
    }
}

bool forward_request_head(const struct exchange *ex, const struct forward_options *options,
                          struct buffer *out)
{
    struct writer writer = {.out = out, .bytes_max = LIM_UPSTREAM_REQUEST_BYTES};
    bool trusted = options->peer_trusted;
    assert(field_name_valid(ex->method) && ex->raw_path.len > 0);
    if (span_equal(ex->method, SPAN("CONNECT"))) {
        return false;
    }
    put_request_line(&writer, ex, options->target->base);
    put_host(&writer, ex, options->target);
    if (!put_end_to_end(&writer, ex, options)) {
        return false;
    }
    put_forwarded_for(&writer, ex, trusted);
    put_forwarded(&writer, ex, SPAN("x-forwarded-proto"), ex->scheme, trusted);
    put_forwarded(&writer, ex, SPAN("x-forwarded-host"), ex->authority, trusted);
    put_via(&writer, ex);
    put_framing(&writer, ex);
    put_connection(&writer, ex, options);
    if (options->expect_continue) {
        put(&writer, SPAN("expect: 100-continue\r\n"));
    }
    put(&writer, SPAN("\r\n"));
    return !writer.failed;
}

/* ---- bodies */

bool forward_chunk_begin(struct buffer *out, size_t bytes, size_t bytes_max)
{
    char line[24];
    int line_bytes = snprintf(line, sizeof line, "%zx\r\n", bytes);
    return buffer_append(out, (struct span){line, (size_t)line_bytes}, bytes_max);
}

bool forward_chunk(struct buffer *out, struct span data, size_t bytes_max)
{
    return data.len == 0 ||
           (forward_chunk_begin(out, data.len, bytes_max) && buffer_append(out, data, bytes_max) &&
            buffer_append(out, FORWARD_CHUNK_TAIL, bytes_max));
}

bool forward_chunk_end(struct buffer *out, const struct field_list *trailers, size_t bytes_max)
{
    struct writer writer = {.out = out, .bytes_max = bytes_max};
    put(&writer, SPAN("0\r\n"));
    for (unsigned i = 0; trailers != NULL && i < trailers->count; i++) {
        put_field(&writer, trailers->items[i].name, trailers->items[i].value);
    }
    put(&writer, SPAN("\r\n"));
    return !writer.failed;
}

/* ---- responses */

bool forward_field_passes(const struct h1_response *head, unsigned index)
{
    struct options options;
    assert(index < head->field_count);
    return collect_options(head->fields, head->field_count, &options) &&
           !ends_here(head->fields[index].name, &options);
}

/* Notes what the head says of the trailers behind it: their names, and which end here. */
static bool expect_trailers(struct exchange *ex, const struct h1_response *head,
                            const struct options *options)
{
    struct span announced = trailers_announced(head->fields, head->field_count);
    ex->announced_trailers = pool_copy(&ex->pool, announced);
    for (unsigned i = 0; i < options->count; i++) {
        if (field_name_valid(options->names[i]) &&
            !field_add(ex, &ex->untrailed_fields, options->names[i], SPAN(""))) {
            return false;
        }
    }
    return true;
}

/* Of fields that are copies, leaves those that do not end here, for whoever writes them to take as
 * they are. */
static void keep_end_to_end(struct field_list *fields, const struct options *options,
                            bool lower_names)
{
    unsigned kept = 0;
    bool dated = false;
    for (unsigned i = 0; i < fields->count; i++) {
        struct field *field = &fields->items[i];
        if (ends_here(field->name, options)) {
            continue;
        }
        if (lower_names) {
            span_put_lower((char *)field->name.base, field->name);
        }
        dated |= span_equal_nocase(field->name, SPAN("date"));
        fields->items[kept++] = *field;
    }
    fields->count = kept;
    field_known(fields, dated);
}

bool forward_response(struct exchange *ex, const struct h1_response *head)
{
    struct options options;
    assert(head->status >= 200);
    if (!collect_options(head->fields, head->field_count, &options)) {
        return false;
    }
    response_start(ex, head->status);
    if (head->framing == H1_BODY_CHUNKED && trailers_taken(ex) &&
        !expect_trailers(ex, head, &options)) {
        return false;
    }
    struct field_list *fields = &ex->response_fields;
    if (!field_copy_lines(ex, fields, head->fields, head->field_count)) {
        return false;
    }
    keep_end_to_end(fields, &options, ex->proto_major >= 2);
    return true;
}

bool forward_interim(const struct h1_response *head, struct buffer *out, size_t bytes_max)
{
    struct writer writer = {.out = out, .bytes_max = bytes_max};
    struct options options;
    char line[32];
    assert(head->status < 200);
    if (!collect_options(head->fields, head->field_count, &options)) {
        return false;
    }
    int bytes = snprintf(line, sizeof line, "HTTP/1.1 %03u ", head->status);
    put(&writer, (struct span){line, (size_t)bytes});
    put(&writer, span_of(status_reason(head->status)));
    put(&writer, SPAN("\r\n"));
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct field *field = &head->fields[i];
        bool upgrade = head->status == 101 && span_equal_nocase(field->name, SPAN("upgrade"));
        if (upgrade) {
            put(&writer, SPAN("connection: upgrade\r\n"));
        }
        if (upgrade || !ends_here(field->name, &options)) {
            put_field(&writer, field->name, field->value);
        }
    }
    put(&writer, SPAN("\r\n"));
    return !writer.failed;
}

/* ---- changes of protocol */

/* The one field of this name, or NULL. */
static const struct field *find_only(const struct field *fields, unsigned count, struct span name)
{
    const struct field *found = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (span_equal_nocase(fields[i].name, name)) {
            if (found != NULL) {
                return NULL;
            }
            found = &fields[i];
        }
    }
    return found;
}

/* protocol-name ["/" protocol-version], and not one whose messages we would have to understand. */
static bool may_pass(struct span protocol)
{
    static const struct span ours[] = {SPAN("h2c"), SPAN("h2"), SPAN("http"), SPAN("tls")};
    const char *slash = protocol.len > 0 ? memchr(protocol.base, '/', protocol.len) : NULL;
    size_t bytes = slash != NULL ? (size_t)(slash - protocol.base) : protocol.len;
    struct span name = {protocol.base, bytes};
    if (slash != NULL && !field_name_valid((struct span){slash + 1, protocol.len - bytes - 1})) {
        return false;
    }
    return field_name_valid(name) && !IS_ONE_OF(name, ours);
}

bool forward_upgrade_wanted(const struct exchange *ex)
{
    const struct field_list *fields = &ex->request_fields;
    const struct field *upgrade = find_only(fields->items, fields->count, SPAN("upgrade"));
    struct options options;
    bool may_ask = ex->by_connect || (ex->proto_major == 1 && ex->proto_minor == 1);
    if (upgrade == NULL || !may_ask || !span_equal(ex->method, SPAN("GET")) ||
        ex->request_body.length != 0 || !collect_options(fields->items, fields->count, &options) ||
        !has_option(&options, SPAN("upgrade"))) {
        return false;
    }
    struct span list = upgrade->value;
    struct span protocol;
    while (h1_list_next(&list, &protocol)) {
        if (!may_pass(protocol)) {
            return false;
        }
    }
    return upgrade->value.len > 0;
}

bool forward_upgrade_matches(const struct exchange *ex, const struct h1_response *head)
{
    const struct field *chosen = find_only(head->fields, head->field_count, SPAN("upgrade"));
    struct options options;
    if (head->status != 101 || chosen == NULL || !forward_upgrade_wanted(ex) ||
        !collect_options(head->fields, head->field_count, &options) ||
        !has_option(&options, SPAN("upgrade"))) {
        return false;
    }
    struct span list = field_find(&ex->request_fields, SPAN("upgrade"))->value;
    struct span protocol;
    while (h1_list_next(&list, &protocol)) {
        if (span_equal_nocase(protocol, chosen->value)) {
            return true;
        }
    }
    return false;
}

bool forward_connect(struct exchange *ex, const struct h1_response *head, const char *key)
{
    const struct field *accept = find_only(head->fields, head->field_count, WEBSOCKET_ACCEPT);
    if (accept == NULL || !websocket_accepts(key, accept->value)) {
        return false;
    }
    response_start(ex, 200);
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct field *field = &head->fields[i];
        if (field != accept && forward_field_passes(head, i) &&
            !field_add(ex, &ex->response_fields, field->name, field->value)) {
            return false;
        }
    }
    return true;
}
