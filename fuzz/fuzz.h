/* SPDX-License-Identifier: Apache-2.0 */
/* What a fuzz harness gives: one function over bytes. It is deterministic, frees what it allocates,
 * returns 0, and aborts when a property does not hold. fuzz/replay.c is its main() in ordinary
 * builds; `make fuzz` links it with libFuzzer instead. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void check(bool property)
{
    if (!property) {
        abort();
    }
}

#endif
