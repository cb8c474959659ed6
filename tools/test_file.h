/* SPDX-License-Identifier: Apache-2.0 */
/* Files of requests and what is expected of the answers, for `zs-vm test`. The format is that of
 * the manual, zs-vm(1). */
#ifndef TOOLS_TEST_FILE_H
#define TOOLS_TEST_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct test_case {
    const char *name;
    unsigned line;    /* of its ### */
    const char *peer; /* or NULL */
    bool tls;
    char *request; /* with Content-Length when it has a body */
    size_t request_bytes;
    const char *status; /* "200", "proxied", "aborted" */
    char **fields;      /* "name: value", "name: ~regex" or "!name" */
    size_t field_count;
    char **body; /* lines; none: any body */
    size_t body_lines;
};

struct test_file {
    char *text; /* that the cases point into */
    char **lines;
    struct test_case *cases;
    size_t case_count;
};

/* False: the message has been printed. Either way test_file_free is due. */
bool test_file_read(struct test_file *file, const char *path);
void test_file_free(struct test_file *file);

#endif
