/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its response, the same for every protocol version. The connection fills the
 * request, scripts may change it, then somebody (a script, a static file, an error) fills the
 * response, and the connection sends it.
 *
 * All spans point into the exchange's pool (or are static) and live until exchange_reset. Sans-I/O:
 * no descriptor is touched here.
 */
#ifndef SERVER_EXCHANGE_H
#define SERVER_EXCHANGE_H

#include <stdint.h>

#include "server/buffer.h"
#include "server/cidr.h"
#include "server/pool.h"
#include "server/span.h"

struct field {
    struct span name;
    struct span value;
};

/* Grows in the pool; order is kept. Of the first `known` nobody needs to look at the names: none
 * says something about the connection, and for HTTP/2 they are in lower case. */
struct field_list {
    struct field *items;
    unsigned count;
    uint16_t capacity;
    uint8_t known;
    bool known_dated : 1; /* Date is one of these */
    bool known_told : 1;  /* the exchange's known_text has these as lines of HTTP/1 */
};

enum body_kind { BODY_NONE, BODY_BYTES, BODY_FILE, BODY_SEGMENTS, BODY_STREAMED };

/* Bytes, and behind them a piece of the site's tar; either may be empty. */
struct body_segment {
    struct span bytes;
    uint64_t file_offset;
    uint64_t file_bytes;
};

struct body {
    enum body_kind kind;
    struct span bytes;    /* BODY_BYTES */
    uint64_t file_offset; /* BODY_FILE: in the site's tar */
    uint64_t file_bytes;
    bool live;       /* BODY_STREAMED: more octets will come into the stream's chunk */
    bool has_length; /* BODY_STREAMED: and it is known before: `length` */
    unsigned segment_count;
    uint64_t length;
    const struct body_segment *segments; /* BODY_SEGMENTS: sent in order */
};

/* The body of a request. Its octets are gathered only when somebody asks for them. */
struct request_body {
    uint64_t length;   /* as declared; REQUEST_BODY_UNKNOWN: chunked, or HTTP/2 without a length */
    uint64_t received; /* so far, consumed or not */
    size_t gather_max; /* how much of it `bytes` may hold; 0: nobody asked for it yet */
    struct buffer bytes;           /* received, not consumed */
    bool complete;                 /* nothing follows; also when there is no body at all */
    struct buffer trailer_section; /* HTTP/1: as it came so far */
    struct field_list trailers;    /* once complete: those that upstreams may have */
    bool awaited;                  /* the scripts wait until it is settled */
};
#define REQUEST_BODY_UNKNOWN UINT64_MAX

/* No octet will be added to `bytes`: they are all, or as many as may be held. */
static inline bool request_body_settled(const struct request_body *body)
{
    return body->complete || buffer_bytes(&body->bytes) >= body->gather_max;
}

/* The TLS connection a request came by. What is not known is empty. Spans live as long as it. */
struct connection_info {
    bool handshake_complete;
    struct span sni;  /* the host the client named */
    struct span alpn; /* the protocol agreed on */
    struct span version;
    struct span cipher;
    struct span ja4; /* fingerprint of the client */
};

struct script_chain;  /* server/script.h */
struct response_hook; /* server/helpers/helpers.h */
struct proxy_request; /* server/upstream_url.h */
struct site;          /* server/site.h */

struct exchange {
    struct pool pool;

    /* exchange_reset clears all from here on */
    uint64_t id; /* unique in the process; in every log line about it */

    /* request */
    struct span method;
    struct span scheme; /* "http" or "https" */
    struct span
        authority; /* Host, or the authority of an absolute-form target; may be empty in HTTP/1.0 */
    struct span raw_path; /* as sent, starts with '/' (or is "*") */
    struct span query;    /* without '?', as sent */
    struct span path;     /* decoded and normalised, starts with '/'; keeps a final '/' */
    struct field_list request_fields;
    struct request_body request_body;
    uint8_t proto_major;
    uint8_t proto_minor;
    bool is_tls;
    bool by_connect; /* HTTP/2: an extended CONNECT (RFC 8441), which looks to all like the GET with
                        Upgrade that it is in HTTP/1.1 */
    struct field_list touched_fields; /* names and patterns of what scripts set or deleted, and what
                                         Connection named: no trailers */
    struct span client_path;          /* path and query before a script changed them */
    struct span client_query;
    bool uri_changed;    /* a script set a new target */
    bool bad_target;     /* the one a script set last is malformed */
    bool body_limited;   /* a script set body_limit */
    uint64_t body_limit; /* bytes of the request's body that may be read */
    union peer_address peer;
    struct connection_info connection;

    /* shared by the scripts of a chain */
    struct field_list meta; /* one value a key */
    size_t meta_bytes;
    struct script_chain *chain;      /* that is pending, or NULL; see script.h */
    struct script_chain *hook_chain; /* in the pool: runs the hooks; NULL: no script left any */
    struct response_hook *hooks;     /* to run before the response is sent, in order */
    unsigned hook_count;
    /* What scripts add to and take from whatever response follows. Apart from response_fields, so
     * that response_start and response_error keep them; response_finish applies them. */
    struct field_list added_fields;
    struct field_list deleted_fields; /* names only */

