/* SPDX-License-Identifier: Apache-2.0 */
/* The algorithm is fetched once: a fetch by name takes locks and longer than a short hash. */
#include "server/sha256.h"

#include <openssl/evp.h>
#include <pthread.h>

static EVP_MD *algorithm;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
}

bool sha256(struct span first, struct span second, uint8_t out[SHA256_BYTES])
{
    pthread_once(&once, fetch);
    EVP_MD_CTX *hash = algorithm == NULL ? NULL : EVP_MD_CTX_new();
    bool done = hash != NULL && EVP_DigestInit_ex2(hash, algorithm, NULL) == 1 &&
                EVP_DigestUpdate(hash, first.base, first.len) == 1 &&
                EVP_DigestUpdate(hash, second.base, second.len) == 1 &&
                EVP_DigestFinal_ex(hash, out, NULL) == 1;
    EVP_MD_CTX_free(hash);
    return done;
}
