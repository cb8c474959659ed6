/* SPDX-License-Identifier: Apache-2.0 */
/* The names certificates are good for: a sorted array, searched twice for each host. */
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/tls_certs.h"

enum { HOST_BYTES_MAX = 255 };

struct tls_name {
    char *text; /* lower case; may begin with "*." */
    unsigned identity;
};

static int compare(const void *a, const void *b)
{
    const struct tls_name *left = a;
    const struct tls_name *right = b;
    int order = strcmp(left->text, right->text);
    if (order != 0) {
        return order;
    }
    return left->identity < right->identity ? -1 : left->identity > right->identity;
}

static bool add(struct tls_names *names, const ASN1_STRING *text, unsigned identity)
{
    const char *base = (const char *)ASN1_STRING_get0_data(text);
    int bytes = ASN1_STRING_length(text);
    if (bytes <= 0 || bytes > HOST_BYTES_MAX || memchr(base, '\0', (size_t)bytes) != NULL) {
        return true; /* no host is called so */
    }
    if ((names->count & (names->count - 1)) == 0) { /* full: 0, 1, 2, 4, 8 ... */
        size_t capacity = names->count == 0 ? 1 : names->count * 2;
        struct tls_name *grown = reallocarray(names->items, capacity, sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        names->items = grown;
    }
    char *copy = span_copy_lower((struct span){base, (size_t)bytes});
    if (copy == NULL) {
        return false;
    }
    names->items[names->count++] = (struct tls_name){copy, identity};
    return true;
}

bool tls_names_collect(struct tls_names *names, const struct tls_identities *identities)
{
    bool fine = true;
    for (unsigned i = 0; i < identities->count && fine; i++) {
        GENERAL_NAMES *found =
            X509_get_ext_d2i(identities->items[i].certificate, NID_subject_alt_name, NULL, NULL);
        for (int k = 0; k < sk_GENERAL_NAME_num(found) && fine; k++) {
            const GENERAL_NAME *name = sk_GENERAL_NAME_value(found, k);
            fine = name->type != GEN_DNS || add(names, name->d.dNSName, i);
        }
        GENERAL_NAMES_free(found);
    }
    if (names->count > 0) {
        qsort(names->items, names->count, sizeof names->items[0], compare);
    }
    return fine;
}

/* The first of those with this text. */
static int find(const struct tls_names *names, const char *text)
{
    size_t low = 0;
    size_t high = names->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(names->items[middle].text, text) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == names->count || strcmp(names->items[low].text, text) != 0) {
        return -1;
    }
    return (int)names->items[low].identity;
}

int tls_names_find(const struct tls_names *names, const char *host)
{
    char pattern[HOST_BYTES_MAX + 2];
    int found = find(names, host);
    const char *rest = strchr(host, '.');
    if (found >= 0 || rest == NULL || rest == host || strlen(rest) > HOST_BYTES_MAX) {
        return found;
    }
    snprintf(pattern, sizeof pattern, "*%s", rest);
    return find(names, pattern);
}

void tls_names_free(struct tls_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->items[i].text);
    }
    free(names->items);
    *names = (struct tls_names){0};
}
