/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of session tickets. A ticket names its key (RFC 5077 4); the newest of three makes new
 * tickets, all three read old ones. Whoever finds that the newest is old puts a fresh one in front,
 * so that what is stolen of the memory tells nothing about sessions of the day before.
 *
 * Readers copy a key under a lock that excludes only the making of a new one.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#include "server/limits.h"
#include "server/tls_int.h"

enum { NAME_BYTES = 16, IV_BYTES = 16, KEY_BYTES = 32 };

struct ticket_key {
    unsigned char name[NAME_BYTES];
    unsigned char cipher[KEY_BYTES]; /* AES-256-CBC */
    unsigned char mac[KEY_BYTES];    /* HMAC-SHA256 */
};

struct tls_tickets {
    pthread_rwlock_t lock;
    EVP_CIPHER *cipher;
    struct ticket_key keys[LIM_TLS_TICKET_KEYS]; /* newest first */
    unsigned count;
    bool dated;
    uint64_t made_ms; /* the newest, once dated */
};

/* The oldest makes way. False: no random numbers; nothing changed. */
static bool add_key(struct tls_tickets *tickets)
{
    struct ticket_key key;
    if (RAND_priv_bytes((unsigned char *)&key, sizeof key) != 1) {
        return false;
    }
    memmove(&tickets->keys[1], &tickets->keys[0], sizeof key * (LIM_TLS_TICKET_KEYS - 1));
    tickets->keys[0] = key;
    tickets->count += tickets->count < LIM_TLS_TICKET_KEYS;
    OPENSSL_cleanse(&key, sizeof key);
    return true;
}

struct tls_tickets *tls_tickets_create(void)
{
    struct tls_tickets *tickets = calloc(1, sizeof *tickets);
    if (tickets == NULL || pthread_rwlock_init(&tickets->lock, NULL) != 0) {
        free(tickets);
        return NULL;
    }
    tickets->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (tickets->cipher == NULL || !add_key(tickets)) {
        tls_tickets_free(tickets);
        return NULL;
    }
    return tickets;
}

void tls_tickets_free(struct tls_tickets *tickets)
{
    if (tickets != NULL) {
        EVP_CIPHER_free(tickets->cipher);
        pthread_rwlock_destroy(&tickets->lock);
        OPENSSL_cleanse(tickets->keys, sizeof tickets->keys);
        free(tickets);
    }
}

static bool is_due(const struct tls_tickets *tickets, uint64_t now_ms)
{
    return !tickets->dated ||
           (now_ms > tickets->made_ms && now_ms - tickets->made_ms >= LIM_TLS_TICKET_KEY_MS);
}

/* One new key for each time that passed, so that after a quiet day none of the old ones is left.
 * Clocks of threads may differ a little; none is set back. */
static void rotate(struct tls_tickets *tickets, uint64_t now_ms)
{
    if (!tickets->dated) {
        tickets->dated = true;
        tickets->made_ms = now_ms;
    }
    for (unsigned i = 0; i < LIM_TLS_TICKET_KEYS && is_due(tickets, now_ms); i++) {
        if (!add_key(tickets)) {
            return;
        }
        bool last = i + 1 == LIM_TLS_TICKET_KEYS;
        tickets->made_ms = last ? now_ms : tickets->made_ms + LIM_TLS_TICKET_KEY_MS;
    }
}

static void keep_fresh(struct tls_tickets *tickets, uint64_t now_ms)
{
    pthread_rwlock_rdlock(&tickets->lock);
    bool due = is_due(tickets, now_ms);
    pthread_rwlock_unlock(&tickets->lock);
    if (due) {
        pthread_rwlock_wrlock(&tickets->lock);
        rotate(tickets, now_ms);
        pthread_rwlock_unlock(&tickets->lock);
    }
}

/* Copies the key of that name; NULL means the newest. Its index; -1: there is none. */
static int copy_key(struct tls_tickets *tickets, const unsigned char *name, struct ticket_key *key)
{
    int found = -1;
    pthread_rwlock_rdlock(&tickets->lock);
    for (unsigned i = 0; i < tickets->count && found < 0; i++) {
        if (name == NULL || memcmp(tickets->keys[i].name, name, NAME_BYTES) == 0) {
            *key = tickets->keys[i];
            found = (int)i;
        }
    }
    pthread_rwlock_unlock(&tickets->lock);
    return found;
}

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* The library's question for a key. 1: here it is; 2: the same, and the client should get a new
 * ticket; 0: go on without tickets; -1: failed. */
static int give_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, int encrypt)
{
    const struct tls_conn *tls = SSL_get_app_data(ssl);
    struct tls_tickets *tickets = tls->context->tickets;
    struct ticket_key key;
    keep_fresh(tickets, tls->now_ms);
    int found = copy_key(tickets, encrypt ? NULL : name, &key);
    if (found < 0) {
        return 0;
    }
    bool fine = set_mac(mac, &key);
    if (encrypt) {
        memcpy(name, key.name, NAME_BYTES);
        fine = fine && RAND_bytes(iv, IV_BYTES) == 1 &&
               EVP_EncryptInit_ex2(cipher, tickets->cipher, key.cipher, iv, NULL) == 1;
    } else {
        fine = fine && EVP_DecryptInit_ex2(cipher, tickets->cipher, key.cipher, iv, NULL) == 1;
    }
    OPENSSL_cleanse(&key, sizeof key);
    if (!fine) {
        return -1;
    }
    return found == 0 ? 1 : 2;
}

void tls_tickets_use(SSL_CTX *ssl)
{
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, give_key);
}
