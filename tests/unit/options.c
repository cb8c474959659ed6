/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: defaults, both ways to give a value, and every mistake with its line. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <unistd.h>

#include "server/limits.h"
#include "server/options.h"

static struct options options;

/* Parses a line split at blanks; "_" is an empty argument. */
static bool parse(const char *line)
{
    static char text[4096];
    char *argv[128] = {(char *)"zeroserve"};
    int argc = 1;
    snprintf(text, sizeof text, "%s", line);
    for (char *rest = text, *word; (word = strsep(&rest, " ")) != NULL;) {
        if (word[0] != '\0') {
            cr_assert(argc < 127);
            argv[argc++] = strcmp(word, "_") == 0 ? word + 1 : word;
        }
    }
    return options_parse(&options, argc, argv);
}

Test(options, have_defaults)
{
    cr_assert(parse("site.tar"));
    cr_assert_eq(options.mode, MODE_SERVE);
    cr_assert_str_eq(options.site, "site.tar");
    cr_assert_null(options.addr);
    cr_assert_str_eq(options.index, "index.html");
    cr_assert(!options.try_html && !options.no_dir_redirect && !options.interpret);
    cr_assert(!options.disable_request_logging);
    cr_assert_eq(options.threads, 0);
    cr_assert_eq(options.chunk_bytes, LIM_CHUNK_BYTES_DEFAULT);
    cr_assert_eq(options.tick_ms, 2);
    cr_assert_eq(options.budget_ms, 100);
    cr_assert_eq(options.drain_ms, LIM_DRAIN_MS);
    cr_assert_eq(options.plugin_count + options.plugin_dir_count, 0);
}

Test(options, take_cache_rules)
{
    cr_assert(parse("--cache-control *.css=max-age=60,public --cache-control=/a/*=no-store dir"));
    cr_assert_eq(options.cache_rule_count, 2);
    cr_assert_str_eq(options.cache_rules[0].glob, "*.css");
    cr_assert_str_eq(options.cache_rules[0].value, "max-age=60,public");
    cr_assert_str_eq(options.cache_rules[1].glob, "/a/*");
    cr_assert_str_eq(options.cache_rules[1].value, "no-store");
    static const char *const bad[] = {"x", "=x", "x=", "x=a\nb"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "--cache-control %s dir", bad[i]);
        cr_assert(!parse(line), "%s", bad[i]);
    }
}

Test(options, take_values_both_ways)
{
    cr_assert(parse("--addr [::1]:0 --index=home.html --threads=3 --chunk-size 8192 "
                    "--preempt-timer-interval-ms 5 --script-cpu-budget-ms=50 --drain-timeout 7 "
                    "--header-timeout 8 --body-timeout=9 --send-timeout 10 --idle-timeout 11 "
                    "--connection-age 12 --body-rate 13 --body-grace=14 "
                    "--try-html --no-dir-redirect --no-jit --disable-request-logging dir"));
    cr_assert_str_eq(options.addr, "[::1]:0");
    cr_assert_str_eq(options.index, "home.html");
    cr_assert_eq(options.threads, 3);
    cr_assert_eq(options.chunk_bytes, 8192);
    cr_assert_eq(options.tick_ms, 5);
    cr_assert_eq(options.budget_ms, 50);
    cr_assert_eq(options.drain_ms, 7000);
    cr_assert_eq(options.header_ms, 8000);
    cr_assert_eq(options.body_ms, 9000);
    cr_assert_eq(options.send_ms, 10000);
    cr_assert_eq(options.idle_ms, 11000);
    cr_assert_eq(options.age_ms, 12000);
    cr_assert_eq(options.body_rate, 13);
    cr_assert_eq(options.body_grace_ms, 14000);
    cr_assert(options.try_html && options.no_dir_redirect && options.interpret);
    cr_assert(options.disable_request_logging);
    cr_assert_str_eq(options.site, "dir");
}

Test(options, choose_where_proxy_headers_come)
{
    cr_assert(parse("dir") && !options.proxy_plain && !options.proxy_tls);
    cr_assert(parse("--enable-proxy-protocol dir") && options.proxy_plain && options.proxy_tls);
    cr_assert(parse("--enable-http-proxy-protocol dir"));
    cr_assert(options.proxy_plain && !options.proxy_tls);
    cr_assert(parse("--enable-https-proxy-protocol dir"));
    cr_assert(!options.proxy_plain && options.proxy_tls);
}

