/* SPDX-License-Identifier: Apache-2.0 */
/* The third of three: adds a field to the answer. */
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    zs_meta_set(ZS_STR("zs.response.header.x-frame-options"), ZS_STR("DENY"));
    return 0;
}
