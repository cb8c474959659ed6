/* SPDX-License-Identifier: Apache-2.0 */
/* Private keys (P-256) and their certificates, made for the moment. */
#ifndef TESTS_SUPPORT_PAIR_H
#define TESTS_SUPPORT_PAIR_H

#include <openssl/x509.h>
#include <stdbool.h>

/* Writes a key and its certificate for localhost into a new file, PEM; `path` ends in XXXXXX and
 * gets its name. */
bool pair_create(char *path);

struct pair {
    EVP_PKEY *key;
    X509 *cert;
};

struct pair_wish {
    const char *common_name;
    const char *names;         /* subjectAltName as openssl has it, "DNS:a,DNS:*.b"; NULL: none */
    int days_left;             /* 0: it expired an hour ago */
    bool authority;            /* may issue others */
    const struct pair *issuer; /* NULL: itself */
};

/* False: to be freed all the same. */
bool pair_make(struct pair *pair, const struct pair_wish *wish);
void pair_free(struct pair *pair);

/* Appends to the file of that name in the directory: the key, certificates; either may be NULL. */
bool pair_write(const char *directory, const char *name, const struct pair *key,
                const struct pair *cert);

#endif
