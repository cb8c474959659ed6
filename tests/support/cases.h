/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of tests/data/isa/ as structs; tests/data/README.md describes the text. */
#ifndef TESTS_SUPPORT_CASES_H
#define TESTS_SUPPORT_CASES_H

#include "tests/support/asm.h"
#include "tests/support/machine.h"

enum t_want { T_WANT_NOTHING, T_WANT_RESULT, T_WANT_FAULT, T_WANT_REFUSED };

struct t_bytes {
    uint8_t *data;
    uint32_t length;
    bool given;
};

struct t_case {
    char name[120];
    int line; /* where it begins in its file */
    struct t_asm code;
    struct t_bytes memory, memory_after, rodata, data;
    enum t_want want;
    uint64_t result;
    int kind;         /* enum vm_fault_kind or enum vm_error */
    uint32_t address; /* of the fault */
    uint32_t insn;    /* of the fault or refusal */
};

struct t_cases {
    struct t_case *list;
    size_t count;
    char error[256]; /* why t_cases_load said no */
};

/* Release with t_cases_free, also after false. */
bool t_cases_load(struct t_cases *cases, const char *path);
void t_cases_free(struct t_cases *cases);

/* The program of a case; NULL with *diag when refused. */
struct vm_program *t_case_program(const struct t_case *c, struct vm_diag *diag);
/* Runs it on one engine. True when it ends as it should; else why not is in `why`. */
bool t_case_run(const struct t_case *c, const struct vm_engine *engine, char *why,
                size_t why_bytes);

#endif