Test(options, check_the_log, .init = cr_redirect_stderr)
{
    cr_assert(parse("dir") && options.access_log == NULL);
    cr_assert_str_eq(options.access_log_format, "plain");
    cr_assert(parse("--access-log a --access-log-format json dir"));
    cr_assert_str_eq(options.access_log, "a");
    cr_assert_not(parse("--access-log-format text dir"));
    cr_assert_not(parse("--access-log a --disable-request-logging dir"));
}

Test(options, choose_the_sandbox, .init = cr_redirect_stderr)
{
    cr_assert(parse("dir") && options.user == NULL);
    cr_assert_str_eq(options.sandbox, "basic");
    cr_assert(parse("--sandbox strict --user nobody dir"));
    cr_assert_str_eq(options.sandbox, "strict");
    cr_assert_str_eq(options.user, "nobody");
    cr_assert(parse("--disable-ns-isolation dir"));
    cr_assert_str_eq(options.sandbox, "off");
    cr_assert_not(parse("--sandbox on dir"));
}

Test(options, of_tls_go_together)
{
    cr_assert(parse("site.tar"));
    cr_assert(options.tls_addr == NULL && !options_have_cert(&options));
    cr_assert_str_eq(options.tls_min, "1.3");
    cr_assert(parse("--tls-addr [::1]:443 --cert a.pem --key=b.pem --tls-min 1.2 site.tar"));
    cr_assert_str_eq(options.tls_addr, "[::1]:443");
    cr_assert(options_have_cert(&options));
    cr_assert_str_eq(options.certs[0], "a.pem");
    cr_assert_str_eq(options.keys[0], "b.pem");
    cr_assert_str_eq(options.tls_min, "1.2");
    cr_redirect_stderr();
    cr_assert_not(parse("--tls-addr [::1]:443 --cert a.pem site.tar"));
    cr_assert_not(parse("--tls-addr [::1]:443 --key b.pem site.tar"));
    cr_assert_not(parse("--cert a.pem site.tar"));
    cr_assert_not(parse("--cert a.pem --key b.pem site.tar"));
    cr_assert_not(parse("--cert-dir certs site.tar"));
    setenv("LISTEN_FDS", "1", 1);
    cr_assert(parse("--cert a.pem --key b.pem site.tar"));
    cr_assert_not(parse("--cert a.pem --key b.pem --addr [::1]:80 site.tar"));
    cr_assert_not(parse("--tls-min 1 site.tar"));
    cr_assert(parse("--tls-addr [::1]:443 --cert a.pem,b.pem --key c.pem --key d.pem site.tar"));
    cr_assert_eq(options.cert_count, 2);
    cr_assert_str_eq(options.keys[1], "d.pem");
    cr_assert_not(parse("--tls-addr [::1]:443 --cert a.pem,b.pem --key c.pem site.tar"));
    cr_assert(parse("--tls-addr [::1]:443 --cert-dir certs site.tar"));
    cr_assert_str_eq(options.cert_dir, "certs");
}

Test(options, lists_are_comma_separated_and_repeated)
{
    cr_assert(parse("--plugin a.o,b.c --plugin-dir=d --plugin c.o s.tar"));
    static const char *const plugins[] = {"a.o", "b.c", "c.o"};
    cr_assert_eq(options.plugin_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_str_eq(options.plugins[i], plugins[i]);
    }
    cr_assert_eq(options.plugin_dir_count, 1);
    cr_assert_str_eq(options.plugin_dirs[0], "d");
}

Test(options, know_modes)
{
    cr_assert(parse("--pack dir"));
    cr_assert_eq(options.mode, MODE_PACK);
    cr_assert_str_eq(options.site, "dir");
    cr_assert(parse("--check site.tar") && options.mode == MODE_CHECK);
    cr_assert(parse("--dump-sdk") && options.mode == MODE_DUMP_SDK);
    cr_assert(parse("--help") && options.mode == MODE_HELP);
    cr_assert(parse("--version") && options.mode == MODE_VERSION);
}

Test(options, two_dashes_end_the_flags)
{
    cr_assert(parse("--try-html -- --strange-name"));
    cr_assert_str_eq(options.site, "--strange-name");
}

