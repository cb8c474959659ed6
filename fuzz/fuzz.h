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

#include "server/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- what a harness may give besides; replay.c alone knows of it */

/* What the harness counts over all inputs. `values` is room of its own or shared with replay.c, to
 * be used from the first input on; `print` writes sums for people to read. */
struct fuzz_counters {
    size_t count;
    uint64_t *values;
    void (*print)(const uint64_t *values);
};
extern struct fuzz_counters fuzz_counters __attribute__((weak));
/* Says more about an input that failed, in a process of its own that may fail too. */
void fuzz_explain(const uint8_t *data, size_t size) __attribute__((weak));

static inline void check(bool property)
{
    if (!property) {
        abort();
    }
}

/* The first octet of what is left of an input; 0 when nothing is. */
static inline uint8_t take_octet(struct span *input)
{
    struct span octet = span_take(input, 1);
    return octet.len > 0 ? (uint8_t)octet.base[0] : 0;
}

#endif
