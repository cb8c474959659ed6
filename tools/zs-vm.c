/* SPDX-License-Identifier: Apache-2.0 */
/* zs-vm: run, check, inspect and list one eBPF object. This file reads the command line; run.c and
 * inspect.c do the work. Exit status: 0 done, 1 the program faulted, 2 bad object or usage. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "server/version.h"
#include "tools/tool.h"

#define BUDGET_MS_DEFAULT 10000u /* somebody is waiting, but no other request is */
#define BUDGET_MS_MAX     86400000u
#define REPEAT_MAX        100000000u

static const char usage[] =
    "usage: zs-vm run [OPTION]... FILE     run one entry, print r0\n"
    "       zs-vm check FILE               load, validate and compile\n"
    "       zs-vm inspect FILE             list entries, functions, helpers, memory\n"
    "       zs-vm dis [--source] FILE      list the instructions\n"
    "       zs-vm jit [--source] FILE      list the native code of each instruction\n"
    "       zs-vm test [OPTION]... SITE [TEST]...   ask a site what its tests ask\n"
    "       zs-vm --help | --version\n"
    "\n"
    "FILE is an eBPF object (.o), C source (.c, compiled by clang or bpf-gcc) or raw\n"
    "8-byte instructions (.bin). SITE is a folder, a tar or a script; its tests are\n"
    "SITE/.zeroserve/tests/*.http and SITE/tests/*.http, or each TEST.\n"
    "\n"
    "  --engine jit|interp   compiled (default) or interpreted\n"
    "  --entry NAME          symbol or section to run; default: the first entry\n"
    "  --mem FILE            bytes of FILE in guest memory: r1 = address, r2 = length\n"
    "  --request FILE        run the script on this HTTP request, print its response\n"
    "  --repeat N            run N times, print the median time on standard error\n"
    "  --break WHERE         stop at FILE:LINE, a function or the number of an instruction,\n"
    "                        and ask what to do: type help; may be repeated (interpreter)\n"
    "  --trace               print each instruction and what it changed (interpreter)\n"
    "  --profile             print how many instructions each source line cost (interpreter)\n"
    "  --coverage FILE       write the lines that ran to FILE, as lcov does (interpreter)\n"
    "  --perf-map            name compiled functions for perf, in /tmp/perf-PID.map\n"
    "  --budget-ms N         processor time of one run; default 10000\n"
    "  --source              of dis and jit: show the text of source lines, if found\n"
    "\n"
    "Of test and run --request:\n"
    "  --peer ADDRESS        the client's address; default 127.0.0.1\n"
    "  --header FIELD        a field of each request, NAME: VALUE; may be repeated\n"
    "  --tls                 the requests come by TLS\n"
    "  --script-env NAME     variable of the environment that scripts may read; may be repeated\n"
    "  --trusted-proxy CIDR  whose X-Forwarded-For is believed; may be repeated\n"
    "Of run --request:\n"
    "  --site SITE           folder or tar whose files the script may read\n"
    "\n"
    "Exit status: 0 the program ended, tests passed; 1 it faulted, a test failed; 2 bad\n"
    "object or usage.\n";

enum {
    OPT_ENGINE = 1,
    OPT_ENTRY,
    OPT_MEM,
    OPT_REQUEST,
    OPT_REPEAT,
    OPT_BREAK,
    OPT_TRACE,
    OPT_PROFILE,
    OPT_COVERAGE,
    OPT_PERF_MAP,
    OPT_BUDGET,
    OPT_SOURCE,
    OPT_PEER,
    OPT_HEADER,
    OPT_TLS,
    OPT_SCRIPT_ENV,
    OPT_TRUSTED,
    OPT_SITE,
};

static const struct option no_options[] = {{NULL, 0, NULL, 0}};

static const struct option list_options[] = {
    {"source", no_argument, NULL, OPT_SOURCE},
    {NULL, 0, NULL, 0},
};

