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
    const struct vm_entry **entries; /* of requests, by address */
    unsigned entry_count;            /* may be 0: the script is there for its other entries */
    const struct vm_entry **handshakes; /* entries of TLS handshakes, by address */
    unsigned handshake_count;
    size_t code_bytes;
};

struct script_set {
    struct helper_shared shared;
    struct rate_table *own_rates; /* or NULL: they are another's */
    unsigned count;
    struct script items[];
};

#endif
