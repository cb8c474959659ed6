/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and certificates for tests. */
#include "tests/support/pair.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECONDS_OF_A_DAY = 86400 };

static bool fill_certificate(X509 *cert, EVP_PKEY *key)
{
    X509_NAME *name = X509_get_subject_name(cert);
    return ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -SECONDS_OF_A_DAY) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), SECONDS_OF_A_DAY) != NULL &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost",
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
           X509_sign(cert, key, EVP_sha256()) > 0;
}

bool pair_create(char *path)
{
    int fd = mkstemp(path);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    bool fine = file != NULL && key != NULL && cert != NULL && fill_certificate(cert, key) &&
                PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 &&
                PEM_write_X509(file, cert) == 1;
    X509_free(cert);
    EVP_PKEY_free(key);
    return file != NULL && fclose(file) == 0 && fine;
}
