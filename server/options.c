/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the command line by the table options.def. `--flag value` and `--flag=value` are the same;
 * `--` ends the flags. Every mistake gets one line that names it, and a hint. */
#include "server/options.h"

#include <assert.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/access.h"
#include "server/chars.h"
#include "server/cidr.h"
#include "server/harden.h"
#include "server/limits.h"
#include "server/log.h"

enum kind {
    KIND_GROUP,
    KIND_FLAG,
    KIND_TEXT,
    KIND_NUMBER,
    KIND_LIST,
    KIND_RULES,
    KIND_MODE,
    KIND_MODE_DIR
};

/* One row of options.def. `field` and `count_field` are offsets in struct options. */
struct row {
    enum kind kind;
    const char *name; /* or the title of a group */
    const char *value;
    const char *help;
    size_t field, count_field;
    const char *text;
    uint32_t number, min, max, unit;
    enum options_mode mode;
};

static const struct row rows[] = {
#define GROUP(title) {.kind = KIND_GROUP, .name = title},
#define FLAG(n, f, h)                                                                              \
    {.kind = KIND_FLAG, .name = n, .field = offsetof(struct options, f), .help = h},
#define TEXT(n, f, d, v, h)                                                                        \
    {.kind = KIND_TEXT,                                                                            \
     .name = n,                                                                                    \
     .field = offsetof(struct options, f),                                                         \
     .text = d,                                                                                    \
     .value = v,                                                                                   \
     .help = h},
#define NUMBER(n, f, d, lo, hi, u, v, h)                                                           \
    {.kind = KIND_NUMBER,                                                                          \
     .name = n,                                                                                    \
     .field = offsetof(struct options, f),                                                         \
     .number = d,                                                                                  \
     .min = lo,                                                                                    \
     .max = hi,                                                                                    \
     .unit = u,                                                                                    \
     .value = v,                                                                                   \
     .help = h},
#define LIST(n, f, c, v, h)                                                                        \
    {.kind = KIND_LIST,                                                                            \
     .name = n,                                                                                    \
     .field = offsetof(struct options, f),                                                         \
     .count_field = offsetof(struct options, c),                                                   \
     .value = v,                                                                                   \
     .help = h},
#define RULES(n, f, c, v, h)                                                                       \
    {.kind = KIND_RULES,                                                                           \
     .name = n,                                                                                    \
     .field = offsetof(struct options, f),                                                         \
     .count_field = offsetof(struct options, c),                                                   \
     .value = v,                                                                                   \
     .help = h},
#define MODE(n, m, h)        {.kind = KIND_MODE, .name = n, .mode = m, .help = h},
#define MODE_DIR(n, m, v, h) {.kind = KIND_MODE_DIR, .name = n, .mode = m, .value = v, .help = h},
#include "server/options.def"
};

enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

static void *field_at(struct options *options, size_t offset)
{
    return (char *)options + offset;
}

static void set_defaults(struct options *options)
{
    memset(options, 0, sizeof *options);
    options->mode = MODE_SERVE;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (rows[i].kind == KIND_TEXT) {
            *(const char **)field_at(options, rows[i].field) = rows[i].text;
        } else if (rows[i].kind == KIND_NUMBER) {
            *(uint32_t *)field_at(options, rows[i].field) = rows[i].number * rows[i].unit;
        }
    }
}

/* ---- mistakes ---- */

__attribute__((format(printf, 1, 2))) static bool mistake(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_line("zeroserve: %s; see `zeroserve --help`", text);
    return false;
}

/* ---- values ---- */

static bool set_number(struct options *options, const struct row *row, const char *value)
{
    uint64_t number;
    if (!chars_number(span_of(value), row->max, &number) || number < row->min) {
        return mistake("--%s %s: want a number from %u to %u", row->name, value, row->min,
                       row->max);
    }
    *(uint32_t *)field_at(options, row->field) = (uint32_t)number * row->unit;
    return true;
}

/* Cuts `value` at its commas, in place. */
static bool set_list(struct options *options, const struct row *row, char *value)
{
    const char **items = field_at(options, row->field);
    unsigned *count = field_at(options, row->count_field);
    char *rest = value;
    while (rest != NULL) {
        char *item = strsep(&rest, ",");
        if (item[0] == '\0') {
            return mistake("--%s: an empty name", row->name);
        }
        if (*count == OPTIONS_LIST_MAX) {
            return mistake("--%s: more than %d names", row->name, OPTIONS_LIST_MAX);
        }
        items[(*count)++] = item;
    }
    return true;
}

