/* SPDX-License-Identifier: Apache-2.0 */
/* Runs scripts of one file, compiled by clang, against requests. Each starts with a prologue that
 * gives it CHECK(x), which answers 418 with the line that failed; OK(), which answers 200 "ok";
 * is(text, n, want), true when a text helper returned n and text is want; TEXT(literal), the text
 * and its length; and which(), the number in the field x-case. */
#ifndef TESTS_SUPPORT_BENCH_H
#define TESTS_SUPPORT_BENCH_H

#include "tests/support/guest.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

extern const char bench_prologue[];

struct bench {
    struct script_host *host;
    struct script_set *set;
    struct exchange ex;
};

/* How a bench is set up, beside its script. */
struct bench_how {
    struct script_options options;        /* but for `interpret` */
    void (*prepare)(struct exchange *ex); /* changes the request; or NULL */
};

/* Scripts as they are, without the prologue, and an empty exchange. */
void bench_open(struct bench *b, const char *const *names, const char *const *texts, unsigned count,
                const struct script_options *options);
void bench_begin(struct bench *b, const char *text, bool interpret);
void bench_end(struct bench *b);
bool bench_body_is(const struct exchange *ex, const char *text);

/* Runs `text` on both engines for GET `target`; it must answer 200 "ok". */
void bench_expect_ok(const char *text, const char *target);

/* The same, set up as told. */
void bench_expect_ok_how(const char *text, const char *target, const struct bench_how *how);

/* Runs `text` with x-case 1, 2, ... for each of reasons[]; each must be killed and the log say so.
 */
void bench_expect_faults(const char *text, const char *const *reasons, unsigned count);
void bench_expect_faults_how(const char *text, const char *const *reasons, unsigned count,
                             const struct bench_how *how);

#endif
