/* SPDX-License-Identifier: Apache-2.0 */
/* The helper table, made from sdk/helpers.def. */
#include "server/helpers/helpers.h"
#include "server/script.h"

#define KINDS(a, b, c, d, e)                                                                       \
    {                                                                                              \
        VM_ARG_##a, VM_ARG_##b, VM_ARG_##c, VM_ARG_##d, VM_ARG_##e                                 \
    }

static const struct vm_helper table[] = {
#define ZS_HELPER(returns, helper, list, kinds, text)                                              \
    {.name = #helper, .fn = host_##helper, .kind = KINDS kinds, .parameters = #list},
#include "sdk/helpers.def"
#undef ZS_HELPER
};

const struct vm_helper *script_helpers(uint32_t *count)
{
    *count = sizeof table / sizeof table[0];
    return table;
}
