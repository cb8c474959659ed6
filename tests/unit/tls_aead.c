/* SPDX-License-Identifier: Apache-2.0 */
/* Records protected by either library: both make the same octets, and neither opens what was
 * touched.
 */
#include "server/tls_aead.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 16384, SEALED_MAX = TEXT_MAX + 1 + TLS_TAG_BYTES };

static struct tls_aead_kind *fast[TLS_AEADS];
static struct tls_aead_kind *plain[TLS_AEADS];
static const unsigned char header[TLS_HEADER_BYTES] = {23, 3, 3, 1, 2};
static const unsigned char nonce[TLS_IV_BYTES] = {9, 8, 7, 6, 5, 4, 3, 2, 1};
static unsigned char key[32];
static char text[TEXT_MAX];

static void set_up(void)
{
    tls_aead_fetch(fast, true);
    tls_aead_fetch(plain, false);
    for (unsigned i = 0; i < sizeof key; i++) {
        key[i] = (unsigned char)(i * 37);
    }
    for (unsigned i = 0; i < TEXT_MAX; i++) {
        text[i] = (char)(i * i >> 3);
    }
}

static void tear_down(void)
{
    for (unsigned i = 0; i < TLS_AEADS; i++) {
        tls_aead_release(fast[i]);
        tls_aead_release(plain[i]);
    }
}

TestSuite(tls_aead, .init = set_up, .fini = tear_down);

static void seal(const struct tls_aead_kind *kind, size_t bytes, unsigned char *out)
{
    struct tls_aead *aead = tls_aead_create(kind, key, true);
    cr_assert_neq(aead, NULL);
    cr_assert(tls_aead_seal(aead, nonce, header, (struct tls_text){{text, bytes}}, 22, out));
    tls_aead_free(aead);
}

static bool opens(const struct tls_aead_kind *kind, const unsigned char *aad,
                  const unsigned char *sealed, size_t bytes, unsigned char *out)
{
    struct tls_aead *aead = tls_aead_create(kind, key, false);
    cr_assert_neq(aead, NULL);
    bool opened = tls_aead_open(aead, nonce, aad, (struct span){(const char *)sealed, bytes}, out);
    tls_aead_free(aead);
    return opened;
}

Test(tls_aead, both_libraries_make_the_same)
{
    static unsigned char one[SEALED_MAX], other[SEALED_MAX], back[SEALED_MAX];
    for (unsigned kind = 0; kind < TLS_AEADS; kind++) {
        for (size_t bytes = 0; bytes <= TEXT_MAX; bytes += bytes < 600 ? 1 : 1973) {
            size_t sealed = bytes + 1 + TLS_TAG_BYTES;
            seal(fast[kind], bytes, one);
            seal(plain[kind], bytes, other);
            cr_assert_arr_eq(one, other, sealed);
            cr_assert(opens(fast[kind], header, other, sealed, back));
            cr_assert_arr_eq(back, text, bytes);
            cr_assert_eq(back[bytes], 22);
            cr_assert(opens(plain[kind], header, one, sealed, back));
            cr_assert_arr_eq(back, text, bytes);
        }
    }
}

Test(tls_aead, many_records_of_one_key)
{
    static unsigned char one[SEALED_MAX], other[SEALED_MAX];
    for (unsigned kind = 0; kind < TLS_AEADS; kind++) {
        struct tls_aead *first = tls_aead_create(fast[kind], key, true);
        struct tls_aead *second = tls_aead_create(plain[kind], key, true);
        for (unsigned i = 0; i < 300; i++) {
            unsigned char own[TLS_IV_BYTES] = {(unsigned char)i, (unsigned char)(i >> 8)};
            struct span some = {text + i, i * 97 % 5000};
            cr_assert(tls_aead_seal(first, own, header, (struct tls_text){some}, 23, one));
            cr_assert(tls_aead_seal(second, own, header, (struct tls_text){some}, 23, other));
            cr_assert_arr_eq(one, other, some.len + 1 + TLS_TAG_BYTES);
        }
        tls_aead_free(first);
        tls_aead_free(second);
    }
}

static void touch_each_bit(const struct tls_aead_kind *kind)
{
    enum { BYTES = 40, SEALED = BYTES + 1 + TLS_TAG_BYTES };
    unsigned char sealed[SEALED], aad[TLS_HEADER_BYTES], back[SEALED];
    seal(kind, BYTES, sealed);
    for (unsigned bit = 0; bit < 8 * SEALED; bit++) {
        sealed[bit / 8] ^= (unsigned char)(1u << bit % 8);
        cr_expect_not(opens(kind, header, sealed, SEALED, back));
        sealed[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    memcpy(aad, header, sizeof aad);
    for (unsigned bit = 0; bit < 8 * TLS_HEADER_BYTES; bit++) {
        aad[bit / 8] ^= (unsigned char)(1u << bit % 8);
        cr_expect_not(opens(kind, aad, sealed, SEALED, back));
        aad[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    cr_expect_not(opens(kind, header, sealed + 1, SEALED - 1, back));
    cr_expect_not(opens(kind, header, sealed + BYTES + 1, TLS_TAG_BYTES, back));
    cr_expect(opens(kind, header, sealed, SEALED, back));
}

Test(tls_aead, what_was_touched_is_not_opened)
{
    for (unsigned kind = 0; kind < TLS_AEADS; kind++) {
        touch_each_bit(fast[kind]);
        touch_each_bit(plain[kind]);
    }
}

/* Where records end, nothing is read or written: the buffers are of their exact sizes, for the
 * sanitizer's sake and for that of the octets beyond. */
Test(tls_aead, stays_inside)
{
    for (size_t bytes = 0; bytes < 300; bytes++) {
        size_t sealed = bytes + 1 + TLS_TAG_BYTES;
        unsigned char *from = malloc(bytes + 1), *out = malloc(sealed + 64);
        memcpy(from, text, bytes);
        memset(out, 0xee, sealed + 64);
        struct tls_aead *aead = tls_aead_create(fast[TLS_AES_128_GCM], key, true);
        cr_assert(
            tls_aead_seal(aead, nonce, header, (struct tls_text){{(char *)from, bytes}}, 23, out));
        tls_aead_free(aead);
        for (unsigned i = 0; i < 64; i++) {
            cr_assert_eq(out[sealed + i], 0xee);
        }
        memset(from, 0xdd, bytes + 1);
        cr_assert(opens(fast[TLS_AES_128_GCM], header, out, sealed, out));
        cr_assert_arr_eq(out, text, bytes); /* also where it lies */
        free(from);
        free(out);
    }
}
