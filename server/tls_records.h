/* SPDX-License-Identifier: Apache-2.0 */
/* TLS 1.3 after the handshake: records, alerts and key updates of one connection, either side of it
 * (RFC 8446 4.6, 5 and 6). Bytes in, bytes out, as server/tls.h has it. The handshake is the
 * library's; it leaves two traffic secrets, and how many records it sent under its own.
 */
#ifndef SERVER_TLS_RECORDS_H
#define SERVER_TLS_RECORDS_H

#include "server/buffer.h"
#include "server/tls_keys.h"

/* Messages after the handshake, within a second: key updates, attempts to negotiate again. A peer
 * may send them for ever at little cost of its own. */
struct tls_late {
    uint64_t since_ms;
    unsigned count;
};

/* One more of them. False: too many. */
bool tls_late_count(struct tls_late *late, uint64_t now_ms);

enum { TLS_MESSAGE_BYTES = 4, TLS_RECORD_BYTES = 16384 };

struct tls_records {
    struct tls_keys read, write;
    struct buffer partial; /* a record that has not arrived whole */
    struct buffer *output; /* of the owner: where records go */
    const char *why;       /* after a failure; static */
    struct tls_late late;
    unsigned text_max;      /* octets of a record, either way; set by the owner */
    unsigned empty;         /* records of no use, in a row */
    unsigned message_bytes; /* got of the message in hand */
    unsigned message_left;  /* to come of what follows its head */
    unsigned char message[TLS_MESSAGE_BYTES];
    bool client;
    bool owes_update; /* the peer asked for a new key of ours */
    bool closed;      /* we said that nothing follows */
    bool ended;       /* the peer did */
};

/* `read` and `write` know their secrets and sequences already; `output`, `text_max` and `client`
 * are set, the rest is zero. False: the secrets are none of the suite's, or out of memory. */
bool tls_records_begin(struct tls_records *records, const struct tls_suite *suite);
/* Leaves no secret in memory; fine at any time. */
void tls_records_end(struct tls_records *records);
/* Gives back what can be done without until the next record. */
void tls_records_rest(struct tls_records *records);

/* As tls_receive: takes all, appends plaintext to `plain`. False: `why`, and the peer is told. */
bool tls_records_receive(struct tls_records *records, uint64_t now_ms, struct span bytes,
                         struct buffer *plain, size_t plain_max);
/* In as few records as it fits in. False: out of memory or room, or closed. */
bool tls_records_send(struct tls_records *records, struct tls_text plain);
/* Says that nothing follows. False: out of memory or room. */
bool tls_records_close(struct tls_records *records);

#endif
