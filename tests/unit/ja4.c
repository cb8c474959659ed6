/* SPDX-License-Identifier: Apache-2.0 */
/* JA4 of ClientHellos put together here. What is expected was made by hand: sha256sum over the
 * sorted lists, written beside each case. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>

#include "server/ja4.h"

struct message {
    unsigned char bytes[8192];
    size_t size;
};

static void put(struct message *message, unsigned value, unsigned bytes)
{
    while (bytes-- > 0) {
        message->bytes[message->size++] = (unsigned char)(value >> 8 * bytes);
    }
}

static void put_list(struct message *message, unsigned length_bytes, const uint16_t *items,
                     unsigned count)
{
    put(message, count * 2, length_bytes);
    for (unsigned i = 0; i < count; i++) {
        put(message, items[i], 2);
    }
}

static void begin(struct message *message, const uint16_t *ciphers, unsigned count)
{
    message->size = 0;
    put(message, 0x0303, 2);
    for (int i = 0; i < 32; i++) {
        put(message, 0x5a, 1);
    }
    put(message, 0, 1);
    put_list(message, 2, ciphers, count);
    put(message, 0x0100, 2); /* one compression method: none */
}

/* What the extension is about, as far as JA4 looks at it; others are empty. */
struct lists {
    const char *alpn;
    const uint16_t *signatures;
    unsigned signature_count;
    const uint16_t *versions;
    unsigned version_count;
};

static void put_extension(struct message *message, unsigned type, const struct lists *lists)
{
    put(message, type, 2);
    size_t at = message->size;
    put(message, 0, 2);
    if (type == 16 && lists->alpn != NULL) {
        put(message, (unsigned)strlen(lists->alpn) + 1, 2);
        put(message, (unsigned)strlen(lists->alpn), 1);
        for (const char *c = lists->alpn; *c != '\0'; c++) {
            put(message, (unsigned char)*c, 1);
        }
    } else if (type == 13) {
        put_list(message, 2, lists->signatures, lists->signature_count);
    } else if (type == 43) {
        put_list(message, 1, lists->versions, lists->version_count);
    }
    size_t bytes = message->size - at - 2;
    message->bytes[at] = (unsigned char)(bytes >> 8);
    message->bytes[at + 1] = (unsigned char)bytes;
}

static void put_extensions(struct message *message, const uint16_t *types, unsigned count,
                           const struct lists *lists)
{
    size_t at = message->size;
    put(message, 0, 2);
    for (unsigned i = 0; i < count; i++) {
        put_extension(message, types[i], lists);
    }
    size_t bytes = message->size - at - 2;
    message->bytes[at] = (unsigned char)(bytes >> 8);
    message->bytes[at + 1] = (unsigned char)bytes;
}

static struct span span_of_message(const struct message *message)
{
    return (struct span){(const char *)message->bytes, message->size};
}

static void expect(const struct message *message, const char *want)
{
    char text[JA4_BYTES];
    cr_expect(ja4_fingerprint(span_of_message(message), text));
    cr_expect_str_eq(text, want);
}

#define COUNT(array) (unsigned)(sizeof(array) / sizeof(array)[0])

/* The example of FoxIO's description: a Chrome, with GREASE in every list.
 * 8daaf6152771: 002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9
 * e5627efa2ab1: 0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01
 *               _0403,0804,0401,0503,0805,0501,0806,0601 */
static const uint16_t ciphers[] = {0x3a3a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030,
                                   0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035};
static const uint16_t types[] = {0xdada, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469,
                                 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
                                 0x002b, 0xff01, 0x000b, 0x000a, 0x2a2a, 0x0015};
static const uint16_t signatures[] = {0x0403, 0x0804, 0x0401, 0x0503,
                                      0x0805, 0x0501, 0x0806, 0x0601};
static const uint16_t versions[] = {0xfafa, 0x0304, 0x0303};
static const struct lists lists = {"h2", signatures, COUNT(signatures), versions, COUNT(versions)};

static void make_example(struct message *message)
{
    begin(message, ciphers, COUNT(ciphers));
    put_extensions(message, types, COUNT(types), &lists);
}