/* Cuts `value` at its first '=', in place. */
static bool set_rule(struct options *options, const struct row *row, char *value)
{
    struct cache_rule *rules = field_at(options, row->field);
    unsigned *count = field_at(options, row->count_field);
    char *equals = strchr(value, '=');
    if (equals == NULL || equals == value || equals[1] == '\0' ||
        !field_value_valid(span_of(equals + 1))) {
        return mistake("--%s %s: want %s", row->name, value, row->value);
    }
    if (*count == OPTIONS_LIST_MAX) {
        return mistake("--%s: more than %d rules", row->name, OPTIONS_LIST_MAX);
    }
    *equals = '\0';
    rules[(*count)++] = (struct cache_rule){value, equals + 1};
    return true;
}

static bool set_mode(struct options *options, const struct row *row)
{
    if (options->mode != MODE_SERVE && options->mode != row->mode) {
        return mistake("--%s does not go with another mode", row->name);
    }
    options->mode = row->mode;
    return true;
}

static bool set_site(struct options *options, const char *site)
{
    if (options->site != NULL) {
        return mistake("two sites, '%s' and '%s'; one is served", options->site, site);
    }
    options->site = site;
    return true;
}

static bool set_value(struct options *options, const struct row *row, char *value)
{
    switch (row->kind) {
    case KIND_TEXT: *(const char **)field_at(options, row->field) = value; return true;
    case KIND_NUMBER: return set_number(options, row, value);
    case KIND_LIST: return set_list(options, row, value);
    case KIND_RULES: return set_rule(options, row, value);
    case KIND_MODE_DIR: return set_mode(options, row) && set_site(options, value);
    default: assert(!"a flag without value"); return false;
    }
}

/* ---- the line ---- */

