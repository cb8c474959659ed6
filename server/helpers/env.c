/* SPDX-License-Identifier: Apache-2.0 */
/* zs_env_get. Scripts see no variable that the operator did not name: the environment of a server
 * holds more secrets than those meant for its site. */
#include "server/helpers/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/helpers/helpers.h"
#include "server/helpers/shared.h"

bool script_env_load(struct script_env *env, const char *const *names, unsigned count)
{
    *env = (struct script_env){.lines = calloc(count + 1, sizeof *env->lines)};
    if (env->lines == NULL) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        const char *value = getenv(names[i]);

        if (value == NULL) {
            continue;
        }
        if (asprintf(&env->lines[env->count], "%s=%s", names[i], value) < 0) {
            return false;
        }
        env->count++;
    }
    return true;
}

void script_env_free(struct script_env *env)
{
    for (unsigned i = 0; i < env->count; i++) {
        free(env->lines[i]);
    }
    free(env->lines);
    *env = (struct script_env){0};
}

uint64_t host_zs_env_get(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct script_env *env = &helper_state(context)->shared->env;
    struct span name = helper_name(context, &arg[0]);

    for (unsigned i = 0; i < env->count; i++) {
        struct span line = span_of(env->lines[i]);

        if (line.len > name.len && line.base[name.len] == '=' &&
            span_equal((struct span){line.base, name.len}, name)) {
            return helper_text_out(
                &arg[2], (struct span){line.base + name.len + 1, line.len - name.len - 1});
        }
    }
    return helper_text_out(&arg[2], SPAN(""));
}