static const struct option run_options[] = {
    {"engine", required_argument, NULL, OPT_ENGINE},
    {"entry", required_argument, NULL, OPT_ENTRY},
    {"mem", required_argument, NULL, OPT_MEM},
    {"request", required_argument, NULL, OPT_REQUEST},
    {"repeat", required_argument, NULL, OPT_REPEAT},
    {"break", required_argument, NULL, OPT_BREAK},
    {"trace", no_argument, NULL, OPT_TRACE},
    {"profile", no_argument, NULL, OPT_PROFILE},
    {"coverage", required_argument, NULL, OPT_COVERAGE},
    {"perf-map", no_argument, NULL, OPT_PERF_MAP},
    {"budget-ms", required_argument, NULL, OPT_BUDGET},
    {"peer", required_argument, NULL, OPT_PEER},
    {"header", required_argument, NULL, OPT_HEADER},
    {"tls", no_argument, NULL, OPT_TLS},
    {"script-env", required_argument, NULL, OPT_SCRIPT_ENV},
    {"trusted-proxy", required_argument, NULL, OPT_TRUSTED},
    {"site", required_argument, NULL, OPT_SITE},
    {NULL, 0, NULL, 0},
};

static const struct option test_options[] = {
    {"engine", required_argument, NULL, OPT_ENGINE},
    {"budget-ms", required_argument, NULL, OPT_BUDGET},
    {"peer", required_argument, NULL, OPT_PEER},
    {"header", required_argument, NULL, OPT_HEADER},
    {"tls", no_argument, NULL, OPT_TLS},
    {"script-env", required_argument, NULL, OPT_SCRIPT_ENV},
    {"trusted-proxy", required_argument, NULL, OPT_TRUSTED},
    {NULL, 0, NULL, 0},
};

static const struct command {
    const char *name;
    tool_command *function;
    const struct option *options;
} commands[] = {
    {"run", tool_run, run_options},        {"check", tool_check, no_options},
    {"inspect", tool_inspect, no_options}, {"dis", tool_dis, list_options},
    {"jit", tool_jit, list_options},       {"test", tool_test, test_options},
};

/* A number from 1 to `max`. */
static bool parse_number(const char *text, uint32_t max, uint32_t *out)
{
    char *end;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || value == 0 || value > max) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool set_number(const char *option, const char *text, uint32_t max, uint32_t *out)
{
    bool fine = parse_number(text, max, out);
    if (!fine) {
        tool_refuse("%s %s: want a number from 1 to %u", option, text, max);
    }
    return fine;
}

static bool add_break(struct tool_options *options, const char *where)
{
    if (options->break_count == TOOL_BREAKS_MAX) {
        tool_refuse("--break %s: %u are the limit", where, TOOL_BREAKS_MAX);
        return false;
    }
    options->breaks[options->break_count++] = where;
    return true;
}

/* One more of a list that holds TOOL_LIST_MAX. */
static bool add_text(const char *option, const char **list, unsigned *count, const char *text)
{
    if (*count == TOOL_LIST_MAX) {
        tool_refuse("%s %s: %u are the limit", option, text, TOOL_LIST_MAX);
        return false;
    }
    list[(*count)++] = text;
    return true;
}

/* Those of requests. */
static bool set_request_option(struct tool_options *options, int option, const char *value)
{
    struct offline_client *client = &options->client;

    switch (option) {
    case OPT_REQUEST: options->request = value; return true;
    case OPT_PEER: client->peer = value; return true;
    case OPT_TLS: client->tls = true; return true;
    case OPT_SITE: options->site = value; return true;
    case OPT_HEADER: return add_text("--header", options->fields, &client->field_count, value);
    case OPT_SCRIPT_ENV:
        return add_text("--script-env", options->script_env, &options->script_env_count, value);
    case OPT_TRUSTED:
        return add_text("--trusted-proxy", options->trusted, &options->trusted_count, value);
    default: return false; /* getopt_long has said why */
    }
}

