/* SPDX-License-Identifier: Apache-2.0 */
/* Traffic keys and the protection of single records. A context of the library is keyed once; of
 * each record it is told only the nonce, as keying costs as much as protecting a small record.
 */
#include "server/tls_keys.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>

void tls_suites_fetch(struct tls_suites *suites)
{
    static const struct {
        const char *cipher;
        struct tls_suite suite;
    } known[TLS_SUITES] = {
        {"AES-128-GCM", {.id = 0x1301, .secret_bytes = 32, .key_bytes = 16, .digest = "SHA256"}},
        {"AES-256-GCM", {.id = 0x1302, .secret_bytes = 48, .key_bytes = 32, .digest = "SHA384"}},
        {"ChaCha20-Poly1305",
         {.id = 0x1303, .secret_bytes = 32, .key_bytes = 32, .digest = "SHA256"}},
    };
    for (unsigned i = 0; i < TLS_SUITES; i++) {
        struct tls_suite *suite = &suites->items[i];
        *suite = known[i].suite;
        suite->cipher = EVP_CIPHER_fetch(NULL, known[i].cipher, NULL);
        suite->kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
    }
}

void tls_suites_release(struct tls_suites *suites)
{
    for (unsigned i = 0; i < TLS_SUITES; i++) {
        EVP_CIPHER_free(suites->items[i].cipher);
        EVP_KDF_free(suites->items[i].kdf);
    }
    *suites = (struct tls_suites){0};
}

const struct tls_suite *tls_suites_find(const struct tls_suites *suites, unsigned id)
{
    for (unsigned i = 0; i < TLS_SUITES; i++) {
        const struct tls_suite *suite = &suites->items[i];
        if (suite->id == id && suite->cipher != NULL && suite->kdf != NULL) {
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
    EVP_CIPHER_CTX_free(keys->aead);
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
    memcpy(nonce, keys->iv, TLS_IV_BYTES);
    for (unsigned i = 0; i < sizeof keys->sequence; i++) {
        nonce[TLS_IV_BYTES - 1 - i] ^= (unsigned char)(keys->sequence >> 8 * i);
    }
    keys->sequence++;
    assert(keys->sequence != 0);
}

/* Makes `aead` ready for the next record. */
static bool begin(struct tls_keys *keys, bool seal)
{
    unsigned char nonce[TLS_IV_BYTES];
    make_nonce(keys, nonce);
    if (keys->aead != NULL) {
        return EVP_CipherInit_ex2(keys->aead, NULL, NULL, nonce, seal, NULL) == 1;
    }
    keys->aead = EVP_CIPHER_CTX_new();
    return keys->aead != NULL &&
           EVP_CipherInit_ex2(keys->aead, keys->suite->cipher, keys->key, nonce, seal, NULL) == 1;
}

bool tls_keys_seal(struct tls_keys *keys, const unsigned char *header, struct span text,
                   unsigned char type, unsigned char *out)
{
    int bytes = 0;
    if (!begin(keys, true)) {
        return false;
    }
    EVP_CIPHER_CTX *aead = keys->aead;
    unsigned char *tag = out + text.len + 1;
    return EVP_EncryptUpdate(aead, NULL, &bytes, header, TLS_HEADER_BYTES) == 1 &&
           (text.len == 0 || EVP_EncryptUpdate(aead, out, &bytes, (const unsigned char *)text.base,
                                               (int)text.len) == 1) &&
           EVP_EncryptUpdate(aead, out + text.len, &bytes, &type, 1) == 1 &&
           EVP_EncryptFinal_ex(aead, tag, &bytes) == 1 &&
           EVP_CIPHER_CTX_ctrl(aead, EVP_CTRL_AEAD_GET_TAG, TLS_TAG_BYTES, tag) == 1;
}

bool tls_keys_open(struct tls_keys *keys, const unsigned char *header, struct span sealed,
                   unsigned char *out)
{
    int bytes = 0;
    assert(sealed.len >= TLS_TAG_BYTES);
    size_t text = sealed.len - TLS_TAG_BYTES;
    if (!begin(keys, false)) {
        return false;
    }
    EVP_CIPHER_CTX *aead = keys->aead;
    return EVP_CIPHER_CTX_ctrl(aead, EVP_CTRL_AEAD_SET_TAG, TLS_TAG_BYTES,
                               (char *)sealed.base + text) == 1 &&
           EVP_DecryptUpdate(aead, NULL, &bytes, header, TLS_HEADER_BYTES) == 1 &&
           EVP_DecryptUpdate(aead, out, &bytes, (const unsigned char *)sealed.base, (int)text) ==
               1 &&
           EVP_DecryptFinal_ex(aead, out + text, &bytes) == 1;
}
