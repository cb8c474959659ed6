/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes. The algorithm is fetched once: a fetch by name takes locks and longer than a short hash.
 * A context lives only while a helper runs and is freed before the helper can fault. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#include "server/helpers/helpers.h"

enum { DIGEST_BYTES = 32, BLOCK_BYTES = 64 };

static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* SHA-256 of two pieces, one behind the other. */
static bool digest(struct span first, struct span second, uint8_t out[DIGEST_BYTES])
{
    EVP_MD_CTX *hash;
    bool done;

    pthread_once(&sha256_once, fetch);
    hash = sha256 == NULL ? NULL : EVP_MD_CTX_new();
    done = hash != NULL && EVP_DigestInit_ex2(hash, sha256, NULL) == 1 &&
           EVP_DigestUpdate(hash, first.base, first.len) == 1 &&
           EVP_DigestUpdate(hash, second.base, second.len) == 1 &&
           EVP_DigestFinal_ex(hash, out, NULL) == 1;
    EVP_MD_CTX_free(hash);
    return done;
}

/* RFC 2104. */
static bool hmac(struct span key, struct span message, uint8_t out[DIGEST_BYTES])
{
    uint8_t block[BLOCK_BYTES] = {0};
    struct span pad = {(const char *)block, sizeof block};
    bool done = true;

    if (key.len > sizeof block) {
        done = digest(key, SPAN(""), block);
    } else if (key.len > 0) {
        memcpy(block, key.base, key.len);
    }
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] ^= 0x36;
    }
    done = done && digest(pad, message, out);
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] ^= 0x36 ^ 0x5C;
    }
    done = done && digest(pad, (struct span){(const char *)out, DIGEST_BYTES}, out);
    OPENSSL_cleanse(block, sizeof block);
    return done;
}

static struct span bytes_of(const struct vm_arg *in)
{
    return (struct span){(const char *)in->data, in->length};
}

uint64_t host_zs_sha256(struct vm_context *context, const struct vm_arg arg[5])
{
    if (arg[2].length != DIGEST_BYTES) {
        vm_helper_fault(context, "a SHA-256 digest has 32 bytes");
    }
    if (!digest(bytes_of(&arg[0]), SPAN(""), arg[2].data)) {
        vm_helper_fault(context, "no SHA-256");
    }
    return DIGEST_BYTES;
}

static bool overlap(const struct vm_arg *in, const uint8_t *out)
{
    return in->length > 0 && in->data < out + DIGEST_BYTES && out < in->data + in->length;
}

/* There is no sixth register for the length of the output, so its span is checked here. */
uint64_t host_zs_hmac_sha256(struct vm_context *context, const struct vm_arg arg[5])
{
    uint8_t *out = vm_guest_range(context, arg[4].value, DIGEST_BYTES, true);

    if (out == NULL) {
        vm_helper_fault_argument(context, 5, DIGEST_BYTES, "is not writable");
    }
    if (overlap(&arg[0], out) || overlap(&arg[2], out)) {
        vm_helper_fault(context, "memory overlaps");
    }
    if (!hmac(bytes_of(&arg[0]), bytes_of(&arg[2]), out)) {
        vm_helper_fault(context, "no SHA-256");
    }
    return DIGEST_BYTES;
}
