/* SPDX-License-Identifier: Apache-2.0 */
/* Of the Multi-Buffer library only the functions for one message are used: they are picked for the
 * processor once, keep no state but what they are given, and run in constant time. Without its
 * instructions the library has tables instead, which tell the key to who shares the cache; then
 * OpenSSL is taken. What OpenSSL is keyed with is kept, and of each record it is told only the
 * nonce, as keying costs as much as protecting a small record.
 */
#include "server/tls_aead.h"

#include <assert.h>
#include <intel-ipsec-mb.h>
#include <link.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    KEY_ALIGNMENT = 64,
    GATHERED_BYTES = 1400, /* a text up to here costs less to copy than to seal in pieces */
};

/* Of one size of key. */
struct aes_gcm {
    aes_gcm_pre_t expand; /* NULL: OpenSSL does it */
    aes_gcm_init_t begin;
    aes_gcm_enc_dec_update_t seal;
    aes_gcm_enc_dec_finalize_t finish;
    aes_gcm_enc_dec_t seal_whole;
    aes_gcm_enc_dec_t open;
};

struct tls_aead_kind {
    EVP_CIPHER *cipher;
    struct aes_gcm gcm;
};

struct tls_aead {
    const struct aes_gcm *gcm;
    EVP_CIPHER_CTX *context; /* without gcm->expand */
    struct gcm_context_data state;
    _Alignas(KEY_ALIGNMENT) struct gcm_key_data key;
};

/* ---- algorithms ---- */

static void take_gcm(const IMB_MGR *library, struct tls_aead_kind *kinds[TLS_AEADS])
{
    if (kinds[TLS_AES_128_GCM] != NULL) {
        kinds[TLS_AES_128_GCM]->gcm = (struct aes_gcm){
            .expand = library->gcm128_pre,
            .begin = library->gcm128_init,
            .seal = library->gcm128_enc_update,
            .finish = library->gcm128_enc_finalize,
            .seal_whole = library->gcm128_enc,
            .open = library->gcm128_dec,
        };
    }
    if (kinds[TLS_AES_256_GCM] != NULL) {
        kinds[TLS_AES_256_GCM]->gcm = (struct aes_gcm){
            .expand = library->gcm256_pre,
            .begin = library->gcm256_init,
            .seal = library->gcm256_enc_update,
            .finish = library->gcm256_enc_finalize,
            .seal_whole = library->gcm256_enc,
            .open = library->gcm256_dec,
        };
    }
}

/* Called with each loaded object: gives back the pages of the code that `of` points into. */
static int unmap_code(struct dl_phdr_info *object, size_t bytes, void *of)
{
    (void)bytes;
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + segment->p_vaddr;
        bool code = segment->p_type == PT_LOAD && (segment->p_flags & PF_X) != 0 &&
                    (segment->p_flags & PF_W) == 0;
        if (code && (uintptr_t)of - begin < segment->p_memsz) {
            uintptr_t page = begin & -(uintptr_t)sysconf(_SC_PAGESIZE);
            madvise((void *)page, begin + segment->p_memsz - page, MADV_DONTNEED);
            return 1;
        }
    }
    return 0;
}

/* The library's manager, 200 KB, is for jobs; the functions do without. When it is made, it tests
 * all the library can do, and leaves 3 MiB of code mapped of which records need a few pages: those
 * come back when they are called. */
static void load_gcm(struct tls_aead_kind *kinds[TLS_AEADS])
{
    const uint64_t wanted = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
    IMB_MGR *library = alloc_mb_mgr(0);
    if (library == NULL) {
        return;
    }
    init_mb_mgr_auto(library, NULL);
    if (imb_get_errno(library) == 0 && (library->features & wanted) == wanted) {
        take_gcm(library, kinds);
    }
    dl_iterate_phdr(unmap_code, (void *)(uintptr_t)library->gcm128_enc);
    free_mb_mgr(library);
}

void tls_aead_fetch(struct tls_aead_kind *kinds[TLS_AEADS], bool fast)
{
    static const char *const names[TLS_AEADS] = {
        [TLS_AES_128_GCM] = "AES-128-GCM",
        [TLS_AES_256_GCM] = "AES-256-GCM",
        [TLS_CHACHA20_POLY1305] = "ChaCha20-Poly1305",
    };
    for (unsigned i = 0; i < TLS_AEADS; i++) {
        EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, names[i], NULL);
        kinds[i] = cipher != NULL ? calloc(1, sizeof *kinds[i]) : NULL;
        if (kinds[i] == NULL) {
            EVP_CIPHER_free(cipher);
            continue;
        }
        kinds[i]->cipher = cipher;
    }
    if (fast) {
        load_gcm(kinds);
    }
}

void tls_aead_release(struct tls_aead_kind *kind)
{
    if (kind != NULL) {
        EVP_CIPHER_free(kind->cipher);
        free(kind);
    }
}

/* ---- keys ---- */

