/* SPDX-License-Identifier: Apache-2.0 */
/* Reads PEM files into a heap of certificates and keys, then finds what belongs together: a key by
 * the public key in its certificate, an issuer by what it signed. Every certificate and every key
 * must find its place, so that a file forgotten or mixed up is seen at the start and not when the
 * first client complains.
 */
#include "server/tls_certs.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "server/limits.h"

enum { CHAIN_MAX = 10, LINE_BYTES = 1024 };

struct heap_cert {
    X509 *cert;
    const char *source;
};

struct heap_key {
    EVP_PKEY *key;
    const char *source;
    bool used;
};

/* What was read. */
struct heap {
    struct heap_cert *certs;
    unsigned cert_count;
    struct heap_key *keys;
    unsigned key_count;
};

/* Where a message goes. */
struct told {
    char *error;
    size_t bytes;
};

static bool fail(struct told told, const char *source, const char *why)
{
    snprintf(told.error, told.bytes, "%s: %s", source, why != NULL ? why : "not usable");
    return false;
}

/* Room for one more behind `count`: doubles at 0, 1, 2, 4, 8 ... NULL: out of memory. */
static void *grow(void *items, unsigned count, size_t item_bytes)
{
    if ((count & (count - 1)) != 0) {
        return items;
    }
    return reallocarray(items, count == 0 ? 1 : (size_t)count * 2, item_bytes);
}

static void empty(struct heap *heap)
{
    for (unsigned i = 0; i < heap->cert_count; i++) {
        X509_free(heap->certs[i].cert);
    }
    for (unsigned i = 0; i < heap->key_count; i++) {
        EVP_PKEY_free(heap->keys[i].key);
    }
    free(heap->certs);
    free(heap->keys);
    *heap = (struct heap){0};
}

/* "FLAG PATH" or "FLAG PATH/NAME", kept as long as the identities are. NULL: out of memory. */
static const char *add_source(struct tls_identities *identities, const char *flag, const char *path,
                              const char *name)
{
    char **grown = grow(identities->sources, identities->source_count, sizeof grown[0]);
    char *text = NULL;
    if (grown == NULL) {
        return NULL;
    }
    identities->sources = grown;
    if (asprintf(&text, "%s %s%s%s", flag, path, name != NULL ? "/" : "",
                 name != NULL ? name : "") < 0) {
        return NULL;
    }
    identities->sources[identities->source_count++] = text;
    return text;
}

/* ---- files ---- */

static bool add_cert(struct heap *heap, const unsigned char *der, long bytes, const char *source,
                     struct told told)
{
    struct heap_cert *grown = grow(heap->certs, heap->cert_count, sizeof *grown);
    if (grown == NULL) {
        return fail(told, source, "out of memory");
    }
    heap->certs = grown;
    X509 *cert = d2i_X509(NULL, &der, bytes);
    if (cert == NULL) {
        return fail(told, source, "a certificate in it is damaged");
    }
    heap->certs[heap->cert_count++] = (struct heap_cert){cert, source};
    return true;
}

static bool add_key(struct heap *heap, const unsigned char *der, long bytes, const char *source,
                    struct told told)
{
    struct heap_key *grown = grow(heap->keys, heap->key_count, sizeof *grown);
    if (grown == NULL) {
        return fail(told, source, "out of memory");
    }
    heap->keys = grown;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &der, bytes);
    if (key == NULL) {
        return fail(told, source, "a key in it is damaged or of an unknown kind");
    }
    heap->keys[heap->key_count++] = (struct heap_key){key, source, false};
    return true;
}

static bool add_block(struct heap *heap, const char *kind, const char *header,
                      const unsigned char *der, long bytes, const char *source, struct told told)
{
    size_t length = strlen(kind);
    if (strcmp(kind, PEM_STRING_X509) == 0 || strcmp(kind, PEM_STRING_X509_OLD) == 0) {
        return add_cert(heap, der, bytes, source, told);
    }
    if (length < 11 || strcmp(kind + length - 11, "PRIVATE KEY") != 0) {
        return true; /* parameters, requests: of no use here */
    }
    if (strcmp(kind, PEM_STRING_PKCS8) == 0 || strstr(header, "ENCRYPTED") != NULL) {
        return fail(told, source, "no private key in PEM format, without passphrase, in it");
    }
    return add_key(heap, der, bytes, source, told);
}

static bool read_blocks(struct heap *heap, BIO *file, const char *source, struct told told)
{
    char *kind;
    char *header;
    unsigned char *der;
    long bytes;
    bool fine = true;
    while (fine && PEM_read_bio(file, &kind, &header, &der, &bytes) == 1) {
        fine = heap->cert_count + heap->key_count < LIM_TLS_CERTIFICATES
                   ? add_block(heap, kind, header, der, bytes, source, told)
                   : fail(told, source, "too many certificates");
        OPENSSL_free(kind);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)bytes);
    }
    int reason = ERR_GET_REASON(ERR_peek_last_error());
    if (fine && reason != PEM_R_NO_START_LINE) {
        return fail(told, source, "damaged PEM");
    }
    return fine;
}

