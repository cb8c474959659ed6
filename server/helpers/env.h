/* SPDX-License-Identifier: Apache-2.0 */
/* The variables that zs_env_get may give: a copy made when scripts are loaded, shared by workers.
 */
#ifndef SERVER_HELPERS_ENV_H
#define SERVER_HELPERS_ENV_H

#include <stdbool.h>

struct script_env {
    char **lines; /* NAME=value */
    unsigned count;
};

/* Copies those of names[0..count) that are set. False: out of memory; free it all the same. */
bool script_env_load(struct script_env *env, const char *const *names, unsigned count);
void script_env_free(struct script_env *env);

#endif
