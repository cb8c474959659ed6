/* SPDX-License-Identifier: Apache-2.0 */
/* Traffic keys: how they are derived, and the nonce of each record. */
#include "server/tls_keys.h"

#include <assert.h>
#include <endian.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <string.h>

void tls_suites_fetch(struct tls_suites *suites)
{
    static const struct tls_suite known[TLS_AEADS] = {
        [TLS_AES_128_GCM] = {.id = 0x1301, .secret_bytes = 32, .key_bytes = 16, .digest = "SHA256"},
        [TLS_AES_256_GCM] = {.id = 0x1302, .secret_bytes = 48, .key_bytes = 32, .digest = "SHA384"},
        [TLS_CHACHA20_POLY1305] = {.id = 0x1303,
                                   .secret_bytes = 32,
                                   .key_bytes = 32,
                                   .digest = "SHA256"},
    };
    struct tls_aead_kind *kinds[TLS_AEADS];
    tls_aead_fetch(kinds, true);
    for (unsigned i = 0; i < TLS_AEADS; i++) {
        struct tls_suite *suite = &suites->items[i];
        *suite = known[i];
        suite->kind = kinds[i];
        suite->kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
    }
}

void tls_suites_release(struct tls_suites *suites)
{
    for (unsigned i = 0; i < TLS_AEADS; i++) {
        tls_aead_release(suites->items[i].kind);
        EVP_KDF_free(suites->items[i].kdf);
    }
    *suites = (struct tls_suites){0};
}

const struct tls_suite *tls_suites_find(const struct tls_suites *suites, unsigned id)
{
    for (unsigned i = 0; i < TLS_AEADS; i++) {
        const struct tls_suite *suite = &suites->items[i];
        if (suite->id == id && suite->kind != NULL && suite->kdf != NULL) {
            return suite;
        }
    }
    return NULL;
}

/* ---- keys ---- */

/* For HKDF-Expand-Label of the secret (RFC 8446 7.1), without context. NULL: out of memory. The
 * library only reads what parameters point to. */
static EVP_KDF_CTX *new_expansion(struct tls_keys *keys)
{
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)keys->suite->digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, keys->secret, keys->secret_bytes),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, "tls13 ", 6),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF_CTX *expansion = EVP_KDF_CTX_new(keys->suite->kdf);
    if (expansion != NULL && EVP_KDF_CTX_set_params(expansion, params) != 1) {
        EVP_KDF_CTX_free(expansion);
        return NULL;
    }
    return expansion;
}

static bool expand(EVP_KDF_CTX *expansion, struct span label, unsigned char *out, size_t bytes)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (char *)label.base, label.len),
        OSSL_PARAM_construct_end(),
    };
    return EVP_KDF_derive(expansion, out, bytes, params) == 1;
}

bool tls_keys_derive(struct tls_keys *keys, const struct tls_suite *suite)
{
    if (keys->secret_bytes != suite->secret_bytes) {
        return false;
    }
    keys->suite = suite;
    tls_keys_rest(keys);
    EVP_KDF_CTX *expansion = new_expansion(keys);
    bool fine = expansion != NULL && expand(expansion, SPAN("key"), keys->key, suite->key_bytes) &&
                expand(expansion, SPAN("iv"), keys->iv, TLS_IV_BYTES);
    EVP_KDF_CTX_free(expansion);
    return fine;
}

bool tls_keys_update(struct tls_keys *keys)
{
    unsigned char next[TLS_SECRET_BYTES_MAX];
    EVP_KDF_CTX *expansion = new_expansion(keys);
    bool fine =
        expansion != NULL && expand(expansion, SPAN("traffic upd"), next, keys->secret_bytes);
    EVP_KDF_CTX_free(expansion);
    if (fine) {
        memcpy(keys->secret, next, keys->secret_bytes);
        keys->sequence = 0;
    }
    OPENSSL_cleanse(next, sizeof next);
    return fine && tls_keys_derive(keys, keys->suite);
}

void tls_keys_rest(struct tls_keys *keys)
{
    tls_aead_free(keys->aead);
    keys->aead = NULL;
}

void tls_keys_forget(struct tls_keys *keys)
{
    tls_keys_rest(keys);
    OPENSSL_cleanse(keys, sizeof *keys);
}

/* ---- records ---- */

/* The sequence number goes into the last eight octets of the iv. */
static void make_nonce(struct tls_keys *keys, unsigned char *nonce)
{
    enum { BEFORE = TLS_IV_BYTES - sizeof keys->sequence };
    uint64_t last;
    memcpy(&last, keys->iv + BEFORE, sizeof last);
    last ^= htobe64(keys->sequence);
    memcpy(nonce, keys->iv, BEFORE);
    memcpy(nonce + BEFORE, &last, sizeof last);
    keys->sequence++;
    assert(keys->sequence != 0);
}

static bool has_aead(struct tls_keys *keys, bool seal)
{
    if (keys->aead == NULL) {
        keys->aead = tls_aead_create(keys->suite->kind, keys->key, seal);
    }
    return keys->aead != NULL;
}

bool tls_keys_seal(struct tls_keys *keys, const unsigned char *header, struct tls_text text,
                   unsigned char type, unsigned char *out)
{
    unsigned char nonce[TLS_IV_BYTES];
    make_nonce(keys, nonce);
    return has_aead(keys, true) && tls_aead_seal(keys->aead, nonce, header, text, type, out);
}

bool tls_keys_open(struct tls_keys *keys, const unsigned char *header, struct span sealed,
                   unsigned char *out)
{
    unsigned char nonce[TLS_IV_BYTES];
    make_nonce(keys, nonce);
    return has_aead(keys, false) && tls_aead_open(keys->aead, nonce, header, sealed, out);
}