static bool read_file(struct heap *heap, const char *path, const char *source, struct told told)
{
    ERR_clear_error();
    BIO *file = BIO_new_file(path, "r");
    bool fine =
        file != NULL ? read_blocks(heap, file, source, told) : fail(told, source, strerror(errno));
    BIO_free(file);
    ERR_clear_error();
    return fine;
}

/* ---- what belongs together ---- */

static bool add_identity(struct tls_identities *identities, struct tls_identity identity)
{
    struct tls_identity *grown = grow(identities->items, identities->count, sizeof *grown);
    if (grown != NULL) {
        identities->items = grown;
        X509_up_ref(identity.certificate);
        EVP_PKEY_up_ref(identity.key);
        grown[identities->count++] = identity;
    }
    return grown != NULL;
}

/* One --cert and its --key: the first certificate of the file, the others in their order. */
static bool load_pair(struct tls_identities *identities, struct heap *heap, const char *cert,
                      const char *key, struct told told)
{
    const char *cert_source = add_source(identities, "--cert", cert, NULL);
    const char *key_source = add_source(identities, "--key", key, NULL);
    if (cert_source == NULL || key_source == NULL) {
        return fail(told, "--cert", "out of memory");
    }
    if (!read_file(heap, cert, cert_source, told)) {
        return false;
    }
    if (heap->cert_count == 0) {
        return fail(told, cert_source, "no certificate in PEM format in it");
    }
    unsigned certs = heap->cert_count;
    unsigned first = heap->key_count;
    if (!read_file(heap, key, key_source, told)) {
        return false;
    }
    if (heap->key_count == first) {
        return fail(told, key_source, "no private key in PEM format, without passphrase, in it");
    }
    if (EVP_PKEY_eq(X509_get0_pubkey(heap->certs[0].cert), heap->keys[first].key) != 1) {
        return fail(told, key_source, "not the key of the certificate");
    }
    struct tls_identity identity = {heap->certs[0].cert, sk_X509_new_null(), heap->keys[first].key,
                                    cert_source};
    bool fine = identity.issuers != NULL;
    for (unsigned i = 1; i < certs && fine; i++) {
        fine = X509_add_cert(identity.issuers, heap->certs[i].cert, X509_ADD_FLAG_UP_REF) == 1;
    }
    if (!fine || !add_identity(identities, identity)) {
        sk_X509_pop_free(identity.issuers, X509_free);
        return fail(told, cert_source, "out of memory");
    }
    return true;
}

static bool has_issued(X509 *issuer, X509 *cert)
{
    return issuer != cert && X509_self_signed(cert, 0) != 1 &&
           X509_check_issued(issuer, cert) == X509_V_OK &&
           X509_verify(cert, X509_get0_pubkey(issuer)) == 1;
}

/* Who signed it? One of the same file rather than of another. NULL: unknown, or itself. */
static X509 *find_issuer(const struct heap *heap, X509 *cert, const char *source)
{
    X509 *found = NULL;
    for (unsigned i = 0; i < heap->cert_count; i++) {
        bool near = heap->certs[i].source == source;
        if ((found == NULL || near) && has_issued(heap->certs[i].cert, cert)) {
            found = heap->certs[i].cert;
            if (near) {
                break;
            }
        }
    }
    return found;
}

/* NULL: out of memory. */
static STACK_OF(X509) * find_chain(const struct heap *heap, const struct heap_cert *leaf)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *cert = find_issuer(heap, leaf->cert, leaf->source);
    while (chain != NULL && cert != NULL && sk_X509_num(chain) < CHAIN_MAX &&
           X509_self_signed(cert, 0) != 1) {
        if (X509_add_cert(chain, cert, X509_ADD_FLAG_UP_REF) != 1) {
            sk_X509_pop_free(chain, X509_free);
            return NULL;
        }
        cert = find_issuer(heap, cert, leaf->source);
    }
    return chain;
}

static struct heap_key *find_key(const struct heap *heap, X509 *cert)
{
    const EVP_PKEY *wanted = X509_get0_pubkey(cert);
    for (unsigned i = 0; i < heap->key_count && wanted != NULL; i++) {
        if (EVP_PKEY_eq(wanted, heap->keys[i].key) == 1) {
            return &heap->keys[i];
        }
    }
    return NULL;
}

/* Has it signed another? */
static bool is_issuer(const struct heap *heap, unsigned index)
{
    X509 *cert = heap->certs[index].cert;
    for (unsigned i = 0; i < heap->cert_count; i++) {
        if (has_issued(cert, heap->certs[i].cert)) {
            return true;
        }
    }
    return false;
}

static bool is_repeated(const struct heap *heap, unsigned index)
{
    for (unsigned i = 0; i < index; i++) {
        if (X509_cmp(heap->certs[i].cert, heap->certs[index].cert) == 0) {
            return true;
        }
    }
    return false;
}

