/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of two bits for each id. */
#include "server/h2_past.h"

#include <assert.h>
#include <stdbool.h>

static bool is_remembered(const struct h2_past *past, uint32_t id)
{
    assert(id % 2 == 1 && id <= past->id_last);
    return (past->id_last - id) / 2 < H2_PAST_IDS;
}

static unsigned shift_of(uint32_t id)
{
    return id / 2 % 4 * 2;
}

static void set(struct h2_past *past, uint32_t id, enum h2_fate fate)
{
    uint8_t *four = &past->fates[id / 2 % H2_PAST_IDS / 4];
    *four = (uint8_t)((*four & ~(3u << shift_of(id))) | (unsigned)fate << shift_of(id));
}

void h2_past_open(struct h2_past *past, uint32_t id)
{
    assert(id % 2 == 1 && id > past->id_last);
    uint32_t skipped = past->id_last == 0 ? id / 2 : (id - past->id_last) / 2 - 1;
    skipped = skipped < H2_PAST_IDS ? skipped : H2_PAST_IDS;
    for (uint32_t i = 1; i <= skipped; i++) {
        set(past, id - 2 * i, H2_SKIPPED);
    }
    set(past, id, H2_DISMISSED);
    past->id_last = id;
}

void h2_past_close(struct h2_past *past, uint32_t id, enum h2_fate fate)
{
    if (is_remembered(past, id)) {
        set(past, id, fate);
    }
}

enum h2_fate h2_past_fate(const struct h2_past *past, uint32_t id)
{
    unsigned four = past->fates[id / 2 % H2_PAST_IDS / 4];
    return is_remembered(past, id) ? (enum h2_fate)(four >> shift_of(id) & 3) : H2_DISMISSED;
}
