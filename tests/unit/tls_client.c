/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side against our own server's: whom it trusts, and whom not. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/tls.h"
#include "tests/support/pair.h"

static char directory[] = "/tmp/unit-client-XXXXXX";
static char error[512];
static struct pair root;
static struct tls_context *clients;

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void set_up(void)
{
    const struct pair_wish wish = {"root", NULL, 2, true, NULL};
    cr_assert(mkdtemp(directory) != NULL);
    cr_assert(pair_make(&root, &wish));
    cr_assert(pair_write(directory, "root.pem", NULL, &root));
    clients = tls_client_context_create(path_of("root.pem"), error, sizeof error);
    cr_assert(clients != NULL, "%s", error);
}

static void tear_down(void)
{
    char command[128];
    tls_context_free(clients);
    pair_free(&root);
    snprintf(command, sizeof command, "rm -r %s", directory);
    cr_assert_eq(system(command), 0);
}

/* A server whose certificate is as wished. */
static struct tls_context *new_server(const struct pair_wish *wish)
{
    struct pair pair;
    const char *file = path_of("server.pem");
    struct tls_options options = {
        .certs = &file, .keys = &file, .pair_count = 1, .allow_1_2 = true, .h2 = true};
    unlink(file);
    cr_assert(pair_make(&pair, wish));
    cr_assert(pair_write(directory, "server.pem", &pair, &pair));
    pair_free(&pair);
    struct tls_context *context = tls_context_create(&options, error, sizeof error);
    cr_assert(context != NULL, "%s", error);
    return context;
}

struct ends {
    struct tls_conn *client, *server;
    struct buffer client_plain, server_plain;
    bool client_fine, server_fine;
};

static bool carry(struct tls_conn *from, struct tls_conn *to, struct buffer *plain)
{
    struct span bytes = buffer_span(tls_output(from));
    bool fine = bytes.len == 0 || tls_receive(to, bytes, plain, 1 << 20);
    buffer_consume(tls_output(from), bytes.len);
    return fine;
}

static void carry_all(struct ends *ends)
{
    for (int i = 0; i < 4 && ends->client_fine; i++) {
        ends->server_fine = carry(ends->client, ends->server, &ends->server_plain);
        ends->client_fine = carry(ends->server, ends->client, &ends->client_plain);
    }
    if (!ends->client_fine) {
        ends->server_fine = carry(ends->client, ends->server, &ends->server_plain);
    }
}

static void open_ends(struct ends *ends, struct tls_context *server, const char *host)
{
    *ends = (struct ends){.client_fine = true, .server_fine = true};
    ends->server = tls_open(server);
    ends->client = tls_client_open(clients, host);
    cr_assert(ends->server != NULL && ends->client != NULL);
    carry_all(ends);
}

static void close_ends(struct ends *ends)
{
    tls_free(ends->client);
    tls_free(ends->server);
    buffer_release(&ends->client_plain);
    buffer_release(&ends->server_plain);
}

TestSuite(tls_client, .init = set_up, .fini = tear_down);

static const struct pair_wish good = {"up", "DNS:up.example,DNS:*.up.example,IP:10.0.0.1,IP:::1", 2,
                                      false, &root};

Test(tls_client, question_and_answer)
{
    struct ends ends;
    struct tls_context *server = new_server(&good);
    char text[128];
    open_ends(&ends, server, "up.example");
    cr_assert(ends.client_fine && ends.server_fine);
    cr_assert(tls_established(ends.client) && tls_established(ends.server));
    tls_error(ends.client, text, sizeof text);
    cr_expect_str_eq(text, "");
    cr_expect(tls_send(ends.client, SPAN("question")));
    carry_all(&ends);
    cr_expect(span_equal(buffer_span(&ends.server_plain), SPAN("question")));
    cr_expect(tls_send(ends.server, SPAN("answer")));
    tls_close(ends.server);
    carry_all(&ends);
    cr_expect(span_equal(buffer_span(&ends.client_plain), SPAN("answer")));
    cr_expect(tls_ended(ends.client));
    struct tls_info info = tls_info(ends.client);
    cr_expect(span_equal(info.alpn, SPAN("http/1.1")));
    cr_expect(span_equal(info.version, SPAN("TLSv1.3")));
    cr_expect(span_equal(tls_info(ends.server).sni, SPAN("up.example")));
    close_ends(&ends);
    tls_context_free(server);
}

