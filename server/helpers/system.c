/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers about the server itself. They work without a request, too. */
#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "server/helpers/helpers.h"
#include "server/version.h"

uint64_t host_zs_now_ms(struct vm_context *context, const struct vm_arg arg[5])
{
    struct timespec now;

    (void)context;
    (void)arg;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t host_zs_version(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    return helper_text_out(&arg[0], SPAN(ZEROSERVE_VERSION));
}

uint64_t host_zs_getrandom(struct vm_context *context, const struct vm_arg arg[5])
{
    size_t done = 0;

    while (done < arg[0].length) {
        ssize_t got = getrandom(arg[0].data + done, arg[0].length - done, 0);

        if (got > 0) {
            done += (size_t)got;
        } else if (errno != EINTR) {
            vm_helper_fault(context, "no random bytes");
        }
    }
    return arg[0].length;
}
