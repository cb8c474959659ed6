/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of certificates: what belongs together, which one a client gets, what is refused. */
#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/tls.h"
#include "tests/support/pair.h"

static char directory[] = "/tmp/unit-certs-XXXXXX";
static char error[512];
static char warnings[1024];

static void set_up(void)
{
    cr_assert(mkdtemp(directory) != NULL);
}

static void remove_directory(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", directory);
    cr_assert_eq(system(command), 0);
}

static void note_warning(const char *line)
{
    size_t used = strlen(warnings);
    snprintf(warnings + used, sizeof warnings - used, "%s\n", line);
}

static struct tls_context *load(void)
{
    struct tls_options options = {.cert_dir = directory, .allow_1_2 = true, .warn = note_warning};
    warnings[0] = error[0] = '\0';
    return tls_context_create(&options, error, sizeof error);
}

static void make(struct pair *pair, const char *names)
{
    const struct pair_wish wish = {.common_name = "test", .names = names, .days_left = 2};
    cr_assert(pair_make(pair, &wish));
}

static void put_text(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* A key and its certificate for these names, in one file. */
static void put(const char *file, const char *names)
{
    struct pair pair;
    make(&pair, names);
    cr_assert(pair_write(directory, file, &pair, &pair));
    pair_free(&pair);
}

/* ---- which certificate does a client get? ---- */

static SSL *connect_as(const char *host)
{
    static SSL_CTX *context;
    if (context == NULL) {
        context = SSL_CTX_new(TLS_client_method());
    }
    SSL *client = SSL_new(context);
    SSL_set_bio(client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(client);
    if (host != NULL) {
        SSL_set_tlsext_host_name(client, host);
    }
    return client;
}

/* One flight there and back is enough to see the certificate. */
static SSL *talk_version(struct tls_context *context, const char *host, SSL_SESSION *session,
                         int version)
{
    struct tls_conn *tls = tls_open(context);
    struct buffer plain = {0};
    SSL *client = connect_as(host);
    char *bytes;
    char got[8];
    SSL_set_max_proto_version(client, version);
    if (session != NULL) {
        SSL_set_session(client, session);
    }
    for (int i = 0; i < 3; i++) {
        SSL_do_handshake(client);
        size_t size = (size_t)BIO_get_mem_data(SSL_get_wbio(client), &bytes);
        tls_receive(tls, (struct span){bytes, size}, &plain, 1 << 16);
        (void)BIO_reset(SSL_get_wbio(client));
        struct span output = buffer_span(tls_output(tls));
        BIO_write(SSL_get_rbio(client), output.base, (int)output.len);
        buffer_consume(tls_output(tls), output.len);
    }
    if (SSL_is_init_finished(client)) {
        SSL_read(client, got, sizeof got); /* takes the ticket */
    }
    tls_free(tls);
    buffer_release(&plain);
    return client;
}

static SSL *talk(struct tls_context *context, const char *host, SSL_SESSION *session)
{
    return talk_version(context, host, session, TLS1_3_VERSION);
}

/* `want`: a name only that certificate has; NULL: refused with unrecognized_name. */
static void expect(struct tls_context *context, const char *host, const char *want)
{
    SSL *client = talk(context, host, NULL);
    const char *shown = host != NULL ? host : "(none)";
    cr_expect_eq(SSL_is_init_finished(client) == 1, want != NULL, "%s", shown);
    X509 *cert = SSL_get0_peer_certificate(client);
    if (want != NULL && cert != NULL) {
        cr_expect_eq(X509_check_host(cert, want, 0, X509_CHECK_FLAG_NO_WILDCARDS, NULL), 1, "%s",
                     shown);
    }
    if (want == NULL) {
        cr_expect_eq(cert, NULL);
    }
    SSL_free(client);
}

TestSuite(tls_certs, .init = set_up, .fini = remove_directory);

Test(tls_certs, the_server_name_chooses)
{
    put("b.pem", "DNS:b.example,DNS:www.b.example,DNS:mark.b");
    put("a.pem", "DNS:A.example,DNS:mark.a");
    put("c.pem", "DNS:*.b.example,DNS:x.c.example,DNS:mark.c");
    put("d.pem", "DNS:a.example,DNS:*.c.example,DNS:mark.d");
    struct tls_context *context = load();
    cr_assert(context != NULL, "%s", error);
    expect(context, "a.example", "mark.a");
    expect(context, "A.EXAMPLE", "mark.a");
    expect(context, "b.example", "mark.b");
    expect(context, "www.b.example", "mark.b");
    expect(context, "other.b.example", "mark.c");
    expect(context, "x.c.example", "mark.c");
    expect(context, "y.c.example", "mark.d");
    expect(context, NULL, "mark.a");
    expect(context, "c.example", NULL);
    expect(context, "too.deep.b.example", NULL);
    expect(context, "nobody.example", NULL);
    expect(context, "example", NULL);
    expect(context, ".b.example", NULL);
    expect(context, "test", NULL); /* the common name is no name */
    cr_expect_str_eq(warnings, "");
    tls_context_free(context);
}

Test(tls_certs, tickets_are_bound_to_the_certificate)
{
    put("a.pem", "DNS:a.example");
    put("b.pem", "DNS:b.example");
    struct tls_context *context = load();
    cr_assert(context != NULL, "%s", error);
    for (int i = 0; i < 2; i++) {
        int version = i == 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
        SSL *first = talk_version(context, "a.example", NULL, version);
        SSL_SESSION *session = SSL_get1_session(first);
        SSL_set_shutdown(first, SSL_SENT_SHUTDOWN); /* else it is not used again */
        SSL_free(first);
        SSL *other = talk_version(context, "b.example", session, version);
        SSL *same = talk_version(context, "a.example", session, version);
        cr_expect(SSL_is_init_finished(other) == 1 && !SSL_session_reused(other));
        cr_expect(SSL_is_init_finished(same) == 1 && SSL_session_reused(same));
        SSL_SESSION_free(session);
        SSL_free(other);
        SSL_free(same);
    }
    tls_context_free(context);
}

Test(tls_certs, keys_and_chains_find_each_other)
{
    struct pair root, middle, leaf;
    struct pair_wish wish = {"root", NULL, 2, true, NULL};
    cr_assert(pair_make(&root, &wish));
    wish = (struct pair_wish){"middle", NULL, 2, true, &root};
    cr_assert(pair_make(&middle, &wish));
    wish = (struct pair_wish){"leaf", "DNS:leaf.example", 2, false, &middle};
    cr_assert(pair_make(&leaf, &wish));
    cr_assert(pair_write(directory, "cert.pem", NULL, &leaf));
    cr_assert(pair_write(directory, "chain.pem", NULL, &middle));
    cr_assert(pair_write(directory, "chain.pem", NULL, &root));
    cr_assert(pair_write(directory, "fullchain.pem", NULL, &leaf));
    cr_assert(pair_write(directory, "fullchain.pem", NULL, &middle));
    cr_assert(pair_write(directory, "privkey.pem", &leaf, NULL));
    put_text("README", "made by hand\n");
    put_text(".hidden", "-----BEGIN CERTIFICATE-----\njunk\n-----END CERTIFICATE-----\n");
    char path[256];
    snprintf(path, sizeof path, "%s/folder", directory);
    cr_assert_eq(mkdir(path, 0700), 0);
    struct tls_context *context = load();
    cr_assert(context != NULL, "%s", error);
    cr_expect(strstr(warnings, "/README: no certificate and no key in it\n") != NULL);
    SSL *client = talk(context, "leaf.example", NULL);
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(client);
    cr_assert_eq(sk_X509_num(chain), 2);
    cr_expect_eq(X509_cmp(sk_X509_value(chain, 0), leaf.cert), 0);
    cr_expect_eq(X509_cmp(sk_X509_value(chain, 1), middle.cert), 0);
    SSL_free(client);
    pair_free(&root);
    pair_free(&middle);
    pair_free(&leaf);
    tls_context_free(context);
}

/* ---- what is refused ---- */

static void expect_error(const char *file, const char *why)
{
    char want[600];
    snprintf(want, sizeof want, "--cert-dir %s%s: %s", directory, file, why);
    cr_expect_eq(load(), NULL);
    cr_expect_str_eq(error, want);
}

Test(tls_certs, nothing_in_it)
{
    expect_error("", "no certificate in PEM format in it");
}

Test(tls_certs, a_certificate_without_its_key)
{
    struct pair pair;
    put("a.pem", "DNS:a.example");
    make(&pair, "DNS:b.example");
    cr_assert(pair_write(directory, "b.pem", NULL, &pair));
    pair_free(&pair);
    expect_error("/b.pem", "a certificate without its key");
}

Test(tls_certs, a_key_without_its_certificate)
{
    struct pair pair;
    put("a.pem", "DNS:a.example");
    make(&pair, "DNS:b.example");
    cr_assert(pair_write(directory, "b.key", &pair, NULL));
    pair_free(&pair);
    expect_error("/b.key", "a key without its certificate");
}

Test(tls_certs, damaged_files)
{
    put("a.pem", "DNS:a.example");
    put_text("b.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    expect_error("/b.pem", "a certificate in it is damaged");
    put_text("b.pem", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n");
    expect_error("/b.pem", "a key in it is damaged or of an unknown kind");
    put_text("b.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    expect_error("/b.pem", "damaged PEM");
    put_text("b.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n"
                      "-----END ENCRYPTED PRIVATE KEY-----\n");
    expect_error("/b.pem", "no private key in PEM format, without passphrase, in it");
}

Test(tls_certs, out_of_its_time_is_told)
{
    struct pair pair;
    const struct pair_wish wish = {"old", "DNS:old.example", 0, false, NULL};
    cr_assert(pair_make(&pair, &wish));
    cr_assert(pair_write(directory, "old.pem", &pair, &pair));
    pair_free(&pair);
    struct tls_context *context = load();
    cr_assert(context != NULL, "%s", error);
    cr_expect(strstr(warnings, "/old.pem: the certificate has expired\n") != NULL, "%s", warnings);
    tls_context_free(context);
}

Test(tls_certs, no_such_directory)
{
    struct tls_options options = {.cert_dir = "/no/such"};
    cr_expect_eq(tls_context_create(&options, error, sizeof error), NULL);
    cr_expect_str_eq(error, "--cert-dir /no/such: No such file or directory");
}

Test(tls_certs, several_pairs)
{
    char path_a[256], path_b[256];
    const char *const files[] = {path_b, path_a};
    put("a.pem", "DNS:a.example");
    put("b.pem", "DNS:b.example");
    snprintf(path_a, sizeof path_a, "%s/a.pem", directory);
    snprintf(path_b, sizeof path_b, "%s/b.pem", directory);
    struct tls_options options = {.certs = files, .keys = files, .pair_count = 2};
    struct tls_context *context = tls_context_create(&options, error, sizeof error);
    cr_assert(context != NULL, "%s", error);
    expect(context, "a.example", "a.example");
    expect(context, NULL, "b.example");
    expect(context, "c.example", NULL);
    tls_context_free(context);
    options.pair_count = 1; /* a single one is for everybody */
    context = tls_context_create(&options, error, sizeof error);
    expect(context, "c.example", "b.example");
    tls_context_free(context);
}
