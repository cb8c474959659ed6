/* SPDX-License-Identifier: Apache-2.0 */
/* Authenticated encryption of single records (RFC 8446 5.2). AES-GCM is the Multi-Buffer library's
 * where the processor has instructions for it: OpenSSL 3.0 looks up parameters by name for each
 * record and does not use the widest of these instructions. All else is OpenSSL's. */
#ifndef SERVER_TLS_AEAD_H
#define SERVER_TLS_AEAD_H

#include <stdbool.h>

#include "server/span.h"

enum {
    TLS_HEADER_BYTES = 5, /* of a record; authenticated with it */
    TLS_TAG_BYTES = 16,
    TLS_IV_BYTES = 12,
};

enum tls_aead_name { TLS_AES_128_GCM, TLS_AES_256_GCM, TLS_CHACHA20_POLY1305, TLS_AEADS };

/* An algorithm, ready to be keyed. Shared by all threads. */
struct tls_aead_kind;

/* NULL for those that cannot be had. Without `fast` OpenSSL does all of them. */
void tls_aead_fetch(struct tls_aead_kind *kinds[TLS_AEADS], bool fast);
/* After all that are keyed. NULL is fine. */
void tls_aead_release(struct tls_aead_kind *kind);

/* An algorithm with a key, for one thread and one direction. */
struct tls_aead;

/* NULL: out of memory. */
struct tls_aead *tls_aead_create(const struct tls_aead_kind *kind, const unsigned char *key,
                                 bool seal);
/* Leaves no key in memory. NULL is fine. */
void tls_aead_free(struct tls_aead *aead);

/* A text in two places, one after the other; either may be empty. */
struct tls_text {
    struct span first;
    struct span second;
};

static inline size_t tls_text_bytes(struct tls_text text)
{
    return text.first.len + text.second.len;
}

/* Takes at most `max` octets from the beginning. */
static inline struct tls_text tls_text_take(struct tls_text *from, size_t max)
{
    struct span first = span_take(&from->first, max);
    return (struct tls_text){first, span_take(&from->second, max - first.len)};
}

/* Writes the text, the octet `type` and the tag to `out`: as many octets as the text, and
 * 1 + TLS_TAG_BYTES. A nonce serves one record only. False: out of memory. */
bool tls_aead_seal(struct tls_aead *aead, const unsigned char *nonce, const unsigned char *header,
                   struct tls_text text, unsigned char type, unsigned char *out);
/* `sealed`, at least a tag, becomes sealed.len - TLS_TAG_BYTES octets at `out`, to be read only if
 * the result is true: nobody has touched them, nor the header. */
bool tls_aead_open(struct tls_aead *aead, const unsigned char *nonce, const unsigned char *header,
                   struct span sealed, unsigned char *out);

#endif