struct tls_aead *tls_aead_create(const struct tls_aead_kind *kind, const unsigned char *key,
                                 bool seal)
{
    struct tls_aead *aead = aligned_alloc(KEY_ALIGNMENT, sizeof *aead);
    if (aead == NULL) {
        return NULL;
    }
    aead->gcm = &kind->gcm;
    aead->context = NULL;
    if (kind->gcm.expand != NULL) {
        kind->gcm.expand(key, &aead->key);
        return aead;
    }
    aead->context = EVP_CIPHER_CTX_new();
    if (aead->context == NULL ||
        EVP_CipherInit_ex2(aead->context, kind->cipher, key, NULL, seal, NULL) != 1) {
        tls_aead_free(aead);
        return NULL;
    }
    return aead;
}

void tls_aead_free(struct tls_aead *aead)
{
    if (aead != NULL) {
        EVP_CIPHER_CTX_free(aead->context);
        OPENSSL_cleanse(aead, sizeof *aead);
        free(aead);
    }
}

/* ---- records ---- */

static bool evp_add(EVP_CIPHER_CTX *context, struct span text, unsigned char *out)
{
    int bytes = 0;
    return text.len == 0 || EVP_EncryptUpdate(context, out, &bytes,
                                              (const unsigned char *)text.base, (int)text.len) == 1;
}

static bool evp_seal(EVP_CIPHER_CTX *context, const unsigned char *nonce,
                     const unsigned char *header, struct tls_text text, unsigned char type,
                     unsigned char *out)
{
    int bytes = 0;
    unsigned char *second = out + text.first.len;
    unsigned char *end = second + text.second.len;
    unsigned char *tag = end + 1;
    return EVP_CipherInit_ex2(context, NULL, NULL, nonce, true, NULL) == 1 &&
           EVP_EncryptUpdate(context, NULL, &bytes, header, TLS_HEADER_BYTES) == 1 &&
           evp_add(context, text.first, out) && evp_add(context, text.second, second) &&
           EVP_EncryptUpdate(context, end, &bytes, &type, 1) == 1 &&
           EVP_EncryptFinal_ex(context, tag, &bytes) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TLS_TAG_BYTES, tag) == 1;
}

static bool evp_open(EVP_CIPHER_CTX *context, const unsigned char *nonce,
                     const unsigned char *header, struct span sealed, unsigned char *out)
{
    int bytes = 0;
    size_t text = sealed.len - TLS_TAG_BYTES;
    return EVP_CipherInit_ex2(context, NULL, NULL, nonce, false, NULL) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TLS_TAG_BYTES,
                               (char *)sealed.base + text) == 1 &&
           EVP_DecryptUpdate(context, NULL, &bytes, header, TLS_HEADER_BYTES) == 1 &&
           EVP_DecryptUpdate(context, out, &bytes, (const unsigned char *)sealed.base, (int)text) ==
               1 &&
           EVP_DecryptFinal_ex(context, out + text, &bytes) == 1;
}

/* Returns where the next octet goes. */
static unsigned char *gcm_add(struct tls_aead *aead, struct span text, unsigned char *out)
{
    if (text.len > 0) {
        aead->gcm->seal(&aead->key, &aead->state, out, (const unsigned char *)text.base, text.len);
    }
    return out + text.len;
}

/* Seals a short text in the place of its copy, in one go. */
static void gcm_seal_short(struct tls_aead *aead, const unsigned char *nonce,
                           const unsigned char *header, struct tls_text text, unsigned char type,
                           unsigned char *out)
{
    unsigned char *end = (unsigned char *)span_put(span_put((char *)out, text.first), text.second);
    *end++ = type;
    aead->gcm->seal_whole(&aead->key, &aead->state, out, out, (size_t)(end - out), nonce, header,
                          TLS_HEADER_BYTES, end, TLS_TAG_BYTES);
}

bool tls_aead_seal(struct tls_aead *aead, const unsigned char *nonce, const unsigned char *header,
                   struct tls_text text, unsigned char type, unsigned char *out)
{
    if (aead->context != NULL) {
        return evp_seal(aead->context, nonce, header, text, type, out);
    }
    if (tls_text_bytes(text) <= GATHERED_BYTES) {
        gcm_seal_short(aead, nonce, header, text, type, out);
        return true;
    }
    aead->gcm->begin(&aead->key, &aead->state, nonce, header, TLS_HEADER_BYTES);
    out = gcm_add(aead, text.first, out);
    out = gcm_add(aead, text.second, out);
    out = gcm_add(aead, (struct span){(const char *)&type, 1}, out);
    aead->gcm->finish(&aead->key, &aead->state, out, TLS_TAG_BYTES);
    return true;
}

bool tls_aead_open(struct tls_aead *aead, const unsigned char *nonce, const unsigned char *header,
                   struct span sealed, unsigned char *out)
{
    unsigned char tag[TLS_TAG_BYTES];
    assert(sealed.len >= TLS_TAG_BYTES);
    if (aead->context != NULL) {
        return evp_open(aead->context, nonce, header, sealed, out);
    }
    size_t text = sealed.len - TLS_TAG_BYTES;
    aead->gcm->open(&aead->key, &aead->state, out, (const unsigned char *)sealed.base, text, nonce,
                    header, TLS_HEADER_BYTES, tag, sizeof tag);
    return CRYPTO_memcmp(tag, sealed.base + text, sizeof tag) == 0;
}
