/* SPDX-License-Identifier: Apache-2.0 */
/* What an idle connection holds: many are opened, used, and left alone; their clients are freed, so
 * that what the allocator still has out is the server's. */
#include <criterion/criterion.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/limits.h"
#include "server/tls.h"
#include "tests/support/pair.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ALLOCATOR_COUNTS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ALLOCATOR_COUNTS false
#else
#define ALLOCATOR_COUNTS true
#endif
#else
#define ALLOCATOR_COUNTS true
#endif

/* Of OpenSSL 3.2 and later, those of TLS 1.2 are twice as large, whatever we do. */
#define LARGER_FROM 0x30200000UL

enum { CONNECTIONS = 200 };

static size_t bytes_in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static struct tls_context *new_context(struct tls_tickets *tickets)
{
    char error[256];
    char path[] = "/tmp/unit-memory-XXXXXX";
    const char *file = path;
    cr_assert(pair_create(path));
    struct tls_options options = {.certs = &file,
                                  .keys = &file,
                                  .pair_count = 1,
                                  .allow_1_2 = true,
                                  .h2 = true,
                                  .tickets = tickets};
    struct tls_context *context = tls_context_create(&options, error, sizeof error);
    unlink(path);
    cr_assert(context != NULL, "%s", error);
    return context;
}

static void from_client(struct tls_conn *tls, SSL *client, struct buffer *plain)
{
    char *bytes;
    size_t size = (size_t)BIO_get_mem_data(SSL_get_wbio(client), &bytes);
    cr_assert(tls_receive(tls, (struct span){bytes, size}, plain, 1 << 16));
    (void)BIO_reset(SSL_get_wbio(client));
}

static void to_client(struct tls_conn *tls, SSL *client)
{
    struct span output = buffer_span(tls_output(tls));
    if (output.len > 0) {
        BIO_write(SSL_get_rbio(client), output.base, (int)output.len);
        buffer_consume(tls_output(tls), output.len);
    }
}

static void exchange(struct tls_conn *tls, SSL *client)
{
    struct buffer plain = {0};
    char got[64];
    SSL_write(client, "question", 8);
    from_client(tls, client, &plain);
    cr_assert(span_equal(buffer_span(&plain), SPAN("question")));
    cr_assert(tls_send(tls, SPAN("answer")));
    to_client(tls, client);
    cr_assert_eq(SSL_read(client, got, sizeof got), 6);
    buffer_release(&plain);
}

static SSL *open_client(SSL_CTX *context, int version)
{
    SSL *client = SSL_new(context);
    SSL_set_bio(client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_tlsext_host_name(client, "www.example.com");
    SSL_set_alpn_protos(client, (const unsigned char *)"\x02h2\x08http/1.1", 12);
    SSL_set_max_proto_version(client, version);
    SSL_set_connect_state(client);
    return client;
}

/* A connection that answered a question; its client is gone. */
static struct tls_conn *open_idle(struct tls_context *context, SSL_CTX *clients, int version)
{
    SSL *client = open_client(clients, version);
    struct tls_conn *tls = tls_open(context);
    struct buffer plain = {0};
    for (int i = 0; i < 3; i++) {
        SSL_do_handshake(client);
        from_client(tls, client, &plain);
        to_client(tls, client);
    }
    cr_assert(tls_established(tls));
    exchange(tls, client);
    tls_idle(tls);
    exchange(tls, client); /* it is as good as before */
    tls_idle(tls);
    buffer_release(&plain);
    SSL_set_shutdown(client, SSL_SENT_SHUTDOWN);
    SSL_free(client);
    return tls;
}

static void measure(int version)
{
    struct tls_tickets *tickets = tls_tickets_create();
    struct tls_context *context = new_context(tickets);
    SSL_CTX *clients = SSL_CTX_new(TLS_client_method());
    struct tls_conn *conns[CONNECTIONS];
    tls_free(open_idle(context, clients, version)); /* what is made once is not counted */
    size_t before = bytes_in_use();
    for (int i = 0; i < CONNECTIONS; i++) {
        conns[i] = open_idle(context, clients, version);
    }
    size_t each = (bytes_in_use() - before) / CONNECTIONS;
    if (ALLOCATOR_COUNTS) {
        cr_log_info("%zu bytes for each idle connection", each);
    }
    bool ours = version == TLS1_3_VERSION;
    if (ALLOCATOR_COUNTS && (ours || OpenSSL_version_num() < LARGER_FROM)) {
        cr_expect_leq(each, ours ? LIM_TLS_IDLE_BYTES : LIM_TLS_IDLE_1_2_BYTES, "%zu bytes", each);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        tls_free(conns[i]);
    }
    SSL_CTX_free(clients);
    tls_context_free(context);
    tls_tickets_free(tickets);
}

Test(tls_memory, of_an_idle_connection)
{
    measure(TLS1_3_VERSION);
}

Test(tls_memory, of_an_idle_connection_with_tls_1_2)
{
    measure(TLS1_2_VERSION);
}
