/* SPDX-License-Identifier: Apache-2.0 */
/* What a script set is made of; for script.c and script_chain.c. Immutable once loaded. */
#ifndef SERVER_SCRIPT_SET_H
#define SERVER_SCRIPT_SET_H

#include "server/helpers/shared.h"
#include "server/limits.h"
#include "server/script.h"
#include "vm/vm.h"

struct script {
    char *name;
    struct vm_program *program;
    struct vm_image *image;
    size_t code_bytes;
};

/* What a chain runs: entries of one kind, script by script, those of each by address. */
struct script_step {
    const struct script *script;
    const struct vm_entry *entry;
    const struct vm_image *image; /* the script's, as its name: all that a run needs in one place */
    const char *name;
};
static inline struct script_step script_step_of(const struct script *script,
                                                const struct vm_entry *entry)
{
    return (struct script_step){script, entry, script->image, script->name};
}

struct script_steps {
    struct script_step *items; /* behind the last is one that is all zero */
    unsigned count;            /* may be 0: the scripts are there for other entries */
};

struct script_set {
    struct helper_shared shared;
    struct rate_table *own_rates; /* or NULL: they are another's */
    struct script_steps requests;
    struct script_steps handshakes;
    unsigned count;
    struct script items[];
};

#endif