static const struct row *row_find(const char *name, size_t bytes)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (rows[i].kind != KIND_GROUP && strlen(rows[i].name) == bytes &&
            memcmp(rows[i].name, name, bytes) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

/* The flag argv[*at]; moves *at to the last argument it used. */
static bool parse_flag(struct options *options, int argc, char **argv, int *at)
{
    char *name = argv[*at] + 2;
    char *equals = strchr(name, '=');
    size_t bytes = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct row *row = argv[*at][1] == '-' ? row_find(name, bytes) : NULL;
    if (row == NULL) {
        int shown = (int)(argv[*at][1] == '-' ? bytes + 2 : strlen(argv[*at]));
        return mistake("unknown flag %.*s", shown, argv[*at]);
    }
    if (row->kind == KIND_FLAG || row->kind == KIND_MODE) {
        if (equals != NULL) {
            return mistake("--%s takes no value", row->name);
        }
        if (row->kind == KIND_MODE) {
            return set_mode(options, row);
        }
        *(bool *)field_at(options, row->field) = true;
        return true;
    }
    char *value = equals != NULL ? equals + 1 : *at + 1 < argc ? argv[++*at] : NULL;
    if (value == NULL || value[0] == '\0') {
        return mistake("--%s wants a value: %s", row->name, row->value);
    }
    return set_value(options, row, value);
}

static bool check_tls(const struct options *options)
{
    if (options->cert_count != options->key_count) {
        return mistake("--cert and --key go together");
    }
    if (options->tls_addr != NULL && !options_have_cert(options)) {
        return mistake("--tls-addr wants --cert FILE and --key FILE; `openssl req -x509 -newkey ec "
                       "-pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout "
                       "key.pem -out cert.pem` makes a pair for trying");
    }
    /* The address may also be a socket that was passed, which then takes the place of --addr. */
    bool passed = options->addr == NULL && getenv("LISTEN_FDS") != NULL;
    if (options->tls_addr == NULL && options_have_cert(options) && !passed) {
        return mistake("--cert and --key want --tls-addr IP:PORT");
    }
    if (strcmp(options->tls_min, "1.2") != 0 && strcmp(options->tls_min, "1.3") != 0) {
        return mistake("--tls-min %s: want 1.2 or 1.3", options->tls_min);
    }
    return true;
}

static bool check_proxies(const struct options *options)
{
    struct cidr cidr;
    for (unsigned i = 0; i < options->trusted_proxy_count; i++) {
        if (!cidr_parse(span_of(options->trusted_proxies[i]), &cidr)) {
            return mistake("--trusted-proxy %s: want an address, or one with /BITS",
                           options->trusted_proxies[i]);
        }
    }
    return true;
}

static bool check_log(const struct options *options)
{
    if (access_format_find(options->access_log_format) == ACCESS_FORMATS) {
        return mistake("--access-log-format %s: want plain, combined or json",
                       options->access_log_format);
    }
    if (options->access_log != NULL && options->disable_request_logging) {
        return mistake("--access-log does not go with --disable-request-logging");
    }
    return true;
}

static bool check_sandbox(const struct options *options)
{
    if (harden_level_find(options->sandbox) == HARDEN_LEVELS) {
        return mistake("--sandbox %s: want off, basic or strict", options->sandbox);
    }
    return true;
}

/* What no single flag can tell. */
static bool check_together(const struct options *options)
{
    if (strchr(options->index, '/') != NULL) {
        return mistake("--index %s: want a file name without '/'", options->index);
    }
    bool wants_site = options->mode == MODE_SERVE || options->mode == MODE_CHECK;
    if (wants_site && options->site == NULL) {
        return mistake("no site given: want SITE.tar, DIRECTORY, SCRIPT.c or SCRIPT.o");
    }
    if (options->compress && options->mode != MODE_PACK) {
        return mistake("--compress goes with --pack");
    }
    bool alone = options->mode == MODE_DUMP_SDK || options->mode == MODE_MANUAL;
    if (alone && options->site != NULL) {
        return mistake("--dump-sdk takes no site");
    }
    return check_proxies(options) && check_log(options) && check_sandbox(options) &&
           check_tls(options);
}

bool options_parse(struct options *options, int argc, char **argv)
{
    bool flags_ended = false;
    set_defaults(options);
    for (int i = 1; i < argc; i++) {
        if (!flags_ended && strcmp(argv[i], "--") == 0) {
            flags_ended = true;
        } else if (!flags_ended && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (!parse_flag(options, argc, argv, &i)) {
                return false;
            }
        } else if (argv[i][0] == '\0') {
            return mistake("an empty argument");
        } else if (!set_site(options, argv[i])) {
            return false;
        }
    }
    options->proxy_plain = options->proxy_plain || options->proxy_both;
    options->proxy_tls = options->proxy_tls || options->proxy_both;
    if (options->no_isolation) {
        options->sandbox = "off";
    }
    return check_together(options);
}

/* ---- help ---- */

static void print_row(const struct row *row)
{
    enum { HELP_COLUMN = 34 };
    if (row->kind == KIND_GROUP) {
        printf("\n%s:\n", row->name);
        return;
    }
    int width = printf("  --%s%s%s", row->name, row->value != NULL ? " " : "",
                       row->value != NULL ? row->value : "");
    if (width >= HELP_COLUMN) {
        putchar('\n');
        width = 0;
    }
    printf("%*s%s", HELP_COLUMN - width, "", row->help);
    if (row->kind == KIND_TEXT && row->text != NULL) {
        printf(" [%s]", row->text);
    } else if (row->kind == KIND_NUMBER) {
        printf(" [%u]", row->number);
    }
    putchar('\n');
}

void options_print_help(void)
{
    fputs(
        "zeroserve: an HTTP server. A tar is the site, the eBPF scripts in it its configuration.\n"
        "\n"
        "  zeroserve [FLAGS] SITE.tar | DIRECTORY | SCRIPT.c | SCRIPT.o\n"
        "  zeroserve --pack DIR > site.tar\n",
        stdout);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        print_row(&rows[i]);
    }
    fputs("\n"
          "Examples:\n"
          "  zeroserve public/                          pack a directory in memory, serve it\n"
          "  zeroserve --pack public/ > site.tar        make the one file that is deployed\n"
          "  zeroserve --addr [::]:80 --threads 4 site.tar\n"
          "  zeroserve --tls-addr 0.0.0.0:8443 --cert cert.pem --key key.pem site.tar\n"
          "  zeroserve --plugin auth.c,headers.o site.tar\n"
          "  zeroserve --check site.tar                 is it fit to be served?\n"
          "\n"
          "A script is a C file in .zeroserve/scripts/ of the site; --dump-sdk prints its manual.\n"
          "Exit status: 0 fine, 1 failure while running, 2 wrong usage or bad input.\n",
          stdout);
}
