/* SPDX-License-Identifier: Apache-2.0 */
/* Limits on how often something is allowed. Keys are bytes that scripts choose; all scripts, all
 * workers and the sites of all reloads count in one table. */
#include "server/clock.h"
#include "server/helpers/helpers.h"
#include "server/helpers/shared.h"

#define INVALID ((uint64_t)-1)

/* False: empty or too long. */
static bool key_of(const struct vm_arg *in, struct span *out)
{
    *out = (struct span){(const char *)in->data, in->length};
    return in->length > 0 && in->length <= LIM_RATE_KEY_BYTES;
}

/* 0: allowed; 1 and more: the window. */
uint64_t host_zs_rate_limit(struct vm_context *context, const struct vm_arg arg[5])
{
    struct rate_limits limits = {{arg[2].value, arg[3].value, arg[4].value}};
    enum rate_window exceeded;
    struct span key;

    if (!key_of(&arg[0], &key)) {
        return INVALID;
    }
    exceeded = rate_take(helper_state(context)->shared->rates, key, &limits, clock_ns());
    return exceeded == RATE_WINDOWS ? 0 : (uint64_t)exceeded + 1;
}

uint64_t host_zs_rate_limit_info(struct vm_context *context, const struct vm_arg arg[5])
{
    uint8_t *out = vm_guest_range(context, arg[4].value, sizeof(struct rate_info), true);
    struct rate_info info;
    struct span key;

    if (out == NULL) {
        vm_helper_fault_argument(context, 5, sizeof info, "is not writable");
    }
    if (arg[0].length > 0 && arg[0].data < out + sizeof info && out < arg[0].data + arg[0].length) {
        vm_helper_fault(context, "memory overlaps");
    }
    if (!key_of(&arg[0], &key) || arg[2].value < 1 || arg[2].value > RATE_WINDOWS ||
        arg[3].value == 0) {
        return INVALID;
    }
    info = rate_look(helper_state(context)->shared->rates, key,
                     (enum rate_window)(arg[2].value - 1), arg[3].value, clock_ns());
    memcpy(out, &info, sizeof info);
    return 0;
}
