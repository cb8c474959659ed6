/* SPDX-License-Identifier: Apache-2.0 */
/* Host memory that no guest may reach, filled with a pattern: the pages around an arena's
 * reservation, and what lies behind the context on its page. */
#ifndef TESTS_SUPPORT_CANARY_H
#define TESTS_SUPPORT_CANARY_H

#include <stdint.h>

#include "vm/arena.h"

struct t_canaries {
    uint8_t *below; /* the page before the reservation, or NULL when it was taken */
    uint8_t *above; /* the page behind it, likewise */
    uint8_t *context;
};

struct t_canaries t_canaries_put(const struct vm_arena *arena);
/* NULL when all are as they were, else which memory was written to. */
const char *t_canaries_harm(const struct t_canaries *canaries);
/* Gives the pages back. */
void t_canaries_drop(const struct t_canaries *canaries);

#endif