Test(options, every_mistake_has_its_line, .init = cr_redirect_stderr)
{
    static const struct {
        const char *line, *message;
    } rows[] = {
        {"--bad s", "unknown flag --bad"},
        {"--bad=1 s", "unknown flag --bad"},
        {"-h", "unknown flag -h"},
        {"--add x s", "unknown flag --add"},
        {"--", "no site given: want SITE.tar, DIRECTORY, SCRIPT.c or SCRIPT.o"},
        {"s --threads", "--threads wants a value: N"},
        {"s --addr=", "--addr wants a value: ADDRESS"},
        {"--threads 1025 s", "--threads 1025: want a number from 0 to 1024"},
        {"--threads -1 s", "--threads -1: want a number from 0 to 1024"},
        {"--threads 1x s", "--threads 1x: want a number from 0 to 1024"},
        {"--threads 99999999999999999999 s",
         "--threads 99999999999999999999: want a number from 0 to 1024"},
        {"--chunk-size 1 s", "--chunk-size 1: want a number from 4096 to 1048576"},
        {"--script-cpu-budget-ms 0 s", "--script-cpu-budget-ms 0: want a number from 1 to 60000"},
        {"--try-html=yes s", "--try-html takes no value"},
        {"--help=x", "--help takes no value"},
        {"--plugin a,,b s", "--plugin: an empty name"},
        {"--plugin a, s", "--plugin: an empty name"},
        {"--index a/b s", "--index a/b: want a file name without '/'"},
        {"a b", "two sites, 'a' and 'b'; one is served"},
        {"--trusted-proxy 10.0.0.0/8,x s", "--trusted-proxy x: want an address, or one with /BITS"},
        {"--pack a b", "two sites, 'a' and 'b'; one is served"},
        {"--pack a --check", "--check does not go with another mode"},
        {"--check", "no site given: want SITE.tar, DIRECTORY, SCRIPT.c or SCRIPT.o"},
        {"--dump-sdk s", "--dump-sdk takes no site"},
        {"_", "an empty argument"},
    };
    char expected[8192] = "";
    size_t used = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_expect(!parse(rows[i].line), "%s", rows[i].line);
        used += (size_t)snprintf(expected + used, sizeof expected - used,
                                 "zeroserve: %s; see `zeroserve --help`\n", rows[i].message);
    }
    cr_assert_stderr_eq_str(expected);
}

Test(options, lists_are_bounded, .init = cr_redirect_stderr)
{
    char line[1024] = "--plugin x";
    for (unsigned i = 1; i < OPTIONS_LIST_MAX; i++) {
        memcpy(line + strlen(line), ",x", 3);
    }
    size_t fits = strlen(line);
    memcpy(line + fits, " s", 3);
    cr_assert(parse(line));
    memcpy(line + fits, ",x s", 5);
    cr_assert(!parse(line));
    cr_assert_stderr_eq_str("zeroserve: --plugin: more than 64 names; see `zeroserve --help`\n");
}

/* Every flag of the table is in the help, and no line is too wide for a terminal. */
Test(options, help_names_every_flag)
{
    static const char *const names[] = {
#define GROUP(title)
#define FLAG(name, ...)     name,
#define TEXT(name, ...)     name,
#define NUMBER(name, ...)   name,
#define LIST(name, ...)     name,
#define RULES(name, ...)    name,
#define MODE(name, ...)     name,
#define MODE_DIR(name, ...) name,
#include "server/options.def"
    };
    static char help[16384];
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    int saved = dup(STDOUT_FILENO);
    cr_assert(dup2(ends[1], STDOUT_FILENO) >= 0);
    options_print_help();
    fflush(stdout);
    cr_assert(dup2(saved, STDOUT_FILENO) >= 0);
    close(ends[1]);
    ssize_t bytes = read(ends[0], help, sizeof help - 1);
    cr_assert(bytes > 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char flag[64];
        snprintf(flag, sizeof flag, "  --%s", names[i]);
        cr_expect(strstr(help, flag) != NULL, "%s", flag);
    }
    for (char *rest = help, *line; (line = strsep(&rest, "\n")) != NULL;) {
        cr_expect(strlen(line) <= 100, "%s", line);
    }
    close(ends[0]);
    close(saved);
}
