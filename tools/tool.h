/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of zs-vm share: the parsed command line, input files, messages. */
#ifndef TOOLS_TOOL_H
#define TOOLS_TOOL_H

#include <stdio.h>

#include "server/offline.h"
#include "vm/vm.h"

enum { TOOL_BREAKS_MAX = 64, TOOL_LIST_MAX = 32 };

/* Exit statuses. */
enum { TOOL_OK = 0, TOOL_FAULT = 1, TOOL_REFUSED = 2 };

struct tool_options {
    const char *file;
    const char *entry;   /* symbol or section, or NULL */
    const char *memory;  /* file whose bytes the program gets, or NULL */
    const char *request; /* file with an HTTP request, or NULL */
    bool interpret;
    bool trace;
    bool source; /* of dis and jit: text of source lines */
    bool profile;
    bool perf_map;
    const char *coverage;                /* file to write, or NULL */
    const char *breaks[TOOL_BREAKS_MAX]; /* --break */
    unsigned break_count;
    uint32_t repeat; /* 0: not asked for */
    uint32_t budget_ms;
    struct offline_client client;      /* who sends requests; its fields are those below */
    const char *fields[TOOL_LIST_MAX]; /* --header */
    const char *site; /* of run --request: whose files the script may read, or NULL */
    const char *script_env[TOOL_LIST_MAX];
    unsigned script_env_count;
    const char *trusted[TOOL_LIST_MAX]; /* --trusted-proxy */
    unsigned trusted_count;
    char *const *tests; /* of test: the files named behind FILE */
    unsigned test_count;
};

/* One command: "check", "run" ... Returns an exit status. */
typedef int tool_command(const struct tool_options *options);

tool_command tool_run;
tool_command tool_check;
tool_command tool_inspect;
tool_command tool_dis;
tool_command tool_jit;
tool_command tool_test;

/* Prints "zs-vm: <text>" to standard error and returns TOOL_REFUSED. */
int tool_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Reads a whole file. False: the message has been printed. *bytes is malloc'ed, never NULL. */
bool tool_read(const char *path, uint8_t **bytes, size_t *length);

/* Reads `path` as an object; a name that ends in .c is compiled. Same contract as tool_read. */
bool tool_read_object(const char *path, uint8_t **bytes, size_t *length);

/* Compiles (.c), reads and links `path`; .bin is raw instructions. NULL: the message has been
 * printed. */
struct vm_program *tool_load(const char *path) VM_MUST_USE;

#endif