    /* response */
    unsigned status; /* 0: none yet */
    struct field_list response_fields;
    struct span known_text; /* what a file's answer had of them, if known_told */
    struct body body;
    struct field_list response_trailers; /* BODY_STREAMED: complete when the body is */
    struct span announced_trailers;      /* the value of Trailer, or empty */
    struct field_list untrailed_fields;  /* what Connection named */
    struct proxy_request *proxy;         /* in the pool: who is to answer instead; or NULL */
    bool aborted;                        /* close without an answer */
    bool faulted;                        /* a script was killed; status is the 500 for that */
};

/* Makes the exchange ready for its first request / the next one. */
void exchange_init(struct exchange *ex);
void exchange_reset(struct exchange *ex);
void exchange_free(struct exchange *ex);

/* Splits `target` (origin-form, "*", or "?query" for the root) into raw_path and query and
 * normalises the path. False: malformed, answer 400. Copies into the pool. */
bool exchange_set_target(struct exchange *ex, struct span target);
/* The same of a target whose octets a parser has looked at, and that stays where it is as long as
 * the exchange's pool does. */
bool exchange_refer_target(struct exchange *ex, struct span target);
/* The same for a target that a script chose, which leaves what the client asked for as it was.
 * False: malformed; raw_path, query and path stay. */
bool exchange_rewrite(struct exchange *ex, struct span target);

/* Percent-decodes per segment, drops empty and `.` segments, resolves `..`; keeps a final '/' (also
 * for a final `.` or `..`). False: encoded '/' or NUL, malformed escape, or `..` above the root.
 * `out` has room for raw.len + 1 bytes; no NUL is written. */
bool path_normalize(struct span raw, char *out, size_t *out_len);

/* Whether the metadata of this key are a field of the response, zs.response.header.NAME; its name.
 */
static inline bool field_of_meta(struct span key, struct span *name)
{
    const struct span prefix = SPAN("zs.response.header.");
    if (key.len < prefix.len || memcmp(key.base, prefix.base, prefix.len) != 0) {
        return false;
    }
    *name = (struct span){key.base + prefix.len, key.len - prefix.len};
    return true;
}

/* Lists of fields. Names compare without case. False or NULL: out of memory or over a limit. Values
 * are copied into ex->pool. */
bool field_add(struct exchange *ex, struct field_list *list, struct span name, struct span value);
/* The list is empty and becomes a copy of `fields`, which were checked where they came from. */
bool field_copy_all(struct exchange *ex, struct field_list *list, const struct field *fields,
                    unsigned count);
/* The same of fields that a parser of HTTP/1 found, which lie in one text in their order. */
bool field_copy_lines(struct exchange *ex, struct field_list *list, const struct field *fields,
                      unsigned count);
/* The same with all of the text that they are parts of. Returns its copy, for the other parts.
 * NULL: out of memory. */
char *field_copy_text(struct exchange *ex, struct field_list *list, const struct field *fields,
                      unsigned count, struct span text);
/* Without a look at them or a copy: both are valid, and live as long as the exchange. */
bool field_refer(struct exchange *ex, struct field_list *list, struct span name, struct span value);
/* The same of a field of our own, which is known: its name is in lower case, and it is neither Date
 * nor one that says something about the connection. */
bool field_own(struct exchange *ex, struct field_list *list, struct span name, struct span value);
/* The list is empty and becomes `items`, of which the first `count` are there and all our own. They
 * live as long as the exchange, and the list may change them. */
void field_own_all(struct field_list *list, struct field *items, uint8_t count, uint8_t capacity);
/* Those in the list, as many as can be, are known from now on. */
void field_known(struct field_list *list, bool dated);
void field_clear(struct field_list *list);
bool field_set(struct exchange *ex, struct field_list *list, struct span name,
               struct span value); /* replaces all of that name */
/* The same without a look at them or a copy, as field_refer does. */
bool field_replace(struct exchange *ex, struct field_list *list, struct span name,
                   struct span value);
unsigned field_delete(struct field_list *list, struct span name); /* how many went */
const struct field *field_find(const struct field_list *list,
                               struct span name); /* the last of that name */
/* Patterns are Name, Name*, *Name, *Name* or *. */
bool field_pattern_valid(struct span pattern);
bool field_matches(struct span pattern, struct span name);
/* Notes that a script decided about these fields of the request. False: out of memory. */
bool field_touch(struct exchange *ex, struct span pattern);
/* What RFC 9110 5.6.2 calls a token; what 5.5 allows in a value (no CR, LF, NUL or other control
 * but HTAB, no space at the ends). */
bool field_name_valid(struct span name);
bool field_value_valid(struct span value);

/* Drops what was set so far (fields, body) and starts a response with this status. */
void response_start(struct exchange *ex, unsigned status);
/* A short text/plain answer naming the status, for errors. Keeps nothing of an earlier response. */
void response_error(struct exchange *ex, unsigned status);
/* Called once before sending, whoever made the response: removes deleted_fields, applies metadata
 * `zs.response.header.<name>`, appends added_fields (in all three the framing fields are
 * protected: content-length, transfer-encoding,
 * connection, keep-alive, upgrade, trailer, te), and removes a body where the status forbids it. */
void response_finish(struct exchange *ex);
/* Whether the length of a body is known before its end; and the length, as Content-Length tells it.
 */
bool body_has_length(const struct body *body);
uint64_t body_length(const struct body *body);
/* "Not Found" for 404; "" when unknown. */
const char *status_reason(unsigned status);

#endif
