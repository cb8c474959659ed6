/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/2 client in memory against h2: either nghttp2's client session, or frames written by hand
 * and answers read by hand. */
#ifndef TESTS_SUPPORT_H2_PEER_H
#define TESTS_SUPPORT_H2_PEER_H

#include <nghttp2/nghttp2.h>

#include "tests/support/h2_app.h"

/* ---- nghttp2's client */

struct h2_answer {
    int32_t id;
    unsigned status;
    unsigned interim; /* status of the last 1xx */
    char fields[512]; /* "name: value\n" of the answer */
    char trailers[64];
    uint64_t body_bytes;
    bool body_wrong;
    bool closed;
    uint32_t error;
};

struct h2_peer {
    struct h2_app app; /* the server */
    nghttp2_session *session;
    struct h2_answer answers[H2_APP_REQUESTS];
    unsigned answer_count;
    int32_t order[64]; /* stream ids of the DATA frames, in order */
    unsigned order_count;
    uint64_t upload_bytes; /* that requests with a body send */
    uint32_t max_frame;    /* longest frame that came, with its head */
    uint32_t goaways;
    uint32_t goaway_error; /* of the last */
    int32_t goaway_last;
    size_t out_max; /* for h2_send */
    uint64_t now_ms;
    bool server_done; /* h2_receive, h2_send or h2_finished said so */
};

/* On the heap: it is large. The behaviour of peer->app may be set before peer_open. */
struct h2_peer *h2_peer_new(void);
void h2_peer_open(struct h2_peer *peer, const struct h2_options *options);
void h2_peer_free(struct h2_peer *peer);
/* Carries bytes both ways until neither side has any. */
void h2_peer_run(struct h2_peer *peer);
/* A request with `fields` beside the pseudo fields; returns its id. */
int32_t h2_peer_request(struct h2_peer *peer, const char *method, const char *path,
                        const nghttp2_nv *fields, size_t count);
/* The same with a body of peer->upload_bytes. */
int32_t h2_peer_upload(struct h2_peer *peer, const char *path, const nghttp2_nv *fields,
                       size_t count);
struct h2_answer *h2_peer_answer(struct h2_peer *peer, int32_t id);
struct h2_app_request *h2_peer_seen(struct h2_peer *peer, int32_t id);

/* ---- by hand */

/* Appends a frame, or a header block of literal fields without indexing or Huffman codes. */
void h2_raw_frame(struct buffer *out, uint8_t type, uint8_t flags, uint32_t id,
                  struct span payload);
void h2_raw_field(struct buffer *out, struct span name, struct span value);
/* Preface and empty SETTINGS. */
void h2_raw_hello(struct buffer *out);
/* ":method", ":scheme", ":authority" h and ":path" of a request. */
void h2_raw_pseudo(struct buffer *out, const char *method, const char *path);
/* HEADERS of a GET, END_STREAM and END_HEADERS. */
void h2_raw_get(struct buffer *out, uint32_t id, const char *path);

/* Gives `bytes` to the server in pieces of `piece` bytes, reads its answers after each. */
struct h2_raw_result {
    bool ended;           /* the server wants to close */
    unsigned goaways;     /* frames */
    uint32_t goaway;      /* error of the last GOAWAY */
    uint32_t goaway_last; /* its last stream */
    unsigned resets;
    uint32_t reset; /* error of the last RST_STREAM */
    unsigned heads; /* HEADERS frames */
    unsigned pings; /* acknowledged */
    bool broken_frame;
};
struct h2_raw_result h2_raw_play(struct h2_app *app, struct span bytes, size_t piece,
                                 uint64_t now_ms);

#endif
