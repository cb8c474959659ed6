/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of TLS 1.3 after the handshake: how they follow from a traffic secret (RFC 8446 7.1 to 7.3)
 * and which nonce each record has (5.3). Nothing here knows what records contain or in which order
 * they come. */
#ifndef SERVER_TLS_KEYS_H
#define SERVER_TLS_KEYS_H

#include <openssl/kdf.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/span.h"
#include "server/tls_aead.h"

enum {
    TLS_KEY_BYTES_MAX = 32,
    TLS_SECRET_BYTES_MAX = 48,
};

struct tls_suite {
    unsigned id; /* as in a ServerHello */
    unsigned secret_bytes;
    unsigned key_bytes;
    const char *digest;
    struct tls_aead_kind *kind;
    EVP_KDF *kdf; /* of all suites */
};

/* What the libraries would look up by name again and again. Shared by all threads; all zero is
 * empty. */
struct tls_suites {
    struct tls_suite items[TLS_AEADS];
};

/* What the libraries lack is not found later. */
void tls_suites_fetch(struct tls_suites *suites);
void tls_suites_release(struct tls_suites *suites);
/* NULL: another, as those of TLS 1.2. */
const struct tls_suite *tls_suites_find(const struct tls_suites *suites, unsigned id);

/* Records one way. Without `aead` 150 octets that hold no memory. All zero: nothing is known. */
struct tls_keys {
    const struct tls_suite *suite;
    struct tls_aead *aead; /* NULL: made of key with the next record */
    uint64_t sequence;     /* of the next record under this key */
    unsigned secret_bytes;
    unsigned char secret[TLS_SECRET_BYTES_MAX];
    unsigned char key[TLS_KEY_BYTES_MAX];
    unsigned char iv[TLS_IV_BYTES];
};

/* Takes up protection with `secret` and `sequence` as they are. False: the secret is none of the
 * suite's, or out of memory. */
bool tls_keys_derive(struct tls_keys *keys, const struct tls_suite *suite);
/* The next secret (KeyUpdate), its key, and records counted from 0. False: out of memory. */
bool tls_keys_update(struct tls_keys *keys);
/* Gives back what is made again when it is needed. */
void tls_keys_rest(struct tls_keys *keys);
/* Leaves no secret in memory. */
void tls_keys_forget(struct tls_keys *keys);

/* Writes the text, the octet `type` and the tag to `out`, protected together with the header, which
 * tells their length. False: out of memory. */
bool tls_keys_seal(struct tls_keys *keys, const unsigned char *header, struct tls_text text,
                   unsigned char type, unsigned char *out);
/* What lies behind the header, `sealed`, becomes sealed.len - TLS_TAG_BYTES octets at `out`, to be
 * read only if the result is true: nobody has touched them, nor their order. */
bool tls_keys_open(struct tls_keys *keys, const unsigned char *header, struct span sealed,
                   unsigned char *out);

#endif
