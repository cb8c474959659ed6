/* SPDX-License-Identifier: Apache-2.0 */
/* A peer's bytes at both sides of TLS, before and during the handshake: played whole and in pieces;
 * both must come to the same end, without plaintext, which no input can contain, and with answers
 * of limited size.
 *
 * Input: the first byte seeds the sizes of the pieces, the rest is what the peer sends.
 */
#include "fuzz/fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/tls.h"
#include "tests/support/pair.h"

enum { OUTPUT_BYTES_MAX = 64 << 10 };

static struct tls_context *server_context;
static struct tls_context *client_context;

static void create_contexts(void)
{
    char path[] = "/tmp/fuzz-tls-XXXXXX";
    const char *file = path;
    char error[256];
    check(pair_create(path));
    struct tls_options options = {
        .certs = &file, .keys = &file, .pair_count = 1, .allow_1_2 = true, .h2 = true};
    server_context = tls_context_create(&options, error, sizeof error);
    client_context = tls_client_context_create(path, error, sizeof error);
    unlink(path);
    check(server_context != NULL && client_context != NULL);
}

/* How the connection ended: did it fail, and how much was said? */
struct end {
    bool fine;
    size_t output;
};

static struct end play(bool client, const char *bytes, size_t size, uint32_t random, bool whole)
{
    struct end end = {.fine = true};
    struct buffer plain = {0};
    struct tls_conn *tls =
        client ? tls_client_open(client_context, "localhost") : tls_open(server_context);
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
    if (server_context == NULL) {
        create_contexts();
    }
    if (size == 0) {
        return 0;
    }
    for (unsigned client = 0; client < 2; client++) {
        struct end whole = play(client, (const char *)data + 1, size - 1, 0, true);
        struct end pieces = play(client, (const char *)data + 1, size - 1, data[0], false);
        check(whole.fine == pieces.fine);
        check((whole.output == 0) == (pieces.output == 0));
    }
    return 0;
}
