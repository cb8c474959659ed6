/* SPDX-License-Identifier: Apache-2.0 */
/* The helper table, made from sdk/helpers.def. */
#include <string.h>

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

const char *script_helper_text(const char *name)
{
    static const struct {
        const char *name;
        const char *text;
    } rows[] = {
#define ZS_HELPER(returns, helper, list, kinds, text) {#helper, text},
#include "sdk/helpers.def"
#undef ZS_HELPER
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return rows[i].text;
        }
    }
    return NULL;
}