Test(ja4, the_published_example)
{
    struct message message;
    make_example(&message);
    expect(&message, "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

/* Neither the order of ciphers nor that of extensions counts. */
Test(ja4, order_does_not_count)
{
    struct message message;
    uint16_t turned_ciphers[COUNT(ciphers)];
    uint16_t turned_types[COUNT(types)];
    for (unsigned i = 0; i < COUNT(ciphers); i++) {
        turned_ciphers[i] = ciphers[COUNT(ciphers) - 1 - i];
    }
    for (unsigned i = 0; i < COUNT(types); i++) {
        turned_types[i] = types[COUNT(types) - 1 - i];
    }
    begin(&message, turned_ciphers, COUNT(turned_ciphers));
    put_extensions(&message, turned_types, COUNT(turned_types), &lists);
    expect(&message, "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

/* No extensions at all: version of the message itself, zeros for what is empty. */
Test(ja4, what_is_missing)
{
    struct message message;
    static const uint16_t one[] = {0x1301};
    static const uint16_t few[] = {0x000a};
    begin(&message, NULL, 0);
    expect(&message, "t12i000000_000000000000_000000000000");
    begin(&message, one, 1);
    put_extensions(&message, few, 1, &lists);
    /* sha256 of "1301" and of "000a" */
    expect(&message, "t12i010100_0f2cb44170f4_a8f3e973773c");
}

Test(ja4, alpn_in_two_characters)
{
    static const struct {
        const char *alpn;
        const char *want;
    } cases[] = {{"http/1.1", "h1"}, {"h", "hh"},        {"", "00"},
                 {"\xab", "ab"},     {"\xab\xcd", "ad"}, {"h\x01", "61"}};
    static const uint16_t type[] = {16};
    for (unsigned i = 0; i < COUNT(cases); i++) {
        struct message message;
        char text[JA4_BYTES];
        struct lists alpn = {.alpn = cases[i].alpn};
        begin(&message, NULL, 0);
        put_extensions(&message, type, 1, &alpn);
        cr_expect(ja4_fingerprint(span_of_message(&message), text));
        cr_expect_eq(memcmp(text + 8, cases[i].want, 2), 0, "%s, want %s", text, cases[i].want);
    }
}

Test(ja4, counts_stop_at_99)
{
    struct message message;
    char text[JA4_BYTES];
    uint16_t many[256];
    for (unsigned i = 0; i < COUNT(many); i++) {
        many[i] = (uint16_t)(0x5000 + i);
    }
    begin(&message, many, 256);
    put_extensions(&message, many, 256, &lists);
    cr_expect(ja4_fingerprint(span_of_message(&message), text));
    cr_expect_eq(memcmp(text, "t12i999900_", 11), 0, "%s", text);
}

Test(ja4, more_than_any_client_sends)
{
    struct message message;
    char text[JA4_BYTES] = "x";
    uint16_t many[257];
    for (unsigned i = 0; i < COUNT(many); i++) {
        many[i] = (uint16_t)(0x5000 + i);
    }
    begin(&message, many, 257);
    cr_expect_not(ja4_fingerprint(span_of_message(&message), text));
    cr_expect_str_eq(text, "");
}

/* Cut off anywhere it is refused, but for the end of the part that may be all. */
Test(ja4, cut_off)
{
    struct message message;
    make_example(&message);
    size_t without_extensions = 2 + 32 + 1 + 2 + sizeof ciphers + 2;
    for (size_t size = 0; size < message.size; size++) {
        char text[JA4_BYTES];
        char *copy = malloc(size + (size == 0)); /* so that reads outside are seen */
        memcpy(copy, message.bytes, size);
        bool fine = ja4_fingerprint((struct span){copy, size}, text);
        cr_expect_eq(fine, size == without_extensions, "%zu bytes", size);
        free(copy);
    }
    message.bytes[message.size++] = 0;
    char text[JA4_BYTES];
    cr_expect_not(ja4_fingerprint(span_of_message(&message), text), "more than the message");
}
