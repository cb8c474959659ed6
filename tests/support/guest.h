/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of scripts: compiles C to an object, makes requests, runs chains to their end, catches
 * what goes to the log. What fails here fails the test. */
#ifndef TESTS_SUPPORT_GUEST_H
#define TESTS_SUPPORT_GUEST_H

#include "server/script.h"

#define GUEST_LOG_BYTES 65536

/* Compiles `text`, which may include <zeroserve.h>, with clang for BPF. Free with free(). */
uint8_t *guest_compile(const char *text, size_t *bytes);

/* Loads sources[0..count) of C as scripts named names[i]. */
struct script_set *guest_set(const char *const *names, const char *const *texts, unsigned count,
                             bool interpret);

/* The same with all options. */
struct script_set *guest_set_with(const char *const *names, const char *const *texts,
                                  unsigned count, const struct script_options *options);

/* GET `target` from 192.0.2.7:4711 with Host: example.test and x-case: `x_case` (NULL: none). */
void guest_request(struct exchange *ex, const char *target, const char *x_case);

/* Runs the chain to its end; counts in *pending (may be NULL) how often it was pending. */
enum script_verdict guest_run(struct script_host *host, const struct script_set *set,
                              struct exchange *ex, unsigned *pending);

/* From begin to end, what is written to standard error goes to a buffer. The text is static. */
void guest_log_begin(void);
const char *guest_log_end(void);

#endif
