/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and certificates for tests. */
#include "tests/support/pair.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECONDS_OF_A_DAY = 86400, SECONDS_OF_AN_HOUR = 3600 };

static bool add_extension(X509 *cert, int kind, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);
    bool fine = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return fine;
}

static bool fill(const struct pair *pair, const struct pair_wish *wish)
{
    const struct pair *issuer = wish->issuer != NULL ? wish->issuer : pair;
    X509 *cert = pair->cert;
    X509_NAME *name = X509_get_subject_name(cert);
    long until = wish->days_left * (long)SECONDS_OF_A_DAY - SECONDS_OF_AN_HOUR;
    static long serial = 1;
    return X509_set_version(cert, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -2L * SECONDS_OF_A_DAY) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), until) != NULL &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                      (const unsigned char *)wish->common_name, -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, X509_get_subject_name(issuer->cert)) == 1 &&
           X509_set_pubkey(cert, pair->key) == 1 &&
           (wish->names == NULL || add_extension(cert, NID_subject_alt_name, wish->names)) &&
           (!wish->authority || add_extension(cert, NID_basic_constraints, "critical,CA:TRUE")) &&
           X509_sign(cert, issuer->key, EVP_sha256()) > 0;
}

bool pair_make(struct pair *pair, const struct pair_wish *wish)
{
    *pair = (struct pair){EVP_EC_gen("P-256"), X509_new()};
    return pair->key != NULL && pair->cert != NULL && fill(pair, wish);
}

void pair_free(struct pair *pair)
{
    EVP_PKEY_free(pair->key);
    X509_free(pair->cert);
    *pair = (struct pair){0};
}

static bool write_pems(FILE *file, const struct pair *key, const struct pair *cert)
{
    bool fine = file != NULL;
    if (fine && key != NULL) {
        fine = PEM_write_PrivateKey(file, key->key, NULL, NULL, 0, NULL, NULL) == 1;
    }
    if (fine && cert != NULL) {
        fine = PEM_write_X509(file, cert->cert) == 1;
    }
    return file != NULL && fclose(file) == 0 && fine;
}

bool pair_write(const char *directory, const char *name, const struct pair *key,
                const struct pair *cert)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return write_pems(fopen(path, "a"), key, cert);
}

bool pair_create(char *path)
{
    static const struct pair_wish wish = {"localhost", "DNS:localhost,IP:127.0.0.1", 2, false};
    struct pair pair;
    int fd = mkstemp(path);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool made = pair_make(&pair, &wish);
    bool written = write_pems(file, &pair, &pair);
    pair_free(&pair);
    return made && written;
}