static void expect(const struct pair_wish *wish, const char *host, const char *why)
{
    struct ends ends;
    struct tls_context *server = new_server(wish);
    char text[128] = "";
    open_ends(&ends, server, host);
    cr_expect_eq(ends.client_fine && tls_established(ends.client), why == NULL, "%s", host);
    tls_error(ends.client, text, sizeof text);
    cr_expect_str_eq(text, why != NULL ? why : "");
    if (why != NULL) { /* the peer is told, and nothing can be sent to it */
        cr_expect_not(ends.server_fine);
        tls_error(ends.server, text, sizeof text);
        cr_expect(strstr(text, "alert") != NULL, "%s", text);
    }
    close_ends(&ends);
    tls_context_free(server);
}

Test(tls_client, the_host_must_be_in_the_certificate)
{
    static const char mismatch[] = "certificate verify failed: hostname mismatch";
    static const char other_address[] = "certificate verify failed: IP address mismatch";
    expect(&good, "up.example", NULL);
    expect(&good, "UP.example", NULL);
    expect(&good, "a.up.example", NULL);
    expect(&good, "10.0.0.1", NULL);
    expect(&good, "::1", NULL);
    expect(&good, "a.b.up.example", mismatch);
    expect(&good, "example", mismatch);
    expect(&good, "up", mismatch); /* the common name is no name */
    expect(&good, "10.0.0.2", other_address);
}

Test(tls_client, only_whom_it_trusts)
{
    static const struct pair_wish expired = {"up", "DNS:up.example", 0, false, &root};
    static const struct pair_wish alone = {"up", "DNS:up.example", 2, false, NULL};
    struct pair other;
    const struct pair_wish other_wish = {"other root", NULL, 2, true, NULL};
    cr_assert(pair_make(&other, &other_wish));
    const struct pair_wish stranger = {"up", "DNS:up.example", 2, false, &other};
    expect(&expired, "up.example", "certificate verify failed: certificate has expired");
    expect(&alone, "up.example", "certificate verify failed: self-signed certificate");
    expect(&stranger, "up.example",
           "certificate verify failed: unable to get local issuer certificate");
    pair_free(&other);
}

Test(tls_client, what_is_no_host)
{
    char long_name[300];
    memset(long_name, 'a', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    cr_expect_eq(tls_client_open(clients, ""), NULL);
    cr_expect_eq(tls_client_open(clients, ".example"), NULL);
    cr_expect_eq(tls_client_open(clients, long_name), NULL);
}

Test(tls_client, what_is_no_tls)
{
    static const char *const answers[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "junk of a kind"};
    for (int i = 0; i < 2; i++) {
        struct tls_conn *client = tls_client_open(clients, "up.example");
        struct buffer plain = {0};
        char text[128];
        cr_expect_not(tls_receive(client, span_of(answers[i]), &plain, 1 << 16));
        tls_error(client, text, sizeof text);
        cr_expect_str_eq(text, "wrong version number");
        cr_expect_not(tls_established(client));
        tls_free(client);
        buffer_release(&plain);
    }
}

Test(tls_client, trust_that_cannot_be_read)
{
    char want[300];
    cr_expect_eq(tls_client_context_create("/no/such", error, sizeof error), NULL);
    cr_expect_str_eq(error, "/no/such: No such file or directory");
    FILE *file = fopen(path_of("junk.pem"), "w");
    cr_assert(file != NULL && fputs("junk\n", file) >= 0 && fclose(file) == 0);
    cr_expect_eq(tls_client_context_create(path_of("junk.pem"), error, sizeof error), NULL);
    snprintf(want, sizeof want, "%s: no certificate in PEM format in it", path_of("junk.pem"));
    cr_expect_str_eq(error, want);
}

Test(tls_client, trust_from_the_environment)
{
    struct ends ends;
    struct tls_context *server = new_server(&good);
    setenv("SSL_CERT_FILE", path_of("root.pem"), 1);
    tls_context_free(clients);
    clients = tls_client_context_create(NULL, error, sizeof error);
    cr_assert(clients != NULL, "%s", error);
    open_ends(&ends, server, "up.example");
    cr_expect(tls_established(ends.client));
    close_ends(&ends);
    tls_context_free(server);
    setenv("SSL_CERT_FILE", "/no/such", 1);
    cr_expect_eq(tls_client_context_create(NULL, error, sizeof error), NULL);
    cr_expect_str_eq(error, "/no/such: No such file or directory");
}
