/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and their keys, read from PEM files and matched, and the names they are good for. */
#ifndef SERVER_TLS_CERTS_H
#define SERVER_TLS_CERTS_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "server/tls.h"

/* A certificate that we have the key of. */
struct tls_identity {
    X509 *certificate;
    STACK_OF(X509) * issuers; /* the way to a root, without the root when it is known to be one */
    EVP_PKEY *key;
    const char *source; /* "--cert FILE", for messages */
};

/* Those of --cert and --key in their order, then those of --cert-dir in the order of their files.
 * All zero is empty. */
struct tls_identities {
    struct tls_identity *items;
    unsigned count;
    char **sources;
    unsigned source_count;
};

/* False: one line in `error` that names the file at fault; to be freed all the same. */
bool tls_identities_load(struct tls_identities *identities, const struct tls_options *options,
                         char *error, size_t error_bytes);
void tls_identities_free(struct tls_identities *identities);

/* Names to identities, by their index. All zero is empty. */
struct tls_names {
    struct tls_name *items; /* sorted */
    size_t count;
};

/* The DNS names of the certificates (subjectAltName; the common name is none). Of several
 * certificates for one name the first counts. False: out of memory; to be freed all the same. */
bool tls_names_collect(struct tls_names *names, const struct tls_identities *identities);
/* Index of the identity for this host, in lower case: by its name, else by "*." instead of its
 * first label (RFC 6125 6.4.3). -1: none. */
int tls_names_find(const struct tls_names *names, const char *host);
void tls_names_free(struct tls_names *names);

#endif
