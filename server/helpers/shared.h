/* SPDX-License-Identifier: Apache-2.0 */
/* What the runs of a script set share, on all workers. Immutable while scripts run, but for the
 * table of rates, which takes care of itself. */
#ifndef SERVER_HELPERS_SHARED_H
#define SERVER_HELPERS_SHARED_H

#include "server/cidr.h"
#include "server/helpers/env.h"
#include "server/rate.h"
#include "server/site.h"

struct helper_shared {
    struct script_env env;
    const struct site *site; /* or NULL: none, as in tools */
    struct cidr *trusted;    /* proxies whose X-Forwarded-For counts */
    unsigned trusted_count;
    struct rate_table *rates;
    size_t json_bytes_max; /* memory of the JSON values of a script */
    size_t body_bytes_max; /* of a request, that scripts may read */
};

#endif