/* *engine stays NULL until --engine is given. */
static bool set_option(struct tool_options *options, int option, const char *value,
                       const char **engine)
{
    switch (option) {
    case OPT_ENGINE:
        *engine = value;
        options->interpret = strcmp(value, "interp") == 0;
        if (!options->interpret && strcmp(value, "jit") != 0) {
            tool_refuse("--engine %s: want jit or interp", value);
            return false;
        }
        return true;
    case OPT_ENTRY: options->entry = value; return true;
    case OPT_MEM: options->memory = value; return true;
    case OPT_REPEAT: return set_number("--repeat", value, REPEAT_MAX, &options->repeat);
    case OPT_BREAK: return add_break(options, value);
    case OPT_TRACE: options->trace = true; return true;
    case OPT_PROFILE: options->profile = true; return true;
    case OPT_COVERAGE: options->coverage = value; return true;
    case OPT_PERF_MAP: options->perf_map = true; return true;
    case OPT_SOURCE: options->source = true; return true;
    case OPT_BUDGET: return set_number("--budget-ms", value, BUDGET_MS_MAX, &options->budget_ms);
    default: return set_request_option(options, option, value);
    }
}

/* The option that runs on the interpreter alone, or NULL. */
static const char *interpreter_option(const struct tool_options *options)
{
    return options->break_count ? "--break"
           : options->trace     ? "--trace"
           : options->profile   ? "--profile"
           : options->coverage  ? "--coverage"
                                : NULL;
}

/* What options mean together. */
static bool combine(struct tool_options *options, const char *engine)
{
    bool counts = options->profile || options->coverage;
    const char *why = interpreter_option(options);

    if (options->request && (options->memory || options->repeat || options->entry)) {
        tool_refuse("--request does not go with --mem, --repeat and --entry");
        return false;
    }
    if ((options->trace || options->break_count) && counts) {
        tool_refuse("%s does not go with --profile and --coverage", why);
        return false;
    }
    if (options->break_count && (options->trace || options->repeat)) {
        tool_refuse("--break does not go with %s", options->trace ? "--trace" : "--repeat");
        return false;
    }
    if (why && engine && !options->interpret) {
        tool_refuse("%s needs --engine interp", why);
        return false;
    }
    options->interpret = options->interpret || why;
    if (options->perf_map && options->interpret) {
        tool_refuse("--perf-map needs --engine jit");
        return false;
    }
    return true;
}

/* argv[0] is the command's name. */
static int run_command(const struct command *command, int argc, char **argv)
{
    struct tool_options options = {.budget_ms = BUDGET_MS_DEFAULT};
    const char *engine = NULL;
    char name[] = "zs-vm"; /* getopt_long's messages start with it */
    int option;

    argv[0] = name;
    while ((option = getopt_long(argc, argv, "", command->options, NULL)) != -1) {
        if (!set_option(&options, option, optarg, &engine)) {
            return TOOL_REFUSED;
        }
    }
    bool many = command->function == tool_test;
    if (many ? argc == optind : argc - optind != 1) {
        return tool_refuse("%s: want %s; see zs-vm --help", command->name,
                           many ? "a SITE" : "one FILE");
    }
    options.file = argv[optind];
    options.tests = argv + optind + 1;
    options.test_count = (unsigned)(argc - optind - 1);
    options.client.fields = options.fields;
    return combine(&options, engine) ? command->function(&options) : TOOL_REFUSED;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        fputs(usage, stderr);
        return TOOL_REFUSED;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(usage, stdout);
        return TOOL_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("zs-vm %s\n", ZEROSERVE_VERSION);
        return TOOL_OK;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return run_command(&commands[i], argc - 1, argv + 1);
        }
    }
    return tool_refuse("%s: no such command; see zs-vm --help", argv[1]);
}

int main(int argc, char **argv)
{
    int status = dispatch(argc, argv);

    if (fflush(stdout) != 0 || ferror(stdout)) {
        return tool_refuse("standard output: %s", strerror(errno));
    }
    return status;
}
