/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes. */
#include <openssl/crypto.h>
#include <string.h>

#include "server/helpers/helpers.h"
#include "server/sha256.h"

enum { BLOCK_BYTES = 64 };

/* RFC 2104. */
static bool hmac(struct span key, struct span message, uint8_t out[SHA256_BYTES])
{
    uint8_t block[BLOCK_BYTES] = {0};
    struct span pad = {(const char *)block, sizeof block};
    bool done = true;

    if (key.len > sizeof block) {
        done = sha256(key, SPAN(""), block);
    } else if (key.len > 0) {
        memcpy(block, key.base, key.len);
    }
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] ^= 0x36;
    }
    done = done && sha256(pad, message, out);
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] ^= 0x36 ^ 0x5C;
    }
    done = done && sha256(pad, (struct span){(const char *)out, SHA256_BYTES}, out);
    OPENSSL_cleanse(block, sizeof block);
    return done;
}

static struct span bytes_of(const struct vm_arg *in)
{
    return (struct span){(const char *)in->data, in->length};
}

uint64_t host_zs_sha256(struct vm_context *context, const struct vm_arg arg[5])
{
    if (arg[2].length != SHA256_BYTES) {
        vm_helper_fault(context, "a SHA-256 digest has 32 bytes");
    }
    if (!sha256(bytes_of(&arg[0]), SPAN(""), arg[2].data)) {
        vm_helper_fault(context, "no SHA-256");
    }
    return SHA256_BYTES;
}

static bool overlap(const struct vm_arg *in, const uint8_t *out)
{
    return in->length > 0 && in->data < out + SHA256_BYTES && out < in->data + in->length;
}

/* There is no sixth register for the length of the output, so its span is checked here. */
uint64_t host_zs_hmac_sha256(struct vm_context *context, const struct vm_arg arg[5])
{
    uint8_t *out = vm_guest_range(context, arg[4].value, SHA256_BYTES, true);

    if (out == NULL) {
        vm_helper_fault_argument(context, 5, SHA256_BYTES, "is not writable");
    }
    if (overlap(&arg[0], out) || overlap(&arg[2], out)) {
        vm_helper_fault(context, "memory overlaps");
    }
    if (!hmac(bytes_of(&arg[0]), bytes_of(&arg[2]), out)) {
        vm_helper_fault(context, "no SHA-256");
    }
    return SHA256_BYTES;
}