static bool match_cert(struct tls_identities *identities, const struct heap *heap, unsigned index,
                       struct told told)
{
    const struct heap_cert *leaf = &heap->certs[index];
    struct heap_key *key = find_key(heap, leaf->cert);
    if (key == NULL) {
        return is_issuer(heap, index) || fail(told, leaf->source, "a certificate without its key");
    }
    key->used = true;
    if (is_repeated(heap, index)) {
        return true;
    }
    struct tls_identity identity = {leaf->cert, find_chain(heap, leaf), key->key, leaf->source};
    if (identity.issuers == NULL || !add_identity(identities, identity)) {
        sk_X509_pop_free(identity.issuers, X509_free);
        return fail(told, leaf->source, "out of memory");
    }
    return true;
}

static bool match(struct tls_identities *identities, const struct heap *heap, struct told told)
{
    for (unsigned i = 0; i < heap->cert_count; i++) {
        if (!match_cert(identities, heap, i, told)) {
            return false;
        }
    }
    for (unsigned i = 0; i < heap->key_count; i++) {
        if (!heap->keys[i].used) {
            return fail(told, heap->keys[i].source, "a key without its certificate");
        }
    }
    return true;
}

/* ---- a directory ---- */

static int is_not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int compare_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Files without any PEM in them are told and left alone; what is no file is not looked at. */
static bool read_entry(struct tls_identities *identities, struct heap *heap,
                       const struct tls_options *options, const char *name, struct told told)
{
    struct stat status;
    const char *source = add_source(identities, "--cert-dir", options->cert_dir, name);
    if (source == NULL) {
        return fail(told, "--cert-dir", "out of memory");
    }
    const char *path = source + strlen("--cert-dir ");
    if (stat(path, &status) != 0) {
        return fail(told, source, strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return true;
    }
    if (status.st_size > LIM_TLS_PEM_BYTES) {
        return fail(told, source, "too large to hold certificates");
    }
    unsigned before = heap->cert_count + heap->key_count;
    if (!read_file(heap, path, source, told)) {
        return false;
    }
    if (heap->cert_count + heap->key_count == before && options->warn != NULL) {
        char line[LINE_BYTES];
        snprintf(line, sizeof line, "%s: no certificate and no key in it", source);
        options->warn(line);
    }
    return true;
}

static bool load_directory(struct tls_identities *identities, struct heap *heap,
                           const struct tls_options *options, struct told told)
{
    struct dirent **entries = NULL;
    char source[LINE_BYTES];
    snprintf(source, sizeof source, "--cert-dir %s", options->cert_dir);
    int count = scandir(options->cert_dir, &entries, is_not_hidden, compare_bytes);
    if (count < 0) {
        return fail(told, source, strerror(errno));
    }
    bool fine = true;
    for (int i = 0; i < count; i++) {
        fine = fine && read_entry(identities, heap, options, entries[i]->d_name, told);
        free(entries[i]);
    }
    free(entries);
    if (fine && heap->cert_count == 0) {
        return fail(told, source, "no certificate in PEM format in it");
    }
    return fine && match(identities, heap, told);
}

/* ---- all of them ---- */

/* A certificate out of its time is served all the same: the clock may be what is wrong. */
static void warn_of_time(const struct tls_identity *identity, const struct tls_options *options)
{
    char line[LINE_BYTES];
    const char *what = NULL;
    if (X509_cmp_current_time(X509_get0_notAfter(identity->certificate)) < 0) {
        what = "the certificate has expired";
    } else if (X509_cmp_current_time(X509_get0_notBefore(identity->certificate)) > 0) {
        what = "the certificate is not valid yet";
    }
    if (what != NULL && options->warn != NULL) {
        snprintf(line, sizeof line, "%s: %s", identity->source, what);
        options->warn(line);
    }
}

bool tls_identities_load(struct tls_identities *identities, const struct tls_options *options,
                         char *error, size_t error_bytes)
{
    struct told told = {error, error_bytes};
    struct heap heap = {0};
    bool fine = true;
    for (unsigned i = 0; i < options->pair_count && fine; i++) {
        fine = load_pair(identities, &heap, options->certs[i], options->keys[i], told);
        empty(&heap);
    }
    if (fine && options->cert_dir != NULL) {
        fine = load_directory(identities, &heap, options, told);
        empty(&heap);
    }
    for (unsigned i = 0; i < identities->count && fine; i++) {
        warn_of_time(&identities->items[i], options);
    }
    return fine;
}

void tls_identities_free(struct tls_identities *identities)
{
    for (unsigned i = 0; i < identities->count; i++) {
        X509_free(identities->items[i].certificate);
        sk_X509_pop_free(identities->items[i].issuers, X509_free);
        EVP_PKEY_free(identities->items[i].key);
    }
    for (unsigned i = 0; i < identities->source_count; i++) {
        free(identities->sources[i]);
    }
    free(identities->items);
    free(identities->sources);
    *identities = (struct tls_identities){0};
}
