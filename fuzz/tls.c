/* SPDX-License-Identifier: Apache-2.0 */
/* A client's bytes at the server's side of TLS, before and during the handshake: played whole and
 * in pieces; both must come to the same end, without plaintext, which no input can contain, and
 * with answers of limited size.
 *
 * Input: the first byte seeds the sizes of the pieces, the rest is what the client sends.
 */
#include "fuzz/fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/tls.h"
#include "tests/support/pair.h"

enum { OUTPUT_BYTES_MAX = 64 << 10 };

static void check(bool property)
{
    if (!property) {
        abort();
    }
}

static struct tls_context *create_context(void)
{
    char path[] = "/tmp/fuzz-tls-XXXXXX";
    char error[256];
    check(pair_create(path));
    const char *file = path;
    struct tls_options options = {
        .certs = &file, .keys = &file, .pair_count = 1, .allow_1_2 = true};
    struct tls_context *context = tls_context_create(&options, error, sizeof error);
    unlink(path);
    check(context != NULL);
    return context;
}

/* How the connection ended: did it fail, and how much was said? */
struct end {
    bool fine;
    size_t output;
};

static struct end play(struct tls_context *context, const char *bytes, size_t size, uint32_t random,
                       bool whole)
{
    struct end end = {.fine = true};
    struct buffer plain = {0};
    struct tls_conn *tls = tls_open(context);
    check(tls != NULL);
    for (size_t at = 0; at < size && end.fine;) {
        random = random * 1664525u + 1013904223u;
        size_t piece = whole ? size : (random >> 16) % 40 + 1;
        piece = piece < size - at ? piece : size - at;
        end.fine = tls_receive(tls, (struct span){bytes + at, piece}, &plain, 1 << 20);
        at += piece;
    }
    check(buffer_bytes(&plain) == 0);
    check(!tls_established(tls));
    end.output = buffer_bytes(tls_output(tls));
    check(end.output <= OUTPUT_BYTES_MAX);
    tls_close(tls);
    tls_free(tls);
    buffer_release(&plain);
    return end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tls_context *context;
    if (context == NULL) {
        context = create_context();
    }
    if (size == 0) {
        return 0;
    }
    struct end whole = play(context, (const char *)data + 1, size - 1, 0, true);
    struct end pieces = play(context, (const char *)data + 1, size - 1, data[0], false);
    check(whole.fine == pieces.fine);
    check((whole.output == 0) == (pieces.output == 0));
    return 0;
}
